// A project with the fleet's files, whose stacks cost nothing: one local command for each space, in place of six
// resources on machines. For rollouts with the Pulumi CLI.
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { renderEntry } from "../../spaces/fleet/edit.ts";

const REPOSITORY = join(import.meta.dirname, "../..");

/**
 * The program. Each command appends a line to `.calls`, so that a test sees what ran, and how often. While the file
 * `.slow` exists, each takes so many seconds; while `.broken-<id>` exists, that one fails. Files that begin with a point are no part of a program.
 */
const PROGRAM = `import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

export default async function program() {
  const here = import.meta.dirname;
  const [environment, part, number] = pulumi.getStack().split("-");
  const file = join(here, "spaces/tenants", environment, \`\${number}.yaml\`);
  const entries = part === "platform" ? [{ id: "platform" }] : parse(readFileSync(file, "utf8"));
  for (const { id, name } of entries)
    new command.local.Command(id, {
      dir: here,
      create: \`if [ -e .slow ]; then sleep "$(cat .slow)"; fi; if [ -e .broken-\${id} ]; then echo "no luck with \${id}" >&2; exit 1; fi; echo \${id} >>.calls\`,
      environment: { NAME: name ?? "" },
    });
}
`;

/** Makes the project in an empty folder, with `files` tenants files of `each` spaces. */
export function makeFleetProject(root: string, files: number, each: number): void {
  mkdirSync(join(root, "spaces/tenants/prod"), { recursive: true });
  for (const file of ["Pulumi.yaml", "Pulumi.prod.yaml", "package.json", "spaces/catalog.yaml"])
    copyFileSync(join(REPOSITORY, file), join(root, file));
  for (const folder of ["node_modules", "policies", "bin"])
    symlinkSync(join(REPOSITORY, folder), join(root, folder));
  writeFileSync(join(root, "index.ts"), PROGRAM);
  for (let file = 1; file <= files; file += 1)
    writeFileSync(join(root, tenantsFile(file)), entries(file, each));
}

/** Path of a tenants file, from its number. */
export const tenantsFile = (file: number): string =>
  `spaces/tenants/prod/${String(file).padStart(3, "0")}.yaml`;

function entries(file: number, each: number): string {
  return Array.from({ length: each }, (_, index) =>
    renderEntry({
      id: `space-${String(file).padStart(3, "0")}-${String(index).padStart(3, "0")}`,
      name: `Association ${file} ${index}`,
      kind: "association",
      contact: `contact@group${index}.example`,
      plan: "small",
      office: "collabora",
      wave: file === 2 && index === 0 ? "canary" : "main",
    }),
  ).join("\n");
}
