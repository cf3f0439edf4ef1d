// What no stack may declare. The rules check the program independently: they read resources as the engine receives them
// and share no code with the program. They cannot check deletions, because the engine shows only what is declared;
// `protect`, which the first rule requires, prevents those.
import {
  UnknownValueError,
  type ReportViolation,
  type ResourceValidationArgs,
  type ResourceValidationPolicy,
} from "@pulumi/policy";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

const BUCKET = "minio:index/s3Bucket:S3Bucket";
const COMMAND = "command:remote:Command";
const DATABASE = "postgresql:index/database:Database";
const FIREWALL = "hcloud:index/firewall:Firewall";
const SERVER = "hcloud:index/server:Server";
const SPACE = "framaspace:spaces:Space";

type Props = Record<string, unknown>;

/** Reads a value that may be unknown before `up`. It is undefined then; `up` checks it once it is known. */
function known<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof UnknownValueError) return undefined;
    throw error;
  }
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function isObject(value: unknown): value is Props {
  return typeof value === "object" && value !== null;
}

/** A rule about each resource of some types. */
function rule(
  name: string,
  description: string,
  types: readonly string[],
  validate: (props: Props, report: ReportViolation, args: ResourceValidationArgs) => void,
): ResourceValidationPolicy {
  return {
    name,
    description,
    enforcementLevel: "mandatory",
    validateResource: (args, report) => {
      if (types.includes(args.type)) validate(args.props, report, args);
    },
  };
}

/** Roles of machines whose disks hold the only copy of some data. */
const STATEFUL_ROLES = ["postgres", "logs", "ops"];
const STATEFUL = [BUCKET, DATABASE, "hcloud:index/volume:Volume", "hcloud:index/zone:Zone"];

/** URNs of archived spaces. The engine shows a parent before its children. */
const archivedSpaces = new Set<string>();

const statefulResourcesAreProtected = rule(
  "stateful-resources-are-protected",
  "Resources that hold data are protected, except those of an archived space.",
  [...STATEFUL, SERVER, SPACE],
  (props, report, { type, urn, opts }) => {
    if (type === SPACE) {
      if (props.state === "archived") archivedSpaces.add(urn);
      return;
    }
    const labels = type === SERVER ? known(() => props.labels) : undefined;
    const role = isObject(labels) ? labels.role : undefined;
    const stateful = STATEFUL.includes(type) || (typeof role === "string" && STATEFUL_ROLES.includes(role));
    const archived = opts.parent !== undefined && archivedSpaces.has(opts.parent);
    if (stateful && !archived && !opts.protect)
      report("protect is false; give it `protect: true`, or archive its space first.");
  },
);

const bucketsHaveQuotas = rule(
  "buckets-have-quotas",
  "Every bucket has a quota, so that one space cannot fill the storage of all.",
  [BUCKET],
  ({ quota }, report) => {
    if (typeof quota !== "number" || !(quota > 0))
      report(`quota is ${JSON.stringify(quota)}; write the plan's bytes with its margin.`);
  },
);

const activeBucketsAreNotEmptied = rule(
  "active-buckets-are-not-emptied",
  "Only the bucket of an archived space may be deleted with its objects.",
  [BUCKET],
  ({ forceDestroy }, report, { opts }) => {
    if (forceDestroy === true && !(opts.parent !== undefined && archivedSpaces.has(opts.parent)))
      report("forceDestroy is true; leave it out, or archive its space first.");
  },
);

const bucketsArePrivate = rule(
  "buckets-are-private",
  "No bucket is open to requests without a key.",
  [BUCKET],
  ({ acl }, report) => {
    if (acl !== undefined && acl !== "private")
      report(`acl is ${JSON.stringify(acl)}; leave it out: only the space's own user may read.`);
  },
);

const SSH = 22;

/** Tells whether a firewall rule accepts connections to SSH. */
function takesSsh({ direction, protocol, port }: Props): boolean {
  if (direction !== "in" || protocol !== "tcp") return false;
  if (typeof port !== "string" || port === "any") return true;
  const [from, to = from] = port.split("-").map(Number);
  return from !== undefined && to !== undefined && from <= SSH && SSH <= to;
}

/** Tells whether a range is too large for an administrator: more than a /8 of IPv4 or a /32 (one provider) of IPv6. */
function isWide(range: string): boolean {
  const [address, length] = range.split("/");
  return length !== undefined && Number(length) < (address?.includes(":") ? 32 : 8);
}

const sshIsNotOpenToEverybody = rule(
  "ssh-is-not-open-to-everybody",
  "No firewall accepts SSH from everywhere.",
  [FIREWALL],
  ({ rules }, report) => {
    for (const entry of list(rules).filter(isObject))
      if (takesSsh(entry))
        for (const source of list(known(() => entry.sourceIps)))
          if (typeof source === "string" && isWide(source))
            report(
              `port ${JSON.stringify(entry.port)} takes connections from ${source}; write the administrators' own addresses (framaspace:administrators).`,
            );
  },
);

const onlyOpsTakesSsh = rule(
  "only-ops-takes-ssh",
  "ops is the only way in.",
  [FIREWALL],
  ({ name, rules }, report) => {
    if (name === "ops") return;
    for (const entry of list(rules).filter(isObject))
      if (takesSsh(entry))
        report(
          `firewall ${JSON.stringify(name)} opens port ${JSON.stringify(entry.port)}; remove it and go through ops-1.`,
        );
  },
);

const serversHaveFirewalls = rule(
  "servers-have-firewalls",
  "No server is on the internet without a firewall.",
  [SERVER],
  (props, report) => {
    const ids = known(() => props.firewallIds);
    if (ids === undefined ? !("firewallIds" in props) : list(ids).length === 0)
      report("firewallIds is empty, so every port is open; give it its role's firewall.");
  },
);

/** Bucket names with a wildcard in the S3 resources of a text. `${aws:username}` means a single bucket. */
function wildcardBuckets(text: string): string[] {
  return [...text.matchAll(/arn:aws:s3:::([^"'/\s]*)/g)]
    .map(([, bucket = ""]) => bucket)
    .filter((bucket) => /[*?]/.test(bucket));
}

const policiesNameTheirBuckets = rule(
  "policies-name-their-buckets",
  "No policy reaches every bucket.",
  ["minio:index/iamPolicy:IamPolicy", "minio:index/s3BucketPolicy:S3BucketPolicy", COMMAND],
  (props, report) => {
    for (const key of ["policy", "create", "update", "stdin"]) {
      const text = known(() => props[key]);
      if (typeof text !== "string") continue;
      const everything = key === "policy" && /"Resource"\s*:\s*\[?\s*"\*"/.test(text) ? ["*"] : [];
      for (const bucket of [...everything, ...wildcardBuckets(text)])
        report(
          `${key} grants bucket "${bucket}"; name one bucket, or one for each user: space-\${aws:username}.`,
        );
    }
  },
);

/** What secrets look like, each with its name in the report. The report never shows the secret. */
const SECRETS: readonly (readonly [what: string, pattern: RegExp])[] = [
  ["a private key", /-----BEGIN [A-Z ]*PRIVATE KEY-----/],
  // `password=$PASSWORD` only names a credential.
  ["a credential", /(?:pass(?:word|wd|phrase)?|secret|token|api[-_]?key)["']?\s*[:=]\s*["']?[^\s"'$]{6,}/i],
  ["a credential in an address", /\w:\/\/[^\s/:@]+:[^\s/@$]{6,}@/],
  [
    "a random word",
    /(?=[A-Za-z0-9_-]*[a-z])(?=[A-Za-z0-9_-]*[A-Z])(?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{32,}/,
  ],
];

const commandsHoldNoSecret = rule(
  "commands-hold-no-secret",
  "Secrets reach machines on standard input: other processes can read command lines and environments.",
  [COMMAND],
  (props, report) => {
    const environment = known(() => props.environment);
    const texts = [
      ...["create", "update", "delete"].map((key) => [key, known(() => props[key])] as const),
      ...(isObject(environment)
        ? Object.keys(environment).map((key) => {
            const value = known(() => environment[key]);
            return [`environment.${key}`, typeof value === "string" ? `${key}=${value}` : value] as const;
          })
        : []),
    ];
    for (const [key, text] of texts)
      for (const [what, pattern] of SECRETS)
        if (typeof text === "string" && pattern.test(text))
          report(`${key} holds what looks like ${what}; pass it in stdin, as infra/machine/remote.ts does.`);
  },
);

const commandsHaveNoTriggers = rule(
  "commands-have-no-triggers",
  "Triggers replace a command, and a replacement runs its delete. Changed settings already run a script again.",
  [COMMAND],
  (props, report) => {
    const triggers = known(() => props.triggers);
    if (list(triggers).length > 0)
      report(
        `triggers has ${list(triggers).length}; put what should make it run again into the script's settings.`,
      );
  },
);

const usersAreNotForced = rule(
  "users-are-not-forced",
  "forceDestroy makes the provider delete a user at its next update.",
  ["minio:index/iamUser:IamUser"],
  ({ forceDestroy }, report) => {
    if (forceDestroy === true) report("forceDestroy is true; leave it out.");
  },
);

/** The plans of the catalog, which people review. The rules read no other file of the repository. */
function knownPlans(): string[] {
  const catalog: unknown = parse(readFileSync(join(import.meta.dirname, "../spaces/catalog.yaml"), "utf8"));
  return isObject(catalog) && isObject(catalog.plans) ? Object.keys(catalog.plans) : [];
}

const spacesHaveKnownPlans = rule(
  "spaces-have-known-plans",
  "Every space belongs to a plan of the catalog.",
  [SPACE],
  ({ plan }, report) => {
    const plans = knownPlans();
    if (typeof plan !== "string" || !plans.includes(plan))
      report(`plan is ${JSON.stringify(plan)}; write one of ${plans.join(", ")}.`);
  },
);

/** All rules. */
export const RULES: readonly ResourceValidationPolicy[] = [
  statefulResourcesAreProtected,
  bucketsHaveQuotas,
  activeBucketsAreNotEmptied,
  bucketsArePrivate,
  sshIsNotOpenToEverybody,
  onlyOpsTakesSsh,
  serversHaveFirewalls,
  policiesNameTheirBuckets,
  commandsHoldNoSecret,
  commandsHaveNoTriggers,
  usersAreNotForced,
  spacesHaveKnownPlans,
];
