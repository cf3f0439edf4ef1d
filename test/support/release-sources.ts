// A small Nextcloud and a small app store on loopback, of the real ones' shape: an OpenPGP key, a code signing authority
// with its list of revoked certificates, an archive of the server, and apps. Nothing of it is trusted outside a test.
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { execa, execaSync } from "execa";
import { createSign, KeyObject, webcrypto } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Sources } from "../../release/sources.ts";

/** What a build needs. Debian has all of it; a small machine may not. */
export const RELEASE_TOOLS = ["bzip2", "gpg", "gpgv", "openssl", "tar", "zstd"];

const RSA = {
  name: "RSASSA-PKCS1-v1_5",
  hash: "SHA-256",
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
};
const DAY = 86_400_000;
const day = (offset: number) => new Date(Date.now() + offset * DAY);

/** Files by their paths. */
export type Tree = Readonly<Record<string, string>>;

/** A code signing authority: a root, and an intermediate one that signs apps' certificates. */
export class TestAuthority {
  readonly root: x509.X509Certificate;
  readonly intermediate: x509.X509Certificate;
  readonly #keys: webcrypto.CryptoKeyPair;

  private constructor(
    root: x509.X509Certificate,
    intermediate: x509.X509Certificate,
    keys: webcrypto.CryptoKeyPair,
  ) {
    this.root = root;
    this.intermediate = intermediate;
    this.#keys = keys;
  }

  static async make(owner = "Nextcloud"): Promise<TestAuthority> {
    const [rootKeys, keys] = [await rsaKeys(), await rsaKeys()];
    const names = {
      root: `CN=${owner} Root Authority`,
      code: `CN=${owner} Code Signing Intermediate Authority`,
    };
    const extensions = [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    ];
    const span = { notBefore: day(-100), notAfter: day(5000), signingAlgorithm: RSA, extensions };
    const root = await x509.X509CertificateGenerator.create({
      ...span,
      subject: names.root,
      issuer: names.root,
      serialNumber: "01",
      publicKey: rootKeys.publicKey,
      signingKey: rootKeys.privateKey,
    });
    const intermediate = await x509.X509CertificateGenerator.create({
      ...span,
      subject: names.code,
      issuer: names.root,
      serialNumber: "1000",
      publicKey: keys.publicKey,
      signingKey: rootKeys.privateKey,
    });
    return new TestAuthority(root, intermediate, keys);
  }

  /** root.crt of the server's archive. */
  get certificates(): string {
    return `${this.intermediate.toString("pem")}\n${this.root.toString("pem")}\n`;
  }

  async certify(
    name: string,
    publicKey: webcrypto.CryptoKey,
    {
      serialNumber = "2001",
      from = -50,
      to = 500,
    }: { serialNumber?: string; from?: number; to?: number } = {},
  ): Promise<string> {
    const certificate = await x509.X509CertificateGenerator.create({
      subject: `CN=${name}`,
      issuer: this.intermediate.subject,
      serialNumber,
      notBefore: day(from),
      notAfter: day(to),
      signingAlgorithm: RSA,
      publicKey,
      signingKey: this.#keys.privateKey,
      extensions: [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth])],
    });
    return certificate.toString("pem");
  }

  /** root.crl of the server's archive. */
  async revocations(serialNumbers: readonly string[], nextUpdate = day(1000)): Promise<string> {
    const crl = await x509.X509CrlGenerator.create({
      issuer: this.intermediate.subject,
      thisUpdate: day(-30),
      nextUpdate,
      entries: serialNumbers.map((serialNumber) => ({ serialNumber, revocationDate: day(-40) })),
      signingAlgorithm: RSA,
      signingKey: this.#keys.privateKey,
    });
    // openssl reads this label alone.
    return `${crl.toString("pem").replaceAll(" CRL-----", " X509 CRL-----")}\n`;
  }
}

export const rsaKeys = () => webcrypto.subtle.generateKey(RSA, true, ["sign", "verify"]);

/** RSA with SHA-512 over an archive, in base64. */
export function signApp(archive: Buffer, key: webcrypto.CryptoKey): string {
  return createSign("RSA-SHA512").update(archive).sign(KeyObject.from(key), "base64");
}

/** An OpenPGP key in a home of its own. */
export class OpenPgpKey {
  readonly #home: string;
  readonly fingerprint: string;

  constructor(folder: string, name: string) {
    this.#home = join(folder, name);
    mkdirSync(this.#home, { mode: 0o700 });
    this.#gpg([
      "--passphrase",
      "",
      "--quick-generate-key",
      `${name} <${name}@example.org>`,
      "ed25519",
      "sign",
      "never",
    ]);
    this.fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(this.#gpg(["--with-colons", "--list-keys"]))?.[1] ?? "";
  }

  get public(): string {
    return this.#gpg(["--armor", "--export"]);
  }

  sign(file: string): Buffer {
    return Buffer.from(this.#gpg(["--armor", "--detach-sign", "--output", "-", file]));
  }

  /** Both keys in one block of armor. */
  static together(folder: string, ...keys: readonly OpenPgpKey[]): string {
    const home = mkdtempSync(join(folder, "both-"));
    for (const key of keys)
      execaSync("gpg", ["--homedir", home, "--batch", "--no-autostart", "-q", "--import"], {
        input: key.public,
      });
    return execaSync("gpg", ["--homedir", home, "--batch", "--no-autostart", "--armor", "--export"]).stdout;
  }

  #gpg(words: readonly string[]): string {
    const quiet = ["--homedir", this.#home, "--batch", "--quiet", "--pinentry-mode", "loopback"];
    return `${execaSync("gpg", [...quiet, ...words]).stdout}\n`;
  }

  /** gpg's agent outlives the commands. */
  close(): void {
    execaSync("gpgconf", ["--homedir", this.#home, "--kill", "all"], { reject: false });
  }
}

/** Packs a tree. `words` are tar's own, before the names. */
export async function pack(tree: Tree, top: readonly string[], words: readonly string[]): Promise<Buffer> {
  const folder = mkdtempSync(join(tmpdir(), "framaspace-tree-"));
  for (const [path, content] of Object.entries(tree)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content, { mode: path.endsWith("/occ") ? 0o755 : 0o644 });
  }
  const { stdout } = await execa("tar", ["--create", ...words, "-C", folder, ...top], { encoding: "buffer" });
  rmSync(folder, { recursive: true });
  return Buffer.from(stdout);
}

/** An app's tree. */
export function appTree(id: string, version: string, nextcloud = 'min-version="33" max-version="34"'): Tree {
  return {
    [`${id}/appinfo/info.xml`]: `<?xml version="1.0"?>
<info xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <!-- <id>another</id> -->
  <id>${id}</id><name>${id}</name><version>${version}</version>
  <dependencies><nextcloud ${nextcloud}/></dependencies>
</info>\n`,
    [`${id}/lib/Application.php`]: `<?php // ${id} ${version}\n`,
    [`${id}/js/main.js`]: "export {};\n".repeat(500),
  };
}

/** Nextcloud's own tree, as small as it can be. */
export function serverTree(version: string, authority: { certificates: string; revocations: string }): Tree {
  const app = (id: string) => ({
    [`nextcloud/apps/${id}/appinfo/info.xml`]: `<info><id>${id}</id></info>\n`,
  });
  return {
    "nextcloud/version.php": `<?php\n$OC_Version = array(${version.replaceAll(".", ",")},1);\n$OC_VersionString = '${version}';\n$OC_Channel = 'stable';\n`,
    "nextcloud/lib/versioncheck.php":
      "<?php\nif (PHP_VERSION_ID < 80200) {\n\texit(1);\n}\nif (PHP_VERSION_ID >= 80600) {\n\texit(1);\n}\n",
    "nextcloud/index.php": "<?php\n",
    "nextcloud/status.php": "<?php\n",
    "nextcloud/occ": "#!/usr/bin/env php\n",
    "nextcloud/core/shipped.json": JSON.stringify({
      shippedApps: ["files"],
      alwaysEnabled: ["files", "viewer"],
    }),
    "nextcloud/core/signature.json": "{}\n",
    "nextcloud/resources/codesigning/root.crt": authority.certificates,
    "nextcloud/resources/codesigning/root.crl": authority.revocations,
    "nextcloud/updater/index.php": "<?php\n",
    ...app("files"),
    ...app("viewer"),
    ...app("survey_client"),
  };
}

type Route = Buffer | string | RequestListener;

/** A web server on loopback, whose answers a test may change. */
export class TestSite {
  readonly routes = new Map<string, Route>();
  /** Paths in the order in which they were asked for. */
  readonly asked: string[] = [];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      const path = request.url ?? "";
      this.asked.push(path);
      const route = this.routes.get(path);
      if (route === undefined) response.writeHead(404).end();
      else if (typeof route === "function") route(request, response);
      else response.end(route);
    });
  }

  static async open(): Promise<TestSite> {
    const site = new TestSite();
    await new Promise<void>((resolve) => site.#server.listen(0, "127.0.0.1", resolve));
    return site;
  }

  get address(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** What an app's makers and the store say of one version. */
export interface Offer {
  id: string;
  version: string;
  archive: Buffer;
  signature: string;
  certificate: string;
  platform?: string;
  nightly?: boolean;
}

/** Everything that a release is made of. Keys are made once for all tests of a file; all else is a test's own. */
export class ReleaseWorld {
  readonly folder = mkdtempSync(join(tmpdir(), "framaspace-release-"));
  readonly nextcloud = new OpenPgpKey(this.folder, "nextcloud");
  readonly stranger = new OpenPgpKey(this.folder, "stranger");
  readonly authority: TestAuthority;
  readonly other: TestAuthority;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly site: TestSite;

  private constructor(
    authority: TestAuthority,
    other: TestAuthority,
    keys: webcrypto.CryptoKeyPair,
    site: TestSite,
  ) {
    this.authority = authority;
    this.other = other;
    this.keys = keys;
    this.site = site;
  }

  /** For all tests of a file: `beforeAll` returns `close`. */
  static async make(): Promise<ReleaseWorld> {
    const world = new ReleaseWorld(
      await TestAuthority.make(),
      await TestAuthority.make(),
      await rsaKeys(),
      await TestSite.open(),
    );
    return world;
  }

  /** Leaves nothing: no server, no agent of gpg's, no file. */
  readonly close = (): void => {
    this.site.close();
    this.nextcloud.close();
    this.stranger.close();
    rmSync(this.folder, { recursive: true });
  };

  get sources(): Sources {
    const { address } = this.site;
    return {
      server: `${address}/server`,
      key: `${address}/nextcloud.asc`,
      fingerprint: this.nextcloud.fingerprint,
      store: `${address}/api/v1`,
    };
  }

  /** Serves an archive of Nextcloud, signed. */
  async serveNextcloud(
    version: string,
    {
      inside = version,
      revoked = [],
      revocations,
      certificates = this.authority.certificates,
      key = this.nextcloud,
      more = {},
    }: {
      /** The version that the archive says it is. */
      inside?: string;
      revoked?: readonly string[];
      revocations?: string;
      certificates?: string;
      key?: OpenPgpKey;
      more?: Tree;
    } = {},
  ): Promise<Buffer> {
    const tree = serverTree(inside, {
      certificates,
      revocations: revocations ?? (await this.authority.revocations(revoked)),
    });
    const archive = await pack({ ...tree, ...more }, ["nextcloud"], ["--bzip2"]);
    this.#serveServer(version, archive, key);
    return archive;
  }

  /**
   * Serves a real release as if this world's Nextcloud had published it: with its own authority inside, packed and
   * signed again. Resolves to its version.
   */
  async serveRelease(path: string): Promise<string> {
    const folder = mkdtempSync(join(this.folder, "real-"));
    await execa("tar", ["--extract", "--file", path, "-C", folder]);
    const signing = join(folder, "nextcloud/resources/codesigning");
    writeFileSync(join(signing, "root.crt"), this.authority.certificates);
    writeFileSync(join(signing, "root.crl"), await this.authority.revocations([]));
    // These two are not what Nextcloud signed. A release without a signature is one that nothing can be compared with.
    rmSync(join(folder, "nextcloud/core/signature.json"), { force: true });
    const versionFile = readFileSync(join(folder, "nextcloud/version.php"), "utf8");
    const version = /\$OC_VersionString = '([\d.]+)'/.exec(versionFile)?.[1] ?? "";
    const packed = join(folder, "packed");
    await execa("tar", ["--create", "--bzip2", "--file", packed, "-C", folder, "nextcloud"]);
    this.#serveServer(version, readFileSync(packed), this.nextcloud);
    rmSync(folder, { recursive: true });
    return version;
  }

  #serveServer(version: string, archive: Buffer, key: OpenPgpKey): void {
    const file = join(this.folder, "to-sign");
    writeFileSync(file, archive);
    const path = `/server/v${version}/nextcloud-${version}.tar.bz2`;
    this.site.routes.set(path, archive);
    this.site.routes.set(`${path}.asc`, key.sign(file));
    this.site.routes.set("/nextcloud.asc", this.nextcloud.public);
  }

  /** A version of an app as its makers publish it, with what a test wants otherwise. */
  async offer(id: string, version: string, changes: Partial<Offer> & { tree?: Tree } = {}): Promise<Offer> {
    const { tree = appTree(id, version), ...rest } = changes;
    const archive = rest.archive ?? (await pack(tree, [id], ["--gzip"]));
    return {
      id,
      version,
      archive,
      signature: signApp(archive, this.keys.privateKey),
      certificate: rest.certificate ?? (await this.authority.certify(id, this.keys.publicKey)),
      ...rest,
    };
  }

  /** Serves the store's list for a version of Nextcloud, and the archives in it. */
  serveStore(nextcloud: string, offers: readonly Offer[]): void {
    const ids = [...new Set(offers.map(({ id }) => id))];
    const list = ids.map((id) => {
      const own = offers.filter((offer) => offer.id === id);
      return {
        id,
        certificate: own[0]?.certificate,
        releases: own.map(({ version, archive, signature, platform, nightly }) => {
          const path = `/apps/${id}-${version}.tar.gz`;
          this.site.routes.set(path, archive);
          return {
            version,
            download: `${this.site.address}${path}`,
            signature,
            isNightly: nightly ?? false,
            platformVersionSpec: platform ?? ">=33.0.0 <35.0.0",
            rawPlatformVersionSpec: ">=33 <=34",
            phpVersionSpec: ">=8.2.0 <8.6.0",
            phpExtensions: [],
            lastModified: "2026-10-01T10:00:00.000000Z",
            licenses: ["agpl"],
          };
        }),
      };
    });
    this.site.routes.set(`/api/v1/platform/${nextcloud}/apps.json`, JSON.stringify(list));
  }

  /** A repository with a catalog of these apps, and the configuration of the environment "demo". */
  repository(apps: readonly string[]): string {
    const root = mkdtempSync(join(this.folder, "repository-"));
    mkdirSync(join(root, "spaces"));
    const catalog = readFileSync(join(import.meta.dirname, "fleet/spaces/catalog.yaml"), "utf8")
      .replace(/^apps: .*$/m, `# On in every space.\napps: [${apps.join(", ")}]`)
      .replace(/^appsOptional: .*$/m, "appsOptional: []");
    writeFileSync(join(root, "spaces/catalog.yaml"), catalog);
    copyFileSync(join(import.meta.dirname, "fleet/Pulumi.demo.yaml"), join(root, "Pulumi.demo.yaml"));
    return root;
  }
}
