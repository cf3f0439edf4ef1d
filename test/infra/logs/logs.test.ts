// Where each line is filed. The tests take rsyslog's own expressions from the rendered configuration and try them here.
import { describe, expect, it } from "vitest";
import { renderSenders, renderStore } from "../../../infra/logs/logs.ts";
import { allMachines } from "../../../infra/inventory/addresses.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";

const environment = exampleEnvironment("prod");
const store = renderStore(environment, "logs-1");

/** The extended regular expressions in this configuration mean the same in rsyslog and in JavaScript. */
const [serving, request, tag] = [...store.matchAll(/re_(?:match|extract)\([^,]+, '(.*?)'/g)].map(
  ([, expression = ""]) => new RegExp(expression),
);

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
