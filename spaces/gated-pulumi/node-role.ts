// Which PostgreSQL node takes the writes. Pulumi's provider connects to the one that the configuration names, and after
// a switchover or failover fails there with "cannot set transaction read-write mode during recovery". So PostgreSQL
// itself is asked first: it tells whoever has logged in (`in_hot_standby`). ops-1 knows too, but a tunnel that somebody
// else opened (ALL_PROXY) leads only to the services.
import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from "node:crypto";
import type { Socket } from "node:net";
import { cloudMachines, primaryPostgres, type MachineSpec } from "../../infra/inventory/addresses.ts";
import type { Environment } from "../../infra/inventory/environment.ts";
import { POSTGRES_ADMIN } from "../../infra/inventory/names.ts";
import { PORTS } from "../../infra/machine/firewall.ts";
import type { Secrets } from "../../infra/pki/secrets.ts";
import { UserError } from "../../validation/user-error.ts";
import { dialPostgresqlTls, readBytes } from "./gate.ts";

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
    return await logIn(socket, password);
  } catch {
    return undefined;
  } finally {
    socket?.destroy();
  }
}

/** "Message Formats" in PostgreSQL's manual: kind, length with itself, content. */
const message = (kind: string, content: Buffer) => {
  const length = Buffer.alloc(4);
  length.writeInt32BE(content.length + 4);
  return Buffer.concat([Buffer.from(kind, "latin1"), length, content]);
};

const STARTUP = Buffer.concat([
  Buffer.from([0, 3, 0, 0]),
  Buffer.from(`user\0${POSTGRES_ADMIN}\0database\0postgres\0application_name\0npm run pulumi\0\0`),
]);
/** The longest message that is read: a server's greeting has some hundred bytes. */
const LONGEST = 65_536;

async function receive(socket: Socket): Promise<{ kind: string; content: Buffer }> {
  const head = await readBytes(socket, 5);
  const length = head.readInt32BE(1) - 4;
  if (length < 0 || length > LONGEST) throw new Error("speaks no PostgreSQL");
  return {
    kind: head.toString("latin1", 0, 1),
    content: length > 0 ? await readBytes(socket, length) : Buffer.alloc(0),
  };
}

/** Logs in by SCRAM-SHA-256, and reads what the server says of itself until it is ready. */
async function logIn(socket: Socket, password: string): Promise<Role | undefined> {
  const scram = new Scram(password);
  socket.write(message("", STARTUP));
  let role: Role | undefined;
  for (;;) {
    const { kind, content } = await receive(socket);
    if (kind === "E") throw new Error("refuses the login");
    if (kind === "Z") return role;
    if (kind === "R") {
      const answer = scram.answer(content.readInt32BE(0), content.subarray(4));
      if (answer) socket.write(message("p", answer));
    }
    if (kind === "S") {
      const [name, value] = content.toString().split("\0");
      if (name === "in_hot_standby") role = value === "on" ? "standby" : "primary";
    }
  }
}

/** RFC 5802 and RFC 7677, without channel binding. The password is ASCII, so it needs no preparation. */
class Scram {
  readonly #password: string;
  readonly #nonce = randomBytes(18).toString("base64");
  #server: Buffer | undefined;

  constructor(password: string) {
    this.#password = password;
  }

  /** What to send after an authentication request of the server, if anything. Throws if it is not as it should be. */
  answer(request: number, content: Buffer): Buffer | undefined {
    switch (request) {
      case 0:
        if (!this.#server) throw new Error("lets everybody in");
        return undefined;
      case 10:
        return this.#begin(content);
      case 11:
        return this.#prove(content.toString());
      case 12:
        this.#check(content.toString());
        return undefined;
      default:
        throw new Error("asks for another login than SCRAM-SHA-256");
    }
  }

  get #first(): string {
    return `n=,r=${this.#nonce}`;
  }

  #begin(mechanisms: Buffer): Buffer {
    if (!mechanisms.toString().split("\0").includes("SCRAM-SHA-256"))
      throw new Error("knows no SCRAM-SHA-256");
    const first = Buffer.from(`n,,${this.#first}`);
    const length = Buffer.alloc(4);
    length.writeInt32BE(first.length);
    return Buffer.concat([Buffer.from("SCRAM-SHA-256\0"), length, first]);
  }

  #prove(said: string): Buffer {
    const [, nonce = "", salt = "", iterations = ""] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(said) ?? [];
    if (!nonce.startsWith(this.#nonce)) throw new Error("answers somebody else");
    const salted = pbkdf2Sync(this.#password, Buffer.from(salt, "base64"), Number(iterations), 32, "sha256");
    const clientKey = hmac(salted, "Client Key");
    const final = `c=biws,r=${nonce}`;
    const signed = `${this.#first},${said},${final}`;
    const signature = hmac(createHash("sha256").update(clientKey).digest(), signed);
    const proof = Buffer.from(clientKey.map((byte, at) => byte ^ (signature[at] ?? 0)));
    this.#server = hmac(hmac(salted, "Server Key"), signed);
    return Buffer.from(`${final},p=${proof.toString("base64")}`);
  }

  #check(said: string): void {
    const signature = Buffer.from(/^v=(.+)$/.exec(said)?.[1] ?? "", "base64");
    if (
      !this.#server ||
      signature.length !== this.#server.length ||
      !timingSafeEqual(signature, this.#server)
    )
      throw new Error("does not know the password itself");
  }
}

const hmac = (key: Buffer, text: string) => createHmac("sha256", key).update(text).digest();
