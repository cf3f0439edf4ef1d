// imaginary-1: makes previews of images. It reads what anybody uploads, so its process can do nothing else: it has no
// files and no network beyond its clients, and only web servers reach it (infra/machine/firewall.ts). It has no API
// key: Imaginary takes one only on its command line, and Nextcloud sends it in the URL, so process lists and logs would
// show it.
import * as pulumi from "@pulumi/pulumi";
import { SUBNETS } from "../inventory/addresses.ts";
import { UNPINNED } from "../inventory/environment.ts";
import { PORTS } from "../machine/firewall.ts";
import { PACKAGES } from "../machine/packages.ts";
import { remoteScript } from "../machine/remote.ts";
import { cloudServers, type Context } from "../machine/server.ts";

interface ImaginaryArgs {
  context: Context;
}

/** The preview service, if the environment has one. */
export class Imaginary extends pulumi.ComponentResource {
  constructor(name: string, { context }: ImaginaryArgs, opts?: pulumi.ComponentResourceOptions) {
    super("framaspace:infra:Imaginary", name, {}, opts);
    const artifact = context.environment.imaginary;
    if (artifact)
      for (const machine of cloudServers("imaginary", context, this))
        remoteScript(
          `${machine.spec.name}-role`,
          {
            machine,
            script: "infra/imaginary/install.sh",
            packages: PACKAGES.imaginary,
            settings: {
              URL: artifact.url,
              SHA256: artifact.sha256 ?? UNPINNED,
              HEALTH: `http://${machine.spec.privateAddress}:${PORTS.imaginary}/health`,
            },
            files: [
              {
                path: "/etc/systemd/system/imaginary.service",
                content: renderUnit(machine.spec.privateAddress),
              },
            ],
          },
          { parent: this, dependsOn: machine },
        );
    this.registerOutputs({});
  }
}

/**
 * imaginary.service, with the options of Nextcloud's manual ("Previews", Imaginary) and the 222.2 megapixels of
 * Nextcloud All-in-One. A picture that needs more memory than there is ends the process, and systemd starts it again.
 */
export function renderUnit(address: string): string {
  return `# Rendered by infra/imaginary/imaginary.ts; changes made here are overwritten.
[Unit]
Description=Imaginary, previews of images
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0
[Service]
ExecStart=/opt/imaginary/imaginary -a ${address} -p ${PORTS.imaginary} -return-size -max-allowed-resolution 222.2 -log-level warning
Restart=always
RestartSec=1
# By default glibc keeps an arena for each thread, and memory that libvips has freed never returns to the system.
Environment=MALLOC_ARENA_MAX=2
MemoryMax=80%
MemorySwapMax=0
TasksMax=512
DynamicUser=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
RestrictAddressFamilies=AF_INET
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
UMask=0077
# Without BPF in the kernel (containers), systemd notes this in the journal and starts the service all the same.
IPAddressDeny=any
IPAddressAllow=${SUBNETS.web} ${SUBNETS.worker} ${address}
[Install]
WantedBy=multi-user.target
`;
}
