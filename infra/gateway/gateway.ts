// The gateways: nginx between the load balancer, which terminates TLS, and the web servers. They know the domain and
// the machines, but no space: adding, suspending or upgrading one changes nothing here.
import * as pulumi from "@pulumi/pulumi";
import { cloudMachines, LOAD_BALANCER_ADDRESS } from "../inventory/addresses.ts";
import type { Environment } from "../inventory/environment.ts";
import { PORTS } from "../machine/firewall.ts";
import { escapeDomain, HEADERS, renderMain, renderSpaceMap, UPLOAD } from "../machine/nginx/nginx.ts";
import { renderLogMaps } from "../machine/nginx/log-maps.ts";
import { pageFiles, renderAnswers, renderPageMap, type Host } from "../machine/nginx/pages.ts";
import { PACKAGES } from "../machine/packages.ts";
import { remoteScript, rootfs } from "../machine/remote.ts";
import { cloudServers, type CloudServer, type Context } from "../machine/server.ts";

/**
 * Seconds without a byte after which the load balancer gives up a request: the most that Hetzner lets one set (30 to
 * 300, by its provider). Nextcloud sends nothing while it puts a large upload together. The gateway keeps an idle
 * connection longer, so that the load balancer never sends a request on one that is just being closed.
 */
export const BALANCER_IDLE_SECONDS = 300;

/** For how long a gateway gives no request to a web server that has refused three. */
export const REFUSED_SECONDS = 10;

/** How the load balancer asks a gateway whether it is well, and after how many bad answers it gives it no request. */
export const HEALTH_CHECK = { intervalSeconds: 5, timeoutSeconds: 3, retries: 2 } as const;

interface GatewayArgs {
  context: Context;
  /** Public address of office-1, where there is one. */
  office: pulumi.Output<string> | undefined;
  /** Whom the pages name that visitors see where no space answers. */
  host: Host;
  /** The web servers. They are built first, so that no request reaches one that is not ready. */
  dependsOn: pulumi.Input<pulumi.Resource>[];
}

/** All gateways. */
export class Gateway extends pulumi.ComponentResource {
  /** For the load balancer's targets. */
  readonly servers: readonly CloudServer[];

  constructor(
    name: string,
    { context, host, office, dependsOn }: GatewayArgs,
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super("framaspace:infra:Gateway", name, {}, opts);
    this.servers = cloudServers("gateway", context, this);
    // One after the other, because one that restarts serves nobody meanwhile.
    let previous: pulumi.Input<pulumi.Resource>[] = [...this.servers, ...dependsOn];
    for (const machine of this.servers) {
      const role = remoteScript(
        `${machine.spec.name}-role`,
        {
          machine,
          script: "infra/gateway/install.sh",
          packages: PACKAGES.gateway,
          settings: {
            GATEWAYS: this.servers.length,
            NOTICED_SECONDS:
              (HEALTH_CHECK.intervalSeconds + HEALTH_CHECK.timeoutSeconds) * (HEALTH_CHECK.retries + 1),
          },
          files: [
            {
              path: "/etc/nginx/nginx.conf",
              content: pulumi
                .output(office)
                .apply((address) =>
                  renderGatewayNginx(context.environment, machine.spec.privateAddress, address),
                ),
            },
            ...rootfs("infra/machine/nginx/rootfs"),
            ...rootfs("infra/machine/nginx/rootfs-serving"),
            ...rootfs("infra/gateway/rootfs"),
            ...pageFiles(host),
          ],
        },
        { parent: this, dependsOn: previous },
      );
      previous = [role];
    }
    this.registerOutputs({});
  }
}

/** Headers by which a proxy tells an application who requests what. Those that the client sends are dropped. */
const FORGEABLE = [
  "Forwarded",
  "X-Forwarded-Server",
  "X-Forwarded-Port",
  "X-Forwarded-Prefix",
  "X-Original-URL",
];
const DROPPED = [
  ...FORGEABLE,
  "X-Rewrite-URL",
  "X-Original-Host",
  "X-HTTP-Host-Override",
  "Client-IP",
  "Proxy",
];

/**
 * How many requests one client, and all clients together, may have at the same time on a gateway. A client is an
 * address: an association of fifty people may have only one. A gateway keeps bodies on its disk: 120 × 250 MB and
 * 12 × 1 GB are 42 GB, and the smallest server type that we use has 80 GB (Hetzner, CPX22).
 */
const LIMITS = {
  /**
   * Requests of one client. The burst lets fifty people open a page for the first time at the same moment, with 400 files
   * each. Web servers let 100 requests of a space reach PHP in a second.
   */
  rate: { perSecond: 200, burst: 20_000 },
  /** Requests of one client, including open chats and downloads: eight for each of fifty people. */
  requests: 400,
  /** Bodies of 1 MB and more that are kept until they are complete. */
  kept: { ofClient: 60, ofAll: 120, largest: "250m" },
  /** Uploads without a declared length, as macOS' Finder sends them: nginx counts their bytes first. */
  counted: { ofClient: 6, ofAll: 12, largest: "1g" },
} as const;

const TRANSPORT_SECURITY = "max-age=31536000; includeSubDomains";

/** For locations whose bodies are kept. */
const KEPT = `      limit_conn requests ${LIMITS.requests};
      limit_conn kept_of_client ${LIMITS.kept.ofClient};
      limit_conn bodies ${LIMITS.kept.ofAll};
      client_max_body_size ${LIMITS.kept.largest};
`;

/** /etc/nginx/nginx.conf of a gateway. The last address is the public one of office-1, where there is one. */
export function renderGatewayNginx(
  environment: Environment,
  address: string,
  officeAddress?: string,
): string {
  const { domain } = environment;
  const web = cloudMachines(environment, "web");
  const [office] = cloudMachines(environment, "office");
  const suites = office ? (environment.office?.suites ?? []) : [];
  return `# Rendered by infra/gateway/gateway.ts; changes made here are overwritten.
${renderMain("www-data", 16384)}
http {
  server_tokens off;
  types { }
  default_type text/plain;
  tcp_nopush on;

  ${renderSpaceMap(domain)}
  ${renderPageMap()}

${renderLogMaps()}

  # One line per request, as JSON: quotes and line ends that a client sends are escaped, so no line can be forged.
  # nginx can't put a variable into a syslog tag; logs-1 sorts these lines by the field "space".
  log_format access escape=json '{"space":"$space","time":"$time_iso8601","client":"$remote_addr",'
    '"host":"$logged_host","method":"$logged_method","uri":"$logged_uri","status":$status,"bytes":$body_bytes_sent,'
    '"seconds":$request_time,"upstream":"$upstream_addr","agent":"$logged_agent"}';
  access_log syslog:server=unix:/dev/log,nohostname,tag=nginx,severity=info access if=$logged;
  map $limit_req_status $logged {
    default yes;
    REJECTED "";
  }

  # Every connection is from the load balancer (nftables accepts no other). It appends the client's address to the
  # header.
  set_real_ip_from ${LOAD_BALANCER_ADDRESS};
  real_ip_header X-Forwarded-For;
  real_ip_recursive off;

  # A space always goes to the same web server, because that server's caches hold it. After three failed connections a
  # server gets no requests for ten seconds, and its spaces go to the others. A suspended space answers 503, and a space
  # whose PHP crashes 502. Those must not exclude a server, so only failed connections count. Every request opens its
  # own connection: each one kept open to a vanished server would lose a request
  # (docs/decisions/0019-machines-that-vanish.md).
  upstream web {
    zone web 256k;
    hash $host consistent;
${web.map((machine) => `    server ${machine.privateAddress}:${PORTS.web} max_fails=3 fail_timeout=${REFUSED_SECONDS}s;`).join("\n")}
  }
  proxy_next_upstream error timeout;
  proxy_next_upstream_tries 2;
  proxy_next_upstream_timeout 15s;
  proxy_connect_timeout 2s;
  # The kernel's limits notice a server that vanishes during an answer (60-framaspace-connections.conf), long before the
  # timeouts below.
  proxy_socket_keepalive on;

  # How bodies are handled. A WebDAV upload is streamed, without touching the disk: Nextcloud checks the login before it
  # reads the body. Any other body is kept here until it is complete: PHP reads a POST, and Nextcloud a form or JSON
  # (Request.php, decodeContent), before any check, so each slow client would occupy a worker.
  map "$request_method $uri" $upload {
    default "";
    "~${UPLOAD}" upload;
  }
  map "$upload $http_transfer_encoding $content_type" $body {
    default kept;
    "~*^upload  (?:.*application/x-www-form-urlencoded|application/(?:[a-z0-9.-]+\\+)?json)" kept;
    "~^upload  " streamed;
    # PHP reads no body without a length; the file would be empty.
    "~^upload [^ ]" counted;
  }
  # 262,144,000 bytes and more; an upload of 10 GB and more, because PHP keeps all of it on the web server's disk
  # (infra/web/install.sh). client_max_body_size ignores the length once a request has changed its location.
  map "$body $content_length" $too_large {
    default "";
    "~^streamed [0-9]{11,}$" yes;
    "~^kept (?:[0-9]{10,}|[3-9][0-9]{8}|2[7-9][0-9]{7}|26[3-9][0-9]{6})$" yes;
  }
  # 1 MB and more, or of unknown length.
  map "$body $content_length $http_transfer_encoding" $counts {
    default "";
    "~^kept (?:[0-9]{7,} | [^ ])" kept;
    "~^counted" counted;
  }
  map $counts $kept_of_client {
    default "";
    kept $binary_remote_addr;
  }
  map $counts $counted_of_client {
    default "";
    counted $binary_remote_addr;
  }
  # Who sends more is refused without a line, which logs-1 would keep for a year. The others' lines have at most 2 kB.
  limit_req_zone $binary_remote_addr zone=rate:8m rate=${LIMITS.rate.perSecond}r/s;
  limit_req zone=rate burst=${LIMITS.rate.burst} nodelay;
  limit_req_status 429;
  limit_req_log_level info;
  limit_conn_log_level info;
  limit_conn_zone $binary_remote_addr zone=requests:8m;
  limit_conn_zone $kept_of_client zone=kept_of_client:2m;
  limit_conn_zone $counted_of_client zone=counted_of_client:1m;
  limit_conn_zone $counts zone=bodies:1m;
  limit_conn_status 429;
  client_max_body_size 0;
  client_body_timeout 60s;
  proxy_request_buffering on;
  proxy_max_temp_file_size 0;
  proxy_buffers 16 16k;
  proxy_buffer_size ${HEADERS.ofAnswer};
  proxy_read_timeout 3600s;
  proxy_send_timeout 3600s;
  send_timeout 300s;
  keepalive_timeout ${BALANCER_IDLE_SECONDS + 20}s;
  large_client_header_buffers 4 ${HEADERS.ofRequest};

  map $http_upgrade $connection_upgrade {
    default upgrade;
    "" close;
  }
  # Who the client is, for web servers. Documents are for office-1 alone, and each space's database names it. Its public
  # address is another one when the machine is built again, so spaces know it by its private one
  # (docs/decisions/0033-documents-for-office-1-alone.md).
  map $remote_addr $client {
    default $remote_addr;
${office && officeAddress ? `    ${officeAddress} ${office.privateAddress};\n` : ""}  }
  proxy_http_version 1.1;
  proxy_set_header Host $host;
  proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection $connection_upgrade;
  # These overwrite what the client says about itself.
  proxy_set_header X-Forwarded-For $client;
  proxy_set_header X-Real-IP $client;
  proxy_set_header X-Forwarded-Proto https;
  proxy_set_header X-Forwarded-Host $host;
${DROPPED.map((header) => `  proxy_set_header ${header} "";`).join("\n")}
  # No answer from a web server may make the gateway fetch something else.
  proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Charset;

  # The load balancer's health check, and every host outside the domain.
  server {
    listen ${address}:${PORTS.gateway} default_server backlog=4096 so_keepalive=on;
    access_log off;
    location = /healthz {
      # It is about to restart (infra/gateway/install.sh).
      if (-f /run/framaspace-leaving) {
        return 503;
      }
      return 200 "ok\\n";
    }
    error_page 590 =404 @unknown$as_page;
    location / {
      return 590;
    }
${renderAnswers(["unknown"])}
  }

  server {
    listen ${address}:${PORTS.gateway};
    server_name "~^[a-z][a-z0-9-]*\\.${escapeDomain(domain)}$";
    add_header Strict-Transport-Security "${TRANSPORT_SECURITY}" always;
    # The locations below are reached by an error_page themselves.
    recursive_error_pages on;
    error_page 413 = @too_large;
    error_page 418 = @streamed;
    error_page 419 = @counted;
    error_page 420 = @kept;
    error_page 429 =429 @crowded$as_page;
    location / {
      if ($too_large) {
        return 413;
      }
      if ($body = streamed) {
        return 418;
      }
      if ($body = counted) {
        return 419;
      }
      return 420;
    }
    location @streamed {
      limit_conn requests ${LIMITS.requests};
      client_body_timeout 300s;
      proxy_request_buffering off;
      proxy_pass http://web;
    }
    location @counted {
      limit_conn requests ${LIMITS.requests};
      limit_conn counted_of_client ${LIMITS.counted.ofClient};
      limit_conn bodies ${LIMITS.counted.ofAll};
      client_max_body_size ${LIMITS.counted.largest};
      proxy_pass http://web;
    }
    location @kept {
${KEPT}      proxy_pass http://web;
    }
    location @too_large {
      return 413 "This is too large to be sent in one piece. Put it into the files of the space, by a program that sends it in parts.\\n";
    }
${renderAnswers(["crowded", "unavailable"], { "Strict-Transport-Security": TRANSPORT_SECURITY })}
  }
${office ? suites.map((suite) => renderOffice(`${suite}.${domain}`, address, `${office.privateAddress}:${PORTS[suite]}`)).join("") : ""}}
`;
}

function renderOffice(host: string, address: string, upstream: string): string {
  return `
  server {
    listen ${address}:${PORTS.gateway};
    server_name ${host};
    add_header Strict-Transport-Security "max-age=31536000" always;
    location / {
${KEPT}      proxy_pass http://${upstream};
    }
  }
`;
}
