// Administrators who come and go, as docs/runbooks/administrators.md says: their keys, and the engine's own key.
import { execa } from "execa";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { inside, openLab } from "../../lab/lab.ts";
import { ADMIN } from "../../lab/namespaces.ts";
import { sharedLab as lab } from "../support/suite-lab.ts";
import { type } from "../support/runbook.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "framaspace-administrators-"));
  await lab.prepare();
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await lab.remove();
});

/** Makes a key pair: the file of the private half, and the public half. */
async function keyOf(name: string): Promise<{ file: string; publicKey: string }> {
  const file = join(folder, name);
  await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file]);
  return { file, publicKey: (await readFile(`${file}.pub`, "utf8")).trim() };
}

/** Puts the keys of administrators, by name, into the configuration, and runs `up`. */
async function declare(keys: Record<string, string>): Promise<void> {
  await lab.edit("Pulumi.lab.yaml", /sshKeys: .*/, `sshKeys: ${JSON.stringify(keys)}`);
  await lab.up();
}

/** What a machine answers to somebody with only that key, through ops-1: its name, or the reason for the refusal. */
async function enter(machine: string, key: string): Promise<string> {
  const { directory } = openLab(lab.name);
  const config = await readFile(join(directory, "ssh/config"), "utf8");
  const own = config
    .replace(/IdentityFile .*/, `IdentityFile ${key}`)
    .replace(/ControlPath .*/, "ControlPath none")
    .replace(/ConnectTimeout .*/, "ConnectTimeout 30");
  await writeFile(`${key}.config`, own);
  const words = [...inside(openLab(lab.name), ADMIN), "ssh", "-F", `${key}.config`, machine, "hostname"];
  const { stdout, stderr } = await execa(words[0] ?? "", words.slice(1), { reject: false });
  return stdout || stderr;
}

test("a new administrator enters ops-1 and, through it, other machines; a former one enters none", async () => {
  const [ada, bob] = [await keyOf("ada"), await keyOf("bob")];
  for (const machine of ["ops-1", "web-1"])
    expect(await enter(machine, bob.file)).toContain("Permission denied");
  await declare({ ada: ada.publicKey, bob: bob.publicKey });
  for (const machine of ["ops-1", "web-1"])
    for (const { file } of [ada, bob]) expect(await enter(machine, file)).toBe(machine);
  // As if the first boot had put the key there.
  for (const machine of ["ops-1", "web-1"])
    await lab.on(machine, `echo '${bob.publicKey}' >>/root/.ssh/authorized_keys`);

  await declare({ ada: ada.publicKey });
  for (const machine of ["ops-1", "web-1"]) {
    expect(await enter(machine, ada.file)).toBe(machine);
    expect(await enter(machine, bob.file)).toContain("Permission denied");
  }
  const listed = await type(lab, "administrators", "How to know that it worked");
  expect(listed).toContain(" ada");
  expect(listed).not.toContain(" bob");
});
