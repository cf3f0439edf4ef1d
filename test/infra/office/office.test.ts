// The settings of the office suite. No test here runs the suite itself.
import { describe, expect, it } from "vitest";
import { hostPattern, renderCollabora } from "../../../infra/office/office.ts";

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

  it("contains nothing that systemd reads in another way", () => {
    expect(unit).not.toMatch(/[%$]/);
    expect(unit.replaceAll("\\\n", "")).not.toContain("\\");
  });
});
