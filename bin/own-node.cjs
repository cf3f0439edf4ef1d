// Loaded before the program (`nodeargs` in Pulumi.yaml). The engine uses any Node that is on PATH. If that one cannot
// run TypeScript, this file runs the project's own, which `npm ci` installs. It is JavaScript of the old kind, so that
// any Node can read it.
const { spawnSync } = require("node:child_process");
const path = require("node:path");

const own = path.join(__dirname, "../node_modules/node/bin/node");
if (!process.features.typescript && process.execPath !== own) {
  const words = [...process.execArgv, ...process.argv.slice(1)];
  const { status, error } = spawnSync(own, words, { stdio: "inherit" });
  if (error)
    console.error(`Node ${process.version} does not run TypeScript; run npm ci, which brings one that does.`);
  process.exit(status ?? 1);
}
