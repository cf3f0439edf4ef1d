// Workers: machines that run what no visitor asked for of the spaces' code: background jobs, installs, upgrades. They
// reach what web servers reach (infra/machine/firewall.ts), serve nobody, and keep nothing of a space.
import * as pulumi from "@pulumi/pulumi";
import { PACKAGES } from "../machine/packages.ts";
import { remoteScript, rootfs } from "../machine/remote.ts";
import { cloudServers, type Context } from "../machine/server.ts";
import type { SpaceSoftware } from "../web/web.ts";

interface WorkersArgs {
  context: Context;
  software: SpaceSoftware;
  /** What PHP connects to: databases, Redis and storage. */
  dependsOn: pulumi.Input<pulumi.Resource>[];
}

/** All workers. */
export class Workers extends pulumi.ComponentResource {
  constructor(
    name: string,
    { context, software, dependsOn }: WorkersArgs,
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super("framaspace:infra:Workers", name, {}, opts);
    for (const machine of cloudServers("worker", context, this))
      remoteScript(
        `${machine.spec.name}-role`,
        {
          machine,
          script: "infra/worker/install.sh",
          packages: PACKAGES.worker,
          files: [...software.shared, ...software.worker, ...rootfs("infra/worker/rootfs")],
        },
        { parent: this, dependsOn: [machine, ...dependsOn] },
      );
    this.registerOutputs({});
  }
}
