// Programs in TypeScript, as machines get them.
import { execaSync } from "execa";
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, expect, it } from "vitest";
import { renderProgram } from "../../../infra/machine/program-file.ts";
import { LOTUS, makeOps } from "../../support/fake-ops.ts";
import { onPath } from "../../support/fakes.ts";

const ROOT = join(import.meta.dirname, "../../..");
const LIBRARY = join(ROOT, "spaces/agent/rootfs-ops/usr/local/lib/framaspace");
const PROGRAMS = globSync("{infra,spaces}/*/rootfs*/**/*.ts", { cwd: ROOT }).sort();
const CONVERGE = "spaces/agent/rootfs-ops/usr/local/lib/framaspace/converge-space.ts";
const folder = mkdtempSync(join(tmpdir(), "program-file-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** The oldest Node of this machine. Debian's on the machines is 20.19. */
const [oldest = process.execPath] = execaSync("which", ["-a", "node"])
  .stdout.split("\n")
  .map((node) => ({ node, version: Number.parseInt(execaSync(node, ["--version"]).stdout.slice(1), 10) }))
  .sort((one, other) => one.version - other.version)
  .map(({ node }) => node);

const module = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return relative(ROOT, join(folder, name));
};

it.each(PROGRAMS)("%s is one file without types that Node takes, the same each time", (entry) => {
  const file = join(folder, "program");
  writeFileSync(file, renderProgram(entry));
  expect(readFileSync(file, "utf8")).toMatch(/^#!\/usr\/bin\/node\n/);
  expect(execaSync(oldest, ["--check", file]).stderr).toBe("");
  // Another process renders it again.
  const again = `import { renderProgram } from "${ROOT}/infra/machine/program-file.ts"; process.stdout.write(renderProgram("${entry}"));`;
  const { stdout, stderr } = execaSync(process.execPath, ["--input-type=module", "--eval", again]);
  expect({ text: `${stdout}\n`, stderr }).toEqual({ text: readFileSync(file, "utf8"), stderr: "" });
});

it.each(PROGRAMS)("%s takes nothing of Node that the oldest one lacks", (entry) => {
  const taken = [...renderProgram(entry).matchAll(/^const \{([^}]*)\} = require\("([^"]+)"\);$/gm)];
  const names = taken.flatMap(([, list = "", module = ""]) =>
    list.split(",").map((name) => [module, name.split(":")[0]?.trim() ?? ""] as const),
  );
  expect(names.length).toBeGreaterThan(0);
  const missing = `for (const [module, name] of ${JSON.stringify(names)}) if (name && !(name in require(module))) console.log(module, name);`;
  expect(execaSync(oldest, ["--eval", missing]).stdout).toBe("");
});

it.skipIf(!onPath("flock"))("converge-space installs and upgrades a space under the oldest Node", () => {
  const root = join(folder, "machine");
  makeOps(root);
  const places = `placesIn("${root}", "${LIBRARY}", "${root}/bin")`;
  writeFileSync(join(root, "converge-space"), renderProgram(CONVERGE).replace('placesIn("")', places));
  const converge = (change: object) => {
    const { stdout, stderr } = execaSync(oldest, [join(root, "converge-space")], {
      input: JSON.stringify({ ...LOTUS, ...change }),
      env: { PATH: `${root}/bin:${process.env.PATH}` },
    });
    return { changed: (JSON.parse(stdout) as { changed: string[] }).changed, stderr };
  };
  expect(converge({})).toEqual({
    changed: ["installed 34.0.4", "directory", "administrator", "invitation"],
    stderr: "",
  });
  expect(converge({ release: "35.0.2" }).changed).toContain("upgraded 34.0.4 to 35.0.2");
  expect(converge({ release: "35.0.2" })).toEqual({ changed: [], stderr: "" });
});

it("takes what modules import of each other, and drops types", () => {
  module(
    "greeting.ts",
    'export const GREETING: string = "hello";\nexport async function greet(name: string): Promise<string> {\n  return `${GREETING} ${name}`;\n}\n',
  );
  const entry = module(
    "entry.ts",
    'import { basename as base } from "node:path";\nimport { greet, type GREETING as Type } from "./greeting.ts";\nimport type { Nothing } from "nowhere";\nconst name: Type | Nothing = base("/a/world");\nvoid greet(name).then(console.log);\n',
  );
  writeFileSync(join(folder, "entry.js"), renderProgram(entry));
  expect(execaSync(oldest, [join(folder, "entry.js")]).stdout).toBe("hello world");
});

it.each([
  ['import * as z from "zod";\n', "imports zod, which machines do not have: import its types alone"],
  ["export default 1;\n", 'a machine\'s program cannot have "export default 1;"'],
])("refuses %j", (text, why) => {
  expect(() => renderProgram(module("refused.ts", text))).toThrow(why);
});
