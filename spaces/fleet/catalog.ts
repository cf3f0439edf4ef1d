// What all spaces share: the schema of spaces/catalog.yaml. It holds no value itself, and nothing of one space.
import * as z from "zod";
import { checksum, REFUSED_SUITES, type Environment } from "../../infra/inventory/environment.ts";

/** Nextcloud reads "40 GB" in a quota as 40 × 2^30 bytes (OCP\Util::computerFileSize), so that is what we promise. */
export const GIGABYTE = 1024 ** 3;

/** Apps without which Nextcloud does not work: `alwaysEnabled` in core/shipped.json of 34.0.1. */
export const ALWAYS_ON: ReadonlySet<string> = new Set([
  "appstore",
  "cloud_federation_api",
  "dav",
  "federatedfilesharing",
  "files",
  "lookup_server_connector",
  "oauth2",
  "profile",
  "provisioning_api",
  "settings",
  "theming",
  "twofactor_backupcodes",
  "viewer",
  "workflowengine",
]);

/** Apps that no space gets, whatever a release contains, and why. Each app has the name of its suite. */
export const REFUSED_APPS: ReadonlyMap<string, string> = REFUSED_SUITES;

const name = z
  .string()
  .regex(/^[a-z][a-z0-9-]*$/, "write lower-case letters, digits and hyphens, such as standard");
const app = z
  .string()
  .regex(
    /^[a-z][a-z0-9_]*$/,
    "write an app's folder name: lower-case letters, digits and underscores, such as calendar",
  );
const version = z.string().regex(/^\d+\.\d+\.\d+$/, "write a version such as 34.0.4");

/** The page "Theming" of Nextcloud takes names of 250 characters, slogans and addresses of 500. */
const sentence = z
  .string()
  .regex(/^\S(.*\S)?$/, "write one line of text")
  .max(250);
const page = z
  .url({ protocol: /^https$/, error: "write an address such as https://example.org/legal" })
  .max(500);

const host = z.strictObject({
  name: sentence.meta({ examples: ["Framasoft"] }).describe("who runs the platform"),
  url: page.describe("its site"),
  slogan: sentence
    .meta({ examples: ["Un espace libre pour les associations"] })
    .describe("stands below a space's name, unless the space chose another"),
  legalNotice: page.describe("legal notice"),
  privacy: page.describe("privacy policy"),
  terms: page.describe("terms, to which everybody who makes an account agrees"),
});

const plan = z.strictObject({
  storageGb: z.int().min(1).describe("for the whole space, in gigabytes of 2^30 bytes"),
  accounts: z.int().min(1).describe("enabled accounts, the administrator included"),
});

const release = z.strictObject({
  // Together, or neither (spaces/fleet/fleet-checks.ts).
  url: z
    .url({ protocol: /^https?$/ })
    .refine((url) => !/\/\/[^/]*@/.test(url), {
      error: "an address without a login: what stands here is read by everybody, on every machine too",
      params: { found: "an address that holds a login" },
    })
    .optional()
    .describe("where machines download the release's archive"),
  sha256: checksum.optional().describe("of the archive; without it, `up` refuses to begin"),
  state: z
    .enum(["current", "leaving"])
    .describe("leaving: kept for the spaces still on it, no wave may point at it"),
  acceptDifferences: z
    .literal(true)
    .optional()
    .describe("somebody looked at how its files differ from what their makers signed (docs/releases.md)"),
});

const officeSuite = z.strictObject({ app: app.describe("the app that connects a space to this suite") });

/** spaces/catalog.yaml. */
export const catalogSchema = z.strictObject({
  host: host.describe("on the login page of each space; no space can take it off"),
  plans: z.record(name, plan),
  officeSuites: z.record(name, officeSuite),
  apps: z.array(app).describe("enabled in every space; apps that a release ships always on are not listed"),
  appsOptional: z
    .array(app)
    .describe("off in a new space, and its administrator's choice; each release has them too"),
  appsOff: z
    .array(app)
    .describe("in no space: their code is removed from the releases, so no administrator can turn them on"),
  releases: z.record(version, release).describe("Nextcloud releases kept on the servers"),
  waves: z.record(name, version).describe("wave → release; an upgrade moves a wave"),
  upgrade: z.strictObject({
    stopAtFailedPercent: z
      .int()
      .min(0)
      .max(100)
      .describe("share of a wave's spaces that may fail before it stops"),
  }),
  archive: z.strictObject({
    graceDays: z.int().min(0).describe("days between a verified export and the loss of the live data"),
  }),
  cron: z.strictObject({
    jobsPerWorker: z.int().min(1).describe("jobs at once for each worker, besides as many long ones"),
    activeMinutes: z.int().min(1).describe("interval for spaces in use"),
    idleMinutes: z.int().min(1).describe("interval for spaces nobody has used lately"),
  }),
});
export type Catalog = z.infer<typeof catalogSchema>;
export type Plan = z.infer<typeof plan>;
export type Release = z.infer<typeof release>;

/**
 * The catalog as an environment uses it. If the environment has releases of its own, it uses those, and only the apps
 * that all of them contain. Which files are in those is somebody's own choice.
 */
export function catalogOf(catalog: Catalog, { releases: own }: Pick<Environment, "releases">): Catalog {
  if (!own) return catalog;
  const [oldest = ""] = Object.keys(own).sort(byVersion);
  const lacking = new Set(Object.values(own).flatMap(({ without = [] }) => without));
  return {
    ...catalog,
    apps: catalog.apps.filter((name) => !lacking.has(name)),
    appsOptional: catalog.appsOptional.filter((name) => !lacking.has(name)),
    releases: Object.fromEntries(
      Object.entries(own).map(([number, { url, sha256 }]) => [
        number,
        { url, sha256, state: "current", acceptDifferences: true },
      ]),
    ),
    waves: Object.fromEntries(
      Object.entries(catalog.waves).map(([wave, number]) => [wave, own[number] ? number : oldest]),
    ),
  };
}

/** Orders 9.0.1 before 10.0.0. */
function byVersion(one: string, other: string): number {
  return one.localeCompare(other, "en", { numeric: true });
}
