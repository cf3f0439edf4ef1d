// Redis: cache, file locks and sessions of all spaces. At worst the writes of one second are lost (appendfsync). It
// never drops data silently: it refuses writes when it is full, and keeps its data over a restart.
import * as pulumi from "@pulumi/pulumi";
import { createHash } from "node:crypto";
import type { MachineSpec } from "../inventory/addresses.ts";
import { PORTS } from "../machine/firewall.ts";
import { PACKAGES } from "../machine/packages.ts";
import { remoteScript, rootfs } from "../machine/remote.ts";
import { cloudServers, type Context } from "../machine/server.ts";

/** The Redis server. */
export class Redis extends pulumi.ComponentResource {
  constructor(name: string, { context }: { context: Context }, opts?: pulumi.ComponentResourceOptions) {
    super("framaspace:infra:Redis", name, {}, opts);
    const password = context.secrets.password("redis", "admin");
    for (const machine of cloudServers("redis", context, this))
      remoteScript(
        `${machine.spec.name}-role`,
        {
          machine,
          script: "infra/redis/install.sh",
          packages: PACKAGES.redis,
          settings: { ADDRESS: machine.spec.privateAddress, PASSWORD: password },
          files: [
            ...rootfs("infra/redis/rootfs"),
            {
              path: "/etc/redis/redis.conf",
              mode: "0640",
              owner: "redis:redis",
              content: renderRedis(machine.spec),
            },
            {
              path: "/etc/redis/platform.acl",
              mode: "0640",
              owner: "redis:redis",
              content: pulumi.secret(password.apply(renderAcl)),
            },
            {
              path: "/etc/redis/start.env",
              mode: "0600",
              owner: "root:root",
              content: pulumi.interpolate`REDIS_ADDRESS=${machine.spec.privateAddress}\nREDISCLI_AUTH=${password}\n`,
            },
          ],
        },
        { parent: this, dependsOn: machine },
      );
    this.registerOutputs({});
  }
}

/** Only the commands of Nextcloud's cache and locks (lib/private/Memcache/Redis.php) and of phpredis' sessions. */
const COMMANDS = [
  "get set setex getset getex exists del unlink keys",
  "incr incrby decr decrby expire pexpire ttl pttl",
  "eval evalsha multi exec discard",
  "auth hello ping echo quit reset client|setinfo client|setname",
].join(" ");

/**
 * The commands that every space's user may call. redis-users on ops-1 creates these users
 * (spaces/agent/programs/redis-users.ts) and adds each one's key pattern and database. A space can't see
 * what others do (MONITOR, CLIENT LIST), change settings, or empty a database. KEYS is necessary: without it
 * Nextcloud's `clear()` throws. KEYS ignores the key pattern of a user, so each space has its own database, whose names
 * no other space can list.
 */
export function renderSpaceCommands(): string {
  const allowed = COMMANDS.split(" ").map((command) => `+${command}`);
  return `resetchannels -@all ${allowed.join(" ")}\n`;
}

/**
 * Two spaces never share a database. There are more than spaces may be (MOST_SPACES), because another number would need a
 * restart of Redis. Each costs about 1.5 kB, used or not.
 */
export const REDIS_DATABASES = 16384;

/**
 * /etc/redis/platform.acl: the users that infra/redis/install.sh puts into users.acl, beside the spaces' users. No
 * login works without a user name. The file holds only the hash of the password.
 */
export function renderAcl(admin: string): string {
  const hash = createHash("sha256").update(admin).digest("hex");
  return `user default reset off\nuser admin reset on #${hash} ~* &* +@all\n`;
}

/** /etc/redis/redis.conf. infra/redis/install.sh writes memory.conf, the limit of memory. */
export function renderRedis(machine: MachineSpec): string {
  return `# Rendered by infra/redis/redis.ts; changes made here are overwritten.
bind ${machine.privateAddress}
port ${PORTS.redis}
supervised systemd
daemonize no
dir /var/lib/redis
# Written by infra/redis/install.sh and, when users of spaces are created, by Redis itself (ACL SAVE).
aclfile /etc/redis/users.acl
# One for each space. Nobody uses number 0, where every connection begins.
databases ${REDIS_DATABASES}

# All keys have a time to live, locks and sessions too. So any policy that evicts could silently remove a held lock (two
# writers on one file) or log people out. A full Redis refuses writes instead: people notice that, and keys that expire
# free memory.
maxmemory-policy noeviction
# Clients that read too slowly must not take the memory that the data needs.
maxmemory-clients 5%

# A restart loses no session, and a crash of the machine at most one second of writes. Snapshots would add nothing.
appendonly yes
appendfsync everysec
save ""

# Closes connections of web servers that vanish.
tcp-keepalive 60
timeout 0
# Another thread frees expired keys and big deletions: all spaces wait for the thread that executes commands.
lazyfree-lazy-expire yes
lazyfree-lazy-server-del yes
lazyfree-lazy-user-del yes

syslog-enabled yes
syslog-ident redis
loglevel notice

include /etc/redis/memory.conf
`;
}
