// `npm run release -- pin` against a server on loopback, with a key of minisign's that the test makes.
import { execaSync } from "execa";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { pinArtifact } from "../../release/pin-artifact.ts";
import { MINIO_KEY } from "../../release/sources.ts";
import { onPath } from "../support/fakes.ts";
import { CONFIGURATION, copyFleet, replaceIn } from "../support/fleet-fixture.ts";
import { TestSite } from "../support/release-sources.ts";

const NEW = "/client/mc/release/linux-amd64/archive/mc.RELEASE.2026-01-01T00-00-00Z";
const BINARY = Buffer.from("the client\n".repeat(1000));

let folder: string;
let site: TestSite;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "framaspace-pin-"));
  site = await TestSite.open();
});
afterAll(() => {
  site.close();
  rmSync(folder, { recursive: true });
});

let root: string;
beforeEach(() => {
  site.routes.clear();
  root = copyFleet();
});

const pin = (name: string, more: Partial<Parameters<typeof pinArtifact>[1]>) =>
  pinArtifact(name, {
    root,
    cache: mkdtempSync(join(folder, "cache-")),
    env: "demo",
    say: () => {},
    ...more,
  });
const configuration = () => readFileSync(join(root, CONFIGURATION), "utf8");

describe.skipIf(!onPath("minisign"))("signed by upstream (minisign on PATH)", () => {
  let key: string;
  beforeAll(() => {
    // Without a passphrase, the key is kept as it is.
    execaSync("minisign", ["-G", "-W", "-p", join(folder, "key.pub"), "-s", join(folder, "key")]);
    key = readFileSync(join(folder, "key.pub"), "utf8").trim().split("\n").at(-1) ?? "";
  });
  /** Serves a binary and its signature, which was made for the file `name`. */
  const serve = (bytes: Buffer, name = "mc.RELEASE.2026-01-01T00-00-00Z") => {
    const file = join(folder, "signed");
    writeFileSync(file, bytes);
    const words = ["-S", "-s", join(folder, "key"), "-x", join(folder, "signed.minisig"), "-m", file];
    execaSync("minisign", [...words, "-t", `timestamp:1767225600\tfile:${name}`]);
    site.routes.set(NEW, bytes);
    site.routes.set(`${NEW}.minisig`, readFileSync(join(folder, "signed.minisig")));
  };
  const pinMc = () => pin("mc", { url: `${site.address}${NEW}`, keys: { mc: key } });

  it("gets its new address and checksum, and all else stays as it was", async () => {
    serve(BINARY);
    const before = configuration();
    const sha256 = await pinMc();
    expect(configuration()).toBe(
      before
        .replace("https://artifacts.example.org/mc", `${site.address}${NEW}`)
        .replace("b".repeat(64), sha256),
    );
    expect(execaSync("sha256sum", [join(folder, "signed")]).stdout.slice(0, 64)).toBe(sha256);
  });

  it("gets a checksum where there was none", async () => {
    serve(BINARY);
    replaceIn(root, CONFIGURATION, /\n +sha256: "b+"/, "");
    const sha256 = await pinMc();
    expect(configuration()).toContain(
      `    mc:\n      sha256: "${sha256}"\n      url: ${site.address}${NEW}\n`,
    );
  });

  it.each<[string, () => void, RegExp]>([
    [
      "a byte of it is another",
      () => site.routes.set(NEW, Buffer.concat([BINARY.subarray(1), Buffer.from("x")])),
      /^mc: its signature is not one of the key .* over this file/,
    ],
    [
      "it is cut short",
      () => site.routes.set(NEW, BINARY.subarray(0, 99)),
      /^mc: its signature is not one of the key/,
    ],
    [
      "its signature is another's",
      () => site.routes.set(`${NEW}.minisig`, "untrusted comment: x\nAAAA\ntrusted comment: y\nBBBB\n"),
      /^mc: its signature is not one of the key/,
    ],
    [
      "an older one has its name",
      () => serve(BINARY, "mc.RELEASE.2025-08-13T08-35-41Z"),
      /^mc: its signature was made for mc\.RELEASE\.2025-08-13T08-35-41Z, not for mc\.RELEASE\.2026-01-01T00-00-00Z; it was not kept/,
    ],
    ["it has no signature", () => site.routes.delete(`${NEW}.minisig`), /^signature of mc: .* answers 404/],
  ])("is refused if %s, and the file stays as it was", async (_, change, says) => {
    serve(BINARY);
    change();
    const before = configuration();
    await expect(pinMc()).rejects.toThrow(says);
    expect(configuration()).toBe(before);
  });

  it("is refused by the pinned key, which is MinIO's", async () => {
    serve(BINARY);
    await expect(pin("mc", { url: `${site.address}${NEW}` })).rejects.toThrow(
      `mc: its signature is not one of the key ${MINIO_KEY} over this file`,
    );
  });
});

describe("built by the host", () => {
  it("is pinned if what is served is what was built", async () => {
    const file = join(folder, "built");
    writeFileSync(file, BINARY);
    site.routes.set("/minio-own", BINARY);
    const sha256 = await pin("minio", { url: `${site.address}/minio-own`, file });
    expect(configuration()).toContain(
      `    minio:\n      url: ${site.address}/minio-own\n      sha256: "${sha256}"`,
    );
  });

  it("is refused if something else is served", async () => {
    const file = join(folder, "built");
    writeFileSync(file, BINARY);
    site.routes.set("/minio-own", "another");
    await expect(pin("minio", { url: `${site.address}/minio-own`, file })).rejects.toThrow(
      /^minio: .*\/minio-own serves another file \([0-9a-f]{64}\) than .*\/built \([0-9a-f]{64}\); nothing was pinned\.$/,
    );
  });

  it("has to be given, where nobody signs", async () => {
    await expect(pin("minio", { keys: {} })).rejects.toThrow(
      "minio is signed by nobody: you build it. Add --file",
    );
  });
});

it("what the environment does not have is no artifact", async () => {
  await expect(pin("imaginary", {})).rejects.toThrow(
    '"imaginary" is no artifact of Pulumi.demo.yaml; write one of minio, mc.',
  );
});
