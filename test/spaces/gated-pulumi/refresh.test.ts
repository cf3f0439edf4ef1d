// What becomes of a state that a refresh has changed: it stays, or it is put back as it was.
import { readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { Authority } from "../../../infra/pki/certificates.ts";
import { Secrets } from "../../../infra/pki/secrets.ts";
import { refresh } from "../../../spaces/gated-pulumi/refresh.ts";
import { UserError } from "../../../validation/user-error.ts";
import { FakePulumi, stateWith } from "../../support/fake-pulumi.ts";
import { closedPort, closeServices, serveMinio, type FakeMinio } from "../../support/space-services.ts";

const STACK = "prod-spaces-999";
const BOTH = ["space-iris", "space-lotus"];
const COMMANDS = {
  export: `stack export --stack ${STACK}`,
  show: `stack export --stack ${STACK} --show-secrets`,
  refresh: `refresh --stack ${STACK} --yes`,
  import: `stack import --stack ${STACK}`,
};
const authority = new Authority(new Secrets("master", "test", {}), { notBefore: "2026-01-01", years: 10 });
let ca: string;
let minio: FakeMinio;
let state: (buckets: readonly string[]) => string;

beforeAll(async () => {
  ca = await authority.root();
});
beforeEach(async () => {
  vi.stubEnv("ALL_PROXY", "");
  minio = await serveMinio(authority);
  minio.buckets = [...BOTH];
  state = (buckets) => stateWith(`localhost:${minio.port}`, buckets);
});
afterEach(() => vi.unstubAllEnvs());
afterAll(closeServices);

/** A stack with both buckets, whose refresh leaves those in the state. */
const stackThatKeeps = (left: readonly string[], status = 0) =>
  new FakePulumi(state(BOTH), `echo '${state(left)}' >$FOLDER/state; exit ${status};`);

const run = (cli: FakePulumi) =>
  refresh(
    { program: cli.program, stack: STACK, environmentVariables: {} },
    ["refresh", "--stack", STACK, "--yes"],
    ca,
  );

test("a refresh that keeps all buckets stays, with the CLI's exit status", async () => {
  const cli = stackThatKeeps(BOTH, 3);
  await expect(run(cli)).resolves.toBe(3);
  expect(cli.calls).toEqual([COMMANDS.export, COMMANDS.show, COMMANDS.refresh, COMMANDS.export]);
});

test("a bucket that MinIO still has comes back into the state", async () => {
  const cli = stackThatKeeps(["space-iris"]);
  await expect(run(cli)).rejects.toThrow(
    new UserError(
      "The refresh took 1 of 2 buckets for gone (space-lotus), but MinIO has them: it must have been unreachable in between. The state is again what it was before; run the refresh again.",
    ),
  );
  expect(cli.state).toBe(state(BOTH));
  expect(cli.calls.at(-1)).toBe(COMMANDS.import);
});

test("a bucket that MinIO has not is left out", async () => {
  minio.buckets = ["space-iris"];
  const cli = stackThatKeeps(["space-iris"]);
  await expect(run(cli)).resolves.toBe(0);
  expect(cli.state).toBe(`${state(["space-iris"])}\n`);
  expect(cli.calls).not.toContain(COMMANDS.import);
});

test("of two lost buckets one that MinIO has is enough to undo the refresh", async () => {
  minio.buckets = ["space-lotus"];
  const cli = stackThatKeeps([]);
  await expect(run(cli)).rejects.toThrow(/^The refresh took 1 of 2 buckets for gone \(space-lotus\),/);
  expect(cli.state).toBe(state(BOTH));
});

test("with a MinIO that no longer takes the key after the refresh, all comes back", async () => {
  const cli = new FakePulumi(
    state(BOTH),
    `echo '${stateWith(`localhost:${await closedPort()}`, [])}' >$FOLDER/state;`,
  );
  await expect(run(cli)).rejects.toThrow(
    "The refresh took 2 of 2 buckets for gone (space-iris, space-lotus), but MinIO no longer answers",
  );
  expect(cli.state).toBe(state(BOTH));
});

test("a MinIO that refuses the state's key is not refreshed from", async () => {
  minio.buckets = undefined;
  const cli = stackThatKeeps([]);
  await expect(run(cli)).rejects.toThrow(
    /^MinIO does not take the key that the state of prod-spaces-999 holds .* Nothing was changed\. If the key was rotated,/,
  );
  expect(cli.calls).not.toContain(COMMANDS.refresh);
});

test("a stack without a bucket needs no MinIO", async () => {
  const cli = new FakePulumi(stateWith("localhost:1", []), "exit 0;");
  await expect(run(cli)).resolves.toBe(0);
  expect(cli.calls).toEqual([COMMANDS.export, COMMANDS.refresh]);
});

test.each([1, 2])("export %i is killed before the refresh: it does not begin", async (n) => {
  const cli = stackThatKeeps([]);
  cli.killExport(n);
  await expect(run(cli)).rejects.toThrow(
    new UserError(
      "pulumi stack export of prod-spaces-999 failed; nothing was changed:\nit was ended by SIGKILL",
    ),
  );
  expect(cli.calls).not.toContain(COMMANDS.refresh);
  expect(cli.state).toBe(state(BOTH));
});

test("the export after the refresh is killed: nobody knows what it lost, so the state comes back", async () => {
  const cli = stackThatKeeps(["space-iris"]);
  cli.killExport(3);
  await expect(run(cli)).rejects.toThrow(
    new UserError(
      "The state after the refresh cannot be read, so it is again what it was before; run the refresh again.",
    ),
  );
  expect(cli.state).toBe(state(BOTH));
});

test("a state that cannot be put back is kept in a file for its owner, and the message names it", async () => {
  const cli = stackThatKeeps(["space-iris"]);
  cli.refuseImport();
  const message = await run(cli).catch(String);
  const file = / --file (\S+)$/.exec(String(message))?.[1] ?? "";
  expect(message).toContain("pulumi stack import failed:\nno space left on device\n");
  expect(readFileSync(file, "utf8")).toBe(state(BOTH));
  rmSync(dirname(file), { recursive: true });
});
