// `npm run release`: makes the archives of releases, and pins what machines download.
import { Command } from "commander";
import { resolve } from "node:path";
import { buildRelease } from "../release/build-release.ts";
import { defaultCache } from "../release/download.ts";
import { oneAtATime } from "../release/one-at-a-time.ts";
import { outdated } from "../release/outdated.ts";
import { pinArtifact } from "../release/pin-artifact.ts";
import { linesSinceNow } from "../release/progress-lines.ts";
import { NEWS, SOURCES, type Sources } from "../release/sources.ts";
import { verifyPins } from "../release/verify-pins.ts";
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
    .option("--cache <folder>", "folder for downloads and archives", path, defaultCache())
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
    const serving = serveAt === undefined ? {} : { serveAt };
    await oneAtATime(options.cache, () => buildRelease(version, { ...context(options), newest, ...serving }));
  });

const ofEnvironment = (name: string, description: string) =>
  verb(name, description).option("--env <environment>", "environment whose artifacts are meant", "prod");

ofEnvironment("outdated", "what is newer, has security fixes, or gets no fixes soon (exit status 2)").action(
  async (options: Options & { env: string }) => {
    const today = new Date().toISOString().slice(0, 10);
    process.exitCode = await oneAtATime(options.cache, () =>
      outdated({ ...context(options), env: options.env, news: NEWS, today, say: console.log }),
    );
  },
);

ofEnvironment("pin <artifact>", "check an artifact (minio, mc, imaginary), and write its checksum")
  .option("--url <url>", "another address than the one in the environment's file")
  .option("--file <file>", "what you built yourself, to be compared with what is served", path)
  .action(async (name: string, options: Options & { env: string; url?: string; file?: string }) => {
    const { env, url, file } = options;
    const given = { ...(url !== undefined && { url }), ...(file !== undefined && { file }) };
    await oneAtATime(options.cache, () => pinArtifact(name, { ...context(options), env, ...given }));
  });

ofEnvironment("verify", "check everything that is pinned once more").action(
  async (options: Options & { env: string }) => {
    const look = () => verifyPins({ ...context(options), env: options.env });
    if ((await oneAtATime(options.cache, look)) > 0) process.exitCode = 1;
  },
);

await runMain(() => program.parseAsync(), "release: ");
