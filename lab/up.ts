// `npm run lab`: from nothing, or from what is there, to spaces that answer. Each part does only what is missing.
import { createAuthority } from "./lets-encrypt.ts";
import {
  configure,
  ENVIRONMENT,
  knownMachines,
  ROOT,
  type Given,
  type LabConfiguration,
} from "./configuration.ts";
import { applier } from "./applier/applier.ts";
import type { Engine } from "./engine.ts";
import { prepareHost } from "./host.ts";
import { imagePath, provideImage } from "./image.ts";
import type { Lab } from "./lab.ts";
import { exists, lockLab, startDaemon, startForwarder, takeDown } from "./lifecycle.ts";
import { BALANCER_ADDRESS } from "./namespaces.ts";
import { Progress } from "./progress.ts";
import { findParts } from "./real-parts.ts";
import { findPulumi, pulumi } from "./pulumi-engine.ts";
import { readSettings, writeSettings } from "./settings.ts";
import { writeSshConfiguration } from "./ssh.ts";
import { probeSpaces, summary } from "./summary.ts";
import { closeTunnel, openTunnel } from "./lab-tunnel.ts";
import { PACKAGES } from "../release/programs.ts";
import { loadFleet } from "../spaces/fleet/load-fleet.ts";
import type { TenantsFile } from "../spaces/fleet/fleet.ts";
import { existsSync } from "node:fs";
import { UserError } from "../validation/user-error.ts";

export interface UpOptions extends Given {
  /** @default the Pulumi CLI if it is installed */
  engine?: "pulumi" | "applier";
  /** Fetch nothing: stand-ins for all that no option names. */
  standIns?: true;
}

/** Seconds that a space may take to answer after everything is up: web servers get their spaces in the background. */
const PATIENCE = 60;

/** Brings a lab up. Rejects with a UserError that says what to do. */
export async function up(lab: Lab, given: UpOptions): Promise<void> {
  const progress = new Progress();
  const lock = await lockLab(lab);
  try {
    await prepareHost((text) => progress.say(`this machine: ${text}`), given.standIns ? {} : PACKAGES);
    const options = given.standIns ? given : await withRealParts(given, progress);
    const { engine, why } = await chooseEngine(options);
    progress.say(`lab "${lab.name}", engine: ${engine.name}${why}`);
    const image = await buildImage(progress);
    await clearRemains(lab, progress);
    await createAuthority(lab);
    const configuration = await configure(lab, options);
    const { environment, dedicated, artifacts } = configuration;
    const { domain, opsAddress = "" } = environment;
    // The load balancer has the name that infra/gateway/ingress.ts gives it.
    const reserved = { "ops-1": opsAddress, entrance: BALANCER_ADDRESS };
    await writeSettings(lab, {
      image,
      port: options.port,
      domain,
      reserved,
      dedicated,
      artifacts,
      leftOut: configuration.leftOut,
    });
    await progress.step(
      {
        machine: "lab",
        step:
          dedicated.length > 0
            ? `network, endpoint, ${dedicated.length} storage servers`
            : "network and endpoint",
      },
      () => startDaemon(lab),
    );
    await startForwarder(lab, options.port);
    await writeSshConfiguration(lab, configuration);
    const { tenantsFiles } = fleet();
    await bringUp(lab, engine, configuration, progress, tenantsFiles);
    const answers = await probeSpaces(lab, { port: options.port, domain }, tenantsFiles, PATIENCE);
    console.log(`\n${await summary(lab, answers)}`);
    const silent = answers.filter(({ asExpected }) => !asExpected);
    if (silent.length > 0)
      throw new UserError(
        `${silent.map(({ host, status }) => `${host} answers ${status}`).join(", ")}; look at: npm run lab -- logs web-1`,
      );
    console.log(`Up in ${Math.ceil(progress.seconds)} s.`);
  } finally {
    await closeTunnel(lab).catch(() => {});
    lock.close();
  }
}

/** Adds the real parts that no option names, as far as they can be had. */
async function withRealParts(given: UpOptions, progress: Progress): Promise<UpOptions> {
  const { parts, missing } = await findParts(given, {
    root: ROOT,
    env: "prod",
    say: (text) => progress.say(text),
  });
  return { ...given, ...parts, missing };
}

async function chooseEngine({ engine: wanted, minio }: UpOptions): Promise<{ engine: Engine; why: string }> {
  if (wanted === "applier") return { engine: applier, why: ", as asked for" };
  const found = await findPulumi({ storage: minio !== undefined });
  if ("cli" in found) return { engine: pulumi(found.cli), why: ` (${found.cli})` };
  if (wanted === "pulumi")
    throw new UserError(`--engine pulumi: ${found.missing}; ${found.remedy}, or leave --engine out.`);
  return { engine: applier, why: `, because ${found.missing}` };
}

async function buildImage(progress: Progress): Promise<string> {
  if (existsSync(imagePath())) return imagePath();
  let current = "";
  const end = () => current !== "" && progress.done({ machine: "base image", step: current });
  const image = await provideImage((step) => {
    end();
    current = step;
    progress.begin({ machine: "base image", step });
  });
  end();
  return image;
}

/** Removes a lab whose `up` or `down` was killed before the lab was complete: it is not worth keeping. */
async function clearRemains(lab: Lab, progress: Progress): Promise<void> {
  if (readSettings(lab) === undefined && (await exists(lab)))
    await progress.step({ machine: "lab", step: "clearing what a killed command left" }, () => takeDown(lab));
}

function fleet(): { tenantsFiles: TenantsFile[] } {
  return loadFleet(ROOT, ENVIRONMENT);
}

async function bringUp(
  lab: Lab,
  engine: Engine,
  configuration: LabConfiguration,
  progress: Progress,
  tenantsFiles: readonly TenantsFile[],
): Promise<void> {
  // Longest first: `storage-a1` does not belong to `storage-a`.
  const machines = knownMachines(configuration)
    .map(({ name }) => name)
    .sort((a, b) => b.length - a.length);
  const task = { lab, configuration, progress, machines };
  const run = async (stack: string) => {
    const { resources, changed } = await engine.up(stack, task);
    progress.say(
      `${stack}: ${resources} resources, ${changed === 0 ? "nothing changed" : `${changed} changed`}`,
    );
  };
  await run(`${ENVIRONMENT}-platform`);
  if (engine !== applier) await openTunnel(lab);
  for (const tenantsFile of tenantsFiles) await run(`${ENVIRONMENT}-spaces-${tenantsFile.name}`);
}
