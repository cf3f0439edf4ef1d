// The lab's authority: a browser that trusts it accepts what it issues.
import { X509Certificate, createPrivateKey } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createAuthority, issue, rootCertificate } from "../../lab/lets-encrypt.ts";

const lab = { name: "a", directory: "" };
beforeAll(async () => {
  lab.directory = mkdtempSync(join(tmpdir(), "framaspace-ca-"));
  await createAuthority(lab);
});
afterAll(() => rmSync(lab.directory, { recursive: true }));

const root = () => new X509Certificate(readFileSync(rootCertificate(lab)));

test("a certificate is the authority's, for its names and no other, for less than 398 days", async () => {
  const { certificate, privateKey } = await issue(lab, ["spaces.example", "*.spaces.example"]);
  const issued = new X509Certificate(certificate);
  expect(issued.checkIssued(root()) && issued.verify(root().publicKey)).toBe(true);
  expect(issued.checkPrivateKey(createPrivateKey(privateKey))).toBe(true);
  expect(issued.checkHost("spaces.example")).toBe("spaces.example");
  expect(issued.checkHost("lotus.spaces.example")).toBe("*.spaces.example");
  expect(issued.checkHost("lotus.example")).toBeUndefined();
  const days = (Date.parse(issued.validTo) - Date.parse(issued.validFrom)) / 86_400_000;
  expect(days).toBeLessThan(398);
  expect(issued.ca).toBe(false);
});

test("two certificates have two keys and two serial numbers", async () => {
  const [one, other] = [await issue(lab, ["a.example"]), await issue(lab, ["a.example"])];
  expect(one.privateKey).not.toBe(other.privateKey);
  expect(new X509Certificate(one.certificate).serialNumber).not.toBe(
    new X509Certificate(other.certificate).serialNumber,
  );
});

test("an authority that is there stays", async () => {
  const before = root().fingerprint256;
  await createAuthority(lab);
  expect(root().fingerprint256).toBe(before);
  expect(root().subject).toBe("CN=Framaspace lab a");
});
