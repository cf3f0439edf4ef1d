// Writes the lab's own copy of Pulumi.lab.yaml, with what differs in a lab: where artifacts come from, which storage
// servers are dedicated, what is left out. The program reads it like any environment's; it has no code for labs.
import { execa } from "execa";
import { existsSync } from "node:fs";
import { access, cp, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { delimiter, dirname, join, resolve } from "node:path";
import { parseDocument } from "yaml";
import { allMachines, siteName, storageMachines } from "../infra/inventory/addresses.ts";
import {
  environmentSchema,
  SECRET_KEYS,
  type Artifact,
  type Environment,
  type SiteRole,
} from "../infra/inventory/environment.ts";
import { sshKeyPair } from "../infra/pki/keys.ts";
import { Secrets } from "../infra/pki/secrets.ts";
import { sha256Of } from "../release/checksum.ts";
import { loadFleet } from "../spaces/fleet/load-fleet.ts";
import { readStackConfiguration } from "../evaluate/stack-configuration.ts";
import type { Lab } from "./lab.ts";
import type { FoundParts } from "./real-parts.ts";
import { MAIL_PORT } from "./mail.ts";
import { ADMIN_ADDRESS, BALANCER_ADDRESS } from "./namespaces.ts";
import { officeRepository } from "./office-repository.ts";
import type { DedicatedMachine, Settings } from "./settings.ts";
import { UserError } from "../validation/user-error.ts";

export const ROOT = join(import.meta.dirname, "..");
/** The environment whose configuration and entries a lab uses. */
export const ENVIRONMENT = "lab";
/** Passphrase of the secrets in the committed environments. They protect nothing. */
export const PASSPHRASE = "example";

/** What the user gave: the paths of artifacts, and the number of storage servers. */
export interface Given {
  /** Port on the host's loopback. The addresses of spaces contain it. */
  port: number;
  minio?: string;
  mc?: string;
  imaginary?: string;
  nextcloud?: string[];
  /** Why a part that is not given could not be had either. */
  missing?: FoundParts["missing"];
  /** Storage servers in the first pool of each site, and in its second pool. 0 means no such pool. */
  storageNodes: number;
  storageSecondPool: number;
  storageSites: number;
  storageServing: SiteRole;
  storageUnreachable?: SiteRole;
}

export interface LabConfiguration {
  file: string;
  environment: Environment;
  secrets: Secrets;
  dedicated: DedicatedMachine[];
  /** File name → path, for the artifact server. */
  artifacts: Record<string, string>;
  /** What the lab does not have, and why. */
  leftOut: LeftOut[];
}

type Releases = NonNullable<Environment["releases"]>;
type LeftOut = Settings["leftOut"][number];

const DRIVES = 4;
/** Each site, with the last part of its first server's public address. */
const SITES = [
  ["primary", 131],
  ["replica", 141],
] as const;

/** Writes the lab's configuration file and returns what is in it. */
export async function configure(lab: Lab, given: Given): Promise<LabConfiguration> {
  await mkdir(lab.directory, { recursive: true, mode: 0o700 });
  const source = join(ROOT, `Pulumi.${ENVIRONMENT}.yaml`);
  const { values } = await readStackConfiguration(source, PASSPHRASE);
  const secrets = new Secrets(
    values["framaspace:masterSecret"] ?? "",
    ENVIRONMENT,
    JSON.parse(values["framaspace:generations"] ?? "{}"),
  );
  const document = parseDocument(await readFile(source, "utf8"));
  const set = (key: string, value: unknown) =>
    document.setIn(["config", `framaspace:${key}`], document.createNode(value));
  const artifacts: Record<string, string> = {};
  const serve = async (path: string, name: string): Promise<Artifact> => {
    const file = resolve(path);
    await access(file).catch(() => {
      throw new UserError(`${file} is not there; give --${name.replace(/\..*/, "")} the path of a file.`);
    });
    const sha256 = await sha256Of(file);
    // The checksum is in the name, so another file has another address.
    const served = `${sha256.slice(0, 12)}/${name}`;
    artifacts[served] = file;
    return { url: `http://${ADMIN_ADDRESS}/${served}`, sha256 };
  };
  const leftOut: LeftOut[] = [];

  set("port", given.port);
  document.setIn(["config", "framaspace:mail", "host"], ADMIN_ADDRESS);
  document.setIn(["config", "framaspace:mail", "port"], MAIL_PORT);
  const installed = await releases(lab, given, serve, leftOut);
  set("releases", installed);
  if (given.minio !== undefined) {
    const mc = given.mc ?? (await findClient(given.minio));
    set("storage", storage(given, secrets, await serve(given.minio, "minio"), await serve(mc, "mc")));
  } else if (given.mc !== undefined)
    throw new UserError("--mc is MinIO's client alone; give the server too: --minio PATH.");
  else
    leftOut.push({
      what: "storage (MinIO)",
      why: `${given.missing?.minio ?? "no binary: give --minio PATH."} Spaces have no bucket; all else is as it would be`,
    });
  if (given.imaginary) {
    set("imaginary", await serve(given.imaginary, "imaginary"));
    document.setIn(["config", "framaspace:machines", "imaginary", "count"], 1);
  } else
    leftOut.push({
      what: "imaginary",
      why: `${given.missing?.imaginary ?? "no binary: give --imaginary PATH."} Previews are not made`,
    });
  if (given.nextcloud !== undefined && Object.values(installed).some(hasConnector)) {
    const wildcard = { balancer: BALANCER_ADDRESS, port: given.port };
    const collabora = await officeRepository(lab, wildcard, (name, path) => (artifacts[name] = path));
    set("office", { suites: ["collabora"], repositories: { collabora } });
    document.setIn(["config", "framaspace:machines", "office", "count"], 1);
    leftOut.push({
      what: "Collabora",
      why: "it comes from its makers' repository, which no lab machine can reach. A fake answers on office-1: it opens and saves documents, and shows none",
    });
  } else
    leftOut.push({
      what: "office",
      why: "no release with Collabora's connector (apps/richdocuments): give --nextcloud PATH of one",
    });

  const config: unknown = document.toJS();
  const file = join(lab.directory, `Pulumi.${ENVIRONMENT}.yaml`);
  await writeFile(file, document.toString());
  const environment = parseEnvironment(config);
  return {
    file,
    environment,
    secrets,
    dedicated: dedicatedMachines(environment, secrets),
    artifacts,
    leftOut,
  };
}

/** Checks the document by the schema of all environments. An error here is a bug of this file. */
function parseEnvironment(document: unknown): Environment {
  const { config } = document as { config: Record<string, unknown> };
  const secret = new Set([...Object.keys(SECRET_KEYS), "mailPassword"].map((key) => `framaspace:${key}`));
  const plain = Object.entries(config).filter(([key]) => !secret.has(key));
  return environmentSchema.parse(
    Object.fromEntries(plain.map(([key, value]) => [key.replace(/^framaspace:/, ""), value])),
  );
}

/** Finds MinIO's client beside the server's binary, or on PATH. Midnight Commander may have the same name there. */
async function findClient(minio: string): Promise<string> {
  const folders = [dirname(resolve(minio)), ...(process.env.PATH ?? "").split(delimiter)];
  for (const path of folders.map((folder) => join(folder, "mc")).filter((file) => existsSync(file))) {
    const { stdout } = await execa(path, ["--version"], { reject: false });
    if (/minio/i.test(stdout)) return path;
  }
  throw new UserError(
    `--minio is given, but MinIO's client is neither beside ${minio} nor on PATH as mc; give --mc PATH.`,
  );
}

/** Whether a release connects spaces to Collabora. */
const hasConnector = ({ without = [] }: Releases[string]) => !without.includes("richdocuments");

type Serve = (path: string, name: string) => Promise<Artifact>;

/** The releases that the user gave. Without them, the fake, under every version that the catalog keeps. */
async function releases(
  lab: Lab,
  { nextcloud, missing }: Given,
  serve: Serve,
  leftOut: LeftOut[],
): Promise<Releases> {
  const { catalog } = loadFleet(ROOT, ENVIRONMENT);
  if (!catalog) throw new UserError("spaces/catalog.yaml is not valid; see: npm run check -- tenants");
  const installed: Releases = {};
  if (nextcloud === undefined) {
    leftOut.push({
      what: "Nextcloud",
      why: `${missing?.nextcloud ?? "no release: give --nextcloud PATH."} A fake page answers in its place`,
    });
    const artifact = await serve(
      await packFake(lab, [...catalog.apps, ...catalog.appsOptional, ...catalog.appsOff]),
      "nextcloud.tar",
    );
    return Object.fromEntries(Object.keys(catalog.releases).map((version) => [version, artifact]));
  }
  for (const [index, given] of nextcloud.entries()) {
    const found = await stat(given).catch(() => {
      throw new UserError(
        `--nextcloud ${given} is not there; give the path of a release's archive or folder.`,
      );
    });
    const path = found.isDirectory() ? await pack(lab, resolve(given), `nextcloud-${index}.tar`) : given;
    const { version, apps } = await inspectRelease(path);
    if (installed[version])
      throw new UserError(`--nextcloud gives ${version} twice; give each release once.`);
    const without = [...catalog.apps, ...catalog.appsOptional].filter((app) => !apps.has(app));
    if (without.length > 0)
      leftOut.push({
        what: `apps in ${version}`,
        why: `${without.join(", ")}: the catalog lists them, ${given} has them not, so no space gets them`,
      });
    const suffix = /\.tar(\.\w+)?$/.exec(path)?.[0] ?? ".tar";
    installed[version] = {
      ...(await serve(path, `nextcloud${suffix}`)),
      ...(without.length > 0 && { without }),
    };
  }
  return installed;
}

/** Which release an archive holds, and with which apps. */
async function inspectRelease(path: string): Promise<{ version: string; apps: Set<string> }> {
  const wanted = ["--wildcards", "--no-wildcards-match-slash", "*/version.php", "*/apps/*/appinfo/info.xml"];
  // tar prints names to standard error, contents to standard output.
  const words = ["--extract", "--to-stdout", "--verbose", "--file", resolve(path), ...wanted];
  const { stdout, stderr } = await execa("tar", words, { reject: false });
  const version = /\$OC_VersionString\s*=\s*'(\d+\.\d+\.\d+)'/.exec(stdout)?.[1];
  if (version === undefined)
    throw new UserError(
      `${path} holds no Nextcloud release: no version.php that names one. Give a tar archive as Nextcloud publishes it, or a release's folder.`,
    );
  return {
    version,
    apps: new Set([...stderr.matchAll(/\/apps\/([^/]+)\/appinfo\/info\.xml$/gm)].map(([, app = ""]) => app)),
  };
}

/** Packs the fake. It contains every app of the catalog, by name only. */
async function packFake(lab: Lab, apps: readonly string[]): Promise<string> {
  const tree = join(lab.directory, "fake");
  await rm(tree, { recursive: true, force: true });
  await cp(join(import.meta.dirname, "fake-nextcloud"), tree, { recursive: true });
  for (const app of apps) {
    await mkdir(join(tree, "apps", app, "appinfo"), { recursive: true });
    await writeFile(join(tree, "apps", app, "appinfo/info.xml"), `<info><id>${app}</id></info>\n`);
  }
  return pack(lab, tree, "nextcloud.tar");
}

/** Packs a release's folder: same files, same bytes. Configuration and data of a space that ran there stay out. */
async function pack(lab: Lab, tree: string, name: string): Promise<string> {
  const archive = join(lab.directory, name);
  const same = [
    "--sort=name",
    "--mtime=@0",
    "--owner=0",
    "--group=0",
    "--numeric-owner",
    "--mode=u+rw,go=rX",
  ];
  const without = ["--exclude=./config/config.php", "--exclude=./data"];
  const renamed = ["--transform=s,^\\.,nextcloud,S", "-C", tree, "."];
  await execa("tar", ["--create", `--file=${archive}`, ...same, ...without, ...renamed]);
  return archive;
}

/** The inventory of dedicated servers. The lab boots them, and creates their drives. */
function storage(given: Given, secrets: Secrets, minio: Artifact, mc: Artifact) {
  const { storageNodes, storageSecondPool, storageSites, storageServing, storageUnreachable } = given;
  const sites = SITES.slice(0, storageSites).map(([role, host]) => {
    const servers = Array.from({ length: storageNodes + storageSecondPool }, (_, index) => {
      const name = `${siteName(role)}${index + 1}`;
      const drives = Array.from({ length: DRIVES }, (_, drive) => `lab-${name}-drive-${drive + 1}`);
      return {
        name,
        address: `203.0.113.${host + index}`,
        hostKey: hostKey(secrets, name).publicKey,
        drives,
      };
    });
    return [
      role,
      {
        location: "lab",
        ...(role === storageUnreachable && { declaredUnreachable: "as asked for" }),
        servers,
      },
    ];
  });
  return {
    pools: [storageNodes, storageSecondPool]
      .filter((nodes) => nodes > 0)
      .map((nodes) => ({ nodes, drivesPerNode: DRIVES, driveTerabytes: 0.02 })),
    parity: storageNodes === 1 ? 2 : 4,
    serving: storageServing,
    retention: { oldVersionDays: 30, unfinishedUploadHours: 48, exportDays: 365 },
    serverType: "lab-storage",
    commitRatio: 1000,
    minio,
    mc,
    sites: Object.fromEntries(sites),
  };
}

/** A host key, derived like those of the cloud machines. In production it is read from the server. */
function hostKey(secrets: Secrets, name: string) {
  return sshKeyPair(secrets.machineSeed(name, "ssh-host-key"));
}

function dedicatedMachines(environment: Environment, secrets: Secrets): DedicatedMachine[] {
  const { publicKey } = deployKey(secrets);
  return (["primary", "replica"] as const).flatMap((site) =>
    storageMachines(environment, site).map(({ name, privateAddress, server: { address, drives } }) => ({
      name,
      address,
      privateAddress,
      hostKey: hostKey(secrets, name),
      drives,
      declaredUnreachable: environment.storage?.sites[site]?.declaredUnreachable !== undefined,
      publicKey,
    })),
  );
}

/** The SSH key that all machines accept. */
export function deployKey(secrets: Secrets) {
  return sshKeyPair(secrets.seed("deploy", "ssh"));
}

/** Name, address and known host key of every machine, for SSH's configuration. */
export function knownMachines({ environment, secrets }: Pick<LabConfiguration, "environment" | "secrets">) {
  return allMachines(environment).map(({ name, role, privateAddress }) => ({
    name,
    role,
    privateAddress,
    hostKey: hostKey(secrets, name).publicKey,
  }));
}
