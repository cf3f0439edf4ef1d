// office-1: Collabora Online, from its makers' Debian repository. It reads documents from the spaces and writes them
// back; one pattern allows the hosts of all spaces. The gateways serve the suite's host; TLS ends before them.
import * as pulumi from "@pulumi/pulumi";
import type { Environment } from "../inventory/environment.ts";
import { PACKAGES } from "../machine/packages.ts";
import { remoteScript, type RemoteFile } from "../machine/remote.ts";
import { cloudServers, type Context } from "../machine/server.ts";

export type Suite = NonNullable<Environment["office"]>["suites"][number];

type Repository = NonNullable<NonNullable<Environment["office"]>["repositories"]>[Suite] & {};

/** Where the makers' packages are. Apt trusts one key of the file alone, wherever the file came from. */
const MAKERS: Readonly<Record<Suite, Repository>> = {
  // https://www.collaboraonline.com/code/, with the key of June 2025.
  collabora: {
    url: "https://www.collaboraoffice.com/repos/CollaboraOnline/CODE-deb",
    key: "https://collaboraoffice.com/downloads/gpg/collaboraonline-release-keyring.gpg",
    fingerprint: "7EB1530818B7683284483B7BD8915E456E7C440E",
  },
};
const SUITE_PACKAGES: Readonly<Record<Suite, readonly string[]>> = { collabora: ["coolwsd", "code-brand"] };

interface OfficeArgs {
  context: Context;
}

/** The office suites that the environment has. */
export class Office extends pulumi.ComponentResource {
  /** Public address of office-1; undefined where no machine is declared. */
  readonly publicAddress: pulumi.Output<string> | undefined;

  constructor(name: string, { context }: OfficeArgs, opts?: pulumi.ComponentResourceOptions) {
    super("framaspace:infra:Office", name, {}, opts);
    const { environment } = context;
    const suites = environment.office?.suites ?? [];
    const repositories = suites.map((suite) => environment.office?.repositories?.[suite] ?? MAKERS[suite]);
    const machines = suites.length > 0 ? cloudServers("office", context, this) : [];
    this.publicAddress = machines[0]?.publicAddress;
    const files: Record<Suite, RemoteFile> = {
      collabora: {
        path: "/etc/systemd/system/coolwsd.service.d/framaspace.conf",
        content: renderCollabora(environment),
      },
    };
    for (const machine of machines)
      remoteScript(
        `${machine.spec.name}-role`,
        {
          machine,
          script: "infra/office/install.sh",
          packages: PACKAGES.office,
          settings: {
            SUITES: suites,
            SOURCES: repositories.map(({ url }) => `URIs: ${url}\nSuites: ./\n`),
            KEYS: repositories.map(({ key }) => key),
            FINGERPRINTS: repositories.map(({ fingerprint }) => fingerprint),
            SUITE_PACKAGES: suites.flatMap((suite) => SUITE_PACKAGES[suite]),
          },
          files: suites.map((suite) => files[suite]),
        },
        { parent: this, dependsOn: machine },
      );
    this.registerOutputs({});
  }
}

/**
 * Hosts that documents may come from, as Collabora's regular expression. In parentheses, because its URI parser
 * (Poco::URI) takes a host that begins with `[` for an IPv6 address. `[.]`, because systemd would remove a backslash.
 */
export function hostPattern(domain: string): string {
  return `([a-z][a-z0-9-]*)[.]${domain.replaceAll(".", "[.]")}`;
}

/** The address of a suite, as browsers open it. */
export function suiteHost(suite: Suite, { domain, port }: Pick<Environment, "domain" | "port">): string {
  return `${suite}.${domain}${port === undefined ? "" : `:${port}`}`;
}

/**
 * Options that override coolwsd.xml, so that upgrades of that file bring their own defaults. Mode `groups` without
 * aliases is necessary: in other modes Collabora confuses documents of two spaces that have the same number
 * (wsd/HostUtil.cpp, getNewUri), or serves only the first space that connects. `as_scheme` is on by default: coolwsd
 * then sends a document's token without TLS if the browser names an address with http. With it off, coolwsd checks the
 * certificates of spaces only if `storage.ssl.enable` is on (wsd/wopi/StorageConnectionManager.cpp).
 */
export function renderCollabora(environment: Pick<Environment, "domain" | "port">): string {
  const { domain, port = 443 } = environment;
  const options = {
    sys_template_path: "/opt/cool/systemplate",
    child_root_path: "/opt/cool/child-roots",
    file_server_root_path: "/usr/share/coolwsd",
    "ssl.enable": "false",
    "ssl.termination": "true",
    server_name: suiteHost("collabora", environment),
    "net.proto": "IPv4",
    "storage.filesystem[@allow]": "false",
    "storage.ssl.as_scheme": "false",
    "storage.ssl.enable": "true",
    "ssl.ssl_verification": "true",
    "storage.wopi[@allow]": "true",
    "storage.wopi.alias_groups[@mode]": "groups",
    "storage.wopi.alias_groups.group[0].host": `https://${hostPattern(domain)}:${port}`,
    "storage.wopi.alias_groups.group[0].host[@allow]": "true",
    "admin_console.enable": "false",
    "logging.level": "warning",
  };
  const words = Object.entries(options).map(([option, value]) => `"--o:${option}=${value}"`);
  return `# Rendered by infra/office/office.ts; changes made here are overwritten.
[Service]
ExecStart=
ExecStart=/usr/bin/coolwsd \\
  ${words.join(" \\\n  ")}
`;
}
