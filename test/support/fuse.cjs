// Loaded before a program (`node --require`) that works in the folder of its first word: kills it, and all that it
// started, before it renames a file, if the file `fuse` there has a pattern of that as a call of mv.
"use strict";
const fs = require("node:fs");
const path = require("node:path");

const { renameSync } = fs;
fs.renameSync = (from, to) => {
  const fuse = path.join(process.argv[2] ?? "", "fuse");
  if (fs.existsSync(fuse)) {
    const parts = fs.readFileSync(fuse, "utf8").split("*");
    const pattern = parts.map((part) => part.replaceAll(/[^\w ]/g, "\\$&")).join(".*");
    if (new RegExp(`^${pattern}$`).test(`mv ${String(from)} ${String(to)}`)) process.kill(0, "SIGKILL");
  }
  return renameSync(from, to);
};
