// Which machines may connect to which ports.
import { describe, expect, it } from "vitest";
import { SUBNETS, type Role } from "../../../infra/inventory/addresses.ts";
import { PORTS, publicRules, renderNftables } from "../../../infra/machine/firewall.ts";

const ADMINISTRATORS = ["203.0.113.0/28"];
const ROLES = Object.keys(SUBNETS) as Role[];

/** Port → sources that the nftables of a role accept. */
function accepted(role: Role): Record<string, string[]> {
  const rules = renderNftables(role, ADMINISTRATORS).matchAll(/ip saddr \{ (.*) \} tcp dport (\d+) accept/g);
  return Object.fromEntries([...rules].map(([, sources = "", port = ""]) => [port, sources.split(", ")]));
}

describe.each(ROLES)("%s", (role) => {
  it("drops what no rule accepts", () => {
    const text = renderNftables(role, ADMINISTRATORS);
    expect(text).toContain("hook input priority filter; policy drop;");
    expect(text.match(/ accept$/gm)?.length).toBe(Object.keys(accepted(role)).length + 3);
  });

  it("opens the cloud's metadata only to root, at every address that clouds use for it", () => {
    const refused = renderNftables(role, ADMINISTRATORS).matchAll(
      /(ip6?) daddr (.*) meta l4proto tcp meta skuid != 0 reject/g,
    );
    expect(Object.fromEntries([...refused].map(([, family = "", ranges = ""]) => [family, ranges]))).toEqual({
      ip: "169.254.0.0/16",
      ip6: "{ fe80::/10, fd00:ec2::254 }",
    });
  });

  it("accepts SSH only from ops-1, and on ops-1 only from administrators", () => {
    expect(accepted(role)[PORTS.ssh]).toEqual(role === "ops" ? ADMINISTRATORS : [SUBNETS.ops]);
  });

  it("accepts nothing from the internet but the administrators' SSH", () => {
    expect(publicRules(role, ADMINISTRATORS)).toEqual(
      role === "ops" ? [{ port: PORTS.ssh, sources: ADMINISTRATORS }] : [],
    );
    const outside = Object.values(accepted(role))
      .flat()
      .filter((source) => !source.startsWith("10."));
    expect(outside).toEqual(role === "ops" ? ADMINISTRATORS : []);
  });
});

it("lets web traffic from the load balancer to the gateways, and from them to the web servers", () => {
  expect(accepted("gateway")[PORTS.gateway]).toEqual(["10.0.5.1"]);
  expect(accepted("web")[PORTS.web]).toContain(SUBNETS.gateway);
});

it("opens data services only to machines that serve spaces", () => {
  for (const role of ["gateway", "office", "imaginary", "logs"] as const) {
    expect(accepted("postgres")[PORTS.postgres]).not.toContain(SUBNETS[role]);
    expect(accepted("redis")[PORTS.redis]).not.toContain(SUBNETS[role]);
    expect(accepted("storage")[PORTS.s3]).not.toContain(SUBNETS[role]);
  }
});

it("opens the office suite to gateways, and to machines on which code of spaces runs", () => {
  expect(accepted("office")[PORTS.collabora]).toEqual([SUBNETS.gateway, SUBNETS.web, SUBNETS.worker]);
});

it("opens to workers what it opens to web servers, and nothing of theirs but SSH to ops-1", () => {
  const roles = Object.keys(SUBNETS) as Role[];
  for (const role of roles)
    for (const [port, sources] of Object.entries(accepted(role)))
      expect([role, port, sources.includes(SUBNETS.worker)]).toEqual([
        role,
        port,
        sources.includes(SUBNETS.web),
      ]);
  expect(accepted("worker")).toEqual({ [PORTS.ssh]: [SUBNETS.ops] });
});

it("opens MinIO's own port, which is also for administration, only to its nodes and ops-1", () => {
  expect(accepted("storage")[PORTS.minio]).toEqual([SUBNETS.storage, SUBNETS.ops]);
});

it("accepts logs from every machine", () => {
  expect(accepted("logs")[PORTS.syslog]?.toSorted()).toEqual(Object.values(SUBNETS).toSorted());
});
