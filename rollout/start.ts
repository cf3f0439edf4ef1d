// A rollout as people start it: with the CLI, the way to the spaces, and Ctrl-C.
import { homedir } from "node:os";
import { join } from "node:path";
import { readStackConfiguration } from "../evaluate/stack-configuration.ts";
import { environmentFile } from "../infra/inventory/environment-file.ts";
import { findCli } from "../spaces/gated-pulumi/cli.ts";
import { openWay } from "../spaces/gated-pulumi/gated-pulumi.ts";
import { readPassphrase } from "../spaces/gated-pulumi/passphrase.ts";
import { Backend } from "./backend.ts";
import { lookAt } from "./look.ts";
import { rollout } from "./rollout.ts";

export interface StartOptions {
  env: string;
  dryRun: boolean;
  all: boolean;
  atOnce: number;
  stopAt: number;
  look: boolean;
  root: string;
  configFile?: string;
  /** Words that run SSH to ops-1. */
  sshToOps: () => Promise<string[]>;
}

/** Resolves to whether all is as it is declared. Throws a UserError if nothing can be rolled out. */
export async function startRollout({
  env,
  dryRun,
  all,
  atOnce,
  stopAt,
  look,
  root,
  ...rest
}: StartOptions): Promise<boolean> {
  await readPassphrase();
  const configFile = rest.configFile ?? join(root, environmentFile(env));
  const state = process.env.XDG_STATE_HOME ?? join(homedir(), ".local/state");
  const stopping = new AbortController();
  const stop = () => stopping.abort();
  process.on("SIGINT", stop).on("SIGTERM", stop);
  try {
    return await rollout({
      backend: new Backend({ root, configFile, cli: findCli() }),
      environment: env,
      dryRun,
      all,
      atOnce,
      stopAtPercent: stopAt,
      logs: join(state, "framaspace", env),
      open: () => openWay(env, configFile, readStackConfiguration),
      look: async (ids) => (look ? lookAt(await rest.sshToOps(), ids) : []),
      signal: stopping.signal,
    });
  } finally {
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}
