// Redis: cache, file locks and sessions of all spaces. What it holds may be lost at worst for a second of writes
// (appendfsync), never silently: it refuses writes when it is full, and keeps its data over a restart.
import * as pulumi from "@pulumi/pulumi";
import { createHash } from "node:crypto";
import type { MachineSpec } from "./addresses.ts";
import { PORTS } from "./firewall.ts";
import { PACKAGES } from "./packages.ts";
import { remoteScript } from "./remote.ts";
import { cloudServers, type Foundation } from "./server.ts";

/** The Redis server. */
export class Redis extends pulumi.ComponentResource {
  constructor(
    name: string,
    { foundation }: { foundation: Foundation },
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super("framaspace:infra:Redis", name, {}, opts);
    const { secrets } = foundation;
    const passwords = pulumi.all([secrets.password("redis", "password"), secrets.password("redis", "admin")]);
    for (const machine of cloudServers("redis", foundation, this))
      remoteScript(
        `${machine.spec.name}-role`,
        {
          machine,
          script: "infra/scripts/redis.sh",
          packages: PACKAGES.redis,
          settings: { ADDRESS: machine.spec.privateAddress, PASSWORD: secrets.password("redis", "password") },
          files: [
            { path: "/etc/sysctl.d/60-framaspace-redis.conf", content: SYSCTL },
            { path: "/etc/systemd/system/redis-server.service.d/framaspace.conf", content: DROP_IN },
            {
              path: "/etc/redis/redis.conf",
              mode: "0640",
              owner: "redis:redis",
              content: renderRedis(machine.spec),
            },
            {
              path: "/etc/redis/users.acl",
              mode: "0640",
              owner: "redis:redis",
              content: pulumi.secret(passwords.apply(([spaces, admin]) => renderAcl({ spaces, admin }))),
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
 * /etc/redis/users.acl. `default` is whom Nextcloud logs in as, with a password alone. It can't see what others do
 * (MONITOR, CLIENT LIST), change settings, empty the database, or leave database 0 (SELECT). KEYS must stay: without
 * it Nextcloud's `clear()` throws. Only the hashes of the passwords stand here.
 */
export function renderAcl(passwords: { spaces: string; admin: string }): string {
  const hash = (password: string) => `#${createHash("sha256").update(password).digest("hex")}`;
  const allowed = COMMANDS.split(" ").map((command) => `+${command}`);
  return [
    `user default reset on ${hash(passwords.spaces)} ~* resetchannels -@all ${allowed.join(" ")}`,
    `user admin reset on ${hash(passwords.admin)} ~* &* +@all`,
    "",
  ].join("\n");
}

/** /etc/redis/redis.conf; how much memory it may take is in memory.conf, written by redis.sh. */
export function renderRedis(machine: MachineSpec): string {
  return `# Rendered by infra/redis.ts; changes made here are overwritten.
bind ${machine.privateAddress}
port ${PORTS.redis}
supervised systemd
daemonize no
dir /var/lib/redis
aclfile /etc/redis/users.acl

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

// Rewriting the append-only file forks: without overcommit the fork fails when over half of the memory is in use
// (https://redis.io/docs/latest/operate/oss_and_stack/management/admin/).
const SYSCTL = "vm.overcommit_memory = 1\n";

// It binds the private address, which may come up after it at boot.
const DROP_IN = `[Unit]
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0
[Service]
Restart=always
RestartSec=2
`;
