// Policies, service users and buckets of the platform itself. Replication copies users and policies to the other site.
import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { writeWhole } from "../../machine/programs/whole-file.ts";
import {
  bucketsOf,
  mc,
  refusal,
  reply,
  replyLater,
  replyOne,
  type Answer,
  type Sites,
} from "./storage-sites.ts";
import { parseJson, readIfThere, sha256Hex } from "../../machine/programs/texts.ts";

export async function reconcileUsers(sites: Sites): Promise<void> {
  const folder = `${sites.declared}/policies`;
  for (const name of readdirSync(folder)
    .filter((one) => one.endsWith(".json"))
    .sort())
    await reconcilePolicy(sites, `${folder}/${name}`);
  for (const line of readFileSync(`${sites.declared}/users`, "utf8").split("\n").filter(Boolean)) {
    const [name, secret] = line.split(" ");
    if (name === undefined || secret === undefined)
      throw refusal(`${sites.declared}/users has a line that is not a name and a secret; run up again.`);
    await reconcileUser(sites, name, secret);
  }
}

async function reconcilePolicy({ say }: Sites, file: string): Promise<void> {
  const policy = basename(file, ".json");
  const { status, output } = await mc(["admin", "policy", "info", "serving", policy], { errors: "ignore" });
  const declared: unknown = JSON.parse(readFileSync(file, "utf8"));
  if (status === 0 && isDeepStrictEqual(plain(policyIn(output)), plain(declared))) return;
  await reply(["admin", "policy", "create", "serving", policy, file]);
  say(`policy ${policy}`);
}

const policyIn = (output: string): unknown =>
  parseJson<{ policyInfo?: { Policy?: unknown } }>(output)?.policyInfo?.Policy;

/** MinIO returns a policy's lists in an order of its own. */
function plain(value: unknown): unknown {
  if (Array.isArray(value))
    return value.map(plain).sort((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

async function reconcileUser(sites: Sites, name: string, secret: string): Promise<void> {
  const { state, say } = sites;
  // MinIO does not return a secret, so the digest of the last one is stored here, as sha256sum prints it.
  const known = `${state}/user-${name}`;
  const digest = `${sha256Hex(`${secret}\n`)}  -\n`;
  const isKnown = readIfThere(known) === digest;
  const { status } = await mc(["admin", "user", "info", "serving", name], { errors: "ignore" });
  if (status !== 0 || !isKnown) {
    await reply(["admin", "user", "add", "serving"], { input: `${name}\n${secret}\n` });
    await writeWhole(known, [digest]);
    say(`user ${name}`);
  }
  const { policyName } = await replyOne<Answer>(["admin", "user", "info", "serving", name]);
  if (policyName === name) return;
  // Another node, or the other site, may not know a new user yet: seen on a busy machine.
  const attach = ["admin", "policy", "attach", "serving", name, "--user", name];
  await replyLater(sites, "user does not exist", attach);
  say(`policy of ${name}`);
}

export async function makeBuckets({ settings, say }: Sites): Promise<void> {
  const known = await bucketsOf("serving");
  for (const bucket of settings.buckets.filter((one) => !known.includes(one))) {
    await reply(["mb", `serving/${bucket}`]);
    say(`bucket ${bucket}`);
  }
}
