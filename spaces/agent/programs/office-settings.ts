import type { PlatformFile } from "../machine-files.ts";

/**
 * What Collabora's connector has to know; nothing where there is no Collabora. The connector looks for it in the database
 * alone. Web servers ask the suite directly; browsers reach it by the gateways. Documents are given to the suite alone.
 * It makes no previews: they would take what open documents need.
 */
export function officeSettings({ office, domain, port }: PlatformFile): [string, string][] {
  if (!office?.suites.includes("collabora")) return [];
  return [
    ["preview_generation", "no"],
    ["public_wopi_url", `https://collabora.${domain}${port === undefined ? "" : `:${port}`}`],
    ["wopi_allowlist", office.clients],
    ["wopi_url", office.url],
  ];
}
