// ops-1 as the host of the spaces: master copies of their directories, every release, to read what is in it, and the
// programs that converge spaces and copy them to the web servers. The caller passes the programs.
import * as pulumi from "@pulumi/pulumi";
import { PACKAGES } from "../machine/packages.ts";
import { remoteScript } from "../machine/remote.ts";
import type { CloudServer } from "../machine/server.ts";
import type { SpaceSoftware } from "../web/web.ts";

interface SpaceHostArgs {
  /** ops-1. */
  machine: CloudServer;
  software: SpaceSoftware;
}

/** The spaces' software on ops-1. */
export class SpaceHost extends pulumi.ComponentResource {
  constructor(name: string, { machine, software }: SpaceHostArgs, opts?: pulumi.ComponentResourceOptions) {
    super("framaspace:infra:SpaceHost", name, {}, opts);
    remoteScript(
      `${machine.spec.name}-spaces`,
      {
        machine,
        script: "infra/ops/space-host.sh",
        packages: PACKAGES.ops,
        files: [...software.shared, ...software.ops],
      },
      { parent: this, dependsOn: machine },
    );
    this.registerOutputs({});
  }
}
