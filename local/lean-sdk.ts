// Strips the Pulumi SDK of what only serves debugging and Pulumi's other uses, for evaluating thousands of spaces:
// 3 ms for a resource become 0.5 (measured with 3.270.0). It reaches into the SDK's own modules, which their exact
// pin allows; a test compares the graphs with and without.
import Module, { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** Must run before anything imports @pulumi/pulumi. */
export function makeSdkLean(): void {
  // The Automation API and the serialising of closures load npm's own library and TypeScript: 0.7 s and 65 MB. No
  // program here uses them.
  for (const path of [
    "automation/index.js",
    "runtime/closure/serializeClosure.js",
    "runtime/closure/codePaths.js",
  ])
    leaveOut(require.resolve(`@pulumi/pulumi/${path}`));
  // A stack trace for every promise, to name those that never settle.
  replace("@pulumi/pulumi/runtime/debuggable.js", "debuggablePromise", (promise: unknown) => promise);
  // A stack trace for every resource, to show its source position in the engine's messages.
  const { Resource }: { Resource: object } = require("@pulumi/pulumi");
  Reflect.set(Resource, "stackTrace", () => []);
  // And one for every error that might be needed later.
  Error.stackTraceLimit = 0;
}

function leaveOut(filename: string): void {
  const empty = new Module(filename);
  empty.filename = filename;
  empty.loaded = true;
  require.cache[filename] = empty;
}

function replace(path: string, name: string, value: unknown): void {
  const module: object = require(path);
  if (typeof Reflect.get(module, name) !== "function") throw new Error(`${path} has no ${name} any more`);
  Reflect.set(module, name, value);
}
