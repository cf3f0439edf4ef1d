// What the office suites are told. The suites themselves are not run anywhere here.
import { describe, expect, it } from "vitest";
import { hostPattern, renderCollabora, renderOnlyoffice } from "../../infra/office.ts";
import { PORTS } from "../../infra/firewall.ts";

/** Collabora matches the whole host (common/RegexListMatcher). */
const allows = (host: string) => new RegExp(`^(?:${hostPattern("example.org")})$`).test(host);

describe("hosts of documents", () => {
  it("are the spaces", () => {
    expect(["lotus.example.org", "a-b-2.example.org"].filter(allows)).toHaveLength(2);
  });

  it.each([
    "example.org",
    "lotus.example.org.evil.net",
    "evil.net/lotus.example.org",
    "lotusXexample.org",
    "lotus.exampleXorg",
    "a.b.example.org",
    ".example.org",
  ])("are not %s", (host) => {
    expect(allows(host)).toBe(false);
  });
});

describe("Collabora's unit", () => {
  const unit = renderCollabora("example.org");

  it("replaces the package's command", () => {
    expect(unit).toMatch(/^ExecStart=\nExecStart=\/usr\/bin\/coolwsd \\$/m);
  });

  it("keeps the documents of two spaces apart", () => {
    expect(unit).toContain('"--o:storage.wopi.alias_groups[@mode]=groups"');
    expect(unit).not.toContain("alias[");
  });

  it("leaves TLS to the gateways", () => {
    expect(unit).toContain('"--o:ssl.enable=false"');
    expect(unit).toContain('"--o:ssl.termination=true"');
  });

  it("holds nothing that systemd would read otherwise", () => {
    expect(unit).not.toMatch(/[%$]/);
    expect(unit.replaceAll("\\\n", "")).not.toContain("\\");
  });
});

describe("ONLYOFFICE's settings", () => {
  const { services } = JSON.parse(renderOnlyoffice("example.org", "the secret", "the password"));

  it("ask for a token everywhere, signed with one secret", () => {
    expect(services.CoAuthoring.token.enable).toEqual({
      browser: true,
      request: { inbox: true, outbox: true },
    });
    expect(new Set(Object.values(services.CoAuthoring.secret).map((each) => JSON.stringify(each)))).toEqual(
      new Set(['{"string":"the secret"}']),
    );
  });

  it("take documents from the spaces alone", () => {
    expect(services.CoAuthoring.ipfilter.rules).toEqual([
      { address: "*.example.org", allowed: true },
      { address: "*", allowed: false },
    ]);
  });

  it("leave port 8000 to its document service", () => {
    expect([PORTS.onlyoffice, PORTS.collabora]).not.toContain(8000);
  });
});
