// redis-users: gives each space its own user in Redis: the keys under its prefix, in a database nobody else may select.
//   redis-users ID <SPACE    makes the user of one space, and prints the space's JSON with the number of its database
//   redis-users              makes those that Redis does not know (it was replaced), or all if the rules changed
//   redis-users --remove ID  removes the user and its data
// A second run does nothing.
import { closeSync, mkdirSync, readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import type { PlatformFile } from "../machine-files.ts";
import { lock } from "../../../infra/machine/programs/lock-file.ts";
import type { Places } from "./places.ts";
import type { Result } from "../../../infra/machine/programs/program.ts";
import { idsIn, idsOfSpaces, isId, textOf, type StoredDocument } from "./read-space.ts";
import { run, type Descriptors, type Ended } from "../../../infra/machine/programs/run-command.ts";
import { ProgramError } from "../../../infra/machine/programs/program-error.ts";
import { SpaceError } from "./space-error.ts";
import { parseJson, readIfThere, sha256Hex } from "../../../infra/machine/programs/texts.ts";

const WHO = "Redis";

/** @param input The space's JSON. */
export async function redisUsers(
  places: Places,
  [word, id]: readonly string[],
  input: Readable = process.stdin,
): Promise<Result> {
  if (word === undefined) await makeMissing(places);
  else if (word === "--remove" && isId(id)) await removeRedisUser(places, id);
  else if (isId(word)) {
    const document = JSON.parse(await text(input)) as StoredDocument;
    if (document.id !== word) throw new ProgramError(WHO, `standard input is not space ${word}`);
    return { output: `${textOf(await giveRedisUser(places, document))}\n`, status: 0 };
  } else throw new ProgramError(WHO, "write redis-users, redis-users ID or redis-users --remove ID");
  return { output: "", status: 0 };
}

/**
 * Makes the user of a space. Resolves to the space's document with the number of its database. Throws SpaceError for
 * what is wrong with the space, ProgramError for what is wrong with Redis.
 */
export async function giveRedisUser(places: Places, document: StoredDocument): Promise<StoredDocument> {
  const { id, redis } = document;
  if (redis?.user !== id)
    throw new SpaceError({ id, step: "redis" }, `redis.user is "${redis?.user}"; it must be the id`);
  const { password } = redis;
  const recordWith = (number: number) => `${number} #${sha256Hex(password)} ${patternsOf(places, document)}`;
  const known = recordOf(places, id);
  let number = numberIn(known ?? "");
  if (known !== recordWith(number) || !(await maySelect(places, { user: id, password }, number)))
    number = await locked(places, async (redisServer) => {
      const chosen = known === undefined ? await chooseNumber(redisServer, id) : number;
      const databases = readFileSync(`${places.redisRules}/databases`, "utf8").trim();
      if (chosen >= Number(databases))
        throw new SpaceError(
          { id, step: "redis" },
          `all ${Number(databases) - 1} numbers of spaces are taken; raise MOST_SPACES in infra/inventory/space-users.ts`,
        );
      writeRecord(places, id, recordWith(chosen));
      await apply(redisServer, [commandFor(places, id)]);
      return chosen;
    });
  return { ...document, redis: { ...redis, database: number } };
}

/** Makes those that Redis does not know, or all if the rules changed. */
async function makeMissing(places: Places): Promise<void> {
  await locked(places, async (server) => {
    // Next time, all spaces are read again.
    rmSync(`${places.redisRecords}/${NUMBERS}`, { force: true });
    const rules = rulesOf(places);
    const kept = `${places.redisRecords}/.commands`;
    const known =
      readIfThere(kept) === rules ? (await administrate(server, ["ACL", "USERS"])).split("\n") : [];
    const there = new Set(known);
    const missing = idsIn(places.redisRecords).filter((id) => !there.has(id));
    if (missing.length > 0)
      await apply(
        server,
        missing.map((id) => commandFor(places, id)),
      );
    if (readIfThere(kept) !== rules) writeRecord(places, ".commands", rules);
  });
}

/** Removes the user of a space, and its data. Throws ProgramError for what is wrong with Redis. */
export async function removeRedisUser(places: Places, id: string): Promise<void> {
  const record = recordOf(places, id);
  if (record === undefined) return;
  await locked(places, async (server) => {
    await apply(server, [`SELECT ${numberIn(record)}`, "FLUSHDB ASYNC", `ACL DELUSER ${id}`]);
    rmSync(`${places.redisRecords}/${id}`, { force: true });
  });
}

const recordOf = ({ redisRecords }: Places, id: string) => readIfThere(`${redisRecords}/${id}`)?.trimEnd();
const numberIn = (record: string) => Number(record.split(" ")[0]);
const rulesOf = ({ redisRules }: Places) => readFileSync(`${redisRules}/commands`, "utf8");

function writeRecord({ redisRecords }: Places, name: string, record: string): void {
  const fresh = `${redisRecords}/.new.${name}`;
  writeFileSync(fresh, `${record.trimEnd()}\n`, { mode: 0o600 });
  renameSync(fresh, `${redisRecords}/${name}`);
}

/**
 * Which keys the user may use. A release without a prefix, wanted or still running, needs all keys. Then only the
 * database keeps the space apart.
 */
function patternsOf({ spaces }: Places, { id, release, redis }: StoredDocument): string {
  const releases = [release, runningRelease(`${spaces}/${id}/release`)];
  return releases.every((one) => one === undefined || hasPrefix(one)) ? `~${redis?.prefix}*` : "~*";
}

/** Releases before 33.0.1 choose the prefix of their cache and locks themselves: they have no memcache_customprefix. */
function hasPrefix(release: string): boolean {
  const [major = 0, minor = 0, patch = 0] = release.split(".").map(Number);
  return major > 33 || (major === 33 && (minor > 0 || patch > 0));
}

function runningRelease(link: string): string | undefined {
  try {
    return basename(readlinkSync(link));
  } catch {
    return undefined;
  }
}

/** The command that makes the user of a record: number, digest of the password, patterns of keys. */
function commandFor(places: Places, id: string): string {
  const [number, password, ...patterns] = (recordOf(places, id) ?? "").split(" ");
  return `ACL SETUSER ${id} reset on ${password} ${patterns.join(" ")} ${rulesOf(places).trimEnd()} +select|${number}`;
}

/** The number that Redis knows for the space, or that its directory has, or the lowest free one. */
async function chooseNumber(server: Server, id: string): Promise<number> {
  const users = await administrate(server, ["ACL", "LIST"]);
  const own = new RegExp(`^user ${id} .*\\+select\\|(\\d+)`, "m").exec(users)?.[1];
  if (own !== undefined) return Number(own);
  const { places } = server;
  const [, kept] = numbersOf(places, id);
  const taken = new Set([
    ...[...users.matchAll(/\+select\|(\d+)/g)].map(([, number]) => Number(number)),
    ...numbersOfOthers(places, id),
  ]);
  // Its files belong to the user of this number.
  const isFree = kept !== undefined && !taken.has(kept);
  let chosen = isFree ? kept : 1;
  while (taken.has(chosen)) chosen += 1;
  return chosen;
}

/**
 * The numbers that the records and directories of other spaces have. A file keeps them by id, so that only spaces are
 * read that are new here; this space, which is getting one, will be. A number stays taken as long as its space is here:
 * files may belong to its user.
 */
function numbersOfOthers(places: Places, id: string): number[] {
  const file = `${places.redisRecords}/${NUMBERS}`;
  const text = readIfThere(file) ?? "";
  const known = parseJson<Record<string, readonly number[]>>(text) ?? {};
  const others = new Set([...idsIn(places.redisRecords), ...idsOfSpaces(places)]);
  others.delete(id);
  const numbers = [...others].sort().map((other): [string, readonly number[]] => {
    const read = () => numbersOf(places, other).filter((number) => number !== undefined);
    return [other, known[other] ?? read()];
  });
  const found = JSON.stringify(Object.fromEntries(numbers));
  if (found !== text.trimEnd()) writeRecord(places, NUMBERS, found);
  return numbers.flatMap(([, ofOne]) => ofOne);
}
const NUMBERS = ".numbers";

/** The number in the record of a space, and the one in its directory. */
function numbersOf(places: Places, id: string): [recorded: number | undefined, kept: number | undefined] {
  const record = recordOf(places, id);
  const text = readIfThere(`${places.spaces}/${id}/config/space.json`);
  const document = text === undefined ? undefined : (JSON.parse(text) as StoredDocument);
  return [record === undefined ? undefined : numberIn(record), document?.redis?.database];
}

/** Redis, for a program that has the lock. */
interface Server {
  places: Places;
  locks: Descriptors;
}

interface Login {
  user: string;
  password: string;
}

/** One program at a time changes users. */
async function locked<T>(places: Places, change: (server: Server) => Promise<T>): Promise<T> {
  mkdirSync(places.redisRecords, { recursive: true, mode: 0o700 });
  const file = `${places.run}/redis-users.lock`;
  const descriptor = await lock(file, 60);
  if (descriptor === undefined)
    throw new ProgramError(WHO, `another redis-users has been at it for a minute (fuser -v ${file})`);
  try {
    return await change({ places, locks: { 7: descriptor } });
  } finally {
    closeSync(descriptor);
  }
}

/** Whether Redis knows a space's user, with this password and number. */
async function maySelect(places: Places, login: Login, number: number): Promise<boolean> {
  const { output } = await ask({ places, locks: {} }, login, ["SELECT", String(number)]);
  return output.trim() === "OK";
}

/** Runs commands that must all succeed. Then Redis writes its list of users to disk. */
async function apply(server: Server, commands: readonly string[]): Promise<void> {
  const answers = await administrate(server, [], `${[...commands, "ACL SAVE"].join("\n")}\n`);
  const refusal = answers.split("\n").find((answer) => !/^(OK|[0-9]+)?$/.test(answer));
  if (refusal !== undefined) throw new ProgramError(WHO, refusal);
}

/** Resolves to what Redis answers to its administrator. Throws ProgramError if it does not answer, or lets nobody in. */
async function administrate(server: Server, words: readonly string[], input?: string): Promise<string> {
  const { redisRules } = server.places;
  const password = readFileSync(`${redisRules}/admin`, "utf8").trimEnd();
  const { status, output } = await ask(server, { user: "admin", password }, words, input);
  const { host } = addressOf(server.places);
  if (status !== 0)
    throw new ProgramError(
      WHO,
      `${host} does not answer: ${output.trimEnd()}; look there (journalctl -u redis-server), then run again`,
    );
  if (/WRONGPASS|NOAUTH/.test(output))
    throw new ProgramError(
      WHO,
      `${host} takes another password than ${redisRules}/admin; run up for the platform, then again`,
    );
  return output;
}

/** A refusal is an answer too, so check what it says. */
function ask(
  { places, locks }: Server,
  { user, password }: Login,
  words: readonly string[],
  input?: string,
): Promise<Ended> {
  const { host = "", port } = addressOf(places);
  const connection = ["-h", host, "-p", String(port), "-t", "5", "--no-auth-warning", "--user", user];
  return run("redis-cli", [...connection, ...words], {
    env: { REDISCLI_AUTH: password },
    errors: "with-output",
    locks,
    ...(input !== undefined && { input }),
  });
}

const addressOf = ({ platform }: Places) =>
  (JSON.parse(readFileSync(platform, "utf8")) as PlatformFile).redis;
