// Who gets which comment, against an API that keeps them over several pages.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { comment } from "../../review/comment.ts";
import { MARKER } from "../../review/comment-text.ts";
import { writeResult } from "../../review/result.ts";
import { fakeForge, type FakeForge } from "../support/fake-forge.ts";

const HEAD = "a".repeat(40);
const BASE = "b".repeat(40);
const TENANTS = "spaces/tenants/prod/002.yaml";
const OURS = "example/framaspace";
const FORK = "stranger/framaspace";

let forge: FakeForge;
let folder: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "framaspace-comment-"));
  forge = await fakeForge();
  forge.pulls.set(12, {
    state: "open",
    head: { sha: HEAD, repo: { full_name: FORK } },
    base: { ref: "main", sha: BASE },
  });
  forge.files.set(`${BASE}...${HEAD}`, [{ filename: TENANTS }]);
  writeResult(join(folder, "left"), { number: 12, status: 0, summary: "**the plan**\n", details: "" });
});
afterEach(async () => {
  await forge.close();
  rmSync(folder, { recursive: true });
});

interface Run {
  path?: string;
  source?: string;
  token?: string;
}

const repository = { full_name: OURS, default_branch: "main" };
function runWith(event: string, payload: object, token = forge.token): Promise<string> {
  const file = join(folder, "event.json");
  writeFileSync(file, JSON.stringify({ repository, ...payload }));
  return comment(join(folder, "left"), {
    GITHUB_EVENT_NAME: event,
    GITHUB_EVENT_PATH: file,
    GITHUB_API_URL: forge.url,
    GITHUB_SERVER_URL: "https://github.com",
    GITHUB_RUN_ID: "77",
    GITHUB_REPOSITORY: OURS,
    GITHUB_TOKEN: token,
  });
}
const afterRun = ({ path = ".github/workflows/review.yml", source = FORK, token }: Run = {}) =>
  runWith(
    "workflow_run",
    {
      workflow_run: {
        event: "pull_request",
        path,
        head_sha: HEAD,
        html_url: "https://github.com/example/framaspace/actions/runs/1",
        head_repository: { full_name: source },
      },
    },
    token,
  );
const afterPreview = (source = OURS) =>
  runWith("pull_request_target", {
    pull_request: {
      number: 12,
      html_url: "https://github.com/example/framaspace/pull/12",
      head: { sha: HEAD, repo: { full_name: source } },
    },
  });
const bodies = () => (forge.comments.get(12) ?? []).map(({ body }) => body);
const writes = () => forge.requests.filter((request) => !request.startsWith("GET"));

describe("a plan", () => {
  test("of a change of tenants files alone is shown as we wrote it", async () => {
    expect(await afterRun()).toBe(`Pull request 12: its comment has the plan of ${HEAD}.`);
    expect(bodies()).toEqual([expect.stringMatching(/^<!-- framaspace-review -->\n[^]*^\*\*the plan\*\*$/m)]);
    expect(bodies()[0]).not.toContain("⚠️");
  });

  test.each([
    ["a change of the program", [{ filename: TENANTS }, { filename: "package.json" }]],
    [
      "a program's file that becomes a tenants file",
      [{ filename: TENANTS, previous_filename: "plan/plan.ts" }],
    ],
    ["a workflow", [{ filename: ".github/workflows/review.yml" }]],
    ["a path that leads elsewhere", [{ filename: "spaces/tenants/prod/../../../package.json" }]],
    ["more files than the forge lists", Array.from({ length: 300 }, () => ({ filename: TENANTS }))],
  ])("of %s, from a fork, is quoted", async (_, files) => {
    forge.files.set(`${BASE}...${HEAD}`, files);
    await afterRun();
    expect(bodies()[0]).toMatch(
      /⚠️ this pull request comes from elsewhere[^]*^```text\n\*\*the plan\*\*\n```$/m,
    );
  });

  test("for another branch than the default one, from a fork, is quoted", async () => {
    forge.pulls.get(12)!.base.ref = "old-release";
    await afterRun();
    expect(bodies()[0]).toContain("⚠️");
  });

  test("of a branch of ours is shown as it wrote it", async () => {
    forge.pulls.get(12)!.head.repo = { full_name: OURS };
    forge.files.clear();
    await afterRun({ source: OURS });
    expect(bodies()[0]).toContain("\n**the plan**\n");
  });
});

describe("the comment", () => {
  const others = [
    { id: 1, user: { login: "somebody" }, body: `${MARKER}\nI write as the bot does` },
    { id: 2, user: { login: "github-actions[bot]" }, body: `another job quotes ${MARKER}` },
    { id: 3, user: { login: "renovate[bot]" }, body: MARKER },
    { id: 4, user: { login: "somebody" }, body: "> quote" },
    { id: 5, user: { login: "github-actions[bot]" }, body: "coverage" },
    { id: 6, user: { login: "somebody" }, body: "" },
  ];

  test.each([true, false])("is edited in place, wherever it stands (pages: %s)", async (hasPages) => {
    forge.hasPages = hasPages;
    forge.comments.set(12, structuredClone(others));
    await afterRun();
    writeResult(join(folder, "left"), { number: 12, status: 2, summary: "again\n", details: "" });
    await afterRun();
    await afterRun();
    expect(bodies().slice(0, 6)).toEqual(others.map(({ body }) => body));
    expect(bodies().slice(6)).toEqual([expect.stringMatching(/⛔[^]*\nagain\n$/)]);
    // The third run has nothing to change.
    expect(writes().map((request) => request.split(" ")[0])).toEqual(["POST", "PATCH"]);
  });

  test("has the preview as its second part", async () => {
    forge.pulls.get(12)!.head.repo = { full_name: OURS };
    await afterRun({ source: OURS });
    writeResult(join(folder, "left"), { status: 2, summary: "previewed\n", details: "" });
    expect(await afterPreview()).toContain(`has the preview of ${HEAD}`);
    expect(bodies()).toEqual([
      expect.stringMatching(/^\*\*the plan\*\*\n[^]*⛔[^]*actions\/runs\/77[^]*^previewed$/m),
    ]);
  });
});

describe("no comment, and a sentence that says why,", () => {
  const expectNone = async (said: Promise<string>, why: RegExp) => {
    expect(await said).toMatch(why);
    expect(writes()).toEqual([]);
  };

  test("where the run left nothing", async () => {
    rmSync(join(folder, "left"), { recursive: true });
    await expectNone(
      afterRun(),
      /^No comment: the job ended before there was a plan\. Its log says why: https:/,
    );
  });

  test("on a pull request of somebody else, whatever number the run names", async () => {
    forge.pulls.set(13, {
      state: "open",
      head: { sha: BASE, repo: { full_name: OURS } },
      base: { ref: "main", sha: BASE },
    });
    writeResult(join(folder, "left"), { number: 13, status: 0, summary: "x", details: "" });
    await expectNone(afterRun(), /a{40} is not the last commit of pull request 13\./);
    forge.pulls.get(13)!.head.sha = HEAD;
    await expectNone(afterRun(), /is not the last commit of pull request 13\./);
  });

  test("without a number, on a closed pull request, and before a newer commit", async () => {
    writeResult(join(folder, "left"), { status: 0, summary: "x", details: "" });
    await expectNone(afterRun(), /of pull request 0\./);
    writeResult(join(folder, "left"), { number: 12, status: 0, summary: "x", details: "" });
    forge.pulls.get(12)!.state = "closed";
    await expectNone(afterRun(), /of pull request 12\./);
    forge.pulls.set(12, {
      ...forge.pulls.get(12)!,
      state: "open",
      head: { sha: BASE, repo: { full_name: FORK } },
    });
    await expectNone(afterRun(), /A newer commit has a run of its own\./);
  });

  test("after a workflow that only calls itself as ours", async () =>
    expectNone(
      afterRun({ path: ".github/workflows/evil.yml@main" }),
      /not "\.github\/workflows\/evil\.yml"/,
    ));

  test("of a preview of a fork", async () =>
    expectNone(afterPreview(FORK), /only branches of example\/framaspace/));
});

test("a token that may not write, and a forge that does not answer, are said with what to do", async () => {
  await expect(afterRun({ token: "another" })).rejects.toThrow(/answered 403; .*`pull-requests: write`/);
  forge.url = "http://127.0.0.1:1";
  await expect(afterRun()).rejects.toThrow(
    /GET http:\/\/127\.0\.0\.1:1\/repos.* failed: .*run this job again/,
  );
});

test("outside of a job, and after another event, it says so", async () => {
  await expect(comment(folder, {})).rejects.toThrow("GITHUB_EVENT_PATH is not set");
  await expect(runWith("push", { ref: "refs/heads/main" })).rejects.toThrow(
    'started by "push", whose event lacks workflow_run',
  );
});
