// What config.php sets for a space. PHP runs the real file.
import { execaSync } from "execa";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import * as z from "zod";
import { onPath } from "../../support/fakes.ts";

let root: string;
const at = (...path: string[]) => join(root, ...path);
const SPACE = {
  id: "lotus",
  host: "lotus.example.org",
  version: "34.0.4.1",
  limits: { accounts: 50 },
  nextcloud: { instanceId: "oc1", passwordSalt: "x", secret: "x" },
  database: { name: "lotus", user: "lotus", password: "x" },
  redis: { user: "lotus", password: "x", database: 1, prefix: "lotus:" },
};

const PLATFORM = {
  domain: "example.org",
  gateways: "10.0.10.0/24",
  ca: "/ca.crt",
  database: { hosts: "postgres-1,postgres-2", port: 5432 },
  redis: { host: "redis-1", port: 6379 },
  mail: { from: "cloud@example.org", host: "relay", port: 25 },
};

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "config-"));
  mkdirSync(at("lotus/config"), { recursive: true });
  const shared = readFileSync(
    join(import.meta.dirname, "../../../spaces/agent/rootfs/usr/local/share/framaspace/config.php"),
    "utf8",
  );
  writeFileSync(at("config.php"), shared.replaceAll("/etc/framaspace/platform.json", at("platform.json")));
});
afterEach(() => rmSync(root, { recursive: true }));

/** The configuration of a space on the command line. */
function config(space: object = {}, platform: object = {}): Record<string, unknown> {
  writeFileSync(at("lotus/config/space.json"), JSON.stringify({ ...SPACE, ...space }));
  writeFileSync(at("platform.json"), JSON.stringify({ ...PLATFORM, ...platform }));
  const program =
    "class OC { public static $SERVERROOT = '/srv'; } echo json_encode((require $argv[1])($argv[2]));";
  const { stdout } = execaSync("php", ["-r", program, at("config.php"), at("lotus/config")]);
  return JSON.parse(stdout) as Record<string, unknown>;
}

describe.skipIf(!onPath("php"))("config.php (php on PATH)", () => {
  it("has a fingerprint for a restored space, and an empty one for others", () => {
    expect(config()["data-fingerprint"]).toBe("");
    expect(config({ dataFingerprint: "0123" })["data-fingerprint"]).toBe("0123");
  });

  it("finds the database servers at their port, which Nextcloud reads from the host alone", () => {
    const platform = { database: { hosts: "postgres-1,postgres-2", port: 5433 } };
    expect(config({}, platform)).toMatchObject({ dbhost: "postgres-1,postgres-2:5433" });
  });

  it("asks for a second factor where the entry does", () => {
    expect(config().twofactor_enforced).toBe("false");
    expect(config({ twoFactor: "required" }).twofactor_enforced).toBe("true");
  });

  /** Nobody listens on port 1. */
  const stored = () =>
    config(
      { s3: { bucket: "space-lotus", user: "lotus", secret: "x" } },
      { s3: { hosts: ["127.0.0.1"], port: 1 } },
    ).objectstore;

  it("has parts of an upload wait for object storage in small files", () => {
    const { arguments: given } = z
      .object({ arguments: z.object({ uploadPartSize: z.number(), concurrency: z.number() }) })
      .parse(stored());
    // S3 takes 10,000 parts of 5 MB and more. The largest plan has 40 GB.
    expect(given.uploadPartSize).toBeGreaterThan(5_242_880);
    expect(given.uploadPartSize * 10_000).toBeGreaterThan(40e9);
    expect(given.uploadPartSize * given.concurrency).toBeLessThan(200e6);
  });

  it("has the S3 client add no checksums of its own: the storage servers refuse unsigned trailers", () => {
    expect(stored()).toMatchObject({
      arguments: {
        bucket: "space-lotus",
        request_checksum_calculation: "when_required",
        response_checksum_validation: "when_required",
      },
    });
  });
});
