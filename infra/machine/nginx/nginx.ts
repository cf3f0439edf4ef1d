// What the configurations of nginx on gateways and web servers have in common.

/** An nginx regular expression for the domain's dots. */
export function escapeDomain(domain: string): string {
  return domain.replaceAll(".", String.raw`\.`);
}

/**
 * Space of a request, empty for hosts that are none. `$host` is lower case, without port or trailing dot, and from the
 * request line where that names one. Only these letters get into paths, log lines and PHP's settings.
 */
export function renderSpaceMap(domain: string): string {
  return `map $host $space {
    default "";
    "~^([a-z][a-z0-9-]*)\\.${escapeDomain(domain)}$" $1;
  }`;
}

/** What `"$request_method $uri"` is of an upload by WebDAV, as nginx' regular expression. */
export const UPLOAD = String.raw`^PUT /(?:remote|public)\.php/(?:web)?dav/`;
