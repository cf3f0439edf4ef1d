// `npm run release -- pin`: checks an artifact of an environment, and writes its address and checksum.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { artifactsOf, type Environment } from "../infra/inventory/environment.ts";
import { environmentFile, readEnvironment } from "../infra/inventory/environment-file.ts";
import { oneOf } from "../validation/forms.ts";
import { report } from "../validation/positions.ts";
import { UserError } from "../validation/user-error.ts";
import { Downloads } from "./download.ts";
import { checkMinisign } from "./minisign.ts";
import { assertInstalled } from "./programs.ts";
import type { Say } from "./progress-lines.ts";
import { sha256Of } from "./checksum.ts";
import { setPinned } from "./set-in-yaml.ts";
import { MINIO_KEY } from "./sources.ts";

/** MinIO has 110 MB. */
export const MOST_ARTIFACT_BYTES = 5e8;

/** Artifacts that upstream signs, each with the key. The others are known by who built them. */
export const SIGNED: Readonly<Record<string, string>> = { minio: MINIO_KEY, mc: MINIO_KEY };

export interface PinOptions {
  root: string;
  cache: string;
  env: string;
  /** Another address than the one in the environment's file. */
  url?: string;
  /** The file as whoever pins it built it: what is served must be the same. */
  file?: string;
  say: Say;
  /** Artifact → key: for tests. */
  keys?: Readonly<Record<string, string>>;
}

/** Pins an artifact. Resolves to its checksum. Throws a UserError, and changes nothing, if it is not what it must be. */
export async function pinArtifact(name: string, options: PinOptions): Promise<string> {
  const { root, cache, env, file, say, keys = SIGNED } = options;
  const artifacts = artifactsOf(environmentIn(root, env));
  const found = artifacts.find((one) => one.name === name);
  if (!found)
    throw new UserError(
      `"${name}" is no artifact of ${environmentFile(env)}; write ${oneOf(artifacts.map((one) => one.name))}.`,
    );
  const url = options.url ?? found.artifact.url;
  const key = keys[name];
  if (file !== undefined && !existsSync(file))
    throw new UserError(`${file} is not there; write the path of the file that you built.`);
  if (file === undefined && key === undefined)
    throw new UserError(
      `${name} is signed by nobody: you build it. Add --file with the path of what you built; it is compared with what ${url} serves.`,
    );
  const downloads = new Downloads(join(cache, "downloads"), say);
  const path = await downloads.again({ url, what: name, most: MOST_ARTIFACT_BYTES });
  const sha256 = await sha256Of(path);
  if (file !== undefined) {
    const own = await sha256Of(file);
    if (own !== sha256) {
      downloads.discard(url);
      throw new UserError(
        `${name}: ${url} serves another file (${sha256}) than ${file} (${own}); nothing was pinned.`,
      );
    }
    say(`${name}: ${url} serves ${file}`);
  } else if (key !== undefined) {
    assertInstalled("minisign");
    await checkMinisign(name, { url, path }, key, downloads);
    say(`${name}: signed by ${key}`);
  }
  const yaml = join(root, environmentFile(env));
  const [first = "", ...rest] = found.path;
  writeFileSync(
    yaml,
    setPinned(readFileSync(yaml, "utf8"), ["config", `framaspace:${first}`, ...rest], { url, sha256 }),
  );
  say(`${environmentFile(env)} has ${sha256} for ${url}`);
  return sha256;
}

/** An environment's configuration. Throws a UserError with everything that is wrong with it. */
export function environmentIn(root: string, env: string): Environment {
  const { value, problems } = readEnvironment(root, env);
  if (!value) throw new UserError(report(`Environment ${env} is`, problems));
  return value;
}
