// The spaces of one tenants file, as one stack. What they share is created here once. The stack reads no output of the
// platform's stack: addresses are planned, and secrets are derived.
import * as minio from "@pulumi/minio";
import * as postgresql from "@pulumi/postgresql";
import * as pulumi from "@pulumi/pulumi";
import { opsHost, primaryPostgres, siteName } from "../infra/inventory/addresses.ts";
import { Authority } from "../infra/pki/certificates.ts";
import type { Environment } from "../infra/inventory/environment.ts";
import { parseStackName } from "../infra/inventory/stack-name.ts";
import { PORTS } from "../infra/machine/firewall.ts";
import { POSTGRES_ADMIN, STORAGE_ROOT } from "../infra/inventory/names.ts";
import { Access } from "../infra/machine/remote.ts";
import type { Secrets } from "../infra/pki/secrets.ts";
import type { Catalog } from "./fleet/catalog.ts";
import { assertAnswering, GATE_IS_OPEN, gateFile, openGate } from "./gated-pulumi/gate.ts";
import { assertTakesWrites } from "./gated-pulumi/node-role.ts";
import { servicesOf } from "./gated-pulumi/services.ts";
import { Space } from "./space.ts";
import type { Entry } from "./fleet/entry.ts";

interface SpacesArgs {
  /** Path of the certificate authority's file, from passGate. */
  ca: string;
  environment: Environment;
  secrets: Secrets;
  catalog: Catalog;
  entries: readonly Entry[];
}

/** All spaces of a tenants file. */
export class Spaces extends pulumi.ComponentResource {
  /** Id → what converge-space reported. */
  readonly results: Readonly<Record<string, pulumi.Output<string>>>;

  constructor(name: string, args: SpacesArgs, opts?: pulumi.ComponentResourceOptions) {
    super("framaspace:spaces:Spaces", name, {}, opts);
    const { environment, secrets, catalog, ca } = args;
    const context = {
      domain: environment.domain,
      secrets,
      catalog,
      postgresql: createPostgresql(this, environment, secrets, ca),
      minio: createMinio(this, environment, secrets, ca),
      connection: new Access(secrets).ops(opsHost(environment)),
    };
    this.results = Object.fromEntries(
      args.entries.map((entry) => [entry.id, new Space(entry, context, { parent: this }).result]),
    );
    this.registerOutputs({});
  }
}

/**
 * Returns the path of the certificate authority's file, which both providers need. An update first checks that the
 * services answer. A preview calls neither service and does not ask, so a preview of a new stack works from anywhere.
 * Without the engine, no provider is loaded, so nothing is checked or written.
 */
export async function passGate(environment: Environment, secrets: Secrets): Promise<string> {
  const stack = pulumi.getStack();
  if (!pulumi.runtime.hasEngine() || process.env[GATE_IS_OPEN] === stack) return gateFile(stack);
  const certificate = await new Authority(secrets, environment.certificates).root();
  if (!pulumi.runtime.isDryRun()) {
    await assertAnswering(servicesOf(environment), certificate);
    const file = `Pulumi.${parseStackName(stack).environment}.yaml`;
    await assertTakesWrites({ environment, secrets, certificate, file });
  }
  process.on("exit", openGate(stack, certificate));
  return gateFile(stack);
}

function createPostgresql(
  parent: pulumi.Resource,
  environment: Environment,
  secrets: Secrets,
  ca: pulumi.Input<string>,
): postgresql.Provider {
  return new postgresql.Provider(
    "postgresql",
    {
      // The address, not the name: only the machines themselves know the names.
      host: primaryPostgres(environment).privateAddress,
      port: PORTS.postgres,
      username: POSTGRES_ADMIN,
      password: secrets.password("postgres", "superuser"),
      database: "postgres",
      superuser: false,
      sslmode: "verify-full",
      sslrootcert: ca,
      connectTimeout: 15,
      // A database holds one connection while it waits for a second one. With as many steps at once as connections, all
      // steps would wait for ever. 200 is well above any parallelism in use (docs/deploy.md: 64), and well below the
      // server's own limit.
      maxConnections: 200,
    },
    { parent },
  );
}

function createMinio(
  parent: pulumi.Resource,
  environment: Environment,
  secrets: Secrets,
  ca: pulumi.Input<string>,
): minio.Provider | undefined {
  const { storage } = environment;
  if (!storage) return undefined;
  return new minio.Provider(
    "minio",
    {
      // One name for all nodes of the site. ops-1, the far end of the tunnel, resolves it and skips nodes that are
      // down.
      minioServer: `${siteName(storage.serving)}:${PORTS.minio}`,
      minioUser: STORAGE_ROOT,
      minioPassword: secrets.password("minio", "root"),
      minioSsl: true,
      minioCacertFile: ca,
    },
    { parent },
  );
}
