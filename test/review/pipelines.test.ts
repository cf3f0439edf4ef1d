// The pipelines' own steps, run as they stand in the YAML, on pull requests of a fork, of a trusted branch, and of
// somebody malicious: what each gets to see, and what is posted. And what the YAML may never say.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { execaSync } from "execa";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as z from "zod";
import { reviewTenants } from "../../review/tenants-change.ts";
import { writePreview } from "../../review/write.ts";
import { fakeForge, type FakeForge } from "../support/fake-forge.ts";
import { readGitlab, readWorkflow, runGitlabJob, runJob, type Ran } from "../support/pipeline.ts";

const REPOSITORY = join(import.meta.dirname, "../..");
const OURS = "example/framaspace";
const FORK = "stranger/framaspace";
const PASSPHRASE = "passphrase-of-the-platform";
const TENANTS = "spaces/tenants/prod/001.yaml";
const ENTRY = `- id: aaa-first\n  name: 'A <img src=x> @all [l](https://evil.example)'\n  kind: association\n  contact: info@aaa.example\n  plan: standard\n  office: collabora\n  wave: main\n  state: active\n\n`;

let folder: string;
let origin: string;
let base: string;
/** A checkout of the default branch, for jobs that change nothing in it. */
let main: string;
/** A clone in which changes are made. */
let author: string;
let forge: FakeForge;
let count = 0;

function git(root: string, ...args: string[]): string {
  const author = ["-c", "user.name=test", "-c", "user.email=test@framaspace.example"];
  return execFileSync("git", [...author, ...args], { cwd: root, encoding: "utf8", stdio: "pipe" }).trim();
}

/** A clone of the forge's repository at a commit, with the packages that `setup` would install. */
function checkout(commit: string): string {
  const root = join(folder, `checkout-${count++}`);
  git(folder, "clone", "--quiet", "--shared", "--no-checkout", origin, root);
  git(root, "fetch", "--quiet", "origin", commit);
  git(root, "checkout", "--quiet", "--detach", "FETCH_HEAD");
  symlinkSync(join(REPOSITORY, "node_modules"), join(root, "node_modules"));
  return root;
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "framaspace-pipelines-"));
  const source = join(folder, "source");
  const listed = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "-z"], {
    cwd: REPOSITORY,
    encoding: "utf8",
  }).split("\0");
  for (const file of listed.filter((name) => name !== "" && !/^(docs|lab|bench|test)\//.test(name))) {
    if (!existsSync(join(REPOSITORY, file))) continue;
    mkdirSync(dirname(join(source, file)), { recursive: true });
    cpSync(join(REPOSITORY, file), join(source, file));
  }
  // Rollout needs the engine and machines; here it only shows that it got the passphrase.
  const manifest = z
    .looseObject({ scripts: z.record(z.string(), z.string()) })
    .parse(JSON.parse(readFileSync(join(source, "package.json"), "utf8")));
  manifest.scripts["rollout"] = "node rollout.mjs";
  writeFileSync(
    join(source, "rollout.mjs"),
    `if (process.env.PULUMI_CONFIG_PASSPHRASE === "${PASSPHRASE}") {
       console.log("Would destroy a bucket:", process.argv.slice(2).join(" "));
       process.exitCode = 2;
     }`,
  );
  writeFileSync(join(source, "package.json"), JSON.stringify(manifest));
  git(folder, "init", "--quiet", "--initial-branch=main", source);
  git(source, "add", "--all");
  git(source, "commit", "--quiet", "--message", "base");
  edit(source, TENANTS, (text) => `# A line more.\n${text}`);
  git(source, "commit", "--quiet", "--all", "--message", "what a branch may lack");
  origin = join(folder, "origin.git");
  git(folder, "clone", "--quiet", "--bare", source, origin);
  base = git(origin, "rev-parse", "main");
  git(origin, "branch", "older", "main~1");
  main = checkout("main");
  author = checkout("main");
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Change {
  number: number;
  head: string;
  from: string;
  files: string[];
}

/** Opens a pull request with the changes that a function makes to a clone. */
function open(from: string, change: (root: string) => void, start = "main"): Change {
  git(author, "fetch", "--quiet", "origin", start);
  git(author, "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD");
  change(author);
  git(author, "add", "--all");
  git(author, "commit", "--quiet", "--message", "change");
  const head = git(author, "rev-parse", "HEAD");
  const number = 100 + count++;
  // The branch has not fallen behind, so the merge that GitHub tests has the same files.
  for (const ref of ["head", "merge"])
    git(author, "push", "--quiet", "origin", `HEAD:refs/pull/${number}/${ref}`);
  const files = git(author, "diff", "--name-only", "HEAD~1").split("\n");
  forge.pulls.set(number, {
    state: "open",
    head: { sha: head, repo: { full_name: from } },
    base: { ref: "main", sha: base },
  });
  forge.files.set(
    `${base}...${head}`,
    files.map((filename) => ({ filename })),
  );
  return { number, head, from, files };
}

const edit = (root: string, file: string, change: (text: string) => string) =>
  writeFileSync(join(root, file), change(readFileSync(join(root, file), "utf8")));
const addSpace = (root: string) => edit(root, TENANTS, (text) => text.replace(/^- id: /m, `${ENTRY}- id: `));

/** Variables that every job of GitHub and Forgejo gets. None is a secret. */
function variablesOf(name: string, payload: object, scratch: string): Record<string, string> {
  mkdirSync(scratch, { recursive: true });
  const event = join(scratch, "event.json");
  writeFileSync(
    event,
    JSON.stringify({ repository: { full_name: OURS, default_branch: "main" }, ...payload }),
  );
  return {
    GITHUB_ACTIONS: "true",
    GITHUB_EVENT_NAME: name,
    GITHUB_EVENT_PATH: event,
    GITHUB_STEP_SUMMARY: join(scratch, "summary.md"),
    GITHUB_API_URL: forge.url,
    GITHUB_SERVER_URL: "https://github.com",
    GITHUB_REPOSITORY: OURS,
    GITHUB_RUN_ID: "77",
    RUNNER_TEMP: join(scratch, "temp"),
  };
}
const pullRequest = ({ number, head, from }: Change) => ({
  pull_request: {
    number,
    html_url: `https://github.com/${OURS}/pull/${number}`,
    head: { sha: head, repo: { full_name: from } },
  },
});

/** The two workflows of a pull request on GitHub, one after the other. */
async function review(change: Change): Promise<{ planned: Ran; commented: Ran; summary: string }> {
  const scratch = join(folder, `scratch-${change.number}`);
  const store = join(scratch, "store");
  const root = checkout(`refs/pull/${change.number}/merge`);
  const planned = await runJob({
    root,
    workflow: join(root, ".github/workflows/review.yml"),
    job: "review",
    variables: variablesOf("pull_request", pullRequest(change), join(scratch, "review")),
    store,
  });
  const summary = join(scratch, "review/summary.md");
  const variables = variablesOf(
    "workflow_run",
    {
      workflow_run: {
        event: "pull_request",
        path: ".github/workflows/review.yml",
        head_sha: change.head,
        html_url: `https://github.com/${OURS}/actions/runs/76`,
        head_repository: { full_name: change.from },
      },
    },
    join(scratch, "comment"),
  );
  const commented = await runJob({
    // The default branch's checkout and workflow: nothing of the change.
    root: main,
    workflow: join(main, ".github/workflows/comment.yml"),
    job: "comment",
    variables,
    expressions: { "runner.temp": variables["RUNNER_TEMP"] ?? "", "github.token": forge.token },
    store,
  });
  return { planned, commented, summary: existsSync(summary) ? readFileSync(summary, "utf8") : "" };
}
const bodies = ({ number }: Change) => (forge.comments.get(number) ?? []).map(({ body }) => body);

/** A forge for all tests of a group: each has pull requests of its own. */
function withForge(...args: Parameters<typeof fakeForge>): void {
  beforeAll(async () => {
    forge = await fakeForge(...args);
  });
  afterAll(() => forge.close());
}

describe.concurrent("on GitHub and GitLab,", { timeout: 60_000 }, () => {
  withForge();

  test("a fork that adds a space gets its plan, in the summary and in one comment", async () => {
    const change = open(FORK, addSpace);
    const { planned, commented, summary } = await review(change);
    expect(planned).toMatchObject({ passed: true, log: expect.stringContaining("::stop-commands::") });
    expect(summary).toContain("adds 1 space");
    expect(commented.log).toContain(`its comment has the plan of ${change.head}`);
    expect(bodies(change)).toEqual([expect.stringContaining("adds 1 space")]);
    // The name is foreign text: only inside of code.
    const [body = ""] = bodies(change);
    expect(body).toContain("`A <img src=x> @all [l](https://evil.example)`");
    expect(body.replaceAll(/(`+)[^`]+\1/g, "")).not.toMatch(/<img|@all|evil\.example/);
    expect(planned.log + commented.log).not.toContain(forge.token);
  });

  test("a wrong value, and a link out of the tree, are marked on their lines; nothing is read through the link", async () => {
    const change = open(FORK, (root) => {
      edit(root, TENANTS, (text) => text.replace(/(id: chorale-a-tue-tete[^]*?plan: )small/, "$1huge"));
      symlinkSync("/etc/passwd", join(root, "spaces/tenants/prod/002.yaml"));
    });
    const { planned, summary } = await review(change);
    expect(planned.passed).toBe(false);
    expect(planned.log).toMatch(
      /^::error file=spaces\/tenants\/prod\/001\.yaml,line=\d+,col=9::space "chorale-a-tue-tete": plan is "huge"/m,
    );
    expect(planned.log).toContain("::error file=spaces/tenants/prod/002.yaml,line=1,col=1::this is a link");
    expect(bodies(change)).toEqual([expect.stringContaining("✘ it failed, or is not valid")]);
    expect(planned.log + summary + bodies(change)[0]).not.toContain("root:x:");
  });

  test("a fork that changes the package's scripts finds no secret, and what it writes is quoted", async () => {
    const evil = {
      summary: "@example/administrators ![x](https://evil.example)\n```\n<!-- framaspace-review -->",
      details: "",
    };
    const change = open(FORK, (root) => {
      writeFileSync(
        join(root, "evil.mjs"),
        `import fs from "node:fs";
         console.log(process.env);
         const { pull_request: { number } } = JSON.parse(fs.readFileSync(process.env.GITHUB_EVENT_PATH));
         fs.mkdirSync(".review");
         fs.writeFileSync(".review/review.json", JSON.stringify({ number, status: 0, ...${JSON.stringify(evil)} }));`,
      );
      edit(root, "package.json", (text) => text.replace(/"node bin\/review\.ts"/, '"node evil.mjs"'));
      edit(root, ".github/workflows/comment.yml", () => "on: pull_request");
    });
    const { planned } = await review(change);
    expect(planned.log).toContain("GITHUB_EVENT_PATH");
    expect(planned.log).not.toMatch(/TOKEN|SECRET|PASS|KEY/);
    const [body = ""] = bodies(change);
    expect(body).toContain("⚠️ this pull request comes from elsewhere and changes more than tenants files");
    const quoted = /^````text\n[^]*?\n````$/m;
    expect(body).toMatch(quoted);
    expect(body.replace(quoted, "")).not.toMatch(/@|evil/);
  });

  test("a fork whose program dies before there is a plan gets no comment, and the log says so", async () => {
    const change = open(FORK, (root) => edit(root, "review/write.ts", () => "process.exit(3)"));
    const { planned, commented } = await review(change);
    expect(planned.passed).toBe(false);
    expect(commented).toEqual({
      passed: true,
      log: expect.stringContaining(
        `before there was a plan. Its log says why: https://github.com/${OURS}/actions/runs/76`,
      ),
    });
    expect(bodies(change)).toEqual([]);
  });

  test("a trusted branch gets the engine's preview; its passphrase shows nowhere", async () => {
    const change = open(OURS, addSpace);
    const scratch = join(folder, "scratch-preview");
    const root = checkout(change.head);
    const job = (name: string, where: string, expressions: Record<string, string>) =>
      runJob({
        root: where,
        workflow: join(main, ".github/workflows/preview.yml"),
        job: name,
        variables: variablesOf("pull_request_target", pullRequest(change), join(scratch, name)),
        expressions: {
          "runner.temp": join(scratch, name, "temp"),
          "github.event.pull_request.head.sha": change.head,
          ...expressions,
        },
        store: join(scratch, "store"),
      });
    const previewed = await job("preview", root, {
      "vars.PULUMI_BACKEND_URL": "file:///srv/state",
      "secrets.PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
    });
    // Rollout's deletion guard refused, so the job fails; the comment says it.
    expect(previewed).toMatchObject({
      passed: false,
      log: expect.stringContaining("Would destroy a bucket: --env prod --preview"),
    });
    const commented = await job("comment", main, { "github.token": forge.token });
    expect(commented.passed).toBe(true);
    expect(bodies(change)).toEqual([
      expect.stringMatching(/⛔ it would destroy[^]*^Would destroy a bucket/m),
    ]);
    expect([previewed.log, commented.log, ...bodies(change)].join()).not.toContain(PASSPHRASE);
  });

  test("a branch behind main is not previewed", async () => {
    const root = checkout("older");
    await expect(writePreview({ root, env: "prod" }, {})).rejects.toThrow(
      "This branch lacks commits of main, which a preview would undo; rebase it on main.",
    );
  });

  test("a merge request leaves the reports that GitLab shows by itself", async () => {
    const change = open(FORK, addSpace);
    const root = checkout(change.head);
    const ran = await runGitlabJob(root, "plan", { CI_MERGE_REQUEST_DIFF_BASE_SHA: base });
    expect(ran).toMatchObject({ passed: true, log: expect.stringMatching(/^# What this change does/) });
    const { artifacts } = readGitlab(join(root, ".gitlab-ci.yml"))["plan"] ?? {};
    const read = (file: string) => readFileSync(join(root, file), "utf8");
    expect(artifacts?.paths.map(read)).toEqual([expect.stringContaining("adds 1 space")]);
    expect(JSON.parse(read(artifacts?.reports?.["terraform"] ?? ""))).toEqual({
      create: 6,
      update: 0,
      delete: 0,
    });
    expect(JSON.parse(read(artifacts?.reports?.["codequality"] ?? ""))).toEqual([]);
  });
});

describe("on Forgejo,", { timeout: 60_000 }, () => {
  withForge("/api/v1", "forgejo-actions");
  const variables = (change: Change) => ({
    ...variablesOf("pull_request_target", pullRequest(change), join(folder, `scratch-${change.number}`)),
    GITHUB_TOKEN: forge.token,
  });

  test("a fork's tenants files are planned by main's own code, and commented", async () => {
    const change = open(FORK, addSpace);
    const root = checkout("main");
    const ran = await runJob({
      root,
      workflow: join(root, ".forgejo/workflows/tenants.yml"),
      job: "tenants",
      variables: variables(change),
      expressions: { "github.token": forge.token },
      store: "",
    });
    expect(ran).toMatchObject({ passed: true });
    expect(bodies(change)).toEqual([expect.stringMatching(/^<!-- framaspace-review -->\n[^]*adds 1 space/)]);
  });

  test.each<[string, (root: string) => void]>([
    ["code", (root) => writeFileSync(join(root, "review/write.ts"), "process.exit(3)")],
    ["a link", (root) => symlinkSync("/etc/passwd", join(root, "spaces/tenants/prod/002.yaml"))],
    ["a program", (root) => chmodSync(join(root, TENANTS), 0o755)],
  ])("%s is not even checked out; the comment names the job that has the plan", async (_, spoil) => {
    const change = open(FORK, (root) => {
      addSpace(root);
      spoil(root);
    });
    expect(await reviewTenants(main, variables(change))).toBe(0);
    expect(bodies(change)).toEqual([
      expect.stringContaining("its plan is only in the log of the job `review`"),
    ]);
    expect(git(main, "status", "--short")).toBe("");
  });

  test("a newer commit, and a conflict, are said", async () => {
    const change = open(FORK, addSpace);
    await expect(reviewTenants(main, variables({ ...change, head: base }))).rejects.toThrow(
      "has a newer commit than",
    );
    const clash = open(FORK, (root) => edit(root, TENANTS, (text) => `# Another line.\n${text}`), "older");
    expect(await reviewTenants(main, variables(clash))).toBe(1);
    expect(bodies(clash)).toEqual([expect.stringContaining("This change conflicts")]);
  });
});

const hasZizmor = execaSync("zizmor", ["--version"], { reject: false }).exitCode === 0;

test.skipIf(!hasZizmor)(
  `zizmor finds nothing in GitHub's workflows${hasZizmor ? "" : " (skipped: no zizmor on PATH)"}`,
  () => {
    const args = ["--offline", "--quiet", "--no-progress", ".github"];
    expect(execaSync("zizmor", args, { cwd: REPOSITORY, all: true, reject: false })).toMatchObject({
      exitCode: 0,
      all: expect.stringContaining("No findings"),
    });
  },
);

describe("no pipeline", () => {
  const FILES = globSync(".{github,forgejo}/workflows/*.yml", { cwd: REPOSITORY }).sort();
  const workflows = FILES.map((file) => ({ file, ...readWorkflow(join(REPOSITORY, file)) }));
  const texts = [...FILES, ".gitlab-ci.yml"].map((file) => readFileSync(join(REPOSITORY, file), "utf8"));
  const steps = workflows.flatMap(({ jobs }) => Object.values(jobs).flatMap((job) => job.steps));
  const commands = [
    ...steps.flatMap(({ run }) => run?.trim().split("\n") ?? []),
    ...Object.values(readGitlab(join(REPOSITORY, ".gitlab-ci.yml"))).flatMap(({ script }) => script ?? []),
  ];

  test("is missing here", () => expect(FILES).toHaveLength(11));

  test("does anything that is not a command of ours", () => {
    expect(commands.length).toBeGreaterThan(15);
    const odd = commands.filter((command) => !/^(npm (run|test)\b|npm ci --ignore-scripts$)/.test(command));
    expect(odd).toEqual(["apt-get update -q && apt-get install -qy --no-install-recommends shellcheck"]);
  });

  test("runs what packages want to run when they are installed, or keeps a cache", () => {
    for (const text of texts) {
      expect(text.match(/npm ci\b.*/g)).toEqual(text.match(/npm ci --ignore-scripts/g));
      expect(text).not.toMatch(/^\s*cache:|actions\/cache/m);
    }
    for (const { with: options } of steps.filter(({ uses }) => uses?.includes("setup-node@")))
      expect(options).toMatchObject({ "package-manager-cache": false });
  });

  test("takes an action by a name that can move, or leaves a token in its checkout", () => {
    const uses = texts.flatMap((text) => text.match(/uses: .*/g) ?? []);
    expect(uses.filter((line) => !/@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(line))).toEqual([]);
    for (const { with: options } of steps.filter(({ uses: name }) => name?.includes("actions/checkout@")))
      expect(options).toMatchObject({ "persist-credentials": false });
  });

  test("has a secret, or a token that writes, where a stranger's code runs", () => {
    const untrusted = workflows.filter(({ on }) => on === "pull_request");
    expect(untrusted.map(({ file }) => file)).toEqual([
      ".forgejo/workflows/review.yml",
      ".github/workflows/review.yml",
    ]);
    for (const { file, permissions } of untrusted) {
      expect(readFileSync(join(REPOSITORY, file), "utf8")).not.toMatch(
        /secrets\.|\.token|runs-on: .*framaspace/,
      );
      // Forgejo knows no permissions: there, the token of a fork's pull request only reads.
      expect(permissions ?? "of the forge").toEqual(
        file.startsWith(".github") ? { contents: "read" } : "of the forge",
      );
    }
  });

  test("uses the host's own runner, or a secret, before the host turns it on", () => {
    const own = workflows.flatMap(({ file, jobs }) =>
      Object.values(jobs).flatMap((job) =>
        JSON.stringify(job).includes("secrets.") || JSON.stringify(job["runs-on"]).includes("framaspace")
          ? [{ file, condition: job.if }]
          : [],
      ),
    );
    expect(own.map(({ file }) => file)).toEqual([
      ".forgejo/workflows/drift.yml",
      ".forgejo/workflows/rollout.yml",
      ".github/workflows/drift.yml",
      ".github/workflows/preview.yml",
      ".github/workflows/rollout.yml",
    ]);
    for (const { condition } of own) expect(condition).toMatch(/vars\.FRAMASPACE_(PREVIEW|ROLLOUT) == 'on'/);
  });

  test("writes beside another that writes, or is cancelled while it does", () => {
    const rollouts = workflows.filter(({ file }) => file.endsWith("rollout.yml"));
    for (const { concurrency } of rollouts)
      expect(concurrency).toMatchObject({ group: "framaspace-writes", "cancel-in-progress": false });
    expect(readGitlab(join(REPOSITORY, ".gitlab-ci.yml"))["rollout"]).toMatchObject({
      resource_group: "framaspace-writes",
      interruptible: false,
    });
  });

  test("has another Node than the package", () => {
    const versions = texts.flatMap((text) => text.match(/(?<=node-version: |image: node:)[\d.]+/g) ?? []);
    const { devDependencies } = z
      .object({ devDependencies: z.record(z.string(), z.string()) })
      .parse(JSON.parse(readFileSync(join(REPOSITORY, "package.json"), "utf8")));
    expect([...new Set(versions)]).toEqual([devDependencies["node"]]);
  });
});
