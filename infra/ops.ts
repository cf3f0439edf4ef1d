// ops-1 beyond being the way in (infra/platform.ts creates the machine first): administrators' tools with their
// credentials, and the master copies of the spaces' directories. What works on spaces is handed in by index.ts.
import * as pulumi from "@pulumi/pulumi";
import { cloudMachines, storageMachines } from "./addresses.ts";
import type { Environment } from "./environment.ts";
import { PORTS } from "./firewall.ts";
import { PACKAGES } from "./packages.ts";
import { remoteScript, type RemoteFile } from "./remote.ts";
import type { CloudServer, Foundation } from "./server.ts";

/** What others want on ops-1. */
export interface OpsTools {
  files?: readonly RemoteFile[];
  packages?: readonly string[];
  /** Folders to make: path, mode, owner:group. */
  folders?: readonly (readonly [path: string, mode: string, owner: string])[];
}

interface OpsArgs {
  foundation: Foundation;
  machine: CloudServer;
  tools?: OpsTools;
}

/** Tools and credentials on the jump host. */
export class Ops extends pulumi.ComponentResource {
  constructor(name: string, { foundation, machine, tools }: OpsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("framaspace:infra:Ops", name, {}, opts);
    const { environment, secrets } = foundation;
    const superuser = secrets.password("postgres", "superuser");
    const files: RemoteFile[] = [
      { path: "/root/.pg_service.conf", content: renderPgService(environment) },
      {
        path: "/root/.pgpass",
        mode: "0600",
        content: superuser.apply((password) => `*:*:*:framaspace:${password}\n`),
      },
      {
        path: "/root/.mc/config.json",
        mode: "0600",
        content: secrets
          .password("minio", "root")
          .apply((password) => renderMcConfiguration(environment, password)),
      },
      ...(tools?.files ?? []),
    ];
    const mc = environment.storage?.mc;
    remoteScript(
      `${machine.spec.name}-role`,
      {
        machine,
        script: "infra/scripts/ops.sh",
        packages: [...PACKAGES.ops, ...(tools?.packages ?? [])],
        settings: {
          MC_URL: mc?.url ?? "",
          MC_SHA256: mc?.sha256 ?? "",
          FOLDERS: (tools?.folders ?? []).map((folder) => folder.join(" ")),
        },
        files,
      },
      { parent: this, dependsOn: machine },
    );
    this.registerOutputs({});
  }
}

/** `psql service=framaspace` reaches the primary, whichever it is, and checks its certificate. */
export function renderPgService(environment: Environment): string {
  const hosts = cloudMachines(environment, "postgres").map(({ name }) => name);
  return `[framaspace]
host=${hosts.join(",")}
port=${PORTS.postgres}
user=framaspace
dbname=postgres
target_session_attrs=read-write
connect_timeout=3
sslmode=verify-full
sslrootcert=/usr/local/share/ca-certificates/framaspace.crt
`;
}

/** mc's aliases are the sites: `mc admin info primary`. */
export function renderMcConfiguration(environment: Environment, password: string): string {
  const aliases = (["primary", "replica"] as const).flatMap((site) => {
    const [first] = storageMachines(environment, site);
    return first
      ? [
          [
            site,
            {
              url: `https://${first.name}:${PORTS.minio}`,
              accessKey: "framaspace",
              secretKey: password,
              api: "S3v4",
              path: "on",
            },
          ] as const,
        ]
      : [];
  });
  return `${JSON.stringify({ version: "10", aliases: Object.fromEntries(aliases) }, null, 2)}\n`;
}
