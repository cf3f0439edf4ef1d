// Recovers after a killed `up` of the Pulumi CLI. What it was creating may exist, although the state does not know it.
// The next `up` would then conflict with it. In a lab, this is everything that the endpoint has and the state does not.
import { execa } from "execa";
import { readFile } from "node:fs/promises";
import * as z from "zod";
import { ask } from "./hcloud/client.ts";
import type { Lab } from "./lab.ts";
import { insideMachine } from "./machine.ts";
import { UserError } from "../validation/user-error.ts";

const resource = z.looseObject({
  urn: z.string(),
  type: z.string(),
  id: z.string().optional(),
  inputs: z.record(z.string(), z.unknown()).default({}),
});
const checkpoint = z.looseObject({
  checkpoint: z.looseObject({
    latest: z
      .looseObject({
        resources: z.array(resource).nullish(),
        pending_operations: z.array(z.object({ type: z.string(), resource })).nullish(),
      })
      .nullish(),
  }),
});

/** In the order in which they can be deleted. */
const COLLECTIONS = [
  "load_balancers",
  "servers",
  "certificates",
  "zones",
  "firewalls",
  "placement_groups",
  "networks",
  "ssh_keys",
] as const;

/** The input that is also the provider's id. Pulumi needs it to take over what it was creating. */
const IDENTITY: Readonly<Record<string, string>> = {
  "postgresql:index/role:Role": "name",
  "postgresql:index/database:Database": "name",
  "minio:index/s3Bucket:S3Bucket": "bucket",
  "minio:index/iamUser:IamUser": "name",
};

/** Deletes cloud resources that a stack's state does not know. Returns their names. */
export async function removeOrphans(lab: Lab, stateFile: string): Promise<string[]> {
  const { resources } = await readState(stateFile);
  const known = new Set(resources.filter(({ type }) => type.startsWith("hcloud:")).map(({ id }) => id));
  const removed: string[] = [];
  for (const collection of COLLECTIONS) {
    const entities = z.record(z.string(), z.unknown()).parse(await ask(lab, "GET", collection))[collection];
    for (const { id, name } of z.array(z.object({ id: z.number(), name: z.string() })).parse(entities))
      if (!known.has(String(id)) && !(collection === "zones" && known.has(name))) {
        await ask(lab, "DELETE", `${collection}/${id}`);
        removed.push(name);
      }
  }
  return removed;
}

const PROVIDER_SESSIONS =
  "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'Terraform provider'";

/**
 * Waits until PostgreSQL has finished what a provider asked for before it was killed. PostgreSQL completes a database
 * that it has begun to create, and a refresh does not see the database before that. Rejects after two minutes.
 */
export async function afterProviderSessions(lab: Lab): Promise<void> {
  const script = `for try in {1..120}; do
  [ "$(psql service=framaspace -XAtqc "${PROVIDER_SESSIONS}")" != 0 ] || exit 0
  sleep 1
done
exit 1`;
  const [program = "", ...words] = await insideMachine(lab, "ops-1");
  const { failed, stderr } = await execa(program, [...words, "bash", "-c", script], {
    reject: false,
    stdin: "ignore",
  });
  if (failed)
    throw new UserError(
      `PostgreSQL is still at work for an earlier up that was killed, or does not answer ops-1; nothing was changed.\n${stderr}\nSee \`npm run lab -- ssh ops-1 postgres-cluster status\`, then run up again.`,
    );
}

/** Flags for `pulumi refresh` to take over, or forget, what a killed `up` was creating; empty if there is nothing. */
export async function pendingFlags(stateFile: string): Promise<string[]> {
  const { pending } = await readState(stateFile);
  if (pending.length === 0) return [];
  const imports = pending.flatMap(({ urn, type, inputs }) => {
    const id = inputs[IDENTITY[type] ?? ""];
    return typeof id === "string" ? ["--import-pending-creates", urn, "--import-pending-creates", id] : [];
  });
  return [...imports, "--clear-pending-creates"];
}

async function readState(file: string) {
  const text = await readFile(file, "utf8").catch(() => '{"checkpoint":{}}');
  const { latest } = checkpoint.parse(JSON.parse(text)).checkpoint;
  const creating = (latest?.pending_operations ?? []).filter(({ type }) => type === "creating");
  return { resources: latest?.resources ?? [], pending: creating.map((operation) => operation.resource) };
}
