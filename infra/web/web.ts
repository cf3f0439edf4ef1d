// The web servers: nginx and PHP-FPM, with the code of every release and a copy of every space's small directory. They
// hold no data of their own: ops-1 fills /srv/spaces, so an empty server can replace a lost one.
import * as pulumi from "@pulumi/pulumi";
import { REFUSED_SECONDS } from "../gateway/gateway.ts";
import { SUBNETS } from "../inventory/addresses.ts";
import { MOST_SPACES, userOf } from "../inventory/space-users.ts";
import { PORTS } from "../machine/firewall.ts";
import { HEADERS, renderMain, renderSpaceMap, UPLOAD } from "../machine/nginx/nginx.ts";
import { pageFiles, renderAnswers, renderPageMap, type Host } from "../machine/nginx/pages.ts";
import { PACKAGES } from "../machine/packages.ts";
import { remoteScript, rootfs, type RemoteFile } from "../machine/remote.ts";
import { cloudServers, type CloudServer, type Context } from "../machine/server.ts";

/** Files for spaces on the machines. The caller passes them, because infra knows nothing about spaces. */
export interface SpaceSoftware {
  /** For web servers, workers and ops-1: the list of releases, and what all spaces' configuration is made of. */
  readonly shared: readonly RemoteFile[];
  /** For web servers only: the forced command with which ops-1 fills them. */
  readonly web: readonly RemoteFile[];
  /** For workers only: the forced command by which ops-1 runs a space's code there, and PHP's settings for it. */
  readonly worker: readonly RemoteFile[];
  /** For ops-1 only: the programs that converge and distribute spaces. */
  readonly ops: readonly RemoteFile[];
  /** Whom the pages name that visitors see where no space answers. */
  readonly host: Host;
}

interface WebArgs {
  context: Context;
  software: SpaceSoftware;
  /** What PHP connects to: databases, Redis and storage. */
  dependsOn: pulumi.Input<pulumi.Resource>[];
}

/** All web servers. */
export class Web extends pulumi.ComponentResource {
  readonly servers: readonly CloudServer[];

  constructor(
    name: string,
    { context, software, dependsOn }: WebArgs,
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super("framaspace:infra:Web", name, {}, opts);
    const { environment } = context;
    this.servers = cloudServers("web", context, this);
    // All at the same time, because each takes minutes.
    const prepared = this.servers.map((machine) =>
      remoteScript(
        `${machine.spec.name}-software`,
        { machine, script: "infra/web/prepare.sh", packages: PACKAGES.web, files: software.shared },
        { parent: this, dependsOn: [machine, ...dependsOn] },
      ),
    );
    // One after the other, because a web server that restarts something serves nobody meanwhile, and a gateway tries one
    // other server for a refused request. It takes a minute at most, for eight web servers as long as a first
    // installation. Halves of them at once would leave the others twice the requests.
    let previous: pulumi.Resource[] = prepared;
    for (const machine of this.servers) {
      const role = remoteScript(
        `${machine.spec.name}-role`,
        {
          machine,
          script: "infra/web/install.sh",
          packages: PACKAGES.web,
          settings: {
            MOST_SPACES: String(MOST_SPACES),
            FIRST_USER: String(userOf(1)),
            WEB_SERVERS: this.servers.length,
            GATEWAYS_FORGET_SECONDS: REFUSED_SECONDS,
          },
          files: [
            ...software.web,
            ...rootfs("infra/machine/nginx/rootfs"),
            ...rootfs("infra/machine/nginx/rootfs-serving"),
            ...rootfs("infra/web/rootfs"),
            ...pageFiles(software.host),
            {
              path: "/etc/nginx/nginx.conf",
              content: renderWebNginx(environment.domain, machine.spec.privateAddress),
            },
          ],
        },
        { parent: this, dependsOn: previous },
      );
      previous = [role];
    }
    this.registerOutputs({});
  }
}

/** /etc/nginx/nginx.conf of a web server. */
export function renderWebNginx(domain: string, address: string): string {
  return `# Rendered by infra/web/web.ts; changes made here are overwritten.
# No user that runs PHP: those may not connect to PHP's sockets.
${renderMain("framaspace-nginx www-data", 8192)}
http {
  server_tokens off;
  include mime.types;
  types {
    text/javascript mjs;
  }
  default_type application/octet-stream;
  sendfile on;
  tcp_nopush on;
  # The gateways log each request, with its space.
  access_log off;

  ${renderSpaceMap(domain)}
  ${renderPageMap()}
  # Only ops-1 sees a space during its maintenance, and only if it asks to.
  geo $from_ops {
    default 0;
    ${SUBNETS.ops} 1;
  }
  map "$from_ops $http_x_behind_maintenance" $behind_maintenance {
    default "";
    "1 yes" 1;
  }
  # What a space's administrator may not write, because it is the platform's (docs/decisions/0031-settings-of-a-space.md):
  # two values in the database that stop the space, and what Nextcloud keeps in config.php, which is read-only. Nextcloud
  # also finds these routes below other prefixes, such as /index.php/ocsapp.
  map "$request_method $uri" $platform_setting {
    default "";
    "~^(?:GET|HEAD|OPTIONS) " "";
    "~^\\S+ /(?:remote|public)\\.php/" "";
    "~/provisioning_api/api/v1/config/apps/core/(?:encryption_enabled|backgroundjobs_mode)" yes;
    "~/settings/api/admin/twofactorauth" yes;
    "~/settings/admin/mailsettings" yes;
    "~/settings/preset/current" yes;
    "~/theming/ajax/updateAppMenu" yes;
    "~/files/api/v1/filenames/windows-compatibility" yes;
  }
  map $arg_v $asset_immutable {
    "" "";
    default ", immutable";
  }

  # Lengths of bodies as PHP gets them. A request without a body has no length instead of 0: some releases of Nextcloud
  # take the length of a MOVE for that of the file that was uploaded in chunks (nextcloud/server#63504), and the file is
  # then empty. Nothing reads the body of a MOVE or COPY.
  map "$request_method $content_length" $body_length {
    default $content_length;
    "~ 0*$" "";
    "~^(?:MOVE|COPY) " "";
  }

  # PHP workers that all, one space, and one client, may use; infra/web/install.sh sets how many. Fifty people who load a
  # page at the same moment are let in one after the other (limit_req), so they stay far below. That wait occupies no
  # worker.
  limit_conn_zone $server_port zone=php_of_server:1m;
  limit_conn_zone $space zone=php_of_space:8m;
  limit_conn_zone $http_x_forwarded_for zone=php_of_client:8m;
  map "$request_method $uri" $uploading_to {
    default "";
    "~${UPLOAD}" $space;
  }
  limit_conn_zone $uploading_to zone=uploads_of_space:8m;
  # 1 GB and more in one piece. PHP keeps a body on the disk while it reads it.
  map "$uploading_to $content_length" $uploading_much_to {
    default "";
    "~^(?<large_to>[a-z0-9-]+) [0-9]{10,}$" $large_to;
  }
  limit_conn_zone $uploading_much_to zone=large_uploads_of_space:1m;
  limit_conn_status 429;
  limit_req_zone $space zone=php_requests:8m rate=100r/s;
  limit_req_status 429;
  # The gateway logs what is refused.
  limit_req_log_level info;
  limit_conn_log_level info;

  client_max_body_size 0;
  client_body_timeout 300s;
  client_body_buffer_size 512k;
  large_client_header_buffers 4 ${HEADERS.ofRequest};
  fastcgi_buffer_size ${HEADERS.ofAnswer};
  fastcgi_buffers 64 4k;
  keepalive_timeout 75s;
  keepalive_requests 10000;

  gzip on;
  gzip_vary on;
  gzip_comp_level 4;
  gzip_min_length 256;
  gzip_proxied any;
  gzip_types application/atom+xml text/javascript application/javascript application/json application/ld+json
    application/manifest+json application/rss+xml application/wasm application/xhtml+xml application/xml font/opentype
    image/bmp image/svg+xml image/x-icon text/css text/plain text/vcard text/x-component;

  server {
    # The kernel's limits notice a gateway that vanishes during an upload (60-framaspace-connections.conf); until then
    # the file is locked.
    listen ${address}:${PORTS.web} default_server backlog=4096 so_keepalive=on;
    include space.conf;
${renderAnswers(["unknown", "archived", "suspended", "maintenance", "busy", "unavailable"])}
  }
}
`;
}
