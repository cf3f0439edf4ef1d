// `npm run release`: makes the archives of releases, and pins what machines download.
import { Command } from "commander";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { buildRelease } from "../release/build-release.ts";
import { linesSinceNow } from "../release/progress-lines.ts";
import { SOURCES, type Sources } from "../release/sources.ts";
import { runMain } from "../validation/user-error.ts";

const program = new Command("npm run release --")
  .description("Makes the archives of Nextcloud that machines load, and pins what they download.")
  .showHelpAfterError("(add --help for what can be written)")
  .configureHelp({ showGlobalOptions: true });
const path = (folder: string) => resolve(folder);
const verb = (name: string, description: string) =>
  program
    .command(name)
    .description(description)
    .option("--root <folder>", "folder of the repository", path, process.cwd())
    .option(
      "--cache <folder>",
      "folder for downloads and archives",
      path,
      join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "framaspace"),
    )
    .option("--server <url>", "another place of Nextcloud's archives, such as a mirror", SOURCES.server)
    .option("--key <url>", "another place of Nextcloud's key", SOURCES.key)
    .option("--fingerprint <digits>", "another key than Nextcloud's: for tests", SOURCES.fingerprint)
    .option("--store <url>", "another app store, such as a mirror", SOURCES.store);

type Options = Sources & { root: string; cache: string };
const context = ({ root, cache, server, key, fingerprint, store }: Options) => ({
  root,
  cache,
  sources: { server, key, fingerprint, store },
  say: linesSinceNow(),
});

verb("build <version>", "make the archive of a release, and pin it in spaces/catalog.yaml")
  .option("--serve-at <url>", "folder from which you serve archives (default: that of the catalog's others)")
  .option("--newest", "take the newest apps, though a lock file has older ones", false)
  .action(async (version: string, options: Options & { serveAt?: string; newest: boolean }) => {
    const { serveAt, newest } = options;
    await buildRelease(version, { ...context(options), newest, ...(serveAt !== undefined && { serveAt }) });
  });

await runMain(() => program.parseAsync(), "release: ");
