// A program in TypeScript as one file for a machine, in JavaScript. The machine's own Node runs it: Debian's, which
// strips no types. One file, because a program that is replaced while it starts must not be half old and half new.
import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { dirname, join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");
/** A module as a function that gives its exports. */
const rendered = new Map<string, string>();

/**
 * The text of a program: its modules, those that others import first. Throws an Error that names the module if one
 * imports a package, or is written in a way that this does not know: machines have Node alone.
 * @param entry Path in this repository: `spaces/agent/rootfs-ops/usr/local/lib/framaspace/converge-space.ts`.
 */
export function renderProgram(entry: string): string {
  const modules = inOrder(entry);
  const names = new Map(modules.map((file, index) => [file, `module${index}`]));
  const texts = modules.map((file) => {
    const body = renderModule(file).replaceAll(
      /"module:([^"]+)"/g,
      (_, other: string) => names.get(other) ?? "",
    );
    return file === entry
      ? `// ${file}\n${body}`
      : `// ${file}\nconst ${names.get(file)} = (() => {\n${body}})();\n`;
  });
  return `#!/usr/bin/node\n// Made of the modules below, without their types: change them there.\n"use strict";\n\n${texts.join("\n")}`;
}

/** The entry and all that it imports, each after those that it imports itself. */
function inOrder(entry: string): string[] {
  const found = new Set<string>();
  const visit = (file: string): void => {
    if (found.has(file)) return;
    for (const [, other = ""] of renderModule(file).matchAll(/= "module:([^"]+)"/g)) visit(other);
    found.add(file);
  };
  visit(entry);
  return [...found];
}

function renderModule(file: string): string {
  const known = rendered.get(file);
  if (known !== undefined) return known;
  const exported: string[] = [];
  const text = strip(readFileSync(join(ROOT, file), "utf8"))
    .replaceAll(/^import (\* as \w+|\{[^}]*\}) from "([^"]+)";$/gm, (_, names: string, from: string) =>
      renderImport(file, names, from),
    )
    .replaceAll(
      /^export ((?:async )?(?:function|class|const) (\w+))/gm,
      (_, declaration: string, name: string) => {
        exported.push(name);
        return declaration;
      },
    )
    .replaceAll(/[ \t]+$/gm, "");
  const [unknown] = /^(?:import|export)\b.*$|\bimport\.meta\b|\bawait import\b/m.exec(text) ?? [];
  if (unknown !== undefined) throw new Error(`${file}: a machine's program cannot have "${unknown}"`);
  const result = exported.length > 0 ? `${text}return { ${exported.join(", ")} };\n` : text;
  rendered.set(file, result);
  return result;
}

function renderImport(file: string, names: string, from: string): string {
  if (!from.startsWith(".") && !from.startsWith("node:"))
    throw new Error(`${file} imports ${from}, which machines do not have: import its types alone`);
  const to = names.replace(/^\* as /, "").replaceAll(" as ", ": ");
  return from.startsWith(".")
    ? `const ${to} = "module:${join(dirname(file), from)}";`
    : `const ${to} = require("${from}");`;
}

/** Node's own way. It warns that it may change: the test that runs a program would notice. */
function strip(text: string): string {
  const emitWarning = process.emitWarning.bind(process);
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(text);
  } finally {
    process.emitWarning = emitWarning;
  }
}
