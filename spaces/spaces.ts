// The spaces of one tenants file, as one stack: what they share is made here once. The stack reads nothing of the
// platform's: addresses are planned, secrets derived.
import * as minio from "@pulumi/minio";
import * as postgresql from "@pulumi/postgresql";
import * as pulumi from "@pulumi/pulumi";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cloudMachines, siteName } from "../infra/addresses.ts";
import { Authority } from "../infra/certificates.ts";
import type { Environment } from "../infra/environment.ts";
import { PORTS } from "../infra/firewall.ts";
import { STORAGE_ROOT } from "../infra/names.ts";
import { Access } from "../infra/remote.ts";
import type { Secrets } from "../infra/secrets.ts";
import type { Catalog } from "./catalog.ts";
import { Space } from "./space.ts";
import type { Tenant } from "./tenants.ts";

interface SpacesArgs {
  environmentName: string;
  environment: Environment;
  secrets: Secrets;
  catalog: Catalog;
  tenants: readonly Tenant[];
}

/** All spaces of a tenants file. */
export class Spaces extends pulumi.ComponentResource {
  /** Id → what converging reported. */
  readonly results: Readonly<Record<string, pulumi.Output<string>>>;

  constructor(name: string, args: SpacesArgs, opts?: pulumi.ComponentResourceOptions) {
    super("framaspace:spaces:Spaces", name, {}, opts);
    const { environment, secrets, catalog } = args;
    const ca = writeAuthority(args);
    const ground = {
      domain: environment.domain,
      secrets,
      catalog,
      postgresql: createPostgresql(this, environment, secrets, ca),
      minio: createMinio(this, environment, secrets, ca),
      connection: new Access(secrets).ops(environment.opsAddress ?? `ops.${environment.domain}`),
    };
    this.results = Object.fromEntries(
      args.tenants.map((tenant) => [tenant.id, new Space(tenant, ground, { parent: this }).result]),
    );
    this.registerOutputs({});
  }
}

/**
 * Both providers take their certificate authority as a file only. Its path ends up in the state, so it is relative to
 * the repository, and changes when the authority does. What stands in the file is public.
 */
function writeAuthority({ environmentName, environment, secrets }: SpacesArgs): pulumi.Output<string> {
  const write = async () => {
    const certificate = await new Authority(secrets, environment.certificates).root();
    const digest = createHash("sha256").update(certificate).digest("hex").slice(0, 16);
    const path = `node_modules/.cache/framaspace/${environmentName}-ca-${digest}.crt`;
    const file = join(import.meta.dirname, "..", path);
    if (existsSync(file)) return path;
    await mkdir(dirname(file), { recursive: true });
    // Renamed into place: another run may be reading it.
    await writeFile(`${file}.${process.pid}`, certificate);
    await rename(`${file}.${process.pid}`, file);
    return path;
  };
  return pulumi.output(write());
}

function createPostgresql(
  parent: pulumi.Resource,
  environment: Environment,
  secrets: Secrets,
  ca: pulumi.Input<string>,
): postgresql.Provider {
  const nodes = cloudMachines(environment, "postgres");
  const primary = nodes.find(({ name }) => name === (environment.postgresPrimary ?? nodes[0]?.name));
  if (!primary) throw new Error("environment without postgres-1 passed its checks");
  return new postgresql.Provider(
    "postgresql",
    {
      // The address, because only the machines themselves know the names.
      host: primary.privateAddress,
      port: PORTS.postgres,
      username: "framaspace",
      password: secrets.password("postgres", "superuser"),
      database: "postgres",
      superuser: false,
      sslmode: "verify-full",
      sslrootcert: ca,
      connectTimeout: 15,
      // A database holds one connection while it waits for a second one: with as many steps at once as connections,
      // all would wait for ever. Well above any parallelism in use (README: 64), well below the server's own limit.
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
      // A name for all nodes of the site: the tunnel's far end, ops-1, knows it and passes over nodes that are down.
      minioServer: `${siteName(storage.serving)}:${PORTS.minio}`,
      minioUser: STORAGE_ROOT,
      minioPassword: secrets.password("minio", "root"),
      minioSsl: true,
      minioCacertFile: ca,
    },
    { parent },
  );
}
