// Loaded before a program, as JavaScript (`node --require`): notes each change that it makes to files, and each command
// that it runs, in $STEPS, and kills the program just before the one with the number $KILL_AT. Commands that run then go
// on.

const fs = process.getBuiltinModule("node:fs");
const children = process.getBuiltinModule("node:child_process");
const { STEPS = "", KILL_AT } = process.env;
const steps = fs.openSync(STEPS, "a");
let number = 0;

function step(what: string): void {
  number += 1;
  if (String(number) === KILL_AT) process.kill(process.pid, "SIGKILL");
  fs.writeSync(steps, `${what.replaceAll("\n", " ")}\n`);
}

type Call = (...args: unknown[]) => unknown;
/** Replaces a function of a module by one that is a step first, if `describe` says which. */
function watch(module: object, name: string, describe: (args: unknown[]) => string | undefined): void {
  const real = Reflect.get(module, name) as Call;
  Reflect.set(module, name, (...args: unknown[]) => {
    const what = describe(args);
    if (what !== undefined) step(what);
    return real(...args);
  });
}

for (const name of [
  "writeFileSync",
  "renameSync",
  "rmSync",
  "mkdirSync",
  "symlinkSync",
  "chmodSync",
  "fsyncSync",
])
  watch(fs, name, ([path]) => `${name} ${String(path)}`);
watch(fs, "openSync", ([path, flags]) =>
  flags === "w" || flags === "a" ? `openSync ${String(path)}` : undefined,
);
watch(children, "spawn", ([command, words]) => `${String(command)} ${(words as string[]).join(" ")}`);
