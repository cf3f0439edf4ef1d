// Tests every rule with resources that it accepts and resources that it refuses.
import { UnknownValueError, type ResourceValidationArgs } from "@pulumi/policy";
import { describe, expect, it } from "vitest";
import { RULES } from "../../policies/rules.ts";
import { graphOf } from "../support/platform-graph.ts";

interface Fake {
  type: string;
  props?: Record<string, unknown>;
  name?: string;
  urn?: string;
  protect?: boolean;
  parent?: string;
}

/** The messages of one rule about a resource. */
function violations(
  ruleName: string,
  { type, props = {}, name = "it", urn = name, protect, parent }: Fake,
): string[] {
  const found = RULES.find((each) => each.name === ruleName);
  if (typeof found?.validateResource !== "function") throw new Error(`no rule ${ruleName}`);
  const reports: string[] = [];
  const args = { type, props, name, urn, opts: { protect: protect ?? false, parent } };
  void found.validateResource(args as ResourceValidationArgs, (message) => reports.push(message));
  return reports;
}

const BUCKET = "minio:index/s3Bucket:S3Bucket";
const COMMAND = "command:remote:Command";
const DATABASE = "postgresql:index/database:Database";
const FIREWALL = "hcloud:index/firewall:Firewall";
const POLICY = "minio:index/iamPolicy:IamPolicy";
const SERVER = "hcloud:index/server:Server";
const SPACE = "framaspace:spaces:Space";
const USER = "minio:index/iamUser:IamUser";

const opens = (port: string, sourceIps: string[], name = "ops") => ({
  type: FIREWALL,
  props: { name, rules: [{ direction: "in", protocol: "tcp", port, sourceIps }] },
});
const command = (props: Record<string, unknown>) => ({ type: COMMAND, props });
const grants = (...resources: string[]) => ({
  type: POLICY,
  props: { policy: JSON.stringify({ Statement: [{ Effect: "Allow", Resource: resources }] }) },
});
const key = "-----BEGIN OPENSSH PRIVATE KEY-----";
const random = "q7Zt0mJw9sVb3XcY5nKd8RfG2hLp6TuE";

/** For each rule: resources that it accepts, and refused ones with a part of the message. */
const CASES: Record<string, { passes: Fake[]; refuses: [Fake, string][] }> = {
  "stateful-resources-are-protected": {
    passes: [
      { type: BUCKET, protect: true },
      { type: SERVER, props: { labels: { role: "web" } } },
      { type: SERVER, props: { labels: { role: "postgres" } }, protect: true },
      { type: USER },
    ],
    refuses: [
      [{ type: BUCKET }, "protect is false; give it `protect: true`"],
      [{ type: DATABASE }, "protect is false"],
      [{ type: SERVER, props: { labels: { role: "postgres" } } }, "protect is false"],
      [{ type: BUCKET, parent: "an-active-space" }, "protect is false"],
    ],
  },
  "buckets-have-quotas": {
    passes: [{ type: BUCKET, props: { quota: 1 } }],
    refuses: [
      [{ type: BUCKET }, "quota is undefined; write the plan's bytes"],
      [{ type: BUCKET, props: { quota: 0 } }, "quota is 0"],
    ],
  },
  "active-buckets-are-not-emptied": {
    passes: [{ type: BUCKET }, { type: BUCKET, props: { forceDestroy: false } }],
    refuses: [
      [{ type: BUCKET, props: { forceDestroy: true } }, "forceDestroy is true; leave it out, or archive"],
      [{ type: BUCKET, props: { forceDestroy: true }, parent: "an-active-space" }, "forceDestroy is true"],
    ],
  },
  "buckets-are-private": {
    passes: [{ type: BUCKET }, { type: BUCKET, props: { acl: "private" } }],
    refuses: [[{ type: BUCKET, props: { acl: "public-read" } }, 'acl is "public-read"; leave it out']],
  },
  "ssh-is-not-open-to-everybody": {
    passes: [
      opens("22", ["203.0.113.7/32", "2001:db8::/48"]),
      opens("443", ["0.0.0.0/0"]),
      { type: FIREWALL, props: { rules: [{ direction: "in", protocol: "icmp", sourceIps: ["0.0.0.0/0"] }] } },
    ],
    refuses: [
      [
        opens("22", ["0.0.0.0/0"]),
        'port "22" takes connections from 0.0.0.0/0; write the administrators\' own',
      ],
      [opens("22", ["::/0"]), "::/0"],
      [opens("20-30", ["0.0.0.0/1"]), '"20-30"'],
      [opens("any", ["203.0.113.7/32", "128.0.0.0/1"]), "128.0.0.0/1"],
    ],
  },
  "only-ops-takes-ssh": {
    passes: [opens("22", ["203.0.113.7/32"]), opens("80", ["0.0.0.0/0"], "gateway")],
    refuses: [
      [opens("22", ["203.0.113.7/32"], "web"), 'firewall "web" opens port "22"; remove it'],
      [opens("1-65535", ["203.0.113.7/32"], "web"), '"1-65535"'],
    ],
  },
  "servers-have-firewalls": {
    passes: [{ type: SERVER, props: { firewallIds: [1] } }],
    refuses: [
      [{ type: SERVER, props: { firewallIds: [] } }, "firewallIds is empty, so every port is open"],
      [{ type: SERVER }, "firewallIds is empty"],
    ],
  },
  "policies-name-their-buckets": {
    passes: [
      grants(
        "arn:aws:s3:::space-${aws:username}",
        "arn:aws:s3:::space-${aws:username}/*",
        "arn:aws:s3:::exports/*",
      ),
      command({ stdin: '"Resource": "arn:aws:s3:::space-${aws:username}/*"' }),
    ],
    refuses: [
      [grants("arn:aws:s3:::*"), 'policy grants bucket "*"; name one bucket'],
      [grants("arn:aws:s3:::space-*/*"), '"space-*"'],
      [grants("*"), '"*"'],
      [command({ stdin: "mc admin policy create: arn:aws:s3:::space-?" }), 'stdin grants bucket "space-?"'],
    ],
  },
  "commands-hold-no-secret": {
    passes: [
      command({ create: "bash -s -- infra/scripts/postgres-standby.sh", stdin: key }),
      command({ create: "psql --set password=$PASSWORD" }),
      command({ create: `sha256sum -c <<<"${"0123456789abcdef".repeat(4)}  file"` }),
    ],
    refuses: [
      [command({ create: `echo '${key}' > /root/key` }), "create holds what looks like a private key"],
      [command({ update: "mysql --password=hunter2!" }), "update holds what looks like a credential"],
      [command({ delete: "curl https://root:hunter2!@logs-1/" }), "a credential in an address"],
      [command({ create: `converge ${random}` }), "create holds what looks like a random word"],
      [command({ create: "true", environment: { API_TOKEN: "abcdefgh" } }), "environment.API_TOKEN holds"],
    ],
  },
  "commands-have-no-triggers": {
    passes: [command({}), command({ triggers: [] })],
    refuses: [[command({ triggers: ["a", "b"] }), "triggers has 2; put what should make it run again"]],
  },
  "users-are-not-forced": {
    passes: [{ type: USER }, { type: USER, props: { forceDestroy: false } }],
    refuses: [[{ type: USER, props: { forceDestroy: true } }, "forceDestroy is true; leave it out"]],
  },
  "spaces-have-known-plans": {
    passes: [{ type: SPACE, props: { plan: "standard" } }],
    refuses: [
      [{ type: SPACE, props: { plan: "huge" } }, 'plan is "huge"; write one of small, standard'],
      [{ type: SPACE }, "plan is undefined"],
    ],
  },
};

it("has cases for every rule", () => {
  expect(Object.keys(CASES)).toEqual(RULES.map(({ name }) => name));
});

describe.each(Object.entries(CASES))("%s", (name, { passes, refuses }) => {
  it.each(passes)("passes %j", (resource) => {
    expect(violations(name, resource)).toEqual([]);
  });

  it.each(refuses)("refuses %j", (resource, message) => {
    const reports = violations(name, resource);
    expect(reports).toHaveLength(1);
    expect(reports[0]).toContain(message);
  });
});

it("never repeats a secret", () => {
  const reports = violations(
    "commands-hold-no-secret",
    command({ create: `x ${random}`, delete: "token=hunter2!" }),
  );
  expect(reports).toHaveLength(2);
  expect(reports.join()).not.toMatch(/hunter2|q7Zt0/);
});

it("allows to destroy the data of an archived space", () => {
  const rule = "stateful-resources-are-protected";
  violations(rule, { type: SPACE, urn: "urn:archived", props: { state: "archived" } });
  violations(rule, { type: SPACE, urn: "urn:active", props: { state: "active" } });
  expect(violations(rule, { type: BUCKET, parent: "urn:archived" })).toEqual([]);
  expect(violations(rule, { type: BUCKET, parent: "urn:active" })).toHaveLength(1);
  const emptied = { type: BUCKET, props: { forceDestroy: true }, parent: "urn:archived" };
  expect(violations("active-buckets-are-not-emptied", emptied)).toEqual([]);
});

it("accepts values that only `up` knows", () => {
  const error: Error = Object.setPrototypeOf(new Error("unknown"), UnknownValueError.prototype);
  const unknown = {
    get stdin(): string {
      throw error;
    },
  };
  expect(violations("policies-name-their-buckets", command(unknown))).toEqual([]);
});

it.each(["prod-platform", "prod-spaces-001", "lab-platform", "lab-spaces-001"])(
  "finds nothing in %s",
  async (stack) => {
    const { resources } = await graphOf(stack);
    // Parents come first, as the engine reports them.
    const depth = ({ urn }: { urn: string }) => urn.split("$").length;
    const reports = resources
      .toSorted((a, b) => depth(a) - depth(b))
      .flatMap(({ type, name, urn, inputs, protect, parent }) =>
        RULES.flatMap((rule) =>
          violations(rule.name, { type, name, urn, props: inputs, protect, ...(parent && { parent }) }).map(
            (message) => `${name}: ${message}`,
          ),
        ),
      );
    expect(reports).toEqual([]);
  },
);
