// How a gateway restarts nginx: runs the part of install.sh that does, with fakes for nginx and systemctl.
import { execa } from "execa";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { fake, libIn } from "../../support/fakes.ts";
import { commandOf, commandsBefore, prodPlatform } from "../../support/platform-graph.ts";

const SCRIPT = readFileSync(join(import.meta.dirname, "../../../infra/gateway/install.sh"), "utf8");
const PART = /^restart_nginx\(\) \{[^]*?^\}$/m.exec(SCRIPT)?.[0] ?? "";

/**
 * What is done, in order. `(leaving)` stands behind what happens while the load balancer is told so.
 * @param nginx Whether nginx runs.
 */
async function restart({ gateways, nginx }: { gateways: number; nginx: boolean }): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "framaspace-gateway-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "bin"));
  const note = `note_done() { echo "$*$([ ! -e ${folder}/leaving ] || echo " (leaving)")" >>${folder}/done; }`;
  fake(join(folder, "bin/sleep"), `${note}\nnote_done sleep "$@"`);
  fake(
    join(folder, "bin/nginx"),
    `${note}\n[ "$1" = -q ] || { note_done nginx "$@"; touch ${folder}/ended; }`,
  );
  fake(join(folder, "bin/ss"), "");
  fake(
    join(folder, "bin/systemctl"),
    `${note}\ncase "$*" in *is-active*) ${nginx} && [ ! -e ${folder}/ended ] ;; *) note_done "$@" ;; esac`,
  );
  const input = `${libIn(folder)}
GATEWAYS=${gateways} NOTICED_SECONDS=24
${PART.replaceAll("/run/framaspace-leaving", `${folder}/leaving`)}
restart_nginx
trap - EXIT`;
  await execa("bash", ["-s", "--", "install.sh"], {
    input,
    env: { PATH: `${folder}/bin${delimiter}${process.env["PATH"] ?? ""}` },
  });
  return readFileSync(join(folder, "done"), "utf8").trim().split("\n");
}

test("a gateway first waits until the load balancer has noticed, and then again, before the next one leaves", async () => {
  expect(await restart({ gateways: 2, nginx: true })).toEqual([
    "sleep 24 (leaving)",
    "nginx -s quit (leaving)",
    "stop nginx (leaving)",
    "start nginx",
    "sleep 24",
  ]);
  const graph = await prodPlatform();
  expect(commandsBefore(commandOf(graph, "gateway-2-role").resource)).toEqual(["gateway-1-role"]);
});

test.each([
  ["the only one", { gateways: 1, nginx: true }],
  ["new", { gateways: 2, nginx: false }],
])("a gateway that is %s restarts at once", async (_, state) => {
  expect(await restart(state)).toEqual(["restart nginx"]);
});
