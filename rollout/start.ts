// Rollouts, previews and looks for drift as people start them: with the CLI, the way to the spaces, and Ctrl-C.
import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { readStackConfiguration } from "../evaluate/stack-configuration.ts";
import { environmentFile } from "../infra/inventory/environment-file.ts";
import { findCli } from "../spaces/gated-pulumi/cli.ts";
import { openWay } from "../spaces/gated-pulumi/gated-pulumi.ts";
import { readPassphrase } from "../spaces/gated-pulumi/passphrase.ts";
import { assertValid, type Fleet } from "../spaces/fleet/fleet.ts";
import { loadFleet } from "../spaces/fleet/load-fleet.ts";
import { Backend } from "./backend.ts";
import { chooseStacks, stacksInOrder } from "./choose-stacks.ts";
import { drift } from "./drift.ts";
import { lookAt } from "./look.ts";
import { preview, type Preview } from "./preview.ts";
import { rebuildStates } from "./rebuild-state.ts";
import { rollout } from "./rollout.ts";

/** Where, and how many stacks at once. */
export interface StartOptions {
  env: string;
  atOnce: number;
  root: string;
  configFile?: string;
}

export interface RolloutOptions extends StartOptions {
  dryRun: boolean;
  all: boolean;
  stopAt: number;
  look: boolean;
  /** Words that run SSH to ops-1. */
  sshToOps: () => Promise<string[]>;
}

/** Resolves to whether all is as it is declared. Throws a UserError if nothing can be rolled out. */
export function startRollout({
  dryRun,
  all,
  atOnce,
  stopAt,
  look,
  sshToOps,
  ...place
}: RolloutOptions): Promise<boolean> {
  return withContext(place, ({ env, configFile, ...context }) =>
    rollout({
      ...context,
      dryRun,
      all,
      atOnce,
      stopAtPercent: stopAt,
      open: () => openWay(env, configFile, readStackConfiguration),
      look: async (ids) => (look ? lookAt(await sshToOps(), ids) : []),
    }),
  );
}

/** Previews what a rollout would apply. Throws a UserError if nothing can be previewed. */
export function startPreview({ all, atOnce, ...place }: StartOptions & { all: boolean }): Promise<Preview> {
  return withContext(place, async ({ env, configFile, fleet, ...context }) => {
    const { chosen } = await chooseStacks(context.backend, fleet, all);
    const way = await openWay(env, configFile, readStackConfiguration);
    try {
      return await preview({ ...context, chosen, atOnce });
    } finally {
      await way.close();
    }
  });
}

/** Looks for drift in all stacks that the backend has. Resolves to the exit status. Throws a UserError. */
export function startDrift({ atOnce, ...place }: StartOptions): Promise<0 | 1 | 2> {
  return withContext(place, async ({ env, configFile, fleet, ...context }) => {
    const known = await context.backend.stacks();
    const stacks = stacksInOrder(fleet).filter((stack) => known.has(stack));
    const way = await openWay(env, configFile, readStackConfiguration);
    try {
      return await drift({ ...context, stacks, way, atOnce });
    } finally {
      await way.close();
    }
  });
}

/** Makes lost states again. Throws a UserError. */
export function startRebuild({
  dryRun,
  ...place
}: Omit<StartOptions, "atOnce"> & { dryRun: boolean }): Promise<void> {
  return withContext(place, ({ fleet, backend }) => rebuildStates({ backend, fleet, dryRun }));
}

interface Context {
  env: string;
  configFile: string;
  fleet: ValidFleet;
  backend: Backend;
  logs: string;
  signal: AbortSignal;
}

type ValidFleet = Fleet & Required<Pick<Fleet, "environment" | "catalog">>;

async function withContext<Result>(
  { env, root, ...given }: Omit<StartOptions, "atOnce">,
  act: (context: Context) => Promise<Result>,
): Promise<Result> {
  // Every command of the engine needs it: better to miss it now than in the middle.
  await readPassphrase();
  const configFile = given.configFile ?? join(root, environmentFile(env));
  const fleet = loadFleet(root, env);
  assertValid(fleet);
  const logs = join(process.env.XDG_STATE_HOME ?? join(homedir(), ".local/state"), "framaspace", env);
  mkdirSync(logs, { recursive: true, mode: 0o700 });
  const backend = new Backend({ root, configFile, cli: findCli() }, join(logs, "applied.json"));
  const stopping = new AbortController();
  const stop = () => stopping.abort();
  process.on("SIGINT", stop).on("SIGTERM", stop);
  try {
    return await act({ env, configFile, fleet, backend, logs, signal: stopping.signal });
  } finally {
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}
