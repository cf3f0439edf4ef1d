// The whole platform, in the order in which it is built: the way in first, then what others need.
import * as hcloud from "@pulumi/hcloud";
import * as pulumi from "@pulumi/pulumi";
import { cloudMachines } from "./addresses.ts";
import { Authority } from "./certificates.ts";
import type { Environment } from "./environment.ts";
import { Entrance, Network } from "./network.ts";
import { Access } from "./remote.ts";
import type { Secrets } from "./secrets.ts";
import { CloudServer, type Foundation } from "./server.ts";

export interface PlatformArgs {
  environment: Environment;
  secrets: Secrets;
  hcloudToken: pulumi.Input<string>;
  mailPassword: pulumi.Input<string> | undefined;
}

/** Every machine and what runs on it, the spaces aside. */
export class Platform extends pulumi.ComponentResource {
  /** Public address of ops-1: where administrators and the engine come in. */
  readonly opsAddress: pulumi.Output<string>;

  constructor(name: string, args: PlatformArgs, opts?: pulumi.ComponentResourceOptions) {
    super("framaspace:infra:Platform", name, {}, opts);
    const { environment, secrets } = args;
    const { endpoint } = environment.hcloud;
    const provider = new hcloud.Provider(
      "hcloud",
      { token: args.hcloudToken, ...(endpoint && { endpoint }) },
      { parent: this },
    );
    const viaHcloud = { parent: this, providers: { hcloud: provider } };

    const access = new Access(secrets);
    const authority = new Authority(secrets, environment.certificates);
    const network = new Network(
      "network",
      { environment, deployPublicKey: access.deployPublicKey },
      viaHcloud,
    );
    const ground = { environment, secrets, authority, access, network, hcloud: provider };

    const [opsSpec] = cloudMachines(environment, "ops");
    if (!opsSpec) throw new Error("environment without ops-1 passed its checks");
    const jumpHost = new CloudServer("ops", opsSpec, ground, { parent: this });
    const foundation: Foundation = { ...ground, opsAddress: jumpHost.publicAddress };
    void foundation;
    this.opsAddress = jumpHost.publicAddress;
    new Entrance(
      "entrance",
      {
        environment,
        networkId: network.id,
        networkReady: network.ready,
        gateways: [],
        opsAddress: jumpHost.publicAddress,
      },
      viaHcloud,
    );
    this.registerOutputs({});
  }
}
