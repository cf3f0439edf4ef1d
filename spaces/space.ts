// One space: six resources, and the component that holds them. A stack evaluates a hundred spaces at once, so what they
// share (providers, the connection to ops-1) is passed in, and names are plain values.
import * as command from "@pulumi/command";
import * as minio from "@pulumi/minio";
import * as postgresql from "@pulumi/postgresql";
import * as pulumi from "@pulumi/pulumi";
import { SUBNETS } from "../infra/inventory/addresses.ts";
import { SPACE_POLICY, spaceNames } from "../infra/inventory/names.ts";
import type { Secrets } from "../infra/pki/secrets.ts";
import { GIGABYTE, type Catalog } from "./fleet/catalog.ts";
import type { Entry } from "./fleet/entry.ts";
import type { WantedSpace } from "./space-document.ts";

/** What the spaces of a stack share. */
export interface SpaceContext {
  readonly domain: string;
  readonly secrets: Secrets;
  readonly catalog: Catalog;
  readonly postgresql: postgresql.Provider;
  /** Absent if the environment declares no storage. Its spaces then have no bucket. */
  readonly minio: minio.Provider | undefined;
  /** To ops-1. */
  readonly connection: pulumi.Input<command.types.input.remote.ConnectionArgs>;
}

/**
 * A bucket's hard quota, as a multiple of the plan's storage. Nextcloud itself keeps to the plan's storage. The bucket
 * needs more: it keeps deleted and overwritten files for a while as old versions, and a client that meets the hard
 * quota sees an HTTP 500.
 */
const BUCKET_MARGIN = 1.5;

/**
 * Connections that one space may open, so that no space takes all 2,000 of the server (infra/postgres/postgres.ts). A
 * request holds one, an open chat too. The limit covers all PHP workers that a space may have (infra/web/install.sh),
 * and some connections for the programs of ops-1.
 */
const CONNECTION_LIMIT = 150;

/** The Nextcloud of one group. */
export class Space extends pulumi.ComponentResource {
  /** What converge-space reported, as JSON: release, address, state, web servers that do not serve it yet. */
  readonly result: pulumi.Output<string>;

  constructor(entry: Entry, context: SpaceContext, opts: pulumi.ComponentResourceOptions) {
    const { id } = entry;
    // The policies (policies/rules.ts) read these.
    super("framaspace:spaces:Space", id, { plan: entry.plan, state: entry.state }, opts);
    const { secrets } = context;
    const names = spaceNames(id, context.domain);
    const archived = entry.state === "archived";
    const stateful = { parent: this, protect: !archived };

    const passwords = {
      database: secrets.spacePassword(id, "postgres"),
      s3: secrets.spacePassword(id, "s3"),
      redis: secrets.spacePassword(id, "redis"),
      secret: secrets.spacePassword(id, "nextcloud-secret"),
      salt: secrets.spacePassword(id, "nextcloud-salt"),
    };
    const role = new postgresql.Role(
      `${id}-role`,
      { name: names.role, login: true, password: passwords.database, connectionLimit: CONNECTION_LIMIT },
      { ...stateful, provider: context.postgresql },
    );
    const needs: pulumi.Resource[] = [
      new postgresql.Database(
        `${id}-database`,
        { name: names.database, owner: role.name },
        { ...stateful, provider: context.postgresql },
      ),
    ];
    if (context.minio) {
      const viaMinio = { ...stateful, provider: context.minio };
      needs.push(
        new minio.S3Bucket(
          `${id}-bucket`,
          {
            bucket: names.bucket,
            quota: planOf(entry, context.catalog).storageGb * GIGABYTE * BUCKET_MARGIN,
            // An archived space has been exported, so its bucket may be deleted with its content.
            forceDestroy: archived,
          },
          viaMinio,
        ),
      );
      // Never set forceDestroy: the provider would then delete the user at its next update.
      const user = new minio.IamUser(`${id}-user`, { name: names.s3User, secret: passwords.s3 }, viaMinio);
      needs.push(
        new minio.IamUserPolicyAttachment(
          `${id}-policy`,
          { userName: user.name, policyName: SPACE_POLICY },
          { parent: this, provider: context.minio },
        ),
      );
    }
    this.result = new command.remote.Command(
      `${id}-converge`,
      {
        connection: context.connection,
        create: "/usr/local/sbin/converge-space",
        // This command depends on the database and the bucket, so the engine runs remove-space before it deletes them.
        // remove-space refuses if no export is verified.
        ...(archived && { delete: `/usr/local/sbin/remove-space ${id}` }),
        stdin: pulumi.secret(
          pulumi.all(passwords).apply((plain) => JSON.stringify(wantedSpace(entry, context, plain))),
        ),
        logging: "stderr",
        addPreviousOutputInEnv: false,
      },
      { parent: this, dependsOn: needs },
    ).stdout;
    this.registerOutputs({ result: this.result });
  }
}

function planOf(entry: Entry, catalog: Catalog) {
  const plan = catalog.plans[entry.plan];
  if (!plan)
    throw new Error(
      `space "${entry.id}": plan "${entry.plan}" passed its checks without being in the catalog`,
    );
  return plan;
}

function releaseOf(entry: Entry, catalog: Catalog): string {
  const release = catalog.waves[entry.wave];
  if (!release)
    throw new Error(
      `space "${entry.id}": wave "${entry.wave}" passed its checks without being in the catalog`,
    );
  return release;
}

/** What converge-space reads. */
export function wantedSpace(
  entry: Entry,
  {
    domain,
    catalog,
    secrets,
    minio: storage,
  }: Pick<SpaceContext, "domain" | "catalog" | "secrets" | "minio">,
  passwords: Record<"database" | "s3" | "redis" | "secret" | "salt", string>,
): WantedSpace {
  const names = spaceNames(entry.id, domain);
  const { storageGb, accounts } = planOf(entry, catalog);
  return {
    id: entry.id,
    name: entry.name,
    host: names.host,
    contact: entry.contact,
    state: entry.state,
    ...(entry.state !== "active" && { reason: entry.reason, since: entry.since }),
    ...(entry.state === "archived" && { archive: catalog.archive }),
    wave: entry.wave,
    release: releaseOf(entry, catalog),
    apps: catalog.apps,
    appsOptional: catalog.appsOptional,
    appsOff: catalog.appsOff,
    office: entry.office,
    ...(entry.twoFactor && { twoFactor: entry.twoFactor }),
    officeClients: SUBNETS.office,
    limits: { accounts, storageBytes: storageGb * GIGABYTE },
    database: { name: names.database, user: names.role, password: passwords.database },
    ...(storage && { s3: { bucket: names.bucket, user: names.s3User, secret: passwords.s3 } }),
    redis: { user: names.redisUser, password: passwords.redis, prefix: names.redisPrefix },
    nextcloud: {
      // Not a secret: it is the name of the session cookie.
      instanceId: `oc${secrets.spaceSeed(entry.id, "nextcloud-instance").toString("hex").slice(0, 10)}`,
      secret: passwords.secret,
      passwordSalt: passwords.salt,
    },
  };
}
