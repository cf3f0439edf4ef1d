// logs-1: the logs of all machines, by machine and by space, for a year. infra/machine/server.ts has the senders.
import * as pulumi from "@pulumi/pulumi";
import { allMachines, reachableMachines } from "../inventory/addresses.ts";
import type { Environment } from "../inventory/environment.ts";
import { USER_TAGS } from "../inventory/names.ts";
import { PORTS } from "../machine/firewall.ts";
import { PACKAGES } from "../machine/packages.ts";
import { remoteScript, rootfs } from "../machine/remote.ts";
import { cloudServers, type Context } from "../machine/server.ts";

interface LogsArgs {
  context: Context;
}

/** Central logs. */
export class Logs extends pulumi.ComponentResource {
  constructor(name: string, { context }: LogsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("framaspace:infra:Logs", name, {}, opts);
    const { environment } = context;
    for (const machine of cloudServers("logs", context, this))
      remoteScript(
        `${machine.spec.name}-role`,
        {
          machine,
          script: "infra/logs/install.sh",
          packages: PACKAGES.logs,
          files: [
            {
              path: "/etc/rsyslog.d/50-framaspace-store.conf",
              content: renderStore(environment, machine.spec.name),
            },
            {
              path: "/etc/rsyslog.d/log-senders.json",
              content: renderSenders(environment, machine.spec.name),
            },
            {
              path: "/etc/framaspace/log-senders",
              content: renderExpected(environment, machine.spec.name),
            },
            ...rootfs("infra/logs/rootfs"),
          ],
        },
        { parent: this, dependsOn: machine },
      );
    this.registerOutputs({});
  }
}

/** A space's id that may become a file name: a DNS label in lower case, without dot or slash. */
const ID = "[a-z][a-z0-9-]{0,62}";

/**
 * rsyslog's rules. The machine of a line comes from the connection's address, not from the line: a TCP handshake and
 * one of our certificates confirm the address. The space of a line comes from the line itself, so only machines that
 * serve spaces are trusted. nginx names the space in the first field of its JSON line, whose quotes no visitor can
 * write. A 404 goes to the machine's file: otherwise each request for a host that does not exist would create a file.
 * PHP and Nextcloud name the space in their tag (facility `user`, from PHP's syslog()), and so do the programs of ops-1
 * (spaces/agent/programs/step-log.ts). A line of nginx's error log
 * repeats the request, the page it came from, and tokens in both (infra/machine/nginx/log-maps.ts): all that follows
 * `request:` is left out, except the host.
 */
export function renderStore(environment: Environment, self: string): string {
  const peers = allMachines(environment)
    .filter(({ name }) => name !== self)
    .map(({ name }) => `"${name}"`);
  return `# Rendered by infra/logs/logs.ts; changes made here are overwritten.
module(load="imrelp" tls.tlslib="openssl")
lookup_table(name="senders" file="/etc/rsyslog.d/log-senders.json")

template(name="machineFile" type="string" string="/var/log/machines/%$.machine%.log")
template(name="spaceFile" type="string" string="/var/log/spaces/%$.space%.log")
template(name="line" type="string"
  string="%timereported:::date-rfc3339% %$.machine% %app-name% %syslogfacility-text%.%syslogseverity-text%:%$.text:::sp-if-no-1st-sp%%$.text:::drop-last-lf%\\n")

ruleset(name="store") {
  set $.machine = lookup("senders", $fromhost-ip);
  set $.space = "";
  if re_match($.machine, '^((gateway|web)-[0-9]+|ops-1)$') then {
    if $app-name == "nginx" then
      set $.space = re_extract($msg, '^ ?[{]"space":"(${ID})",.*,"status":([1235]..|40[0-35-9]|4[1-9].)[,}]', 0, 1, "");
    else if $syslogfacility-text == "user" and not ($app-name == [${USER_TAGS.map((tag) => `"${tag}"`).join(", ")}]) then
      set $.space = re_extract($app-name, '^(${ID})$', 0, 1, "");
  }
  set $.text = $msg;
  if $app-name == "nginx" and not ($.machine startswith "storage-") then {
    set $.text = re_extract($msg, '^( ?[0-9]{4}/.*), request: "', 0, 1, $msg);
    if $.text != $msg then
      set $.text = $.text & re_extract($msg, ', host: "[a-z0-9.-]*"', 0, 0, "");
  }
  if $.space != "" then
    action(type="omfile" dynaFile="spaceFile" template="line" dynaFileCacheSize="2000"
      fileGroup="adm" fileCreateMode="0640" dirCreateMode="0750")
  else
    action(type="omfile" dynaFile="machineFile" template="line" dynaFileCacheSize="100"
      fileGroup="adm" fileCreateMode="0640" dirCreateMode="0750")
}

input(type="imrelp" port="${PORTS.syslog}" ruleset="store" keepAlive="on"
  tls="on" tls.authMode="name" tls.permittedPeer=[${peers.join(",")}]
  tls.caCert="/usr/local/share/ca-certificates/framaspace.crt"
  tls.myCert="/etc/framaspace/tls/cert.pem" tls.myPrivKey="/etc/framaspace/tls/key.pem")
call store
`;
}

/** rsyslog's lookup table from address to machine. */
export function renderSenders(environment: Environment, self: string): string {
  const table = [
    { index: "127.0.0.1", value: self },
    ...allMachines(environment).map(({ name, privateAddress }) => ({ index: privateAddress, value: name })),
  ];
  return `${JSON.stringify({ version: 1, nomatch: "unknown", type: "string", table }, null, 1)}\n`;
}

/** The machines that logs-1 expects lines of, one on each line. */
export function renderExpected(environment: Environment, self: string): string {
  const others = reachableMachines(environment).filter(({ name }) => name !== self);
  return others.map(({ name }) => `${name}\n`).join("");
}
