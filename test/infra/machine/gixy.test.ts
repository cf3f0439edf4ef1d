// gixy checks nginx's configuration: aliases that lack a slash, requests sent to a place of the client's choice, split
// responses, and the like. Needs gixy (the package gixy-ng of PyPI) on PATH.
import { execa, execaSync } from "execa";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as z from "zod";
import { storageMachines } from "../../../infra/inventory/addresses.ts";
import { renderGatewayNginx } from "../../../infra/gateway/gateway.ts";
import { renderS3Proxy } from "../../../infra/storage/s3-proxy.ts";
import { renderWebNginx } from "../../../infra/web/web.ts";
import { exampleEnvironment } from "../../support/example-environment.ts";

const isInstalled = execaSync("gixy", ["--version"], { reject: false }).exitCode === 0;

/** Findings of gixy that we keep, each with its reason. */
const KEPT = {
  add_header_redefinition:
    "an answer of one sentence has nothing to frame or to sniff, and pages have their own headers",
  host_spoofing: "requests to MinIO are signed with their Host, and MinIO makes no link of it",
  hsts_header: "machines talk to MinIO, not browsers; HSTS for browsers is Nextcloud's own",
  try_files_is_evil_too: "about speed; releases are on local disks",
  weak_ssl_tls: "TLS 1.2 at least, and both ends have OpenSSL's own list",
};

const prod = exampleEnvironment("prod");
const [node] = storageMachines(prod, "primary");
if (!node) throw new Error("prod has storage");
const CONFIGURATIONS = {
  gateway: renderGatewayNginx(prod, "10.0.10.1"),
  web: renderWebNginx(prod.domain, "10.0.20.1"),
  storage: renderS3Proxy(node),
};

describe.skipIf(!isInstalled)(`gixy${isInstalled ? "" : " (skipped: no gixy on PATH)"}`, () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "framaspace-gixy-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const find = async (name: string, text: string) => {
    const file = join(folder, `${name}.conf`);
    writeFileSync(file, text);
    // The files that the web servers' configuration includes.
    copyFileSync(
      join(import.meta.dirname, "../../../infra/web/rootfs/etc/nginx/space.conf"),
      join(folder, "space.conf"),
    );
    const words = ["--format", "json", "--skips", Object.keys(KEPT).join(","), file];
    const { stdout } = await execa("gixy", words, { reject: false });
    return z.array(z.object({ plugin: z.string() }).loose()).parse(JSON.parse(stdout));
  };

  test.each(Object.entries(CONFIGURATIONS))("finds nothing in %s", async (name, text) => {
    expect(await find(name, text)).toEqual([]);
  });

  test("finds an alias that lacks a slash", async () => {
    const bad = CONFIGURATIONS.gateway.replace(
      /server \{/,
      "server {\n    location /files {\n      alias /srv/spaces/;\n    }\n",
    );
    expect((await find("bad", bad)).map(({ plugin }) => plugin)).toContain("alias_traversal");
  });
});
