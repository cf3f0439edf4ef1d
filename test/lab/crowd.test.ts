// Many at once on one space: what an attacker holds, and what fifty people of an association do. Nobody of another space
// may wait for either. And what reaches PHP of a request's body, by every way in.
import { execa } from "execa";
import { connect } from "node:tls";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DOMAIN, sharedLab as lab } from "./lab.ts";
import { FILES, Visitor } from "./visitor.ts";

const [A, B] = ["iris", "lotus"];
/** nginx runs what begins with `index`. */
const PROBE = "index-crowd-test.php";
const WEB_SERVERS = ["web-1", "web-2"];
const on = lab.on.bind(lab);

/** Tells the lengths that PHP was given, and takes as many seconds as it is asked to. */
const CODE = `<?php
$given = array_filter(['cgi' => $_SERVER['CONTENT_LENGTH'] ?? null, 'http' => $_SERVER['HTTP_CONTENT_LENGTH'] ?? null], 'is_string');
header('X-Lengths: ' . json_encode((object) $given));
header('X-Body: ' . strlen(file_get_contents('php://input')));
usleep((int) (1e6 * (float) ($_GET['seconds'] ?? 0)));
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

  /** What PHP was told of a request that curl makes, by the load balancer or to a gateway itself. */
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
  const CHUNKED = ["--header", "Transfer-Encoding: chunked", "--data-binary", ""];
  const ways: [string, boolean, string[]][] = [
    ["HTTP/2, without a length", false, ["--http2"]],
    ["HTTP/2, with a length of 0", false, ["--http2", ...ZERO]],
    ["HTTP/1.1, without a length", false, ["--http1.1"]],
    ["HTTP/1.1, with a length of 0", false, ["--http1.1", ...ZERO]],
    ["HTTP/1.1, in chunks of which there is none", false, ["--http1.1", ...CHUNKED]],
    ["a gateway, without a length", true, ["--http1.1"]],
    ["a gateway, with a length of 0", true, ["--http1.1", ...ZERO]],
    ["a gateway, with a length of 000", true, ["--http1.1", "--header", "Content-Length: 000"]],
    ["a gateway, in chunks of which there is none", true, ["--http1.1", ...CHUNKED]],
    ["a gateway, HTTP/1.0, without a length", true, ["--http1.0"]],
    ["a gateway, HTTP/1.0, with a length of 0", true, ["--http1.0", ...ZERO]],
  ];
  test.each(ways)("is none where there is none: %s", async (_, toGateway, words) => {
    const told: Record<string, string> = {};
    for (const method of METHODS) told[method] = await lengths(method, toGateway, ...words);
    expect(told).toEqual(Object.fromEntries(METHODS.map((method) => [method, "{}"])));
  });

  test.each(["PUT", "POST", "PROPFIND", "REPORT", "MKCOL", "DELETE"])(
    "is that of the body where there is one, said or not: %s",
    async (method) => {
      const five = `{"cgi":"5","http":"5"}`;
      expect(await lengths(method, false, "--data-binary", "12345")).toBe(five);
      const chunked = ["--http1.1", "--header", "Transfer-Encoding: chunked", "--data-binary", "12345"];
      expect(await lengths(method, false, ...chunked)).toBe(five);
      expect(await lengths(method, true, ...chunked)).toBe(five);
    },
  );

  test.each(["MOVE", "COPY"])("is none for a %s, whatever comes along", async (method) => {
    expect(await lengths(method, false, "--data-binary", "12345")).toBe("{}");
  });
});

/** Seconds of each of some answers of a space that nobody attacks, by the web server of the one that is. */
async function answers(web: string, count: number): Promise<number[]> {
  const ask = `curl -s -o /dev/null -m 20 -w '%{http_code} %{time_total}\\n' -H 'Host: ${B}.${DOMAIN}' http://${web}/${PROBE}`;
  const said = await on("ops-1", `for n in $(seq ${count}); do ${ask}; sleep 0.1; done`);
  const times = [...said.matchAll(/^200 ([\d.]+)$/gm)].map(([, time]) => Number(time));
  expect(times, said).toHaveLength(count);
  return times.sort((a, b) => a - b);
}

/** Clients that send the head of a request, and then a byte every two seconds; resolves once all are connected. */
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
    for (const socket of sockets)
      if (socket.writable) socket.write(head.includes("chunked") ? "1\r\nx\r\n" : "x");
  }, 2000);
  return () => {
    clearInterval(drip);
    for (const socket of sockets) socket.destroy();
  };
}

describe("one client with 200 slow bodies leaves the other spaces alone", () => {
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
      "JSON that is put",
      head("PUT /ocs/v2.php/cloud/users/admin", "Content-Type: application/json", "Content-Length: 1000000"),
    ],
    [
      "an upload that is JSON",
      head(`PUT ${FILES}/a.json`, "Content-Type: application/json", "Content-Length: 1000000"),
    ],
    ["uploads of nobody", head(`PUT ${FILES}/a.bin`, "Content-Length: 1000000")],
    ["uploads of unknown length", head(`PUT ${FILES}/a.bin`, "Transfer-Encoding: chunked")],
    ["a search", head("PROPFIND /remote.php/dav/", "Content-Type: text/xml", "Content-Length: 1000000")],
  ])("%s", async (what, text) => {
    const quiet = await answers(web, 5);
    const stop = await slowClients(200, text);
    try {
      await sleep(3000);
      const busy = await answers(web, 5);
      console.log(
        `200 × ${what}: slowest of 5 answers of another space ${busy.at(-1)} s, ${quiet.at(-1)} s when quiet`,
      );
      expect(busy.at(-1)).toBeLessThan(Math.max(1.5, 5 * (quiet.at(-1) ?? 1)));
    } finally {
      stop();
    }
  });
});
