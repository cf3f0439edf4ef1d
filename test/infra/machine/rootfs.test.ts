// The files that machines get, checked with the tools that read them there. nginx, sshd, rsyslog and PostgreSQL check
// their files on the machines, before they use them (install.sh of each service).
import { execaSync } from "execa";
import { copyFileSync, globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { reveal } from "../../../evaluate/graph.ts";
import { SUBNETS } from "../../../infra/inventory/addresses.ts";
import { scriptParts } from "../../../plan/script-text.ts";
import { onPath } from "../../support/fakes.ts";
import { prodPlatform } from "../../support/platform-graph.ts";

/** For each machine: path → text of all files in its scripts. */
async function machines(): Promise<Map<string, Map<string, string>>> {
  const found = new Map<string, Map<string, string>>();
  for (const { type, inputs } of (await prodPlatform()).resources) {
    const parts = type === "command:remote:Command" ? scriptParts(String(reveal(inputs.stdin))) : undefined;
    if (!parts) continue;
    const machine = (parts["setting MACHINE"] ?? "").replaceAll("'", "");
    const files = found.get(machine) ?? new Map<string, string>();
    for (const [part, text] of Object.entries(parts))
      if (part.startsWith("file ")) files.set(part.slice("file ".length), text);
    found.set(machine, files);
  }
  return found;
}

it("has sshd never refuse ops-1, which asks new machines before they know its keys", async () => {
  for (const files of (await machines()).values())
    expect(files.get("/etc/ssh/sshd_config.d/10-framaspace.conf")).toContain(
      `\nPerSourcePenaltyExemptList ${SUBNETS.ops}\n`,
    );
});

const SYSTEM = "/usr/lib/systemd/system";
const UNITS = "/etc/systemd/system/";
/** Keys of Debian 13 (systemd 257) that an older systemd, on which the tests may run, does not know. */
const NEWER = /Unknown key '(RestartSteps|RestartMaxDelaySec)'/;

/** What systemd-analyze reports about a machine's units. Debian's own programs and units are empty files here. */
function verify(files: ReadonlyMap<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), "framaspace-units-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const put = (path: string, text: string, mode = 0o644) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text, { mode });
  };
  mkdirSync(join(root, SYSTEM), { recursive: true });
  for (const target of globSync("*.{target,slice}", { cwd: SYSTEM }))
    copyFileSync(join(SYSTEM, target), join(root, SYSTEM, target));
  const units = new Set<string>();
  for (const [path, text] of files) {
    if (!path.startsWith(UNITS)) continue;
    put(path, text);
    for (const [, program = ""] of text.matchAll(/^Exec\w+=[-+!@:]*(\/\S+)/gm)) put(program, "", 0o755);
    const [unit = "", ...dropIn] = path.slice(UNITS.length).split("/");
    // A drop-in for all slices of a name, in one of them.
    const name = unit.replace(/\.d$/, "").replace("-.slice", "-1.slice");
    const instance = name.replace("@.", "@primary.");
    if (dropIn.length > 0) {
      const kind = name.split(".").at(-1) ?? "";
      const sections: Record<string, string> = { timer: "[Timer]\nOnBootSec=1\n", slice: "[Slice]\n" };
      const section = sections[kind] ?? "[Service]\nExecStart=/usr/bin/true\n";
      put("/usr/bin/true", "", 0o755);
      put(join(SYSTEM, name), section);
    }
    units.add(instance);
  }
  for (const service of ["minio.service", "nginx.service"])
    if (!files.has(`${UNITS}${service}`)) put(join(SYSTEM, service), "[Service]\nExecStart=/usr/bin/true\n");
  const words = ["verify", "--man=no", `--root=${root}`, ...units];
  return execaSync("systemd-analyze", words, { reject: false, all: true })
    .all.split("\n")
    .filter((line) => !NEWER.test(line))
    .join("\n")
    .replaceAll(root, "");
}

const analyzes = onPath("systemd-analyze");
describe.skipIf(!analyzes)(`units${analyzes ? "" : " (skipped: no systemd-analyze on PATH)"}`, async () => {
  const all = await machines();
  const first = [...all.keys()].filter((machine) => /-a?1$/.test(machine));

  it.each(first)("of %s are valid for systemd", (machine) => {
    const files = all.get(machine) ?? new Map<string, string>();
    expect([...files.keys()].some((path) => path.startsWith(UNITS))).toBe(true);
    expect(verify(files)).toBe("");
  });

  it("with an unknown key are reported", () => {
    const text = "[Service]\nExecStart=/usr/bin/true\nRestartSecs=3\n";
    expect(verify(new Map([[`${UNITS}slip.service`, text]]))).toContain("RestartSecs");
  });
});

const php = onPath("php");
describe.skipIf(!php)(`PHP${php ? "" : " (skipped: no php on PATH)"}`, () => {
  const files = [...globSync("{infra,spaces,lab,bench}/**/*.php"), "lab/fake-nextcloud/occ"];

  it.each(files)("can parse %s", (file) => {
    expect(execaSync("php", ["-l", file], { reject: false }).exitCode).toBe(0);
  });
});
