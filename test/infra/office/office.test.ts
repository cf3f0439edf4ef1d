// The settings of the office suite. No test here runs the suite itself.
import { describe, expect, it } from "vitest";
import { record } from "../../../evaluate/recorder.ts";
import { readStackConfiguration } from "../../../evaluate/stack-configuration.ts";
import { hostPattern, renderCollabora } from "../../../infra/office/office.ts";
import { commandOf, prodPlatform } from "../../support/platform-graph.ts";

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
  const unit = renderCollabora({ domain: "example.org" });

  it("replaces the package's command", () => {
    expect(unit).toMatch(/^ExecStart=\nExecStart=\/usr\/bin\/coolwsd \\$/m);
  });

  it("keeps the documents of two spaces apart", () => {
    expect(unit).toContain('"--o:storage.wopi.alias_groups[@mode]=groups"');
    expect(unit).not.toContain("alias[");
  });

  it("reads and saves documents over TLS alone, also where the browser names an address with http", () => {
    // Without it, coolwsd follows the address's scheme (wsd/wopi/StorageConnectionManager.cpp, getHttpSession).
    expect(unit).toContain('"--o:storage.ssl.as_scheme=false"');
    expect(unit).toContain('"--o:storage.ssl.enable=true"');
    expect(unit).toContain('"--o:ssl.ssl_verification=true"');
  });

  it("names the port that browsers need, which is 443 outside labs", () => {
    expect(unit).toContain('host=https://([a-z][a-z0-9-]*)[.]example[.]org:443"');
    expect(unit).toContain('"--o:server_name=collabora.example.org"');
    const lab = renderCollabora({ domain: "example.org", port: 8443 });
    expect(lab).toContain('host=https://([a-z][a-z0-9-]*)[.]example[.]org:8443"');
    expect(lab).toContain('"--o:server_name=collabora.example.org:8443"');
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

describe("its packages", () => {
  it("come from their makers", async () => {
    const { script } = commandOf(await prodPlatform(), "office-1-role");
    expect(script).toContain(
      "URIs: https://www.collaboraoffice.com/repos/CollaboraOnline/CODE-deb\nSuites: ./\n",
    );
    expect(script).toContain("FINGERPRINTS=('7EB1530818B7683284483B7BD8915E456E7C440E')");
  });

  it("come from a mirror, with the mirror's key, where the environment names one", async () => {
    const { values, secretKeys } = await readStackConfiguration("Pulumi.prod.yaml");
    const fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567";
    const mirror = {
      url: "http://mirror.example.org/office",
      key: "http://mirror.example.org/key.gpg",
      fingerprint,
    };
    values["framaspace:office"] = JSON.stringify({
      suites: ["collabora"],
      repositories: { collabora: mirror },
    });
    const graph = await record({ stack: "prod-platform", config: { values, secretKeys } });
    const { script } = commandOf(graph, "office-1-role");
    expect(script).toContain("URIs: http://mirror.example.org/office\nSuites: ./\n");
    expect(script).toContain("KEYS=('http://mirror.example.org/key.gpg')");
    expect(script).toContain(`FINGERPRINTS=('${fingerprint}')`);
    expect(script).not.toContain("collaboraoffice.com");
  });
});

it("is known to gateways by the public address that the cloud gave it", async () => {
  const { script } = commandOf(await prodPlatform(), "gateway-1-role");
  expect(script).toMatch(/^ {4}198\.51\.100\.\d+ 10\.0\.41\.1;$/m);
});
