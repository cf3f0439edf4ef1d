// Redis: cache, file locks and sessions of all spaces. What it holds may be lost at worst for a second of writes
// (appendfsync), never silently: it refuses writes when it is full, and keeps its data over a restart.
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
          ],
        },
        { parent: this, dependsOn: machine },
      );
    this.registerOutputs({});
  }
}

/** What Nextcloud's cache and locks (lib/private/Memcache/Redis.php) and phpredis' sessions call, and no more. */
const COMMANDS = [
  "get set setex getset getex exists del unlink keys",
  "incr incrby decr decrby expire pexpire ttl pttl",
  "eval evalsha multi exec discard",
  "auth hello ping echo quit reset client|setinfo client|setname",
].join(" ");

/**
 * What every space's user may call, for the programs of ops-1 that make these users (spaces/agent/rootfs-ops/usr/local/sbin/redis-users) and
 * add whose keys, and which database. A space can't see what others do (MONITOR, CLIENT LIST), change settings, or empty
 * a database. KEYS must stay: without it Nextcloud's `clear()` throws. It heeds no pattern of keys, so each space has a
 * database of its own, and with it names that nobody else can list.
 */
export function renderSpaceCommands(): string {
  const allowed = COMMANDS.split(" ").map((command) => `+${command}`);
  return `resetchannels -@all ${allowed.join(" ")}\n`;
}

/** As many spaces as one Redis serves: numbers of databases are never shared. Each costs about 1.5 kB, used or not. */
export const REDIS_DATABASES = 16384;

/**
 * /etc/redis/platform.acl: whom install.sh puts into users.acl, where the spaces' users stand beside them. Nobody gets in
 * without a name. Only the hash of the password stands here.
 */
export function renderAcl(admin: string): string {
  const hash = createHash("sha256").update(admin).digest("hex");
  return `user default reset off\nuser admin reset on #${hash} ~* &* +@all\n`;
}

/** /etc/redis/redis.conf; how much memory it may take is in memory.conf, written by install.sh. */
export function renderRedis(machine: MachineSpec): string {
  return `# Rendered by infra/redis/redis.ts; changes made here are overwritten.
bind ${machine.privateAddress}
port ${PORTS.redis}
supervised systemd
daemonize no
dir /var/lib/redis
# Written by infra/redis/install.sh and, as users of spaces come, by Redis itself (ACL SAVE).
aclfile /etc/redis/users.acl
# One for each space; nobody uses number 0, where every connection begins.
databases ${REDIS_DATABASES}

# Everything has a time to live here, locks and sessions too, so any policy that evicts could take a lock that is held
# (two writers on one file) or log people out, unseen. A full Redis refuses writes instead, which is seen, and what
# expires frees it.
maxmemory-policy noeviction
# Clients that read too slowly must not use up what the data needs.
maxmemory-clients 5%

# A restart loses no session; a crash of the machine at most one second of writes. Snapshots would be the same again.
appendonly yes
appendfsync everysec
save ""

# For web servers that vanish without closing.
tcp-keepalive 60
timeout 0
# Expired keys and big deletions are freed by another thread: all spaces wait for the one that executes commands.
lazyfree-lazy-expire yes
lazyfree-lazy-server-del yes
lazyfree-lazy-user-del yes

syslog-enabled yes
syslog-ident redis
loglevel notice

include /etc/redis/memory.conf
`;
}
