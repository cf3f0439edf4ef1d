// Small parts of the lab: its names, its addresses, what its router lets pass, and the names of its steps.
import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { EMPTY, type FirewallRule } from "../../lab/hcloud/document.ts";
import { openLab } from "../../lab/lab.ts";
import { stepOf } from "../../lab/progress.ts";
import { renderFilter } from "../../lab/router-rules.ts";
import { LabWorld } from "../../lab/world.ts";

const HYBRID = "/sys/fs/cgroup/unified/cgroup.controllers";

describe("the name of a lab", () => {
  test.each(["", "Lab", "1st", "a-b", "../etc", "abcdefghijklm", "a b"])('"%s" is refused', (name) => {
    expect(() => openLab(name)).toThrow(`"${name}" is no name for a lab`);
  });

  // Without cgroup v2, as in some containers, no lab can exist.
  test
    .skipIf(!existsSync("/sys/fs/cgroup/cgroup.controllers") && !existsSync(HYBRID))
    .each(["lab", "a", "e2e", "abcdefghijkl"])('"%s" is not', (name) => {
    expect(openLab(name).directory).toBe(`/var/lib/framaspace-lab/${name}`);
  });
});

describe("a public address", () => {
  const dedicated = { name: "storage-a1", address: "203.0.113.20" };
  const settings = { reserved: { "ops-1": "203.0.113.21" }, dedicated: [dedicated] };
  const world = new LabWorld({ name: "a", directory: "", cgroup: "" }, settings as never);
  const taken = { ...structuredClone(EMPTY), servers: [{ ipv4: "203.0.113.22" }] as never };

  test("is the one that is reserved for a name", () => {
    expect(world.address(taken, "ops-1")).toBe("203.0.113.21");
  });

  test("is otherwise one that nobody has and that is reserved for nobody", () => {
    expect(world.address(taken, "web-1")).toBe("203.0.113.23");
  });

  test("is refused where there is none left", () => {
    const servers = Array.from({ length: 240 }, (_, index) => ({ ipv4: `203.0.113.${20 + index}` }));
    expect(() => world.address({ ...taken, servers: servers as never }, "web-1")).toThrow(
      "no public address",
    );
  });
});

describe("what the router lets pass", () => {
  const rule = (more: Partial<FirewallRule>): FirewallRule => ({
    direction: "in",
    protocol: "tcp",
    port: "22",
    source_ips: ["0.0.0.0/0", "::/0"],
    destination_ips: [],
    ...more,
  });
  /** The lines of one chain. */
  const chain = (text: string, name: string) =>
    (text.split(`chain ${name} {\n`)[1]?.split("  }\n")[0] ?? "").split("\n").map((line) => line.trim());

  test("of a server with rules: what they name; all else is dropped", () => {
    const text = renderFilter([{ link: "7", rules: [rule({}), rule({ protocol: "icmp", port: null })] }]);
    expect(chain(text, "in7")).toEqual([
      "ip saddr 0.0.0.0/0 tcp dport 22 accept",
      "ip saddr 0.0.0.0/0 meta l4proto icmp accept",
      "drop",
      "",
    ]);
    expect(chain(text, "public")).toEqual(['oifname "pub7" goto in7', "accept", ""]);
  });

  test("of a server with a firewall without rules: nothing; of one without a firewall: everything", () => {
    const text = renderFilter([
      { link: "7", rules: [] },
      { link: "8", rules: undefined },
    ]);
    expect(chain(text, "in7")).toEqual(["drop", ""]);
    expect(text).not.toContain("pub8");
  });

  test("outgoing traffic is free until a rule names some", () => {
    const out = rule({ direction: "out", port: "443", source_ips: [], destination_ips: ["10.0.0.0/8"] });
    const text = renderFilter([{ link: "7", rules: [rule({}), out] }]);
    expect(chain(text, "out7")).toEqual(["ip daddr 10.0.0.0/8 tcp dport 443 return", "drop", ""]);
    expect(chain(text, "public")[0]).toBe('iifname "pub7" jump out7');
    expect(renderFilter([{ link: "7", rules: [rule({})] }])).not.toContain("out7");
  });
});

test.each([
  ["hcloud:index/server:Server", "web-1", { machine: "web-1", step: "boot" }],
  ["command:remote:Command", "storage-a1-role", { machine: "storage-a1", step: "role" }],
  ["postgresql:index/role:Role", "lotus-role", { machine: "lotus", step: "role" }],
  ["hcloud:index/zone:Zone", "zone", { machine: "zone", step: "resource" }],
])("a step is called by its machine: %s %s", (type, name, expected) => {
  expect(stepOf(type, name, ["storage-a1", "storage-a", "web-1"])).toEqual(expected);
});
