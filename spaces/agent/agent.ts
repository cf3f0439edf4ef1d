// The software that works on spaces, as files for the machines: the programs of ops-1, the configuration that all
// spaces share, and the access by which ops-1 copies directories to the web servers and runs code on workers.
// infra/web/web.ts, infra/worker/worker.ts and infra/ops/space-host.ts install it.
import * as pulumi from "@pulumi/pulumi";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { cloudMachines, servingMachines, SUBNETS } from "../../infra/inventory/addresses.ts";
import type { Environment } from "../../infra/inventory/environment.ts";
import { PORTS } from "../../infra/machine/firewall.ts";
import { forcedCommand, opsKey } from "../../infra/machine/ops-keys.ts";
import { Access, rootfs } from "../../infra/machine/remote.ts";
import type { Secrets } from "../../infra/pki/secrets.ts";
import type { SpaceSoftware } from "../../infra/web/web.ts";
import { REFUSED_APPS, type Catalog } from "../fleet/catalog.ts";
import type { CatalogFile, PlatformFile } from "./machine-files.ts";

interface SoftwareArgs {
  environment: Environment;
  secrets: Secrets;
  catalog: Catalog;
  /** Absent if mail is sent without a login. */
  mailPassword: pulumi.Input<string> | undefined;
}

/** The files of the spaces' software. */
export function spaceSoftware({ environment, secrets, catalog, mailPassword }: SoftwareArgs): SpaceSoftware {
  const webServers = cloudMachines(environment, "web");
  const workers = cloudMachines(environment, "worker");
  const access = new Access(secrets);
  return {
    shared: [
      ...rootfs("spaces/agent/rootfs"),
      { path: "/etc/framaspace/releases", content: renderReleases(catalog) },
      { path: "/etc/framaspace/refused-apps", content: renderRefusedApps(catalog) },
      {
        // Each space's user reads it. It holds what all of them may know, and nobody else logs in to these machines.
        path: "/etc/framaspace/platform.json",
        content: renderPlatform(environment, catalog, mailPassword),
      },
    ],
    web: [
      {
        path: "/etc/framaspace/authorized_keys/root",
        content: forcedCommand(environment, secrets, "distribute", "/usr/local/sbin/space-access"),
      },
    ],
    worker: [
      ...rootfs("spaces/agent/rootfs-worker"),
      {
        path: "/etc/framaspace/authorized_keys/root",
        content: forcedCommand(environment, secrets, "worker", "/usr/local/sbin/run-as-space"),
      },
      { path: "/etc/php/8.4/cli/conf.d/90-framaspace.ini", content: renderCli() },
    ],
    ops: [
      ...rootfs("spaces/agent/rootfs-ops"),
      // restore-space-at needs the backups, which object storage holds.
      ...(environment.storage ? rootfs("spaces/agent/rootfs-backups") : []),
      { path: "/etc/framaspace/catalog.json", content: renderCatalog(catalog) },
      {
        path: "/etc/framaspace/wanted/key",
        mode: "0600",
        content: secrets.password("ops", "wanted").apply((key) => `${key}\n`),
      },
      { path: "/etc/framaspace/web-servers", content: lines(webServers.map(({ name }) => name)) },
      // The connection stays open for 120 s, so a tenants file of a hundred spaces connects once.
      ...opsKey("distribute", { secrets, access, machines: webServers, persist: 120 }),
      { path: "/etc/framaspace/workers", content: lines(workers.map(({ name }) => name)) },
      // Longer than workers wait for ops-1 (infra/worker/rootfs/etc/ssh/sshd_config.d): who finds one unreachable must
      // know that nothing runs there any more.
      ...opsKey("worker", { secrets, access, machines: workers, persist: "service", aliveSeconds: 8 }),
    ],
    host: catalog.host,
  };
}

/** PHP's settings for Nextcloud's command line. It may call what PHP may call on web servers. */
export function renderCli(): string {
  const pool = readFileSync(
    join(import.meta.dirname, "../../infra/web/rootfs/etc/php/8.4/fpm/conf.d/90-framaspace.ini"),
    "utf8",
  );
  const functions = /^disable_functions = (.+)$/m.exec(pool)?.[1];
  if (functions === undefined) throw new Error("90-framaspace.ini says no longer what PHP may not call");
  return lines([
    `disable_functions = ${functions},opcache_get_status`,
    // FFI gives access to every function of libc. By default it is off on web servers, but on for the command line.
    "ffi.enable = 0",
    "memory_limit = 512M",
  ]);
}

function lines(values: readonly string[]): string {
  return values.map((value) => `${value}\n`).join("");
}

/** /etc/framaspace/releases: one line for each release, `version sha256 url`, or `version unbuilt`. */
export function renderReleases({ releases }: Pick<Catalog, "releases">): string {
  return lines(
    Object.entries(releases).map(([version, { sha256, url }]) =>
      sha256 !== undefined && url !== undefined ? `${version} ${sha256} ${url}` : `${version} unbuilt`,
    ),
  );
}

/** /etc/framaspace/refused-apps: one line for each app that install-releases removes from the releases. */
export function renderRefusedApps({ appsOff }: Catalog): string {
  return lines([...REFUSED_APPS.keys(), ...appsOff]);
}

/** /etc/framaspace/catalog.json: what the programs of ops-1 need of the catalog for every space. */
export function renderCatalog(catalog: Catalog): string {
  const { apps, appsOptional, appsOff, officeSuites, upgrade, archive, cron } = catalog;
  const officeApps = Object.fromEntries(Object.entries(officeSuites).map(([suite, { app }]) => [suite, app]));
  const appsRefused = [...REFUSED_APPS.keys()];
  const acceptedReleases = Object.entries(catalog.releases)
    .filter(([, { acceptDifferences }]) => acceptDifferences)
    .map(([version]) => version);
  const lists = { apps, appsOptional, appsOff, appsRefused, officeApps, acceptedReleases };
  const file: CatalogFile = { ...lists, upgrade, archive, cron };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** /etc/framaspace/platform.json: what config.php and theme.php need to know about this environment. */
export function renderPlatform(
  environment: Environment,
  catalog: Catalog,
  mailPassword: pulumi.Input<string> | undefined,
): pulumi.Output<string> {
  const names = (machines: readonly { name: string }[]) => machines.map(({ name }) => name);
  const storage = servingMachines(environment);
  const [imaginary] = cloudMachines(environment, "imaginary");
  const [office] = cloudMachines(environment, "office");
  const [redis] = cloudMachines(environment, "redis");
  const { host, port, from, user } = environment.mail;
  const platform = {
    host: catalog.host,
    domain: environment.domain,
    ...(environment.port && { port: environment.port }),
    ca: "/usr/local/share/ca-certificates/framaspace.crt",
    gateways: SUBNETS.gateway,
    database: { hosts: names(cloudMachines(environment, "postgres")).join(","), port: PORTS.postgres },
    redis: { host: redis?.name, port: PORTS.redis },
    mail: { host, port, from, ...(user && { user, password: mailPassword }) },
    ...(storage.length > 0 && { s3: { hosts: names(storage), port: PORTS.s3 } }),
    ...(imaginary && {
      imaginary: { url: `http://${imaginary.name}:${PORTS.imaginary}` },
    }),
    ...(office && {
      office: {
        suites: environment.office?.suites ?? [],
        url: `http://${office.name}:${PORTS.collabora}`,
        clients: SUBNETS.office,
      },
    }),
  };
  return pulumi.output(platform).apply((file: PlatformFile) => `${JSON.stringify(file, null, 2)}\n`);
}
