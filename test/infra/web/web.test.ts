// What keeps spaces apart on a web server, read from the configuration that it gets.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { renderWebNginx } from "../../../infra/web/web.ts";
import { nginxMap } from "../../support/nginx-map.ts";

const files = join(import.meta.dirname, "../../../infra/web/rootfs");
const rules = readFileSync(join(files, "etc/nginx/space.conf"), "utf8");
const pool = readFileSync(join(files, "etc/framaspace/php-pool.conf"), "utf8");
const starting = readFileSync(join(files, "etc/systemd/system/nginx.service.d/php.conf"), "utf8");
const php = readFileSync(join(files, "etc/php/8.4/fpm/conf.d/90-framaspace.ini"), "utf8");

/** The bodies of nginx's outermost locations, by pattern. */
function locations(text: string): Map<string, string> {
  const found = new Map<string, string>();
  const starts = [...text.matchAll(/^location (.*?) *\{/gm)];
  for (const { 0: head, 1: match = "", index } of starts) {
    const rest = text.slice(index + head.length);
    const oneLine = /^.*\}$/m.exec(rest);
    const end = oneLine?.index === 0 ? oneLine[0].length - 1 : rest.search(/^\}/m);
    found.set(match, rest.slice(0, end));
  }
  return found;
}

it("nginx takes no request before PHP-FPM has started", () => {
  expect(starting).toMatch(/^\[Unit\]\nAfter=php8\.4-fpm\.service$/m);
});

describe("PHP", () => {
  const running = [...locations(rules)].filter(([, body]) => body.includes("fastcgi_pass"));

  it("runs in one place, which names the space's own directories", () => {
    expect(running.map(([match]) => match)).toEqual([String.raw`~ \.php(?:$|/)`]);
    expect(rules.match(/fastcgi_pass/g)).toHaveLength(1);
    const [value = ""] = /PHP_ADMIN_VALUE '([^']*)'/.exec(running[0]?.[1] ?? "")?.slice(1) ?? [];
    expect(value.split("\n").map((line) => line.split("=")[0])).toEqual([
      "upload_tmp_dir",
      "sys_temp_dir",
      "syslog.ident",
    ]);
    for (const line of value.split("\n")) expect(line).toContain("$space");
  });

  it("runs in the pool of its space, or in the former one while the space has no user of its own", () => {
    expect(rules).toContain("fastcgi_pass unix:$php;");
    expect(rules.match(/^.*set \$php .*$/gm)).toEqual([
      "set $php /run/php-spaces/spaces.sock;",
      "if (-f /srv/spaces/$space/own-user) { set $php /srv/spaces/$space/php.sock; }",
    ]);
  });

  it("is reached by nginx's user alone", () => {
    expect(pool).toMatch(/^listen = \/run\/php-spaces\/\$pool\.sock$/m);
    expect(pool).toMatch(/^listen\.owner = framaspace-nginx$/m);
    expect(pool).toMatch(/^listen\.mode = 0600$/m);
  });

  it("starts no program, and leaves nothing in memory that other spaces reach", () => {
    const [disabled = ""] = /^disable_functions = (.*)/m.exec(php)?.slice(1) ?? [];
    expect(disabled.split(",")).toEqual(
      expect.arrayContaining(
        "exec shell_exec system passthru popen proc_open pcntl_exec dl symlink link putenv sem_get shm_attach opcache_reset".split(
          " ",
        ),
      ),
    );
  });

  it("tells no space what is compiled, but root, in a pool of its own", () => {
    expect(pool).toMatch(/^php_admin_value\[disable_functions\] = opcache_get_status$/m);
    expect(php).not.toContain("opcache_get_status");
    const fpm = readFileSync(join(files, "etc/php/8.4/fpm/php-fpm.conf"), "utf8");
    const [own = ""] = /^\[opcache\]\n[^]*?\n\n/m.exec(fpm) ?? [];
    expect(own).toContain("listen.mode = 0600\n");
    expect(own).not.toMatch(/listen\.(?:owner|group|acl)|include/);
  });

  it.each([
    ["GET ", ""],
    ["MOVE 0", ""],
    ["PUT 0", ""],
    ["PROPFIND 000", ""],
    ["MOVE 12", ""],
    ["COPY 12", ""],
    ["PUT 12", "12"],
    ["REPORT 100", "100"],
  ])("gets for '%s' the length '%s'", (key, expected) => {
    // nginx replaces $content_length in this way.
    const length = nginxMap(renderWebNginx("example.org", "10.0.20.1"), "body_length")(key);
    expect(length.replace("$content_length", key.split(" ")[1] ?? "")).toBe(expected);
  });

  it("gets no other length", () => {
    expect(rules).not.toContain("include fastcgi_params");
    expect(rules.match(/fastcgi_param (HTTP_)?CONTENT_LENGTH .*/g)).toEqual([
      "fastcgi_param CONTENT_LENGTH $body_length if_not_empty;",
      "fastcgi_param HTTP_CONTENT_LENGTH $body_length if_not_empty;",
    ]);
  });

  it("waits for a session's lock until the lock of a killed worker expires, and not longer", () => {
    const [expires = 0, retries = 0, wait = 0] = ["expire", "retries", "wait_time"].map((name) =>
      Number(new RegExp(`^redis\\.session\\.lock_${name} = (\\d+)$`, "m").exec(php)?.[1]),
    );
    // Nextcloud delays people who typed wrong passwords while their session stays locked. The lock must last longer.
    expect(expires).toBeGreaterThan(25);
    const seconds = (retries * wait) / 1e6;
    expect(seconds).toBeGreaterThan(expires + 1);
    expect(seconds).toBeLessThan(40);
  });

  it("gets scripts by their real path, so that spaces share compiled code", () => {
    expect(rules).toContain("SCRIPT_FILENAME $realpath_root$fastcgi_script_name;");
  });

  it("cannot make nginx read a file", () => {
    expect(rules).toContain("fastcgi_ignore_headers X-Accel-Redirect");
  });

  it("finds the database that takes writes", () => {
    expect(pool).toContain("env[PGTARGETSESSIONATTRS] = read-write");
  });
});

it("ends one worker, and not all PHP, when the workers have used up their memory", () => {
  const unit = readFileSync(join(files, "etc/systemd/system/php8.4-fpm.service.d/framaspace.conf"), "utf8");
  expect(unit).toMatch(/^OOMPolicy=continue$/m);
  // Before the kernel would have to choose among all processes of the machine.
  const percent = Number(/^MemoryMax=(\d+)%$/m.exec(unit)?.[1]);
  expect(percent).toBeLessThanOrEqual(90);
  const install = readFileSync("infra/web/install.sh", "utf8");
  expect(percent / 100).toBeGreaterThan(Number(/\$2 \* ([\d.]+) \/ 1024/.exec(install)?.[1]));
});

describe("a full space", () => {
  const [, source = ""] = /^if \(\$doing !~ "(.*?)"\) \{ set \$adding ""; \}$/m.exec(rules) ?? [];
  const takesMore = new RegExp(source);

  it.each([
    "PUT /remote.php/dav/files/alice/a.txt",
    "PUT /remote.php/webdav/a.txt",
    "PUT /remote.php/files/a.txt",
    "PUT /remote.php/dav/uploads/alice/1/2",
    "POST /remote.php/dav/bulk",
    "PUT /public.php/webdav/a.txt",
    "PUT /public.php/dav/files/token/a.txt",
    "COPY /remote.php/dav/files/alice/a.txt",
    "COPY /remote.php/webdav/a.txt",
    "COPY /remote.php/files/a.txt",
    "COPY /public.php/dav/files/token/a.txt",
    // A file's version is copied into a file.
    "COPY /remote.php/dav/versions/alice/versions/7/1",
    // Puts the parts of an upload together. Parts in object storage count from then on.
    "MOVE /remote.php/dav/uploads/alice/1/.file",
    "MOVE /public.php/dav/uploads/token/1/.file",
  ])("refuses %s", (request) => {
    expect(request).toMatch(takesMore);
  });

  it.each([
    "GET /remote.php/dav/files/alice/a.txt",
    "DELETE /remote.php/dav/files/alice/a.txt",
    "MOVE /remote.php/dav/files/alice/a.txt",
    "MOVE /remote.php/dav/trashbin/alice/trash/a.txt.d1",
    "MKCOL /remote.php/dav/uploads/alice/1",
    "DELETE /remote.php/dav/uploads/alice/1",
    "PROPFIND /remote.php/files/",
    "PUT /remote.php/dav/calendars/alice/personal/1.ics",
    "POST /index.php/login",
    "POST /ocs/v2.php/apps/files_sharing/api/v1/shares",
  ])("does %s", (request) => {
    expect(request).not.toMatch(takesMore);
  });
});

it("first decides by the space's directory", () => {
  const decisions = [...rules.matchAll(/^if \((.*?)\) \{ return (\d+); \}/gm)].map(
    ([, test, status]) => `${test}: ${status}`,
  );
  expect(decisions).toEqual([
    '$space = "": 590',
    "!-d /srv/spaces/$space: 590",
    "-f /srv/spaces/$space/archived: 591",
    "-f /srv/spaces/$space/suspended: 592",
    "$closed: 593",
    "$adding: 594",
    "$platform_setting: 595",
    "!-f /srv/spaces/$space/release/index.php: 503",
  ]);
});

describe("settings of the platform", () => {
  const refuses = nginxMap(renderWebNginx("example.org", "10.0.20.1"), "platform_setting");

  // nginx decodes $uri and merges its slashes before it asks the map.
  it.each([
    "POST /ocs/v2.php/apps/provisioning_api/api/v1/config/apps/core/encryption_enabled",
    "POST /ocs/v1.php/apps/provisioning_api/api/v1/config/apps/core/backgroundjobs_mode",
    "POST /ocsapp/apps/provisioning_api/api/v1/config/apps/core/encryption_enabled",
    "POST /index.php/ocsapp/apps/provisioning_api/api/v1/config/apps/core/encryption_enabled",
    "DELETE /ocs/v2.php/apps/provisioning_api/api/v1/config/apps/core/backgroundjobs_mode",
    "PUT /settings/api/admin/twofactorauth",
    "PUT /index.php/settings/api/admin/twofactorauth",
    "POST /settings/admin/mailsettings",
    "POST /settings/admin/mailsettings/credentials",
    "POST /settings/preset/current",
    "PUT /apps/theming/ajax/updateAppMenu",
    "POST /ocs/v2.php/apps/files/api/v1/filenames/windows-compatibility",
  ])("are not written: %s", (request) => {
    expect(refuses(request)).toBe("yes");
  });

  it.each([
    "GET /settings/api/admin/twofactorauth",
    "GET /ocs/v2.php/apps/provisioning_api/api/v1/config/apps/core/encryption_enabled",
    "POST /ocs/v2.php/apps/provisioning_api/api/v1/config/apps/core/shareapi_enabled",
    "POST /settings/admin/mailtest",
    "POST /apps/theming/ajax/updateStylesheet",
    "PUT /remote.php/dav/files/admin/settings/preset/current",
    "MKCOL /public.php/dav/files/token/settings/admin/mailsettings",
  ])("are read, and a space's own are written: %s", (request) => {
    expect(refuses(request)).toBe("");
  });

  it("are refused in a sentence", () => {
    expect(rules).toContain("error_page 595 =403 @platform_setting;");
    expect(locations(rules).get("@platform_setting")).toContain("This setting is the platform's.");
  });
});

it("tells sync clients when to try a suspended space again", () => {
  const [suspended] = /location @suspended \{[^]*?\}/.exec(renderWebNginx("example.org", "10.0.20.1")) ?? [];
  expect(suspended).toContain('Retry-After "3600" always');
  expect(suspended).toMatch(/default_type text\/plain;[^]*return 503 "/);
});

it("repeats the headers in each location that adds one, because it drops those of the server", () => {
  const inherited = rules.match(/^add_header (\S+)/gm) ?? [];
  const incomplete = [...locations(rules)].filter(
    ([match, body]) =>
      body.includes("add_header") &&
      !match.startsWith("@") &&
      !inherited.every((header) => body.includes(header)),
  );
  expect(inherited.length).toBeGreaterThan(3);
  expect(incomplete).toEqual([]);
});

it("listens only on the private network", () => {
  const nginx = renderWebNginx("example.org", "10.0.20.1");
  expect(nginx.match(/listen \S+/g)).toEqual(["listen 10.0.20.1:80"]);
});
