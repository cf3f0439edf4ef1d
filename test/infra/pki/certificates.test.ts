// The platform's authority, checked with how Node and OpenSSL read certificates.
import { execaSync } from "execa";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Authority } from "../../../infra/pki/certificates.ts";
import { Secrets } from "../../../infra/pki/secrets.ts";

const VALIDITY = { notBefore: "2026-11-01", years: 10 };

function authority(generations: Record<string, number> = {}) {
  return new Authority(new Secrets("a master secret", "test", generations), VALIDITY);
}

const root = new X509Certificate(await authority().root());
const issued = await authority().issue("web-1", ["web-1"], ["10.0.20.1"]);
const certificate = new X509Certificate(issued.certificate);

it("signs with a root that may sign only certificates of machines", () => {
  expect(root.ca).toBe(true);
  expect(root.verify(root.publicKey)).toBe(true);
  expect(certificate.ca).toBe(false);
  expect(certificate.checkIssued(root)).toBe(true);
  expect(certificate.verify(root.publicKey)).toBe(true);
});

it("names the machine and its address, and nothing else", () => {
  expect(certificate.checkHost("web-1")).toBe("web-1");
  expect(certificate.checkIP("10.0.20.1")).toBe("10.0.20.1");
  expect(certificate.checkHost("web-2")).toBeUndefined();
  expect(certificate.checkIP("10.0.20.2")).toBeUndefined();
});

it("matches its key and is valid for the configured time", () => {
  expect(certificate.checkPrivateKey(createPrivateKey(issued.key))).toBe(true);
  expect(certificate.validFromDate).toEqual(new Date("2026-11-01T00:00:00Z"));
  expect(certificate.validToDate).toEqual(new Date("2036-11-01T00:00:00Z"));
});

it("gives the same certificates each time, so that nothing changes without a reason", async () => {
  expect(await authority().root()).toBe(await authority().root());
  expect(await authority().issue("web-1", ["web-1"], ["10.0.20.1"])).toEqual(issued);
});

it("gives another serial number to every different certificate", async () => {
  const others = await Promise.all([
    authority().issue("web-2", ["web-2"], ["10.0.20.2"]),
    authority().issue("web-1", ["web-1"], ["10.0.20.9"]),
    authority({ "web-1/tls": 2 }).issue("web-1", ["web-1"], ["10.0.20.1"]),
  ]);
  const serials = [issued, ...others].map((each) => new X509Certificate(each.certificate).serialNumber);
  expect(new Set(serials).size).toBe(4);
});

it("changes every certificate with the generation of the authority", async () => {
  const renewed = authority({ "ca/key": 2 });
  const next = new X509Certificate((await renewed.issue("web-1", ["web-1"], ["10.0.20.1"])).certificate);
  expect(next.verify(root.publicKey)).toBe(false);
  expect(next.verify(new X509Certificate(await renewed.root()).publicKey)).toBe(true);
});

it("is trusted together with another generation while they change", async () => {
  const trusts = async (generations: Record<string, number>) =>
    (await authority(generations).root())
      .split(/(?<=-----END CERTIFICATE-----\n)/)
      .filter(Boolean)
      .map((pem) => new X509Certificate(pem).fingerprint256);
  const [first] = await trusts({});
  const [second] = await trusts({ "ca/key": 2 });
  expect(await trusts({ "ca/trusted": 2 })).toEqual([first, second]);
  expect(await trusts({ "ca/key": 2, "ca/trusted": 1 })).toEqual([second, first]);
  expect(await trusts({ "ca/key": 2 })).toEqual([second]);
});

const openssl = execaSync("openssl", ["version"], { reject: false }).exitCode === 0;

describe.skipIf(!openssl)("OpenSSL (openssl on PATH)", () => {
  const folder = mkdtempSync(join(tmpdir(), "certificates-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each(["sslserver", "sslclient"])("accepts it as %s, strictly", (purpose) => {
    const ca = join(folder, "ca.pem");
    const leaf = join(folder, "leaf.pem");
    writeFileSync(ca, root.toString());
    writeFileSync(leaf, issued.certificate);
    const at = String(Date.parse("2030-01-01") / 1000);
    const how = ["-x509_strict", "-purpose", purpose, "-attime", at, "-verify_hostname", "web-1"];
    const { stdout } = execaSync("openssl", ["verify", ...how, "-CAfile", ca, leaf]);
    expect(stdout).toContain("OK");
  });
});
