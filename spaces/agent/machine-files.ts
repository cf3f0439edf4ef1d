// The form of the files in /etc/framaspace: spaces/agent/agent.ts writes them, and the programs of ops-1 read them.

/** platform.json: what config.php, theme.php and the programs need to know about this environment. */
export interface PlatformFile {
  host: unknown;
  domain: string;
  /** Of the spaces' addresses, where it is not 443: in a lab. */
  port?: number | undefined;
  ca: string;
  gateways: string;
  /** Names of the machines, with commas. */
  database: { hosts: string; port?: number };
  redis: { host: string | undefined; port: number };
  mail: {
    host: string;
    port: number;
    from: string;
    user?: string | undefined;
    password?: string | undefined;
  };
  s3?: { hosts: string[]; port: number };
  imaginary?: { url: string };
  office?: { suites: readonly string[]; url: string; clients: string };
}

/** catalog.json: what the programs of ops-1 need of the catalog for every space. */
export interface CatalogFile {
  apps: readonly string[];
  appsOptional: readonly string[];
  appsOff: readonly string[];
  appsRefused: readonly string[];
  /** Office suite → its app. */
  officeApps: Readonly<Record<string, string>>;
  /** Releases that spaces may get though their files differ from what their makers signed. */
  acceptedReleases?: readonly string[];
  upgrade: { stopAtFailedPercent: number };
  archive: { graceDays: number };
  cron: { jobsPerWorker: number; activeMinutes: number; idleMinutes: number };
}
