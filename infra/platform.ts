// The whole platform, in the order in which it is built: ops-1, the way in, comes first, then the services that others
// need.
import * as hcloud from "@pulumi/hcloud";
import * as pulumi from "@pulumi/pulumi";
import { Gateway } from "./gateway/gateway.ts";
import { Ingress } from "./gateway/ingress.ts";
import { Imaginary } from "./imaginary/imaginary.ts";
import { cloudMachines } from "./inventory/addresses.ts";
import type { Environment } from "./inventory/environment.ts";
import { Logs } from "./logs/logs.ts";
import { Network } from "./machine/network.ts";
import { Access } from "./machine/remote.ts";
import { CloudServer, type Context } from "./machine/server.ts";
import { healthCommand } from "./monitoring/monitoring.ts";
import { Office } from "./office/office.ts";
import { Ops } from "./ops/ops.ts";
import { SpaceHost } from "./ops/space-host.ts";
import { Authority } from "./pki/certificates.ts";
import type { Secrets } from "./pki/secrets.ts";
import { Postgres } from "./postgres/postgres.ts";
import { Redis } from "./redis/redis.ts";
import { Storage } from "./storage/storage.ts";
import { Web, type SpaceSoftware } from "./web/web.ts";
import { Workers } from "./worker/worker.ts";

export interface PlatformArgs {
  environment: Environment;
  secrets: Secrets;
  hcloudToken: pulumi.Input<string>;
  software: SpaceSoftware;
}

/** Every machine and what runs on it, except the spaces. */
export class Platform extends pulumi.ComponentResource {
  /** Public address of ops-1, through which administrators and the engine reach all machines. */
  readonly opsAddress: pulumi.Output<string>;
  /** The key that a dedicated server must have in root's authorized_keys before its first run. */
  readonly deployPublicKey: string;

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
      {
        environment,
        deployKey: { publicKey: access.deployPublicKey, generation: secrets.generation("deploy", "ssh") },
      },
      viaHcloud,
    );
    const beforeOps = {
      environment,
      secrets,
      authority,
      access,
      network,
      hcloud: provider,
      everywhere: healthCommand(environment, secrets),
    };

    const [opsSpec] = cloudMachines(environment, "ops");
    if (!opsSpec) throw new Error("environment without ops-1 passed its checks");
    const jumpHost = new CloudServer("ops", opsSpec, beforeOps, { parent: this });
    const context: Context = { ...beforeOps, opsAddress: jumpHost.publicAddress };
    const viaOps = { parent: this, dependsOn: jumpHost };
    new Ops("ops", { context, machine: jumpHost }, viaOps);
    new Logs("logs", { context }, viaOps);
    const { storage: configured } = environment;
    const storage =
      configured && new Storage("storage", { context, storage: configured, ops: jumpHost }, viaOps);
    const needs: pulumi.Resource[] = [
      new Postgres("postgres", { context, ops: jumpHost, storage }, viaOps),
      new Redis("redis", { context }, viaOps),
      ...(storage ? [storage] : []),
    ];
    if (environment.imaginary) needs.push(new Imaginary("imaginary", { context }, viaOps));
    const office = environment.office && new Office("office", { context }, viaOps);
    const web = new Web("web", { context, software: args.software, dependsOn: needs }, viaOps);
    const workers = new Workers("workers", { context, software: args.software, dependsOn: needs }, viaOps);
    // It has workers install each release on a database, and exchanges spaces' directories with the web servers.
    new SpaceHost(
      "space-host",
      { machine: jumpHost, software: args.software },
      { parent: this, dependsOn: [jumpHost, ...needs, web, workers] },
    );
    const gateway = new Gateway(
      "gateway",
      { context, host: args.software.host, office: office?.publicAddress, dependsOn: [web] },
      viaOps,
    );
    new Ingress(
      "entrance",
      {
        environment,
        networkId: network.id,
        networkReady: network.ready,
        gateways: gateway.servers,
        opsAddress: jumpHost.publicAddress,
      },
      viaHcloud,
    );
    this.opsAddress = jumpHost.publicAddress;
    this.deployPublicKey = access.deployPublicKey;
    this.registerOutputs({});
  }
}
