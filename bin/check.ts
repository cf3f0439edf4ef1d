// `npm run check`: the one gate, for people, hooks and CI. Every part runs, whatever the others find. Needs no
// credentials, no network and no engine. `npm run check -- tenants` is the data alone, in well under a second.
import { spawn } from "node:child_process";
import { globSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { environmentNames } from "../infra/inventory/environment-file.ts";
import { count } from "../validation/positions.ts";
import { EDITOR_SCHEMA_FILE, editorSchema } from "../spaces/fleet/editor-schema.ts";
import { loadFleet, reportFleets, TENANTS_FOLDER } from "../spaces/fleet/fleet.ts";

interface Outcome {
  state: "passed" | "failed" | "skipped";
  /** One line beside a part that passed or was skipped; all there is to say of one that failed. */
  text: string;
}

type Part = (root: string) => Outcome | Promise<Outcome>;

const PARTS: Record<string, Part> = {
  tenants: checkTenants,
  types: (root) => run(root, "tsc", ["--noEmit", "--project", "."]),
  lint: (root) => run(root, "oxlint", ["--type-aware", "--deny-warnings"]),
  format: (root) => run(root, "prettier", ["--check", "--log-level", "warn", "."]),
  shell: checkShell,
};

/** Configuration, catalog and tenants of every environment, and the editors' schema. */
export function checkTenants(root: string): Outcome {
  const fleets = allEnvironments(root).map((name) => loadFleet(root, name));
  const [catalog] = fleets.flatMap((fleet) => fleet.catalog ?? []);
  const stale = catalog && readEditorSchema(root) !== JSON.stringify(editorSchema(catalog));
  const texts = [
    ...(fleets.some(({ problems }) => problems.length > 0) ? [reportFleets(fleets)] : []),
    ...(stale
      ? [`${EDITOR_SCHEMA_FILE} is not what the catalog and the code say; run \`npm run space -- schema\`.`]
      : []),
  ];
  if (texts.length > 0) return { state: "failed", text: texts.join("\n") };
  const sizes = fleets.map(
    ({ environmentName, shards }) =>
      `${environmentName} ${count(shards.flatMap(({ tenants }) => tenants).length, "space")}`,
  );
  return { state: "passed", text: sizes.join(", ") };
}

/** Without its formatting, which is prettier's; undefined when it is missing or broken. */
function readEditorSchema(root: string): string | undefined {
  try {
    return JSON.stringify(JSON.parse(readFileSync(join(root, EDITOR_SCHEMA_FILE), "utf8")));
  } catch {
    return undefined;
  }
}

/** One that has tenants and no configuration is an error that loading it reports. */
function allEnvironments(root: string): string[] {
  return [...new Set([...environmentNames(root), ...readdirSync(join(root, TENANTS_FOLDER))])].sort();
}

/** Scripts run as root on machines: none goes unlinted in CI. */
async function checkShell(root: string): Promise<Outcome> {
  const scripts = globSync(["**/*.sh", "**/usr/local/sbin/*", ".ci/run"], {
    cwd: root,
    exclude: ["node_modules", ".lab"],
  });
  const outcome = await run(root, "shellcheck", ["--external-sources", ...scripts]);
  if (outcome.state === "failed" && outcome.text.includes("ENOENT"))
    return {
      state: process.env["CI"] === "true" ? "failed" : "skipped",
      text: "shellcheck is not installed; run `apt-get install shellcheck`",
    };
  return outcome.state === "passed" ? { ...outcome, text: count(scripts.length, "script") } : outcome;
}

/** A tool of this package, or of the system, with everything that it prints. */
function run(root: string, command: string, args: string[]): Promise<Outcome> {
  const path = `${join(import.meta.dirname, "../node_modules/.bin")}:${process.env["PATH"]}`;
  return new Promise((done) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, PATH: path },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const output: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => output.push(chunk));
    child.on("error", ({ message }) => done({ state: "failed", text: message }));
    child.on("close", (status) =>
      done(
        status === 0
          ? { state: "passed", text: "" }
          : { state: "failed", text: Buffer.concat(output).toString().trimEnd() },
      ),
    );
  });
}

const SIGNS = { passed: "✔", failed: "✘", skipped: "-" };

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { root: { type: "string", default: "." } },
  });
  const root = resolve(values.root);
  const names = positionals.length > 0 ? positionals : Object.keys(PARTS);
  const unknown = names.find((name) => !PARTS[name]);
  if (unknown !== undefined) {
    console.error(
      `"${unknown}" is no part of check; write one of ${Object.keys(PARTS).join(", ")}, or nothing for all.`,
    );
    process.exitCode = 1;
    return;
  }
  const waiting = [...names];
  const failed: string[] = [];
  const worker = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const start = performance.now();
      const { state, text } = (await PARTS[name]?.(root)) ?? { state: "failed", text: "" };
      const seconds = `${((performance.now() - start) / 1000).toFixed(1)} s`;
      if (state === "failed") failed.push(name);
      console.log(
        `${SIGNS[state]} ${name.padEnd(8)} ${seconds.padStart(6)}  ${state === "failed" ? `failed\n${text}` : `${state === "skipped" ? "skipped: " : ""}${text}`}`.trimEnd(),
      );
    }
  };
  // Two at a time: each tool keeps about one core busy.
  await Promise.all([worker(), worker()]);
  if (failed.length > 0) {
    if (names.length > 1) console.log(`check failed: ${failed.join(", ")}`);
    process.exitCode = 1;
  }
}

if (import.meta.main) await main();
