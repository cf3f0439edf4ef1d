// Many clients at once on one space: an attacker who holds connections, and fifty people of an association. Nobody in
// another space may have to wait. These tests also check how much of a request's body reaches PHP, on every way in.
import { execa } from "execa";
import { connect } from "node:tls";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DOMAIN, sharedLab as lab } from "../support/suite-lab.ts";
import { FILES, Visitor } from "../support/visitor.ts";

const [A, B] = ["iris", "lotus"];
/** nginx runs what begins with `index`. */
const PROBE = "index-crowd-test.php";
const WEB_SERVERS = ["web-1", "web-2"];
const on = lab.on.bind(lab);

/** Prints the lengths that PHP got, takes as many seconds as the request asks, and answers as many megabytes. */
const CODE = `<?php
$given = array_filter(['cgi' => $_SERVER['CONTENT_LENGTH'] ?? null, 'http' => $_SERVER['HTTP_CONTENT_LENGTH'] ?? null], 'is_string');
header('X-Lengths: ' . json_encode((object) $given));
header('X-Body: ' . strlen(file_get_contents('php://input')));
usleep((int) (1e6 * (float) ($_GET['seconds'] ?? 0)));
for ($n = (int) ($_GET['megabytes'] ?? 0); $n > 0; $n--) echo str_repeat('x', 1000000);
echo 'served';
`;

beforeAll(async () => {
  await lab.prepare();
  const encoded = Buffer.from(CODE).toString("base64");
  for (const web of WEB_SERVERS)
    await on(
      web,
      `for id in ${A} ${B}; do echo ${encoded} | base64 -d >"$(readlink /srv/spaces/$id/release)/${PROBE}"; done`,
    );
});
afterAll(async () => {
  for (const web of WEB_SERVERS) await on(web, `rm -f /srv/releases/*/${PROBE}`).catch(() => "");
  await lab.remove();
});

describe("the length of a body", () => {
  const gateway = `http://10.0.10.1/${PROBE}`;
  const balancer = `https://${A}.${DOMAIN}:${lab.port}/${PROBE}`;
  const METHODS = [
    "GET", "HEAD", "OPTIONS", "MOVE", "COPY", "DELETE", "MKCOL", "LOCK", "PROPFIND", "REPORT", "POST", "PUT",
  ]; // prettier-ignore

  /** The lengths that PHP got for a request of curl, through the load balancer or sent to a gateway directly. */
  async function lengths(method: string, toGateway: boolean, ...words: string[]): Promise<string> {
    const how = method === "HEAD" ? ["--head"] : ["--request", method];
    const where = toGateway
      ? ["--header", `Host: ${A}.${DOMAIN}`, gateway]
      : ["--insecure", "--resolve", `*:${lab.port}:127.0.0.1`, balancer];
    const curl = ["--silent", "--max-time", "20", "--dump-header", "-", ...how, ...words, ...where];
    const inLab = ["nsenter", `--net=/run/netns/fs-${lab.name}-lb`];
    const [program = "", ...rest] = [...(toGateway ? inLab : []), "curl", ...curl];
    const { stdout } = await execa(program, rest);
    return /^x-lengths: (.*)$/im.exec(stdout)?.[1]?.trim() ?? stdout;
  }

  const ZERO = ["--header", "Content-Length: 0"];
  const CHUNKED = ["--http1.1", "--header", "Transfer-Encoding: chunked", "--data-binary", ""];
  const ways: [string, boolean, string[]][] = [
    ["HTTP/2, without a length", false, ["--http2"]],
    ["HTTP/2, with a length of 0", false, ["--http2", ...ZERO]],
    ["HTTP/1.1, without a length", false, ["--http1.1"]],
    ["HTTP/1.1, with a length of 0", false, ["--http1.1", ...ZERO]],
    ["HTTP/1.1, in chunks of which there is none", false, CHUNKED],
    ["a gateway, without a length", true, ["--http1.1"]],
    ["a gateway, with a length of 0", true, ["--http1.1", ...ZERO]],
    ["a gateway, with a length of 000", true, ["--http1.1", "--header", "Content-Length: 000"]],
    ["a gateway, in chunks of which there is none", true, CHUNKED],
    ["a gateway, HTTP/1.0, without a length", true, ["--http1.0"]],
    ["a gateway, HTTP/1.0, with a length of 0", true, ["--http1.0", ...ZERO]],
  ];
  test.each(ways)("is none without a body: %s", async (_, toGateway, words) => {
    const told: Record<string, string> = {};
    // curl sends no body with HEAD.
    const methods = METHODS.filter((method) => method !== "HEAD" || words !== CHUNKED);
    for (const method of methods) told[method] = await lengths(method, toGateway, ...words);
    expect(told).toEqual(Object.fromEntries(methods.map((method) => [method, "{}"])));
  });

  test.each(["PUT", "POST", "PROPFIND", "REPORT", "MKCOL", "DELETE"])(
    "is that of the body, stated or not: %s",
    async (method) => {
      const five = `{"cgi":"5","http":"5"}`;
      expect(await lengths(method, false, "--data-binary", "12345")).toBe(five);
      const chunked = ["--http1.1", "--header", "Transfer-Encoding: chunked", "--data-binary", "12345"];
      expect(await lengths(method, false, ...chunked)).toBe(five);
      expect(await lengths(method, true, ...chunked)).toBe(five);
    },
  );

  test.each(["MOVE", "COPY"])("is none for a %s, even with a body", async (method) => {
    expect(await lengths(method, false, "--data-binary", "12345")).toBe("{}");
  });
});

/** The times, in seconds, of some answers of a space that is not attacked, on the web server of the attacked space. */
async function answers(web: string, count: number): Promise<number[]> {
  const ask = `curl -s -o /dev/null -m 20 -w '%{http_code} %{time_total}\\n' -H 'Host: ${B}.${DOMAIN}' http://${web}/${PROBE}`;
  const said = await on("ops-1", `for n in $(seq ${count}); do ${ask}; sleep 0.1; done`);
  const times = [...said.matchAll(/^200 ([\d.]+)$/gm)].map(([, time]) => Number(time));
  expect(times, said).toHaveLength(count);
  return times.sort((a, b) => a - b);
}

/**
 * Opens clients that send the head of a request, and then, unless it has no body, one byte every two seconds. They read
 * nothing. Resolves when all are connected.
 */
async function slowClients(count: number, head: string): Promise<() => void> {
  const host = `${A}.${DOMAIN}`;
  const sockets = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof connect>>((resolve, reject) => {
          const options = { host: "127.0.0.1", port: lab.port, servername: host, rejectUnauthorized: false };
          const socket = connect({ ...options, ALPNProtocols: ["http/1.1"] }, () => {
            socket.write(head.replaceAll("\n", "\r\n"));
            resolve(socket);
          });
          socket.on("error", reject);
        }),
    ),
  );
  for (const socket of sockets) socket.removeAllListeners("error").on("error", () => {});
  const drip = setInterval(() => {
    if (head.startsWith("GET ")) return;
    for (const socket of sockets)
      if (socket.writable) socket.write(head.includes("chunked") ? "1\r\nx\r\n" : "x");
  }, 2000);
  return () => {
    clearInterval(drip);
    for (const socket of sockets) socket.destroy();
  };
}

describe("one client with 200 slow requests does not slow down other spaces", () => {
  const head = (request: string, ...headers: string[]) =>
    [`${request} HTTP/1.1`, `Host: ${A}.${DOMAIN}:${lab.port}`, ...headers, "", ""].join("\n");
  let web: string;
  beforeAll(async () => {
    web = await lab.webServerOf(A);
  });
  const FORM = "Content-Type: application/x-www-form-urlencoded";

  test.each([
    ["a login form", head("POST /index.php/login", FORM, "Content-Length: 1000000")],
    ["a form of unknown length", head("POST /index.php/login", FORM, "Transfer-Encoding: chunked")],
    [
      "a file in a form",
      head(
        "POST /index.php/login",
        "Content-Type: multipart/form-data; boundary=b",
        "Content-Length: 90000000",
      ),
    ],
    [
      "a bulk of files",
      head(
        "POST /remote.php/dav/bulk",
        "Content-Type: multipart/related; boundary=b",
        "Content-Length: 1000000",
      ),
    ],
    [
      "JSON in a PUT",
      head("PUT /ocs/v2.php/cloud/users/admin", "Content-Type: application/json", "Content-Length: 1000000"),
    ],
    [
      "a JSON upload",
      head(`PUT ${FILES}/a.json`, "Content-Type: application/json", "Content-Length: 1000000"),
    ],
    ["uploads without a login", head(`PUT ${FILES}/a.bin`, "Content-Length: 1000000")],
    ["uploads of unknown length", head(`PUT ${FILES}/a.bin`, "Transfer-Encoding: chunked")],
    ["a search", head("PROPFIND /remote.php/dav/", "Content-Type: text/xml", "Content-Length: 1000000")],
    ["a download that nobody reads", head(`GET /${PROBE}?megabytes=50`)],
    ["an open chat", head(`GET /${PROBE}?seconds=30`)],
  ])("%s", async (what, text) => {
    const quiet = await answers(web, 5);
    const stop = await slowClients(200, text);
    try {
      // PHP starts workers when they are needed.
      await sleep(5000);
      const busy = await answers(web, 5);
      console.log(
        `200 × ${what}: slowest of 5 answers of another space ${busy.at(-1)} s, ${quiet.at(-1)} s when quiet`,
      );
      expect(busy.at(-1)).toBeLessThan(Math.max(1.5, 5 * (quiet.at(-1) ?? 1)));
    } finally {
      stop();
    }
    // Nor does the attacked space wait for long. The load balancer does not tell that a client has gone, so a chat holds
    // its worker until it ends.
    const timeout = what === "an open chat" ? 40_000 : 10_000;
    await expect.poll(() => lab.statusFrom(web, A, `/${PROBE}`), { timeout, interval: 500 }).toBe("200");
  });
});

test("fifty people of an association behind one address get no refusal", async () => {
  const person = () => new Visitor(lab.port, `${A}.${DOMAIN}`);
  const ask = async (method: string, path: string, body?: Buffer) => {
    const begun = Date.now();
    const { status } = await person().ask(method, path, { ...(body && { body }), patienceSeconds: 120 });
    return { status, seconds: (Date.now() - begun) / 1000 };
  };
  const fifty = <T>(act: () => T) => Array.from({ length: 50 }, act);
  // Each person has an open chat, which holds a worker. All at the same moment, they load a page with six requests,
  // load it again, send a form with a file of 2 MB, and upload a file.
  const chats = fifty(() => ask("GET", `/${PROBE}?seconds=30`));
  await sleep(3000);
  const pages = () => Promise.all(Array.from({ length: 300 }, () => ask("GET", `/${PROBE}`)));
  const loaded = [...(await pages()), ...(await pages())];
  const body = Buffer.alloc(2_000_000, "a");
  const sent = [
    ...(await Promise.all(fifty(() => ask("POST", `/${PROBE}`, body)))),
    ...(await Promise.all(fifty(() => ask("PUT", `/remote.php/dav/uploads/none/${PROBE}`, body)))),
  ];
  const all = [...loaded, ...sent, ...(await Promise.all(chats))];
  const slowest = Math.max(...loaded.map(({ seconds }) => seconds));
  console.log(`50 people: ${all.length} requests, slowest page ${slowest} s`);
  const counts: Record<string, number> = {};
  for (const { status } of all) counts[status] = (counts[status] ?? 0) + 1;
  expect(
    Object.keys(counts).filter((status) => ["413", "429", "500", "502", "503", "504"].includes(status)),
  ).toEqual([]);
  expect(counts["200"]).toBeGreaterThanOrEqual(700);
  // The limits let three hundred requests at once in within three seconds.
  expect(slowest).toBeLessThan(15);
});

describe("an unknown visitor cannot fill a disk", () => {
  /** Bytes of bodies that all gateways and web servers keep. */
  const kept = async () => {
    const command = "du -sbc /var/lib/nginx/body /srv/spaces/*/tmp 2>/dev/null | tail -n 1 | cut -f1";
    const machines = ["gateway-1", "gateway-2", ...WEB_SERVERS];
    const said = await Promise.all(machines.map((machine) => on(machine, command)));
    return said.reduce((sum, bytes) => sum + Number(bytes), 0);
  };
  const curl = (size: string, ...words: string[]) => {
    const url = `https://${A}.${DOMAIN}:${lab.port}`;
    const command = `head -c ${size} /dev/zero | curl -sk -o /dev/null -w '%{http_code}' --resolve '*:${lab.port}:127.0.0.1' -m 120`;
    return execa("bash", ["-c", `${command} ${words.join(" ").replace("URL", url)} || true`], {
      stdin: "ignore",
    });
  };

  /** Bytes that a gateway keeps of a body before it refuses: infra/gateway/gateway.ts, LIMITS. */
  const FORM = 262_144_000;
  const COUNTED = 1_073_741_824;
  test.each([
    ["a form with a file of 400 MB", "400M", FORM, ["-F f=@-", "URL/index.php/login"]],
    [
      "a form of unknown length",
      "400M",
      FORM,
      ["-X POST", "-H 'Transfer-Encoding: chunked' -T -", "URL/index.php/login"],
    ],
    ["an upload of unknown length, 20 GB", "20G", COUNTED, ["-T -", "URL/remote.php/dav/files/nobody/a.bin"]],
    [
      "an upload of 20 GB that waits for no answer",
      "20G",
      0,
      ["-H 'Content-Length: 21474836480'", "-H Expect:", "-T -", "URL/remote.php/dav/files/nobody/a.bin"],
    ],
    [
      "an upload that says it is JSON, 400 MB",
      "400M",
      0,
      [
        "-X PUT",
        "-H 'Content-Type: application/json'",
        "--data-binary @-",
        "URL/remote.php/dav/files/nobody/a.json",
      ],
    ],
  ])("%s is refused, fills no disk and leaves nothing", async (_, size, most, words) => {
    const before = await kept();
    const seen: number[] = [];
    const asking = curl(size, ...words);
    const ended = new AbortController();
    const looking = (async () => {
      while (!ended.signal.aborted) seen.push(await kept());
    })();
    const { stdout } = await asking.finally(() => {
      ended.abort();
    });
    await looking;
    expect(stdout).toBe("413");
    expect(Math.max(...seen) - before).toBeLessThanOrEqual(most);
    await expect.poll(kept, { timeout: 20_000, interval: 1000 }).toBeLessThan(before + 1_000_000);
  });

  test("files of killed workers are removed after two hours, not earlier", async () => {
    const make = (folder: string) =>
      `touch -d '3 hours ago' ${folder}/left; touch ${folder}/new; systemctl start systemd-tmpfiles-clean; ls ${folder}; rm -f ${folder}/new; ls -d ${folder}`;
    for (const [machine, folder] of [
      ["gateway-1", "/var/lib/nginx/body"],
      ["web-1", `/srv/spaces/${A}/tmp`],
    ] as const) {
      const said = await on(machine, make(folder));
      expect(said.split("\n")).toContain("new");
      expect(said.split("\n")).not.toContain("left");
      expect(said).toContain(folder);
      expect(await on(machine, "systemctl show -p TimersMonotonic systemd-tmpfiles-clean.timer")).toContain(
        "OnUnitActiveUSec=1h",
      );
    }
  });
});
