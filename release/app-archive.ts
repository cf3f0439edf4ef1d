// An app's archive, as its makers packed it: looked through before anything of it is written.
import { XMLParser } from "fast-xml-parser";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import semver from "semver";
import { extract, list, type ReadEntry } from "tar";
import * as z from "zod";
import { UserError } from "../validation/user-error.ts";

/** The largest app of the catalog unpacks to 150 MB in 6,000 files. */
const MOST_BYTES = 1e9;
const MOST_ENTRIES = 100_000;

/**
 * Unpacks an app to a folder of its id below `into`. Throws a UserError that begins with the app, before anything was
 * written, if the archive holds more than this folder, or a name or link that leads out of it.
 */
export async function unpackApp(id: string, archive: string, into: string): Promise<void> {
  const refuse = (why: string): never => {
    throw new UserError(`${id}: its archive ${why}.`);
  };
  const entries: { path: string; type: string; link: string }[] = [];
  let bytes = 0;
  await readArchive(id, () =>
    list({
      file: archive,
      strict: true,
      onReadEntry: ({ path, type, linkpath, size }: ReadEntry) => {
        entries.push({ path, type, link: linkpath ?? "" });
        bytes += size;
      },
    }),
  );
  if (entries.length === 0) refuse("is empty");
  if (entries.length > MOST_ENTRIES || bytes > MOST_BYTES)
    refuse(`unpacks to ${entries.length} entries of ${bytes} bytes, more than any app has`);
  const seen = new Set<string>();
  const links: string[] = [];
  for (const { path, type, link } of entries) {
    const name = posix.normalize(path).replace(/\/$/, "");
    if (path.startsWith("/") || /[\\\0]/.test(path) || path.split("/").includes(".."))
      refuse(`holds "${path}", which leads out of its folder`);
    if (name.split("/")[0] !== id) refuse(`holds "${path}"; it may hold one folder only, ${id}`);
    if (seen.has(name) && type !== "Directory") refuse(`holds "${path}" twice`);
    seen.add(name);
    if (type === "SymbolicLink") {
      const target = posix.normalize(posix.join(posix.dirname(name), link));
      if (link.startsWith("/") || target.split("/")[0] !== id)
        refuse(`holds a link "${path}" to "${link}", which leads out of its folder`);
      links.push(`${name}/`);
    } else if (!["File", "OldFile", "Directory"].includes(type))
      refuse(`holds "${path}", which is a ${type}`);
  }
  const through = [...seen].find((name) => links.some((link) => name.startsWith(link)));
  if (through !== undefined) refuse(`holds "${through}", which goes through a link`);
  mkdirSync(into, { recursive: true });
  await readArchive(id, () =>
    extract({ file: archive, cwd: into, strict: true, preserveOwner: false, noMtime: true }),
  );
}

async function readArchive(id: string, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    throw new UserError(
      `${id}: its archive cannot be unpacked: ${error instanceof Error ? error.message : String(error)}.`,
      { cause: error },
    );
  }
}

const range = z.looseObject({ "min-version": z.string().optional(), "max-version": z.string().optional() });
const info = z.looseObject({
  info: z.looseObject({
    id: z.string(),
    version: z.string(),
    dependencies: z.looseObject({ nextcloud: range.optional() }).optional(),
  }),
});

/** Compares an unpacked app with what was asked for. Throws a UserError that begins with the app. */
export function checkApp(folder: string, wanted: { id: string; version: string }, nextcloud: string): void {
  const { id } = wanted;
  const file = join(folder, "appinfo/info.xml");
  if (!existsSync(file)) throw new UserError(`${id}: its archive has no appinfo/info.xml.`);
  const parser = new XMLParser({
    ignoreAttributes: false,
    attributeNamePrefix: "",
    parseTagValue: false,
    parseAttributeValue: false,
    processEntities: false,
  });
  const { data } = info.safeParse(parser.parse(readFileSync(file, "utf8")));
  if (!data) throw new UserError(`${id}: its appinfo/info.xml says not once which id and version it has.`);
  const { id: ownId, version, dependencies } = data.info;
  if (ownId !== id) throw new UserError(`${id}: its appinfo/info.xml says that it is ${ownId}.`);
  if (version !== wanted.version)
    throw new UserError(
      `${id}: its appinfo/info.xml says version ${version}, the app store ${wanted.version}.`,
    );
  const { "min-version": least = "0", "max-version": most = nextcloud } = dependencies?.nextcloud ?? {};
  if (!fits(nextcloud, least, most))
    throw new UserError(`${id} ${version}: it is for Nextcloud ${least} to ${most}, not for ${nextcloud}.`);
}

/** As Nextcloud compares (lib/private/App/CompareVersion.php): only the parts that the limit has. */
function fits(version: string, least: string, most: string): boolean {
  const parts = most.split(".").length;
  const cut = version.split(".").slice(0, parts).join(".");
  const whole = (text: string) => semver.coerce(text) ?? "0.0.0";
  return semver.compare(whole(version), whole(least)) >= 0 && semver.compare(whole(cut), whole(most)) <= 0;
}
