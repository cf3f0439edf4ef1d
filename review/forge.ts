// The REST API that GitHub and Forgejo share, as far as a comment needs it.
import * as z from "zod";
import { UserError } from "../validation/user-error.ts";

const pullSchema = z.object({
  state: z.string(),
  head: z.object({ sha: z.string(), repo: z.object({ full_name: z.string() }).nullable() }),
  base: z.object({ ref: z.string(), sha: z.string() }),
});
export type Pull = z.infer<typeof pullSchema>;

const commentSchema = z.object({
  id: z.int(),
  body: z.string().nullable(),
  user: z.object({ login: z.string() }).nullable(),
});
type Comment = z.infer<typeof commentSchema>;

const comparisonSchema = z.object({
  files: z.array(z.object({ filename: z.string(), previous_filename: z.string().optional() })),
});

const PAGE = 100;
/** GitHub allows 2,500 comments on a pull request. Forgejo's pages may be shorter than asked for. */
const MOST_PAGES = 250;
/** GitHub lists no more files than that, and does not say that it left some out. */
const MOST_FILES = 300;

export class Forge {
  readonly #api: string;
  readonly #repository: string;
  readonly #token: string;

  /** @param repository `owner/name` */
  constructor(api: string, repository: string, token: string) {
    this.#api = api;
    this.#repository = repository;
    this.#token = token;
  }

  /** The account as which a job's own token writes. Nobody can register these names. */
  get author(): string {
    return this.#api.endsWith("/api/v1") ? "forgejo-actions" : "github-actions[bot]";
  }

  async pull(number: number): Promise<Pull> {
    return pullSchema.parse(await this.#call("GET", `pulls/${number}`));
  }

  /** The files that differ between where `head` left `base`, and `head`. Undefined if there may be more than listed. */
  async changedFiles(base: string, head: string): Promise<string[] | undefined> {
    // By commits, not by the number of a pull request: a push meanwhile changes nothing.
    const { files } = comparisonSchema.parse(await this.#call("GET", `compare/${base}...${head}`));
    if (files.length >= MOST_FILES) return undefined;
    return files.flatMap(({ filename, previous_filename: previous }) =>
      previous === undefined ? [filename] : [filename, previous],
    );
  }

  /** The first comment that this account wrote and that begins with a text. */
  async findComment(number: number, beginning: string): Promise<Comment | undefined> {
    const seen = new Set<number>();
    for (let page = 1; page <= MOST_PAGES; page++) {
      const query = `per_page=${PAGE}&limit=${PAGE}&page=${page}`;
      const comments = z
        .array(commentSchema)
        .parse(await this.#call("GET", `issues/${number}/comments?${query}`));
      // A forge that knows no pages gives the same comments again.
      const fresh = comments.filter(({ id }) => !seen.has(id));
      if (fresh.length === 0) return undefined;
      for (const { id } of fresh) seen.add(id);
      const own = fresh.find(
        ({ user, body }) => user?.login === this.author && body?.startsWith(beginning) === true,
      );
      if (own) return own;
    }
    return undefined;
  }

  async writeComment(number: number, body: string): Promise<void> {
    await this.#call("POST", `issues/${number}/comments`, { body });
  }

  async editComment(id: number, body: string): Promise<void> {
    await this.#call("PATCH", `issues/comments/${id}`, { body });
  }

  async #call(method: string, path: string, body?: unknown): Promise<unknown> {
    const address = `${this.#api}/repos/${this.#repository}/${path}`;
    const response = await fetch(address, {
      method,
      headers: {
        accept: "application/json",
        authorization: `Bearer ${this.#token}`,
        ...(body !== undefined && { "content-type": "application/json" }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    }).catch((error: unknown) => {
      throw new UserError(`${method} ${address} failed: ${String(error)}; run this job again.`, {
        cause: error,
      });
    });
    if (response.ok) return response.json();
    const remedy = [401, 403].includes(response.status)
      ? "the job's token may not do that: give the job `pull-requests: write`"
      : "run this job again";
    throw new UserError(`${method} ${address} answered ${response.status}; ${remedy}.`);
  }
}
