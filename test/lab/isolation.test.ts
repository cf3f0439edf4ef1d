// Attacks from inside one space, "iris", on another, "lotus", and from outside on both. Each test counts what an attack
// finds. It may find only what the threat model says. The attacker's PHP code is put where only root of a web server
// can put it, and removed afterwards. A compromised Nextcloud would run such code in the same place.
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { userOf } from "../../infra/inventory/space-users.ts";
import { DOMAIN, sharedLab as lab, storageWords } from "../support/suite-lab.ts";

const on = lab.on.bind(lab);
const [A, B] = ["iris", "lotus"];
const hasStorage = storageWords().length > 0;
/** nginx runs what begins with `index`. */
const PROBE = "index-isolation-test.php";
const settings = (id: string, key: string) =>
  on("ops-1", `jq -r .${key} /srv/spaces/${id}/config/space.json`);

/** Runs PHP as code of a space on web-1, and returns its output. */
async function php(id: string, code: string): Promise<string> {
  const encoded = Buffer.from(code).toString("base64");
  return on(
    "ops-1",
    `echo ${encoded} | base64 -d | curl -sS -m 60 -H 'Host: ${id}.${DOMAIN}' --data-binary @- http://web-1/${PROBE} | head -c 100000`,
  );
}

/**
 * Runs PHP in the place of Nextcloud's command line, on the worker, as background jobs, installs and upgrades run. One after
 * the other. Returns their output.
 */
async function cli(id: string, codes: readonly string[]): Promise<string[]> {
  const scripts = codes.map(
    (code) => `error_reporting(0); try { ${code}; } catch (Throwable $e) { } echo "ran to its end";`,
  );
  const occ = `/srv/releases/${await settings(id, "release")}/occ`;
  await on("worker-1", `cp -p ${occ} ${occ}.own; echo '<?php eval(base64_decode(end($argv)));' >${occ}`);
  try {
    const words = scripts.map((script) => Buffer.from(script).toString("base64")).join(" ");
    const said = await on(
      "ops-1",
      `for code in ${words}; do (occ-space ${id} "$code" 2>&1 | head -c 50000) || true; echo "[next]"; done`,
    );
    return said.split("[next]").slice(0, -1);
  } finally {
    await on("worker-1", `mv ${occ}.own ${occ}`);
  }
}

/**
 * Runs a command line on this machine. If bash finds a socket as its input, as Node's pipes are, it reads ~/.bashrc.
 */
const here = async (command: string) => (await execa("bash", ["-c", command], { stdin: "ignore" })).stdout;

let secret: string;
beforeAll(async () => {
  await lab.prepare();
  secret = await settings(B, "database.password");
  if (!/^[\w-]{40}$/.test(secret)) throw new Error("there is no password to look for");
  await on(
    "web-1",
    `for id in ${A} ${B}; do echo '<?php eval(file_get_contents("php://input"));' >"$(readlink /srv/spaces/$id/release)/${PROBE}"; done
     install -o "$(stat -c %u /srv/spaces/${B}/tmp)" -m 0666 /dev/null /srv/spaces/${B}/tmp/canary && echo canary-in-tmp >/srv/spaces/${B}/tmp/canary`,
  );
});
afterAll(async () => {
  await on("web-1", `rm -f /srv/releases/*/${PROBE} /srv/spaces/${B}/tmp/canary`).catch(() => "");
  await lab.remove();
});

describe("PHP code in a space", () => {
  test("runs as that space (otherwise the tests below prove nothing)", async () => {
    expect(await php(A, 'echo getenv("NEXTCLOUD_CONFIG_DIR") ?: $_SERVER["NEXTCLOUD_CONFIG_DIR"];')).toBe(
      `/srv/spaces/${A}/config`,
    );
    expect(await php(A, `echo file_get_contents("/srv/spaces/${A}/config/space.json");`)).toContain(
      await settings(A, "database.password"),
    );
  });

  const CONFIG = `/srv/spaces/${B}/config/space.json`;
  const WAYS: Record<string, string> = {
    file_get_contents: `echo file_get_contents("${CONFIG}");`,
    "a path with dots": `echo file_get_contents("/srv/spaces/${A}/../${B}/config/space.json");`,
    "a stream filter": `echo file_get_contents("php://filter/read=string.toupper|string.tolower/resource=${CONFIG}"), file_get_contents("php://filter/resource=${CONFIG}");`,
    include: `include "${CONFIG}";`,
    SplFileObject: `echo (new SplFileObject("${CONFIG}"))->fread(9999);`,
    copy: `copy("${CONFIG}", "/srv/spaces/${A}/tmp/x"); echo file_get_contents("/srv/spaces/${A}/tmp/x");`,
    "glob and scandir": `print_r(glob("/srv/spaces/*/config/*")); print_r(scandir("/srv/spaces/${B}/config")); print_r(scandir("/srv/spaces")); print_r(scandir("/srv/spaces/${B}"));`,
    "curl of a file": `$c = curl_init("file://${CONFIG}"); curl_setopt($c, CURLOPT_RETURNTRANSFER, 1); echo curl_exec($c);`,
    "a cookie file of curl": `$c = curl_init("http://127.0.0.1:1"); curl_setopt($c, CURLOPT_COOKIEFILE, "${CONFIG}"); curl_exec($c); print_r(curl_getinfo($c, CURLINFO_COOKIELIST));`,
    "an entity of XML": `$d = new DOMDocument(); $d->loadXML('<!DOCTYPE x [<!ENTITY e SYSTEM "file://${CONFIG}">]><x>&e;</x>', LIBXML_NOENT | LIBXML_DTDLOAD); echo $d->textContent;`,
    "Imagick's scripts": `if (class_exists("Imagick")) { file_put_contents("/srv/spaces/${A}/tmp/x.msl", '<image size="64x104"><read filename="mono:${CONFIG}"/><write filename="mono:/srv/spaces/${A}/tmp/x.mono"/></image>'); try { new Imagick("msl:/srv/spaces/${A}/tmp/x.msl"); } catch (Throwable $e) { } echo file_get_contents("/srv/spaces/${A}/tmp/x.mono"); }`,
    "Imagick's text and caption": `foreach (["text:${CONFIG}", "caption:@${CONFIG}", "label:@${CONFIG}", "inline:${CONFIG}"] as $name) try { $i = new Imagick($name); $i->setImageFormat("txt"); echo $i->getImageProperty("caption"), $i->getImageProperty("label"), "read $name"; } catch (Throwable $e) { }`,
    "a zip file": `$z = new ZipArchive(); $z->open("/srv/spaces/${A}/tmp/z.zip", ZipArchive::CREATE); $z->addFile("${CONFIG}", "x"); $z->close(); $z->open("/srv/spaces/${A}/tmp/z.zip"); echo $z->getFromName("x");`,
    "a link": `@symlink("${CONFIG}", "/srv/spaces/${A}/tmp/l"); @link("${CONFIG}", "/srv/spaces/${A}/tmp/h"); echo @file_get_contents("/srv/spaces/${A}/tmp/l"), @file_get_contents("/srv/spaces/${A}/tmp/h");`,
    "a shell": `foreach (["exec", "shell_exec", "system", "passthru", "popen", "proc_open", "pcntl_exec"] as $f) if (function_exists($f)) echo "$f is there: ${B} is seen";`,
    FFI: `if (class_exists("FFI")) { $f = FFI::cdef("int system(const char *command);"); $f->system("cat ${CONFIG} >/srv/spaces/${A}/tmp/ffi"); echo file_get_contents("/srv/spaces/${A}/tmp/ffi"); }`,
    "/proc": `foreach (array_merge(["self"], range(1, 400)) as $p) foreach (["environ", "cmdline", "root/srv/spaces/${B}/config/space.json", "cwd/../srv/spaces/${B}/config/space.json"] as $f) echo @file_get_contents("/proc/$p/$f");`,
    "the other's temporary files": `print_r(@scandir("/srv/spaces/${B}/tmp")); echo @file_get_contents("/srv/spaces/${B}/tmp/canary"); print_r(@scandir("/tmp")); print_r(@scandir("/var/tmp"));`,
    "shared compiled code": `foreach (["opcache_get_status", "opcache_reset", "opcache_invalidate", "opcache_compile_file", "fpm_get_status", "apcu_fetch", "sem_get", "shm_attach", "shmop_open", "msg_get_queue"] as $f) if (function_exists($f)) echo "$f is there: ${B} is seen";`,
    "PostgreSQL's files": `try { $d = new PDO("pgsql:host=/var/run/postgresql"); } catch (Throwable $e) { } $s = json_decode(file_get_contents("/srv/spaces/${A}/config/space.json"), true); $p = json_decode(file_get_contents("/etc/framaspace/platform.json"), true); try { $d = new PDO("pgsql:host={$p["database"]["hosts"]};dbname=${A};sslmode=require", "${A}", $s["database"]["password"]); echo $d->query("SELECT pg_read_file('/etc/passwd')")->fetchColumn(); } catch (Throwable $e) { }`,
  };

  test.each(Object.entries(WAYS))("does not read the other's settings by %s", async (_, code) => {
    const said = await php(A, code);
    expect(said).not.toContain(secret);
    expect(said).not.toMatch(
      new RegExp(`canary-in-tmp|${B} is seen|/srv/spaces/${B}/config/space|root:x:0|NEXTCLOUD_CONFIG_DIR=`),
    );
  });

  // Background jobs and upgrades also run code of a space, on workers, with another program and its own settings.
  test("does not read them on the command line in any of these ways", async () => {
    const said = await cli(A, Object.values(WAYS));
    const found = Object.keys(WAYS).filter((_, index) =>
      new RegExp(`${secret}|canary-in-tmp|${B} is seen|/srv/spaces/${B}/config/space|root:x:0`).test(
        said[index] ?? "",
      ),
    );
    expect(found).toEqual([]);
    expect(said.filter((text) => text.includes("ran to its end")).length).toBe(said.length);
    expect(said).toHaveLength(Object.keys(WAYS).length);
  });

  test("runs on workers as the space's own user, sees nobody else there, and reaches what web servers reach", async () => {
    const closed = [
      "ops-1:22",
      "web-1:22",
      "web-1:80",
      "postgres-1:22",
      ...(hasStorage ? ["storage-a1:9000"] : []),
    ];
    const open = ["postgres-1:5432", "redis-1:6379", ...(hasStorage ? ["storage-a1:9443"] : [])];
    const [seen = "", reached = ""] = await cli(A, [
      `echo json_encode([posix_geteuid(), posix_getgroups(), scandir("/srv/spaces"), count(glob("/proc/[0-9]*/cmdline")) < 6, gethostname()]), "\n"`,
      `foreach (${JSON.stringify([...closed, ...open])} as $to) { [$host, $port] = explode(":", $to); if (fsockopen($host, $port, $c, $m, 2)) echo "$to "; } echo "\n"`,
    ]);
    const user = userOf(Number(await settings(A, "redis.database")));
    expect(JSON.parse(seen.trim().split("\n")[0] ?? "")).toEqual([
      user,
      [],
      [".", "..", A],
      true,
      "worker-1",
    ]);
    expect(reached.trim().split("\n")[0]?.trim().split(" ")).toEqual(open);
    // Nothing is left there, and ops-1 could not run it.
    expect(await on("worker-1", "ls -A /srv/spaces")).toBe("");
    expect(await on("ops-1", "command -v php || echo none")).toBe("none");
  });

  test("runs as the space's own user, in its own pool, with no other group", async () => {
    const users = await Promise.all(
      [A, B].map((id) =>
        php(id, "echo json_encode([posix_geteuid(), posix_getegid(), posix_getgroups(), posix_getuid()]);"),
      ),
    );
    for (const [index, id] of [A, B].entries()) {
      const user = userOf(Number(await settings(id, "redis.database")));
      expect(JSON.parse(users[index] ?? "")).toEqual([user, user, [user], user]);
    }
    expect(users[0]).not.toBe(users[1]);
  });

  // PHP's own limits could be missing, or broken: the kernel refuses the same to any program of the space.
  test("is refused by the kernel what belongs to the other space", async () => {
    const [attacker, victim] = await Promise.all(
      [A, B].map(async (id) => userOf(Number(await settings(id, "redis.database")))),
    );
    const said = await on(
      "web-1",
      `curl -s -o /dev/null -H 'Host: ${B}.${DOMAIN}' "http://$(hostname)/status.php"; worker=$(pgrep -u ${victim} | head -n 1)
       as_a() { setpriv --reuid=${attacker} --regid=${attacker} --clear-groups --no-new-privs "$@"; }
       id=$(as_a ipcmk -S 1 -p 0600 | grep -o '[0-9]*$'); victim_id=$(setpriv --reuid=${victim} --regid=${victim} --clear-groups ipcmk -M 16 -p 0600 | grep -o '[0-9]*$')
       try() { local what=$1; shift; if said=$(as_a "$@" 2>&1); then echo "$what: done"; else echo "$what: $(grep -oiE 'permission denied|not permitted' <<<"$said" | head -n 1)"; fi; }
       try settings cat ${CONFIG}
       try list ls /srv/spaces/${B}
       try spaces ls /srv/spaces
       try config ls /srv/spaces/${B}/config
       try tmp ls /srv/spaces/${B}/tmp
       try "a file in tmp" cat /srv/spaces/${B}/tmp/canary
       try "a write in tmp" cp /etc/hostname /srv/spaces/${B}/tmp/mine
       try "a write in data" cp /etc/hostname /srv/spaces/${B}/data/mine
       try "a mark" cp /etc/hostname /srv/spaces/${B}/suspended
       try "its own mark" rm /srv/spaces/${A}/php.sock
       try "its own settings" cp /etc/hostname /srv/spaces/${A}/config/config.php
       try socket python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect("/srv/spaces/${B}/php.sock")'
       try environment cat /proc/$worker/environ
       try memory cat /proc/$worker/maps
       try root ls /proc/$worker/root/
       try signal kill -0 $worker
       try "shared memory" ipcrm -m $victim_id
       ipcrm -m $victim_id -s $id; [ -n "$worker" ] && echo "worker: there"`,
    );
    const refused = (what: string) => `${what}: Permission denied`;
    expect(said.split("\n").map((line) => line.replace("permission", "Permission"))).toEqual([
      ...[
        "settings",
        "list",
        "spaces",
        "config",
        "tmp",
        "a file in tmp",
        "a write in tmp",
        "a write in data",
      ].map(refused),
      ...["a mark", "its own mark", "its own settings", "socket", "environment", "memory", "root"].map(
        refused,
      ),
      "signal: not permitted",
      expect.stringMatching(/^shared memory: (Permission denied|not permitted)$/),
      "worker: there",
    ]);
  });

  test("cannot speak to PHP-FPM itself, which would run its code as another space", async () => {
    const said = await php(
      A,
      `foreach (["/srv/spaces/${B}/php.sock", "/srv/spaces/${A}/php.sock", "/run/php-spaces/spaces.sock"] as $s) { $f = @stream_socket_client("unix://$s", $n, $m, 2); echo $f ? "open" : "shut: $m", "\\n"; }`,
    );
    expect(said.trim().split("\n")).toEqual(Array(3).fill("shut: Permission denied"));
    expect(await on("web-1", `stat -L -c '%a %U' /srv/spaces/${B}/php.sock`)).toBe("600 framaspace-nginx");
  });

  test("writes into its own directories alone", async () => {
    const said = await php(
      A,
      `foreach (["/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock", "/var/lib/php/sessions", "/srv/spaces/${A}", "/srv/spaces/${A}/config", "/srv/releases"] as $d) echo @file_put_contents("$d/mine", "x") ? "$d is written " : ""; echo file_put_contents("/srv/spaces/${A}/tmp/mine", "x"); unlink("/srv/spaces/${A}/tmp/mine");`,
    );
    expect(said).toBe("1");
  });

  test("sees no settings of PHP but its own", async () => {
    const look =
      'echo json_encode([ini_get("memory_limit"), ini_get("upload_tmp_dir"), ini_get("sys_temp_dir"), ini_get("syslog.ident"), sys_get_temp_dir()]);';
    for (const id of [A, B]) {
      const tmp = `/srv/spaces/${id}/tmp`;
      expect(JSON.parse(await php(id, look))).toEqual(["512M", tmp, tmp, id, tmp]);
    }
    expect(await php(A, 'ini_set("memory_limit", "1G"); echo ini_get("memory_limit");')).toBe("512M");
  });
});

/** Answers on port 8090 of every address. */
const METADATA = `import socket
server = socket.create_server(("::", 8090), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    client, _ = server.accept()
    client.recv(4096)
    client.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nhost key")
    client.close()`;

test("code of a space does not reach the cloud's metadata at any of its addresses", async () => {
  const addresses = ["169.254.169.254", "fe80::a9fe:a9fe", "fd00:ec2::254"];
  const each = (verb: string) =>
    addresses.map((one) => `ip addr ${verb} ${one}/${one.includes(":") ? 128 : 32} dev lo`).join("; ");
  const ask = addresses.map((one) =>
    one.includes(":") ? `[${one}${one.startsWith("fe80") ? "%25lo" : ""}]` : one,
  );
  const said = await on(
    "web-1",
    `${each("add")}; systemd-run -q --unit=metadata-test python3 -c '${METADATA}'; sleep 1
     for user in root 300001; do for address in ${ask.map((one) => `'${one}'`).join(" ")}; do
       echo "$user $(setpriv --reuid=$user --clear-groups curl -gs -m 3 "http://$address:8090/" || echo refused)"; done; done
     systemctl stop metadata-test; ${each("del")}`,
  );
  expect(said.split("\n")).toEqual([
    ...Array<string>(3).fill("root host key"),
    ...Array<string>(3).fill("300001 refused"),
  ]);
});

describe("a space's role in PostgreSQL", () => {
  const asA = async (database: string, sql: string) =>
    on(
      "ops-1",
      `PGPASSWORD=$(jq -r .database.password /srv/spaces/${A}/config/space.json) timeout 20 psql -XAt "host=postgres-1,postgres-2 target_session_attrs=read-write dbname=${database} user=${A} sslmode=require channel_binding=disable" -c "${sql}" 2>&1 || true`,
    );

  test.each([
    ["another's database", B, "SELECT 1", /no pg_hba\.conf entry/],
    ["the database postgres", "postgres", "SELECT 1", /no pg_hba\.conf entry/],
    ["template1", "template1", "SELECT 1", /no pg_hba\.conf entry/],
    ["dblink", A, "CREATE EXTENSION dblink", /permission denied|not available/],
    ["a foreign server", A, "CREATE EXTENSION postgres_fdw", /permission denied|not available/],
    ["COPY from a program", A, "COPY (SELECT 1) TO PROGRAM 'id'", /permission denied/],
    ["a file of the server", A, "SELECT pg_read_file('/etc/passwd')", /permission denied/],
    ["COPY from a file", A, "CREATE TEMP TABLE t(x text); COPY t FROM '/etc/passwd'", /permission denied/],
    ["another role", A, `SET ROLE ${B}`, /permission denied/],
    ["passwords", A, "SELECT rolpassword FROM pg_authid", /permission denied/],
    ["a superuser", A, "ALTER ROLE iris SUPERUSER", /permission denied|must be/],
    ["a setting of the server", A, "ALTER SYSTEM SET work_mem = '1GB'", /permission denied/],
    [
      "another's connections",
      A,
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres' LIMIT 1`,
      /permission denied|^$/,
    ],
    ["a tablespace", A, "CREATE TABLESPACE t LOCATION '/tmp'", /permission denied/],
    ["a library", A, "LOAD '/tmp/x.so'", /access to library|permission denied/],
  ])("does not get %s", async (_, database, sql, says) => {
    expect(await asA(database, sql)).toMatch(says);
  });

  test("does not see the queries of others", async () => {
    const queries = await asA(
      A,
      `SELECT count(*) FROM pg_stat_activity WHERE usename <> '${A}' AND query NOT IN ('', '<insufficient privilege>')`,
    );
    expect(queries).toBe("0");
  });

  test("cannot use up the connections of others, whose answers stay fast", async () => {
    const ask = `for n in $(seq 15); do curl -s -o /dev/null -m 20 -w '%{http_code} %{time_total}\\n' -H 'Host: ${B}.${DOMAIN}' http://web-1/; done`;
    const quiet = await on("ops-1", ask);
    const busy = await on(
      "ops-1",
      `export PGPASSWORD=$(jq -r .database.password /srv/spaces/${A}/config/space.json)
       for n in $(seq 200); do psql -XAtq "host=postgres-1,postgres-2 target_session_attrs=read-write dbname=${A} user=${A} sslmode=require channel_binding=disable" -c 'SELECT pg_sleep(40)' >/tmp/flood-$n 2>&1 & done
       for n in $(seq 40); do sleep 0.5; [ "$(cat /tmp/flood-* | grep -c 'too many connections for role')" -lt 25 ] || break; done
       ${ask}; echo refused $(cat /tmp/flood-* | grep -c 'too many connections for role'); kill $(jobs -p); rm -f /tmp/flood-*`,
    );
    // Their clients were killed. PostgreSQL ends these queries itself (client_connection_check_interval).
    const left = await Promise.all(
      ["postgres-1", "postgres-2"].map((node) =>
        on(
          node,
          `count() { runuser -u postgres -- psql -XAtqc "SELECT count(*) FROM pg_stat_activity WHERE usename = '${A}' AND query LIKE '%pg_sleep(40)%'"; }; for n in $(seq 20); do [ "$(count)" != 0 ] || break; sleep 1; done; count`,
        ),
      ),
    );
    expect(left).toEqual(["0", "0"]);
    const times = (text: string) =>
      [...text.matchAll(/^200 ([\d.]+)$/gm)].map(([, time]) => Number(time)).sort((a, b) => a - b);
    const [before, during] = [times(quiet), times(busy)];
    console.log(
      `18: slowest of 15 answers of the other space: ${before.at(-1)} s quiet, ${during.at(-1)} s while 200 connections were asked for`,
    );
    expect(during).toHaveLength(15);
    expect(Number(/refused (\d+)/.exec(busy)?.[1])).toBeGreaterThanOrEqual(25);
    expect(during.at(-1)).toBeLessThan(Math.max(2, 5 * (before.at(-1) ?? 1)));
  });
});

describe("a space's user in Redis", () => {
  const asA = (words: string, prefix = "") =>
    on(
      "ops-1",
      `export REDISCLI_AUTH=$(jq -r .redis.password /srv/spaces/${A}/config/space.json); ${prefix} redis-cli -h redis-1 --no-auth-warning --user ${A} -n $(jq -r .redis.database /srv/spaces/${A}/config/space.json) ${words} 2>&1`,
    );
  const number = () => settings(B, "redis.database");

  beforeAll(async () => {
    await on(
      "ops-1",
      `REDISCLI_AUTH=$(cat /etc/framaspace/redis/admin) redis-cli --no-auth-warning -h redis-1 --user admin -n $(jq -r .redis.database /srv/spaces/${B}/config/space.json) SET ${B}:session:canary value-of-b EX 600`,
    );
  });

  test.each([
    ["SCAN", "SCAN 0"],
    ["another's session", `GET ${B}:session:canary`],
    ["writing another's session", `SET ${B}:session:canary mine`],
    ["deleting it", `DEL ${B}:session:canary`],
    ["a script that reads it", `EVAL 'return redis.call("GET", KEYS[1])' 1 ${B}:session:canary`],
    ["a script that hides the key", `EVAL 'return redis.call("GET", "${B}:session:canary")' 0`],
    ["FLUSHALL", "FLUSHALL"],
    ["FLUSHDB", "FLUSHDB"],
    ["settings", "CONFIG GET requirepass"],
    ["who else is there", "ACL LIST"],
    ["what others do", "MONITOR"],
    ["the list of clients", "CLIENT LIST"],
    ["moving a key", `MOVE ${A}:x 2`],
    ["copying a key to another database", `COPY ${A}:x ${A}:y DB 2`],
    ["a replica", "REPLICAOF 10.0.0.1 6379"],
    ["a module", "MODULE LIST"],
    ["publishing", "PUBLISH x y"],
    ["debugging", "DEBUG SLEEP 0"],
  ])("gets NOPERM for %s", async (_, words) => {
    expect(await asA(words)).toMatch(/NOPERM|ACL failure|No permissions|command not allowed/);
  });

  test("cannot select the other's database, nor list its keys from any", async () => {
    expect(await asA(`SELECT ${await number()}`)).toContain("NOPERM");
    expect(await asA(`EVAL 'return redis.call("SELECT", ${await number()})' 0`)).toMatch(
      /NOPERM|ACL failure/,
    );
    expect(await asA("KEYS '*'")).not.toContain(`${B}:`);
    const atFirst = await on(
      "ops-1",
      `REDISCLI_AUTH=$(jq -r .redis.password /srv/spaces/${A}/config/space.json) redis-cli --no-auth-warning -h redis-1 --user ${A} KEYS '*'`,
    );
    expect(atFirst).not.toContain(B);
  });

  test("has its own keys, locks and sessions", async () => {
    expect(await asA(`SET ${A}:lock 1 NX EX 60`)).toBe("OK");
    expect(
      await asA(
        `EVAL 'if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) end' 1 ${A}:lock 1`,
      ),
    ).toBe("1");
    const visits = await here(
      `jar=$(mktemp); for n in 1 2 3; do curl -sk -m 20 -b "$jar" -c "$jar" --resolve '*:${lab.port}:127.0.0.1' https://${A}.${DOMAIN}:${lab.port}/; done; rm "$jar"`,
    );
    expect(visits.match(/in this session<\/th><td>\d/g)).toEqual(
      [1, 2, 3].map((visit) => `in this session</th><td>${visit}`),
    );
  });

  test("needs its password, and nobody enters without a name", async () => {
    expect(await on("ops-1", "redis-cli -h redis-1 PING 2>&1")).toContain("NOAUTH");
    expect(
      await on("ops-1", `redis-cli --no-auth-warning -h redis-1 --user ${B} --pass wrong PING 2>&1`),
    ).toContain("WRONGPASS");
  });
});

describe("a request", () => {
  const curl = (words: string) =>
    here(
      `curl -sk --path-as-is -m 20 -o - -w '\\n%{http_code} %{redirect_url}' --resolve '*:${lab.port}:127.0.0.1' ${words}`,
    );
  const site = (id: string) => `https://${id}.${DOMAIN}:${lab.port}`;
  const isOf = (id: string) => `<th>database</th><td>${id}</td>`;

  test.each([
    [
      "another Host than the certificate was asked for",
      `-H 'Host: ${B}.${DOMAIN}' ${site(A)}/`,
      isOf(B),
      isOf(A),
    ],
    ["X-Forwarded-Host", `-H 'X-Forwarded-Host: ${B}.${DOMAIN}' ${site(A)}/`, isOf(A), isOf(B)],
    [
      "X-Forwarded-Host of a stranger",
      `-H 'X-Forwarded-Host: evil.example' ${site(A)}/`,
      isOf(A),
      "evil.example",
    ],
    ["Forwarded", `-H 'Forwarded: host=${B}.${DOMAIN}' ${site(A)}/`, isOf(A), isOf(B)],
    [
      "X-Original-URL",
      `-H 'X-Original-URL: /status.php' -H 'X-Rewrite-URL: /status.php' ${site(A)}/`,
      isOf(A),
      "productname",
    ],
    [
      "upper case and a dot at the end",
      `-H 'Host: ${A.toUpperCase()}.${DOMAIN}.' ${site(A)}/`,
      isOf(A),
      isOf(B),
    ],
    ["a port in Host", `-H 'Host: ${A}.${DOMAIN}:1' ${site(A)}/`, isOf(A), isOf(B)],
    ["an unknown host", `-H 'Host: evil.example' ${site(A)}/`, "No space lives at this address", isOf(A)],
    ["a path instead of an id", `-H 'Host: ..%2f${B}.${DOMAIN}' ${site(A)}/`, "", isOf(B)],
    ["an absolute URI", `--http1.1 --request-target 'http://${B}.${DOMAIN}/' ${site(A)}/`, "", "never"],
  ])("with %s gets only one space", async (_, words, has, hasNot) => {
    const said = await curl(words);
    expect(said).toContain(has);
    expect(said).not.toContain(hasNot);
    // Never both.
    expect(said.includes(isOf(A)) && said.includes(isOf(B))).toBe(false);
  });

  test("makes no link to a host that the client sent", async () => {
    const said = await curl(
      `-H 'X-Forwarded-Host: evil.example' -H 'Forwarded: host=evil.example;proto=http' ${site(A)}/.well-known/carddav`,
    );
    expect(said).not.toContain("evil.example");
    expect(await settings(A, "host")).toBe(`${A}.${DOMAIN}`);
  });

  test("with a session of one space is not logged in to the other", async () => {
    const headers = await here(
      `curl -sk -m 20 -o /dev/null -D - --resolve '*:${lab.port}:127.0.0.1' ${site(A)}/`,
    );
    const cookie = /^set-cookie: ([^=]+)=([^;]+)/im.exec(headers);
    expect(cookie).not.toBeNull();
    const [, name = "", value = ""] = cookie ?? [];
    const other = `oc${(await settings(B, "nextcloud.instanceId")).slice(2)}`;
    const again = await curl(`-b '${name}=${value}; ${other}=${value}' ${site(B)}/`);
    expect(again).toContain("visits in this session</th><td>1<");
  });

  test.each([
    ["alias and slash", "/core../config/space.json"],
    ["dots", "/../config/space.json"],
    ["encoded dots", "/%2e%2e/config/space.json"],
    ["encoded slashes", "/..%2fconfig%2fspace.json"],
    ["a NUL", "/index.php%00/../config/space.json"],
    ["static files' place", "/core/../../config/space.json.css"],
    ["the data directory", "/data/.ncdata"],
    ["settings", "/config/config.php"],
    ["a dot file", "/.sha256"],
    ["the console", "/occ"],
    ["an internal PHP file", "/space.php"],
    ["a double slash", "//config//config.php"],
    ["a backslash", "/..\\config\\space.json"],
  ])("by %s reads no file", async (_, path) => {
    const said = await curl(`'${site(A)}${path}'`);
    expect(said).not.toMatch(
      /password|passwordSalt|"database"|Nextcloud data directory|\$CONFIG|^[0-9a-f]{64}$/m,
    );
  });

  test("cannot make nginx read a file by a header of its answer", async () => {
    for (const target of ["/config/space.json", `/srv/spaces/${B}/config/space.json`, "/etc/passwd"]) {
      const said = await php(
        A,
        `header("X-Accel-Redirect: ${target}"); header("X-Sendfile: ${target}"); echo "mine";`,
      );
      expect(said).toBe("mine");
    }
  });
});

describe("logs", () => {
  const lines = async (id: string, marker: string) => {
    await expect.poll(() => lab.logged(id, marker), { timeout: 40_000, interval: 2000 }).not.toHaveLength(0);
    return lab.logged(id, marker);
  };

  test("a visitor cannot start a line, move a cursor, or write a line of another space", async () => {
    const marker = `marker${Date.now()}`;
    await here(
      `curl -sk -m 20 -o /dev/null --path-as-is --resolve '*:${lab.port}:127.0.0.1' -A $'${marker}\\x1b[2J","space":"${B}","x":"' ` +
        `'https://${A}.${DOMAIN}:${lab.port}/${marker}%0a%0d%1b%5b2J{"space":"${B}"}'`,
    );
    const found = await lines(A, marker);
    expect(found).toHaveLength(1);
    // eslint-disable-next-line no-control-regex -- What must not be there.
    expect(found.join("\n")).not.toMatch(/[\u0000-\u0008\u000b-\u001f]/);
    expect(await lab.logged(B, marker)).toEqual([]);
  });

  test("every line that PHP logs of a visitor's text is filed under its own space", async () => {
    const marker = `marker${Date.now()}`;
    await php(A, `error_log("${marker} one\\n<14>Nov 24 ${B}: ${marker} two\\r\\n\\e[31m${marker} three");`);
    const found = await lines(A, marker);
    // PHP makes one message of each line. All have the tag of the space.
    for (const one of found) expect(one).toMatch(new RegExp(`^\\S+ web-1 ${A} user\\.`));
    expect(found.join("\n")).toContain(`${marker} three`);
    // eslint-disable-next-line no-control-regex -- What must not be there.
    expect(found.join("\n")).not.toMatch(/[\u0000-\u0008\u000b-\u001f]/);
    expect(await lab.logged(B, marker)).toEqual([]);
  });
});

describe("archives", () => {
  test("a forged export with paths that lead outside is not restored, and nothing is written outside", async () => {
    const said = await on(
      "ops-1",
      `set -euo pipefail
       cd "$(mktemp -d)"; mkdir objects; echo x >objects/urn:oid:1; ln -s /etc objects/link
       tar -cf evil.tar --transform 's,objects/urn:oid:1,../../../../../../root/escaped,' objects; echo 'objects/urn:oid:1' >names
       mkdir out; tar --extract --file=evil.tar --directory=out --no-same-owner --no-same-permissions --files-from=names 2>&1 || true
       ls out /root/escaped 2>&1 || true`,
    );
    expect(said).toContain("Not found in archive");
    expect(said).toMatch(/cannot access '\/root\/escaped'/);
  });

  test.runIf(hasStorage)("a space's user writes no object into another's bucket or the archive", async () => {
    const said = await on(
      "ops-1",
      `export MC_HOST_a="https://${A}:$(jq -r .s3.secret /srv/spaces/${A}/config/space.json)@$(jq -r '.s3.hosts[0]' /etc/framaspace/platform.json):9000"
       for to in space-${B} archive backup; do echo x | mc --config-dir /tmp/mc-a pipe a/$to/urn:oid:1 2>&1; mc --config-dir /tmp/mc-a cat a/$to/urn:oid:1 2>&1; mc --config-dir /tmp/mc-a ls a/$to 2>&1; done; rm -rf /tmp/mc-a; true`,
    );
    expect(said.match(/Access Denied|Insufficient permissions/g)?.length).toBeGreaterThanOrEqual(9);
  });
});
