// What a review leaves for the job that comments: one JSON file. The job that writes it runs the code of the change, so
// the job that reads it takes it as data of a stranger.
import { closeSync, constants, fstatSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { UserError } from "../validation/user-error.ts";

const RESULT_FILE = "review.json";
/** Far above a plan of 10,000 spaces, of each of which it says a line. */
const MOST_BYTES = 16 * 2 ** 20;

const schema = z.strictObject({
  /** The pull request; absent where the forge does not say it. */
  number: z
    .int()
    .positive()
    .max(2 ** 31)
    .optional(),
  /** 0: fine. 1: not valid, or failed. 2: would destroy data. */
  status: z.union([z.literal(0), z.literal(1), z.literal(2)]),
  /** Markdown, as `npm run plan` and `npm run rollout -- --preview` give it. */
  summary: z.string(),
  details: z.string(),
});

export type Result = z.infer<typeof schema>;

export function writeResult(folder: string, result: Result): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, RESULT_FILE), JSON.stringify(result));
}

/** Undefined if there is no file. Throws a UserError if it is not what `writeResult` writes. */
export function readResult(folder: string): Result | undefined {
  const file = join(folder, RESULT_FILE);
  const bytes = readPlainFile(file);
  if (bytes === undefined) return undefined;
  let data: unknown;
  try {
    data = JSON.parse(bytes.toString("utf8"));
  } catch {
    throw new UserError(`${file} is no JSON; look at the run that made it.`);
  }
  const parsed = schema.safeParse(data);
  if (parsed.success) return parsed.data;
  // Paths only: the values are a stranger's.
  const paths = parsed.error.issues.map(({ path }) => path.join(".") || "the whole").join(", ");
  throw new UserError(`${file} is not what a review writes (${paths}); look at the run that made it.`);
}

function readPlainFile(file: string): Buffer | undefined {
  let descriptor: number;
  try {
    // Never through a link, and never waiting for the other end of a pipe.
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT") return undefined;
    throw new UserError(`${file} is no plain file (${String(code)}); look at the run that made it.`);
  }
  try {
    const stat = fstatSync(descriptor);
    if (!stat.isFile() || stat.size > MOST_BYTES)
      throw new UserError(
        `${file} is no plain file of at most ${MOST_BYTES} bytes; look at the run that made it.`,
      );
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
