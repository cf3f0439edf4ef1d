// Uses a space through one web server, as its members and their programs do. Each part resolves to what is wrong.
import { readFileSync, writeFileSync } from "node:fs";
import {
  ask,
  askDav,
  differs,
  MEMBER,
  memberFile,
  readBack,
  tryChunks,
  tryDelete,
  tryWhole,
  unexpected,
  type Answer,
  type Visit,
} from "./member.ts";
import type { SpaceWork } from "./space-work.ts";

const visitOf = (web: string): Visit => ({ web, words: [] });

/**
 * Logs in, uploads a file whole and in chunks, reads all back through every other web server, and deletes them.
 * @param webs All web servers. Through the first, links, previews and calendars are tried, too.
 */
export async function tryThrough(work: SpaceWork, web: string, webs: readonly string[]): Promise<string[]> {
  const visit = visitOf(web);
  const shut =
    unexpected(await askPage(work, visit, "index.php/login"), [200], "the login page") ??
    unexpected(await logIn(work, visit), [207, 200], "a login");
  if (shut !== undefined) return [shut];
  const uploads = {
    [`whole-${web}`]: (name: string) => tryWhole(work, visit, name),
    [`old-${web}`]: (name: string) => tryChunks(work, visit, name, "old"),
    // Some clients send a length of 0 with the request that has no body, some send none.
    [`new-${web}`]: (name: string) => tryChunks(work, visit, name, "new"),
    [`new-0-${web}`]: (name: string) => tryChunks(work, visit, name, "new", "Content-Length: 0"),
  };
  const found: (string | undefined)[] = [];
  const kept: string[] = [];
  for (const [name, upload] of Object.entries(uploads)) {
    const problem = await upload(name);
    found.push(problem);
    if (problem === undefined) kept.push(name);
  }
  for (const other of webs.filter((one) => one !== web))
    for (const name of kept) found.push(await readBack(work, visitOf(other), name));
  if (web === webs[0])
    for (const part of [tryLink, tryPreview, tryCalendar]) found.push(await part(work, visit));
  for (const name of kept) found.push(await tryDelete(work, visit, name));
  return found.filter((problem) => problem !== undefined);
}

/** With the account's own password. All other requests have an app password. */
function logIn(work: SpaceWork, visit: Visit): Promise<Answer> {
  const words = ["-K", memberFile(work, "password"), "-X", "PROPFIND", "-H", "Depth: 0"];
  return ask(work, visit, `remote.php/dav/files/${MEMBER}/`, words);
}

/** Asks as the scripts of Nextcloud's pages do. */
function askPage(work: SpaceWork, visit: Visit, path: string, more: readonly string[] = []): Promise<Answer> {
  return ask(work, visit, path, ["-H", "OCS-APIRequest: true", "-H", "Accept: application/json", ...more]);
}

/** The same, logged in. */
const askAsMember = (work: SpaceWork, visit: Visit, path: string, more: readonly string[] = []) =>
  askPage(work, visit, path, ["-K", memberFile(work, "app-password"), ...more]);

/** What the space can do. An administrator may turn links off, or want a password for them. */
interface Capabilities {
  files?: unknown;
  files_sharing?: { public?: { enabled?: boolean; password?: { enforced?: boolean } } };
}

/** Resolves to the space's capabilities, or to what is wrong. */
async function askCapabilities(work: SpaceWork, visit: Visit): Promise<Capabilities | string> {
  const answer = await askAsMember(work, visit, "ocs/v2.php/cloud/capabilities");
  const wrong = unexpected(answer, [200], "the list of what the space can do");
  return wrong ?? inAnswer<{ capabilities?: Capabilities }>(answer)?.capabilities ?? {};
}

/** The data of an answer of OCS; undefined if it is no JSON. */
function inAnswer<Data>({ file }: Answer): Data | undefined {
  try {
    return (JSON.parse(readFileSync(file, "utf8")) as { ocs?: { data?: Data } }).ocs?.data;
  } catch {
    return undefined;
  }
}

/** A link to a file, opened by somebody who is not logged in. */
async function tryLink(work: SpaceWork, visit: Visit): Promise<string | undefined> {
  const capabilities = await askCapabilities(work, visit);
  if (typeof capabilities === "string") return capabilities;
  const { enabled, password } = capabilities.files_sharing?.public ?? {};
  if (enabled !== true || password?.enforced === true) return undefined;
  const words = ["-d", `path=/whole-${visit.web}`, "-d", "shareType=3"];
  const shared = await askAsMember(work, visit, "ocs/v2.php/apps/files_sharing/api/v1/shares", words);
  const refused = unexpected(shared, [200], "sharing a file by a link");
  if (refused !== undefined) return refused;
  const token = inAnswer<{ token?: string }>(shared)?.token;
  const opened = await askPage(work, visit, `public.php/dav/files/${token}/`);
  return unexpected(opened, [200], "a link to a file") ?? differs(work, opened, "opens a link, and gives");
}

/** The preview of a picture. */
async function tryPreview(work: SpaceWork, visit: Visit): Promise<string | undefined> {
  const capabilities = await askCapabilities(work, visit);
  if (typeof capabilities === "string") return capabilities;
  if (capabilities.files === undefined) return undefined;
  const picture = memberFile(work, "picture.png");
  writeFileSync(picture, PICTURE);
  const put = await askDav(work, visit, "PUT", `files/${MEMBER}/try.png`, ["-T", picture]);
  const refused = unexpected(put, [201, 204], "an upload");
  if (refused !== undefined) return refused;
  const preview = await askAsMember(work, visit, "index.php/core/preview.png?file=/try.png&x=32&y=32");
  const wrong = unexpected(preview, [200], "the preview of a picture");
  if (wrong !== undefined) return wrong;
  return isPicture(readFileSync(preview.file))
    ? undefined
    : `${visit.web} gives a preview that is no picture`;
}

/** 64 × 64 pixels, grey. */
const PICTURE = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAAAKUlEQVR42u3MQREAAAwCIKMb3RD77SAA6VEEAoFAIBAIBAKBQCAQfA8G320AeXC6efoAAAAASUVORK5CYII=",
  "base64",
);

/** Whether a content begins as PNG, JPEG or WebP do. A space made it, so nothing here decodes it. */
function isPicture(content: Buffer): boolean {
  const begin = content.subarray(0, 12).toString("latin1");
  return /^(?:\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF[^]{4}WEBP)/.test(begin);
}

/** A new calendar, with an entry. */
async function tryCalendar(work: SpaceWork, visit: Visit): Promise<string | undefined> {
  const calendar = `calendars/${MEMBER}/try`;
  writeFileSync(memberFile(work, "event"), EVENT.map((line) => `${line}\r\n`).join(""));
  const made = await askDav(work, visit, "MKCALENDAR", calendar);
  const refused = unexpected(made, [201], "a new calendar");
  if (refused !== undefined) return refused;
  const words = ["-H", "Content-Type: text/calendar", "-T", memberFile(work, "event")];
  const put = await askDav(work, visit, "PUT", `${calendar}/try.ics`, words);
  const lost = unexpected(put, [201, 204], "an entry of a calendar");
  if (lost !== undefined) return lost;
  const got = await askDav(work, visit, "GET", `${calendar}/try.ics`);
  const wrong = unexpected(got, [200], "reading an entry of a calendar");
  if (wrong !== undefined) return wrong;
  return readFileSync(got.file, "utf8").includes("SUMMARY:Essai")
    ? undefined
    : `${visit.web} loses what a calendar's entry says`;
}

const EVENT = [
  "BEGIN:VCALENDAR",
  "VERSION:2.0",
  "PRODID:framaspace",
  "BEGIN:VEVENT",
  "UID:framaspace-try",
  "SUMMARY:Essai",
  "DTSTAMP:20260101T000000Z",
  "DTSTART:20260101T100000Z",
  "DTEND:20260101T110000Z",
  "END:VEVENT",
  "END:VCALENDAR",
];
