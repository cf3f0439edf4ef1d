// Where each line is filed. The tests take rsyslog's own expressions from the rendered configuration and try them here.
import { describe, expect, it } from "vitest";
import { renderSenders, renderStore } from "../../../infra/logs/logs.ts";
import { allMachines } from "../../../infra/inventory/addresses.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";

const environment = exampleEnvironment("prod");
const store = renderStore(environment, "logs-1");

/** The extended regular expressions in this configuration mean the same in rsyslog and in JavaScript. */
const [serving, request, tag, untilRequest, host] = [
  ...store.matchAll(/re_(?:match|extract)\([^,]+, '(.*?)'/g),
].map(([, expression = ""]) => new RegExp(expression));

const spaceOfRequest = (line: string) => request?.exec(line)?.[1];
const spaceOfTag = (line: string) => tag?.exec(line)?.[1];

describe("a request's line", () => {
  const line = (fields: Record<string, unknown>) => ` ${JSON.stringify(fields)}`;

  it("goes to its space", () => {
    expect(spaceOfRequest(line({ space: "lotus", uri: "/", status: 200, agent: "x" }))).toBe("lotus");
    expect(spaceOfRequest(line({ space: "lotus-2", uri: "/", status: 503 }))).toBe("lotus-2");
  });

  it("stays with its machine if there is no such space, so that strangers make no files", () => {
    expect(spaceOfRequest(line({ space: "", uri: "/", status: 200 }))).toBeUndefined();
    expect(spaceOfRequest(line({ space: "nobody", uri: "/", status: 404 }))).toBeUndefined();
  });

  it("cannot be forged by a visitor", () => {
    const forged = '","status":200,"space":"iris","';
    expect(
      spaceOfRequest(line({ space: "nobody", uri: forged, status: 404, agent: forged })),
    ).toBeUndefined();
    expect(spaceOfRequest(line({ space: "lotus", uri: forged, status: 200, agent: forged }))).toBe("lotus");
    expect(spaceOfRequest(line({ uri: "/", space: "iris", status: 200 }))).toBeUndefined();
  });

  it.each([
    "../../etc/cron.d/x",
    "..",
    "a/b",
    "Lotus",
    "a.b",
    "%2e",
    "a\u0000b",
    "-a",
    "a b",
    "x".repeat(64),
  ])("with the space %j gives no file name", (space) => {
    expect(spaceOfRequest(line({ space, uri: "/", status: 200 }))).toBeUndefined();
    expect(spaceOfTag(space)).toBeUndefined();
  });
});

describe("a line of nginx's error log", () => {
  const error =
    ' 2026/11/29 12:00:00 [error] 9#9: *7 upstream timed out (110: Connection timed out), client: 203.0.113.7, server: ~^x$, request: "GET /s/gT4kWq9ZbRs2LmX HTTP/1.1", upstream: "http://10.0.20.1:80/s/gT4kWq9ZbRs2LmX", host: "lotus.example.org", referrer: "https://lotus.example.org/s/gT4kWq9ZbRs2LmX"';

  it("is kept without the request and the page it came from", () => {
    expect(`${untilRequest?.exec(error)?.[1]}${host?.exec(error)?.[0]}`).toBe(
      ' 2026/11/29 12:00:00 [error] 9#9: *7 upstream timed out (110: Connection timed out), client: 203.0.113.7, server: ~^x$, host: "lotus.example.org"',
    );
    expect(store).toMatch(/template\(name="line"[^)]*%\$\.text:[^)]*\)/);
    expect(store).not.toMatch(/%msg[:%]/);
  });

  it("is nothing that a visitor can make of a request's line, which the law asks for", () => {
    const agent = ' 2026/11/29 x, request: "';
    expect(
      untilRequest?.exec(` ${JSON.stringify({ space: "lotus", uri: agent, status: 200, agent })}`),
    ).toBeNull();
  });
});

it("takes no message of Debian's programs to `user` for a line of a space", () => {
  const [, list = ""] = /not \(\$app-name == \[(.*?)\]\)/.exec(store) ?? [];
  for (const program of ["root", "rsyslogd", "adduser", "addgroup"]) expect(list).toContain(`"${program}"`);
});

it("accepts lines of spaces only from machines that serve spaces", () => {
  const believed = allMachines(environment)
    .map(({ name }) => name)
    .filter((name) => serving?.test(name));
  expect(believed).toEqual(["ops-1", "web-1", "web-2", "gateway-1", "gateway-2"]);
});

it("accepts lines only from our machines, each known by its address", () => {
  const others = allMachines(environment).filter(({ name }) => name !== "logs-1");
  const peers = /tls\.permittedPeer=\[(.*)\]/.exec(store)?.[1]?.split(",");
  expect(peers).toEqual(others.map(({ name }) => `"${name}"`));
  const senders = JSON.parse(renderSenders(environment, "logs-1"));
  expect(senders.nomatch).toBe("unknown");
  for (const { name, privateAddress } of others)
    expect(senders.table).toContainEqual({ index: privateAddress, value: name });
});
