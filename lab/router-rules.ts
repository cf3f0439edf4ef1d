// What may pass the lab's router: hcloud's firewalls as stateful nftables rules. Only text; namespaces.ts loads it.
import type { FirewallRule } from "./hcloud/document.ts";
import { MAIL_PORT } from "./mail.ts";
import { ADMIN_ADDRESS, routerEnds } from "./namespaces.ts";

/** A machine as the router sees it. */
export interface Filtered {
  /** Part of the names of the router's ends of its interfaces. */
  link: string;
  /** The rules of all firewalls of the machine. Undefined if it has none: then everything may pass, as at Hetzner. */
  rules: readonly FirewallRule[] | undefined;
}

/** Port of the artifact server in the admin's namespace. There, machines reach only this port and the mail relay. */
export const ARTIFACTS_PORT = 80;

/** The router's whole rule set. */
export function renderFilter(machines: readonly Filtered[]): string {
  const filtered = machines.flatMap(({ link, rules }) => (rules ? [{ link, rules }] : []));
  const chains = filtered.flatMap(({ link, rules }) => [
    chain(`in${link}`, rules, "in", "accept"),
    ...(rules.some(isOutgoing) ? [chain(`out${link}`, rules, "out", "return")] : []),
  ]);
  const jumps = [
    ...filtered
      .filter(({ rules }) => rules.some(isOutgoing))
      .map(({ link }) => `iifname "${routerEnds(link).public}" jump out${link}`),
    ...filtered.map(({ link }) => `oifname "${routerEnds(link).public}" goto in${link}`),
  ];
  return `table inet lab
delete table inet lab
table inet lab {
${chains.join("")}  chain public {
${jumps.map((jump) => `    ${jump}\n`).join("")}    accept
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    ct state invalid drop
    iifname "prv*" oifname "prv*" accept
    iifname { "pub*", "admin" } oifname "pub*" goto public
    iifname "pub*" ip daddr ${ADMIN_ADDRESS} tcp dport { ${ARTIFACTS_PORT}, ${MAIL_PORT} } accept
  }
}
`;
}

const isOutgoing = (rule: FirewallRule) => rule.direction === "out";

/** A chain for one direction. It drops everything that no rule names. */
function chain(
  name: string,
  rules: readonly FirewallRule[],
  direction: "in" | "out",
  verdict: string,
): string {
  const lines = rules
    .filter((rule) => rule.direction === direction)
    .flatMap((rule) => {
      const [side, ranges] =
        direction === "in" ? ["saddr", rule.source_ips] : ["daddr", rule.destination_ips];
      const { protocol, port } = rule;
      const what = !port || port === "any" ? `meta l4proto ${protocol}` : `${protocol} dport ${port}`;
      // The lab has no IPv6.
      return ranges
        .filter((range) => !range.includes(":"))
        .map((range) => `    ip ${side} ${range} ${what} ${verdict}\n`);
    });
  return `  chain ${name} {\n${lines.join("")}    drop\n  }\n`;
}
