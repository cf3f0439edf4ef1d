// Takes over what a killed `up` has made without the state knowing it. The next `up` then meets "already exists".
import { execa } from "execa";
import { join } from "node:path";
import { record } from "../evaluate/recorder.ts";
import { readPassphrase } from "../spaces/gated-pulumi/passphrase.ts";
import { UserError } from "../validation/user-error.ts";
import type { Backend } from "./backend.ts";
import { knownId } from "./known-ids.ts";
import { importEntries } from "./stack-state.ts";
import type { Failure } from "./engine-run.ts";

/** What PostgreSQL, MinIO and their providers say of something that exists. */
const EXISTS = /already exists|already own|BucketAlready|is already (?:taken|in use)/i;

/** URNs of the resources that could not be created because they exist. */
export function alreadyThere(failures: readonly Failure[]): string[] {
  return [
    ...new Set(
      failures.flatMap(({ urn, message }) => (urn !== undefined && EXISTS.test(message) ? [urn] : [])),
    ),
  ];
}

const PULUMI = join(import.meta.dirname, "../bin/pulumi.ts");

/**
 * Puts resources into a stack's state, by the ids that the program plans for them. Resolves to what was taken over, as
 * `<name> (<id>)`. What differs from what is declared, the next `up` puts right: a refresh looks, and secrets, which
 * nobody can read, are set again. Rejects with a UserError if one has no planned id: its id must be found by hand.
 */
export async function adopt(backend: Backend, stack: string, urns: readonly string[]): Promise<string[]> {
  const { root, configFile } = backend.project;
  const graph = await record({ stack, root, configFile, passphrase: await readPassphrase() });
  const wanted = graph.resources.filter(({ urn }) => urns.includes(urn));
  const ids = new Map(
    wanted.flatMap((one) => {
      const id = knownId(one);
      return id === undefined ? [] : [[one.urn, id] as const];
    }),
  );
  const unknown = urns.filter((urn) => !ids.has(urn));
  if (unknown.length > 0)
    throw new UserError(
      `${unknown.map((urn) => urn.split("::").at(-1)).join(", ")}: made by an earlier up without the state knowing, and the id is not planned. Find it, and take it over: docs/runbooks/interrupted-up.md`,
    );
  await importEntries(backend, stack, graph, ids);
  const refresh = ["refresh", "--stack", stack, "--config-file", configFile, "--yes", "--skip-preview"];
  const { failed, all } = await execa(process.execPath, [PULUMI, ...refresh, "--non-interactive"], {
    cwd: root,
    all: true,
    reject: false,
  });
  if (failed)
    throw new UserError(
      `pulumi refresh of ${stack} failed after it took over ${[...ids.values()].join(", ")}:\n${all}`,
    );
  return [...ids].map(([urn, id]) => `${urn.split("::").at(-1)} (${id})`);
}
