// Machines: cloud servers with their first-boot data, and dedicated servers from the inventory. base.sh brings both to
// the state that all roles need. Each role's own file adds the rest.
import * as hcloud from "@pulumi/hcloud";
import * as pulumi from "@pulumi/pulumi";
import {
  cloudMachines,
  namesOf,
  renderHosts,
  type MachineSpec,
  type StorageSpec,
} from "../inventory/addresses.ts";
import type { CloudRole, Environment } from "../inventory/environment.ts";
import type { Authority } from "../pki/certificates.ts";
import type { Secrets } from "../pki/secrets.ts";
import { PORTS, renderNftables } from "./firewall.ts";
import type { Network } from "./network.ts";
import { PACKAGES } from "./packages.ts";
import { remoteScript, rootfs, type Access, type Machine, type RemoteFile } from "./remote.ts";

/** What every service of the platform needs to build itself. */
export interface Context {
  readonly environment: Environment;
  readonly secrets: Secrets;
  readonly authority: Authority;
  readonly access: Access;
  readonly network: Network;
  readonly hcloud: hcloud.Provider;
  /** Files of other services that every machine has. */
  readonly everywhere: readonly RemoteFile[];
  /** Public address of ops-1, the way in to every other machine. */
  readonly opsAddress: pulumi.Input<string>;
}

/** Roles whose machines hold data that people would miss: the engine refuses to delete or replace them. */
const STATEFUL: readonly CloudRole[] = ["postgres", "logs", "ops"];

/** A cloud server on which base.sh has run. */
export class CloudServer extends pulumi.ComponentResource implements Machine {
  readonly spec: MachineSpec;
  readonly connection: Machine["connection"];
  readonly identity: pulumi.Output<string>;
  readonly publicAddress: pulumi.Output<string>;
  /** For the load balancer's targets. */
  readonly serverId: pulumi.Output<number>;

  constructor(
    role: CloudRole,
    spec: MachineSpec,
    context: Omit<Context, "opsAddress"> & { opsAddress?: pulumi.Input<string> },
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super("framaspace:infra:CloudServer", spec.name, {}, opts);
    const { environment, access, network } = context;
    const hostKey = access.hostKey(spec.name);
    const server = new hcloud.Server(
      spec.name,
      {
        name: spec.name,
        serverType: environment.machines[role].type,
        image: environment.hcloud.image,
        location: environment.hcloud.location,
        sshKeys: network.sshKeyIds,
        firewallIds: [network.firewallId(role)],
        ...network.placementOf(role),
        networks: [{ networkId: network.id, ip: spec.privateAddress, aliasIps: [] }],
        publicNets: [{ ipv4Enabled: true, ipv6Enabled: false }],
        labels: { role },
        userData: pulumi.secret(renderUserData(hostKey)),
      },
      {
        parent: this,
        provider: context.hcloud,
        protect: STATEFUL.includes(role),
        // They matter only at the first boot (later base.sh manages the keys). A change would replace the server and
        // its data.
        ignoreChanges: ["userData", "sshKeys", "image"],
        dependsOn: network.ready,
      },
    );
    this.spec = spec;
    this.identity = server.id;
    this.publicAddress = server.ipv4Address;
    this.serverId = server.id.apply(Number);
    this.connection =
      context.opsAddress === undefined
        ? access.ops(server.ipv4Address)
        : access.throughOps(context.opsAddress, spec.privateAddress, hostKey.publicKey);
    installBase(this, this, context, [server]);
    this.registerOutputs({ publicAddress: this.publicAddress });
  }
}

/** A dedicated server of the inventory, installed by hand as docs/deploy.md says, on which base.sh has run. */
export class DedicatedServer extends pulumi.ComponentResource implements Machine {
  readonly spec: StorageSpec;
  readonly connection: Machine["connection"];
  readonly identity: string;

  constructor(spec: StorageSpec, context: Context, opts?: pulumi.ComponentResourceOptions) {
    super("framaspace:infra:DedicatedServer", spec.name, {}, opts);
    this.spec = spec;
    // A reinstalled or replaced server has another host key.
    this.identity = spec.server.hostKey;
    this.connection = context.access.throughOps(context.opsAddress, spec.privateAddress, spec.server.hostKey);
    installBase(this, this, context, []);
    this.registerOutputs({});
  }
}

/** All cloud machines of a role. */
export function cloudServers(role: CloudRole, context: Context, parent: pulumi.Resource): CloudServer[] {
  return cloudMachines(context.environment, role).map(
    (spec) => new CloudServer(role, spec, context, { parent }),
  );
}

/** First-boot data: only what the first connection needs. base.sh does the rest, because it can change later. */
export function renderUserData(hostKey: { publicKey: string; privateKey: string }): string {
  const indent = (text: string) => text.trimEnd().replaceAll(/^/gm, "    ");
  return `#cloud-config
disable_root: false
ssh_pwauth: false
ssh_deletekeys: true
ssh_genkeytypes: []
manage_etc_hosts: false
preserve_hostname: true
ssh_keys:
  ed25519_private: |
${indent(hostKey.privateKey)}
  ed25519_public: ${hostKey.publicKey}
`;
}

function installBase(
  parent: pulumi.Resource,
  machine: Machine,
  context: Omit<Context, "opsAddress">,
  dependsOn: pulumi.Resource[],
): void {
  const { environment, authority, access } = context;
  const { name, role, privateAddress } = machine.spec;
  const certificate = authority.issue(name, namesOf(machine.spec), [privateAddress]);
  const files: RemoteFile[] = [
    { path: "/etc/hosts", content: renderHosts(environment) },
    {
      path: "/etc/nftables.conf",
      mode: "0755",
      content: renderNftables(role, environment.administrators.addresses),
    },
    { path: "/usr/local/share/ca-certificates/framaspace.crt", content: authority.root() },
    { path: "/etc/framaspace/tls/cert.pem", content: certificate.then((issued) => issued.certificate) },
    {
      path: "/etc/framaspace/tls/key.pem",
      mode: "0640",
      owner: "root:framaspace-tls",
      content: pulumi.secret(certificate.then((issued) => issued.key)),
    },
    // Comes before sshd's configuration, which makes sshd read keys only from this folder.
    {
      path: "/etc/framaspace/authorized_keys/root-people",
      content: renderPeople(access.deployPublicKeys, environment.administrators.sshKeys),
    },
    ...rootfs("infra/machine/rootfs"),
    ...context.everywhere,
    { path: "/etc/apt/apt.conf.d/60framaspace", content: renderUpgrades(environment.administrators.mail) },
    ...(role === "logs"
      ? []
      : [
          { path: "/etc/rsyslog.d/50-framaspace-forward.conf", content: RSYSLOG_FORWARD },
          ...rootfs("infra/logs/rootfs-senders"),
        ]),
  ];
  remoteScript(
    `${name}-base`,
    { machine, script: "infra/machine/base.sh", files, packages: PACKAGES.base },
    { parent, dependsOn },
  );
}

/** The keys that may do everything: the engine's, and those of administrators, who reach machines through ops-1. */
export function renderPeople(
  deployKeys: readonly string[],
  administrators: Environment["administrators"]["sshKeys"],
): string {
  const lines = [
    ...deployKeys.map((key) => `${key} deploy`),
    ...Object.entries(administrators).map(([name, key]) => `${key} ${name}`),
  ];
  return `# Rendered by infra/machine/server.ts; changes made here are overwritten.\n${lines.join("\n")}\n`;
}

function renderUpgrades(mail: string): string {
  return `APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
Unattended-Upgrade::Mail "${mail}";
Unattended-Upgrade::MailReport "only-on-error";
Unattended-Upgrade::Automatic-Reboot "false";
`;
}

// RELP acknowledges each line; plain TCP loses the lines that are being sent whenever logs-1 restarts. The queue keeps
// unsent lines on disk, at most 1 GB, and never blocks a service.
const RSYSLOG_FORWARD = `module(load="omrelp" tls.tlslib="openssl")
action(
  type="omrelp" target="logs-1" port="${PORTS.syslog}" template="RSYSLOG_SyslogProtocol23Format" timeout="10"
  tls="on" tls.authMode="name" tls.permittedPeer=["logs-1"]
  tls.caCert="/usr/local/share/ca-certificates/framaspace.crt"
  tls.myCert="/etc/framaspace/tls/cert.pem" tls.myPrivKey="/etc/framaspace/tls/key.pem"
  queue.type="LinkedList" queue.size="50000" queue.fileName="forward" queue.maxDiskSpace="1g" queue.saveOnShutdown="on"
  queue.timeoutEnqueue="0" action.resumeRetryCount="-1" action.resumeInterval="5"
)
`;
