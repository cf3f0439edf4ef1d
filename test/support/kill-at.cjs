// Loaded before a program (`node --require`): notes each change that it makes to files, and each command that it runs,
// in $STEPS, and kills the program just before the one with the number $KILL_AT. Commands that run then go on.
"use strict";
const fs = require("node:fs");
const children = require("node:child_process");

const { STEPS, KILL_AT } = process.env;
const steps = fs.openSync(STEPS, "a");
let number = 0;

/** @param {string} what */
function step(what) {
  number += 1;
  if (String(number) === KILL_AT) process.kill(process.pid, "SIGKILL");
  fs.writeSync(steps, `${what.replaceAll("\n", " ")}\n`);
}

for (const name of [
  "writeFileSync",
  "renameSync",
  "rmSync",
  "mkdirSync",
  "symlinkSync",
  "chmodSync",
  "fsyncSync",
]) {
  const real = fs[name];
  fs[name] = (...args) => {
    step(`${name} ${args[0]}`);
    return real(...args);
  };
}
const { openSync } = fs;
fs.openSync = (...args) => {
  if (args[1] === "w" || args[1] === "a") step(`openSync ${args[0]}`);
  return openSync(...args);
};
const { spawn } = children;
children.spawn = (...args) => {
  step(`${args[0]} ${args[1].join(" ")}`);
  return spawn(...args);
};
