// What the nginx configurations of gateways, web servers and storage servers have in common.

/**
 * The beginning of nginx.conf, in front of `http`.
 * @param user The user of the workers, and a group if it is not the user's own.
 * @param connections Open connections of each worker, those to other servers among them.
 */
export function renderMain(user: string, connections: number): string {
  return `user ${user};
worker_processes auto;
worker_rlimit_nofile 65536;
pid /run/nginx.pid;
error_log syslog:server=unix:/dev/log,nohostname,tag=nginx error;

events {
  worker_connections ${connections};
}
`;
}

/**
 * How long headers may be, for gateways and web servers. Debian's nginx has 4 kB for the headers of an answer, and
 * answers 502 to more.
 */
export const HEADERS = {
  /** The request line, or one header. A file's path in Nextcloud has 4,000 letters at most (`oc_filecache`). */
  ofRequest: "16k",
  /**
   * All headers of an answer together. The longest is a redirect to the login page. It holds the request's address with
   * each `%C3` as `%25C3`, five thirds of 16 kB; and Nextcloud's other headers have about 2 kB.
   */
  ofAnswer: "32k",
} as const;

/** Escapes the dots of a domain for an nginx regular expression. */
export function escapeDomain(domain: string): string {
  return domain.replaceAll(".", String.raw`\.`);
}

/**
 * The map from a request's host to its space, empty if no space can have that host. `$host` is in lower case, without
 * port or trailing dot; a host in the request line comes before the header. Only the characters that this pattern
 * allows get into paths, log lines and PHP's settings.
 */
export function renderSpaceMap(domain: string): string {
  return `map $host $space {
    default "";
    "~^([a-z][a-z0-9-]*)\\.${escapeDomain(domain)}$" $1;
  }`;
}

/** An nginx regular expression: `"$request_method $uri"` matches it for an upload by WebDAV. */
export const UPLOAD = String.raw`^PUT /(?:remote|public)\.php/(?:web)?dav/`;
