// The role of ops-1 (infra/platform.ts creates the machine first): how administrators and scripts reach the databases
// and Redis. infra/storage/storage.ts adds mc, and infra/ops/space-host.ts the programs for spaces.
import * as pulumi from "@pulumi/pulumi";
import { cloudMachines } from "../inventory/addresses.ts";
import type { Environment } from "../inventory/environment.ts";
import { POSTGRES_ADMIN } from "../inventory/names.ts";
import { MOST_SPACES } from "../inventory/space-users.ts";
import { PORTS } from "../machine/firewall.ts";
import { PACKAGES } from "../machine/packages.ts";
import { remoteScript } from "../machine/remote.ts";
import type { CloudServer, Context } from "../machine/server.ts";
import { healthWatch } from "../monitoring/monitoring.ts";
import { renderSpaceCommands } from "../redis/redis.ts";

interface OpsArgs {
  context: Context;
  machine: CloudServer;
}

/** Database and Redis clients with their credentials on ops-1. */
export class Ops extends pulumi.ComponentResource {
  constructor(name: string, { context, machine }: OpsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("framaspace:infra:Ops", name, {}, opts);
    const { environment, secrets, access } = context;
    remoteScript(
      `${machine.spec.name}-role`,
      {
        machine,
        script: "infra/ops/install.sh",
        packages: PACKAGES.ops,
        files: [
          { path: "/root/.pg_service.conf", content: renderPgService(environment) },
          {
            path: "/root/.pgpass",
            mode: "0600",
            content: secrets
              .password("postgres", "superuser")
              .apply((password) => `*:*:*:${POSTGRES_ADMIN}:${password}\n`),
          },
          ...healthWatch(environment, secrets, access),
          { path: "/etc/framaspace/redis/commands", content: renderSpaceCommands() },
          { path: "/etc/framaspace/redis/databases", content: `${MOST_SPACES + 1}\n` },
          {
            path: "/etc/framaspace/redis/admin",
            mode: "0600",
            content: secrets.password("redis", "admin").apply((password) => `${password}\n`),
          },
        ],
      },
      { parent: this, dependsOn: machine },
    );
    this.registerOutputs({});
  }
}

/**
 * `psql service=framaspace` reaches the primary, whichever node that is, and checks its certificate. No channel
 * binding: libpq knows no digest for the Ed25519 signatures of our certificates.
 */
export function renderPgService(environment: Environment): string {
  const hosts = cloudMachines(environment, "postgres").map(({ name }) => name);
  return `[framaspace]
host=${hosts.join(",")}
port=${PORTS.postgres}
user=${POSTGRES_ADMIN}
dbname=postgres
target_session_attrs=read-write
connect_timeout=3
sslmode=verify-full
channel_binding=disable
sslrootcert=/usr/local/share/ca-certificates/framaspace.crt
`;
}
