// No space may have a name that the platform itself uses. The names are collected from the rendered files and from the
// programs, so that a new name cannot be forgotten.
import { globSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { PLATFORM_SECRETS } from "../../../infra/inventory/secret-names.ts";
import { PACKAGES } from "../../../infra/machine/packages.ts";
import { renderStore } from "../../../infra/logs/logs.ts";
import { reveal } from "../../../evaluate/graph.ts";
import { refuseId } from "../../../spaces/fleet/ids.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";
import { prodPlatform } from "../../support/platform-graph.ts";

const ROOT = join(import.meta.dirname, "../../..");
const graph = await prodPlatform();
/** Everything that machines receive: each script, and each file in it. */
const scripts = graph.resources
  .filter(({ type }) => type === "command:remote:Command")
  .map(({ inputs }) => String(reveal(inputs.stdin)))
  .join("\n");
const sources = globSync("{infra,spaces}/**/{*.sh,rootfs*/**/*,programs/**/*.ts}", {
  cwd: ROOT,
  withFileTypes: true,
})
  .filter((entry) => entry.isFile())
  .map(({ parentPath, name }) => readFileSync(join(parentPath, name), "utf8"))
  .join("\n");

/** What the groups of an expression match, as single words. */
const found = (text: string, expression: RegExp) =>
  [...text.matchAll(expression)].flatMap(([, ...groups]) =>
    groups
      .filter(Boolean)
      .join(" ")
      .split(/[\s,"']+/),
  );
/** `heal-storage@.service` is `heal-storage`. */
const unitName = (unit: string) => unit.replace(/@.*$|\.[a-z]+$/, "");
const records = graph.resources
  .filter(({ type }) => type === "hcloud:index/zoneRrset:ZoneRrset")
  .map(({ inputs }) => String(inputs.name));
const domain = exampleEnvironment("prod").domain.replaceAll(".", String.raw`\.`);

/** Names by system. The second value is one known name. It shows that the expression still finds what it should. */
const USED: Record<string, [names: string[], known: string]> = {
  "tags of nginx": [found(scripts, /syslog:server=[^ ]*tag=([\w-]+)/g), "nginx"],
  "tags of logger": [
    found(sources, /\blogger\b.*? -t ([\w-]+)|^const TAG = "([\w-]+)"/gm),
    "platform-health",
  ],
  "tags of services": [
    found(scripts, /^\s*(?:syslog_ident|syslog-ident|SyslogIdentifier)\b[ =']+([\w-]+)/gm),
    "redis",
  ],
  "tags that are no space's": [
    found(renderStore(exampleEnvironment("prod"), "logs-1"), /app-name == \[(.*?)\]/g),
    "rsyslogd",
  ],
  "roles and databases in pg_hba.conf": [
    found(scripts, /^(?:local|hostssl) +(\S+) +(\w\S*)/gm),
    "framaspace",
  ],
  "roles that are made": [found(sources, /CREATE ROLE ([a-z]\w+)/g), "replication"],
  "users of Redis": [found(scripts, /^user ([\w-]+) (?:reset|on|off)/gm), "admin"],
  "users of MinIO": [
    [...found(scripts, /^MINIO_ROOT_USER=(\S+)/gm), ...found(scripts, /storage\/policies\/([\w-]+)\.json/g)],
    "metrics",
  ],
  "users that MinIO makes by itself": [
    found(readFileSync(join(ROOT, "docs/threat-model.md"), "utf8"), /(site-replicator-\d)/g),
    "site-replicator-0",
  ],
  "MinIO's buckets": [found(scripts, /^ {2}"buckets": \[([^\]]*)\]/gm), "archive"],
  "DNS records": [records, "ops"],
  "hosts of the gateways": [
    found(scripts, new RegExp(String.raw`^\s*server_name ([\w-]+)\.${domain};`, "gm")),
    "collabora",
  ],
  "users and groups of machines": [
    [
      ...found(sources, /\b(?:useradd|groupadd|adduser)\b.* ([a-z][\w-]+)\s*(?:;.*|\|\|.*)?$/gm),
      ...found(scripts, /^file \S+ \d+ ([\w-]+):([\w-]+) /gm),
    ],
    "framaspace-tls",
  ],
  programs: [found(scripts, /^file '?\/usr\/local\/s?bin\/([\w-]+)/gm), "converge-space"],
  "units of ours": [
    globSync("{infra,spaces}/**/etc/systemd/system/*.*", { cwd: ROOT }).map((file) =>
      unitName(basename(file)),
    ),
    "heal-storage",
  ],
  "units that scripts start, stop or look at": [
    found(sources, /\bsystemctl (?:-\S+ )*[a-z][a-z-]* ((?:--?\S+ )*[a-z][\w.@-]*)/g).map(unitName),
    "coolwsd",
  ],
  packages: [Object.values(PACKAGES).flat(), "pgbackrest"],
  "folders of services": [
    globSync("infra/*/install.sh", { cwd: ROOT }).map((file) => basename(dirname(file))),
    "office",
  ],
  "owners of secrets": [Object.keys(PLATFORM_SECRETS), "deploy"],
};

describe("no space may have a name of the platform", () => {
  test.each(Object.entries(USED))("%s", (_, [names, known]) => {
    expect(names).toContain(known);
    // Names that no id can have, because of their length or characters, are refused too.
    expect([...new Set(names)].filter((name) => refuseId(name) === undefined)).toEqual([]);
  });

  test("programs that are installed under the names of their files", () => {
    const own = globSync("{infra,spaces}/**/usr/local/sbin/*", { cwd: ROOT }).map((file) =>
      basename(file, ".ts"),
    );
    expect(own).toContain("run-cron");
    expect(own.filter((name) => refuseId(name) === undefined)).toEqual([]);
  });

  test.each(
    "framaspace nginx rsyslogd platform-health site-replicator-0 postgres replication etcd patroni worker".split(
      " ",
    ),
  )("not %s", (id) => {
    expect(refuseId(id)).toMatch(/reserved/);
  });
});
