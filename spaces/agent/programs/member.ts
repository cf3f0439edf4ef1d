// Uses a space as a member does, by a throw-away account: what try-space and an upgrade's trial share.
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { lastLine, occ, type Installation } from "./nextcloud-command.ts";
import { run } from "../../../infra/machine/programs/run-command.ts";
import { held, type SpaceWork } from "./space-work.ts";
import { hostHeader } from "./web-servers.ts";

/**
 * Members see the name for the seconds that this takes. It is always the same, so that a killed run leaves one at most,
 * and the next run takes it away. converge-space does not count it as an account.
 */
export const MEMBER = "framaspace-try";

/** Old clients say where a file goes only when they put its chunks together, new ones with each request. */
export type Client = "old" | "new";

/** On this machine's memory: the passwords, what is uploaded, and what web servers answer. */
const folderOf = ({ places, space }: SpaceWork) => `${places.run}/members/${space.id}`;
export const memberFile = (work: SpaceWork, name: string) => `${folderOf(work)}/${name}`;

/**
 * Makes the account. The space may have all accounts of its plan already: the scratch configuration does not limit them.
 * Resolves to why it could not be made; to undefined if it was.
 */
export async function makeMember(work: SpaceWork, installation: Installation): Promise<string | undefined> {
  rmSync(folderOf(work), { recursive: true, force: true });
  mkdirSync(folderOf(work), { recursive: true, mode: 0o700 });
  const password = randomBytes(24).toString("base64");
  keepPassword(work, "password", password);
  await occ(work, installation, ["user:delete", MEMBER], { errors: "ignore" });
  const failed = (output: string) => `an account cannot be made: ${lastLine(output, 200)}`;
  const added = await occ(work, installation, ["user:add", "--password-from-env", MEMBER], {
    env: { OC_PASS: password },
    errors: "with-output",
  });
  if (added.status !== 0) return failed(added.output);
  // An app password, as sync clients have: with the account's own, each request of WebDAV takes 0.3 s longer.
  const token = await occ(work, installation, ["user:auth-tokens:add", MEMBER], { errors: "with-output" });
  if (token.status !== 0) return failed(token.output);
  keepPassword(work, "app-password", lastLine(token.output, Infinity));
  return undefined;
}

/** In a file for curl, not in the list of processes. */
function keepPassword(work: SpaceWork, name: "password" | "app-password", password: string): void {
  writeFileSync(memberFile(work, name), `user = "${MEMBER}:${password}"\n`);
}

/** Deletes the account with its files. Resolves to whether it could. */
export async function dropMember(work: SpaceWork, installation: Installation): Promise<boolean> {
  rmSync(folderOf(work), { recursive: true, force: true });
  return (await occ(work, installation, ["user:delete", MEMBER], { errors: "ignore" })).status === 0;
}

/** Makes the file that is uploaded, in parts of these sizes. As text: the lab's stand-in keeps files in its database. */
export function makeUpload(work: SpaceWork, ...bytes: number[]): void {
  const parts = bytes.map((size) => randomBytes(size).toString("base64").slice(0, size));
  for (const [index, part] of parts.entries()) writeFileSync(memberFile(work, `part${index + 1}`), part);
  writeFileSync(memberFile(work, "file"), parts.join(""));
}

/** One of a web server's answers to a member. */
export interface Answer {
  web: string;
  /** `000` if there was none. */
  status: string;
  /** The file with what it answered. */
  file: string;
}

/** A visitor of the space: through which web server, with which words of curl in every request. */
export interface Visit {
  web: string;
  words: readonly string[];
}

/** Asks the web server for a path, with further words of curl. */
export async function ask(
  work: SpaceWork,
  { web, words }: Visit,
  path: string,
  more: readonly string[] = [],
): Promise<Answer> {
  const file = memberFile(work, web);
  const bounds = ["--connect-timeout", "5", "--max-time", "60", "-H", hostHeader(work)];
  const { output } = await run(
    "curl",
    ["-s", "-o", file, "-w", "%{http_code}", ...bounds, ...more, ...words, `http://${web}/${path}`],
    held(work),
  );
  return { web, status: output.trim(), file };
}

/** Asks for WebDAV, as a sync client does. */
export function askDav(
  work: SpaceWork,
  visit: Visit,
  method: string,
  path: string,
  more: readonly string[] = [],
): Promise<Answer> {
  const login = ["-K", memberFile(work, "app-password"), "-X", method];
  return ask(work, visit, `remote.php/dav/${path}`, [...login, ...more]);
}

/** What is wrong with an answer; undefined if its status is one of these. */
export function unexpected(answer: Answer, statuses: readonly number[], what: string): string | undefined {
  if (statuses.map(String).includes(answer.status)) return undefined;
  const said = existsSync(answer.file) ? readFileSync(answer.file, "utf8") : "";
  return `${answer.web} answers ${what} with ${answer.status}: ${said.replaceAll("\n", "").slice(0, 200)}`;
}

/** What is wrong if the web server's answer is not what was uploaded, every byte. */
export function differs(work: SpaceWork, { web, file }: Answer, what: string): string | undefined {
  const sent = readFileSync(memberFile(work, "file"));
  const got = existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
  return sent.equals(got) ? undefined : `${web} ${what} ${got.length} of ${sent.length} bytes, or others`;
}

/** Reads a file that was uploaded. Like what follows, it resolves to what is wrong, or to undefined. */
export async function readBack(work: SpaceWork, visit: Visit, name: string): Promise<string | undefined> {
  const answer = await askDav(work, visit, "GET", `files/${MEMBER}/${name}`);
  return (
    unexpected(answer, [200], `reading ${name}`) ??
    differs(work, answer, `acknowledged ${name}, and gives back`)
  );
}

/** Uploads the file in one piece. */
export async function tryWhole(work: SpaceWork, visit: Visit, name: string): Promise<string | undefined> {
  const words = ["-T", memberFile(work, "file")];
  const answer = await askDav(work, visit, "PUT", `files/${MEMBER}/${name}`, words);
  return unexpected(answer, [201, 204], "an upload") ?? (await readBack(work, visit, name));
}

/**
 * Uploads its parts. Nextcloud has code for each kind of client, and 34.0.1 refuses the chunks of old ones.
 * @param length A header of the request that puts them together.
 */
export async function tryChunks(
  work: SpaceWork,
  visit: Visit,
  name: string,
  client: Client,
  length?: string,
): Promise<string | undefined> {
  const folder = `uploads/${MEMBER}/${name}`;
  const goes = ["-H", `Destination: /remote.php/dav/files/${MEMBER}/${name}`];
  const to = client === "old" ? [] : goes;
  const begun = await askDav(work, visit, "MKCOL", folder, to);
  const refused = unexpected(begun, [201], `the begin of an upload in chunks by ${client} clients`);
  if (refused !== undefined) return refused;
  for (let part = 1; existsSync(memberFile(work, `part${part}`)); part += 1) {
    const words = ["-T", memberFile(work, `part${part}`), ...to];
    const answer = await askDav(work, visit, "PUT", `${folder}/${part}`, words);
    const wrong = unexpected(answer, [200, 201, 204], `chunk ${part} of ${client} clients`);
    if (wrong !== undefined) return wrong;
  }
  const total = `OC-Total-Length: ${statSync(memberFile(work, "file")).size}`;
  const words = [...goes, "-H", total, ...(length === undefined ? [] : ["-H", length])];
  const answer = await askDav(work, visit, "MOVE", `${folder}/.file`, words);
  return (
    unexpected(answer, [201, 204], `the end of an upload in chunks by ${client} clients`) ??
    (await readBack(work, visit, name))
  );
}

/** Deletes a file. One that was refused is not there. */
export async function tryDelete(work: SpaceWork, visit: Visit, name: string): Promise<string | undefined> {
  const answer = await askDav(work, visit, "DELETE", `files/${MEMBER}/${name}`);
  return unexpected(answer, [204, 404], "a deletion");
}
