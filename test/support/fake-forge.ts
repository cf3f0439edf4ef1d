// The part of GitHub's REST API that a comment needs, on a port of its own. Comments stand on pages of three.
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export interface FakeComment {
  id: number;
  body: string;
  user: { login: string };
}

interface FakePull {
  state: string;
  head: { sha: string; repo: { full_name: string } | null };
  base: { ref: string; sha: string };
}

export interface FakeForge {
  /** What a job gets as GITHUB_API_URL. */
  url: string;
  pulls: Map<number, FakePull>;
  comments: Map<number, FakeComment[]>;
  /** Files that a comparison gives, by `base...head`. */
  files: Map<string, { filename: string; previous_filename?: string }[]>;
  /** Method and path of each request. */
  requests: string[];
  /** The token that may write; another one gets 403. */
  token: string;
  /** Whether it gives every comment on any page, as old releases of Forgejo do. */
  hasPages: boolean;
  close(): Promise<void>;
}

const PAGE = 3;

/** @param path the part of the address before `/repos`, such as `/api/v1` of Forgejo */
export async function fakeForge(path = "", author = "github-actions[bot]"): Promise<FakeForge> {
  const server = createServer((request, response) => {
    void readBody(request).then((body) => {
      const [status, answer] = forgeAnswer(request, body);
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(answer));
    });
  });
  const forgeAnswer = (request: IncomingMessage, body: string): [number, unknown] => {
    const { pathname, searchParams } = new URL(request.url ?? "", "http://localhost");
    forge.requests.push(`${request.method} ${pathname}`);
    const rest = pathname.replace(`${path}/repos/example/framaspace/`, "");
    if (request.headers.authorization !== `Bearer ${forge.token}`) return [403, { message: "no" }];
    const text = () => (JSON.parse(body) as { body: string }).body;
    const comparison = /^compare\/(.+)$/.exec(rest)?.[1];
    if (comparison !== undefined) {
      const files = forge.files.get(comparison);
      return files ? [200, { files }] : [404, {}];
    }
    const edited = /^issues\/comments\/(\d+)$/.exec(rest)?.[1];
    if (edited !== undefined && request.method === "PATCH") {
      const comment = [...forge.comments.values()].flat().find(({ id }) => id === Number(edited));
      if (!comment) return [404, {}];
      comment.body = text();
      return [200, comment];
    }
    const [, kind, digits] = /^(pulls|issues)\/(\d+)/.exec(rest) ?? [];
    const number = Number(digits);
    const pull = forge.pulls.get(number);
    if (!pull) return [404, {}];
    if (kind === "pulls") return [200, pull];
    const comments = forge.comments.get(number) ?? [];
    forge.comments.set(number, comments);
    if (request.method === "POST") {
      if (text().length > 65_536) return [422, { message: "Body is too long" }];
      const comment = { id: 1000 * number + comments.length, body: text(), user: { login: author } };
      comments.push(comment);
      return [201, comment];
    }
    const start = PAGE * (Number(searchParams.get("page") ?? 1) - 1);
    return [200, forge.hasPages ? comments.slice(start, start + PAGE) : comments];
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const forge: FakeForge = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`,
    pulls: new Map(),
    comments: new Map(),
    files: new Map(),
    requests: [],
    token: "token-of-the-job",
    hasPages: true,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
  return forge;
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
