// Which PostgreSQL node takes the writes. Pulumi's provider connects to the one that the configuration names, and after
// a switchover or failover fails there with "cannot set transaction read-write mode during recovery". So PostgreSQL
// itself is asked first. ops-1 knows too, but a tunnel that somebody else opened (ALL_PROXY) leads only to the services.
import type { Socket } from "node:net";
import { Client } from "pg";
import { cloudMachines, primaryPostgres, type MachineSpec } from "../../infra/inventory/addresses.ts";
import type { Environment } from "../../infra/inventory/environment.ts";
import { POSTGRES_ADMIN } from "../../infra/inventory/names.ts";
import { PORTS } from "../../infra/machine/firewall.ts";
import type { Secrets } from "../../infra/pki/secrets.ts";
import { UserError } from "../../validation/user-error.ts";
import { dialPostgresqlTls } from "./gate.ts";

type Role = "primary" | "standby";

interface Asked {
  environment: Environment;
  secrets: Secrets;
  /** Of the platform's certificate authority, as PEM. */
  certificate: string;
  /** The configuration file's name, for people. */
  file: string;
}

/**
 * Throws a UserError if the node that the configuration names says that it is a standby. A node that does not let us in
 * is no reason to stop: the provider says more about that.
 */
export async function assertTakesWrites({ environment, secrets, certificate, file }: Asked): Promise<void> {
  const configured = primaryPostgres(environment);
  const password = secrets.plainPassword("postgres", "superuser");
  const roleOf = (node: MachineSpec) => askRole(node.privateAddress, password, certificate);
  if ((await roleOf(configured)) !== "standby") return;
  const others = cloudMachines(environment, "postgres").filter(({ name }) => name !== configured.name);
  const roles = await Promise.all(others.map(async (node) => ({ node, role: await roleOf(node) })));
  const primary = roles.find(({ role }) => role === "primary")?.node.name;
  const said = environment.postgresPrimary
    ? `${file} names ${configured.name}`
    : `${file} names no node, which means ${configured.name}`;
  throw new UserError(
    primary === undefined
      ? `No PostgreSQL node takes the writes that answers: ${said}, which is a standby; nothing was changed. On ops-1, \`postgres-cluster status\` says who does, and whether a move was interrupted.`
      : `PostgreSQL: ${primary} takes the writes, but ${said}; nothing was changed. Write in ${file}:\n  framaspace:postgresPrimary: ${primary}`,
  );
}

/** What a node says that it is; undefined if it does not let us in. */
export async function askRole(
  host: string,
  password: string,
  ca: string,
  port: number = PORTS.postgres,
): Promise<Role | undefined> {
  let socket: Socket | undefined;
  try {
    socket = await dialPostgresqlTls({ host, port }, ca);
    return await roleSaidBy(logInOn(socket, password));
  } catch {
    return undefined;
  } finally {
    socket?.destroy();
  }
}

function logInOn(socket: Socket, password: string): Client {
  // It connects what it gets. This has been, through the tunnel, and speaks TLS already.
  const connected = Object.assign(socket, {
    connect: () => {
      setImmediate(() => socket.emit("connect"));
      return socket;
    },
  });
  const login = { user: POSTGRES_ADMIN, password, database: "postgres" };
  const client = new Client({
    ...login,
    application_name: "npm run pulumi",
    ssl: false,
    stream: () => connected,
  });
  // The call under way rejects, too.
  client.on("error", () => {});
  return client;
}

async function roleSaidBy(client: Client): Promise<Role> {
  await client.connect();
  const { rows } = await client.query<{ in_hot_standby: string }>("SHOW in_hot_standby");
  return rows[0]?.in_hot_standby === "on" ? "standby" : "primary";
}
