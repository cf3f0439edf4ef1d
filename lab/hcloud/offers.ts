// What Hetzner sells, as far as the provider asks for it before it creates something. The lab accepts every type,
// because types come and go: only Hetzner knows which ones exist.

const LOCATIONS = [
  { id: 1, name: "fsn1", description: "Falkenstein DC Park 1", country: "DE", city: "Falkenstein" },
  { id: 2, name: "nbg1", description: "Nuremberg DC Park 1", country: "DE", city: "Nuremberg" },
  { id: 3, name: "hel1", description: "Helsinki DC Park 1", country: "FI", city: "Helsinki" },
].map((location) => ({ ...location, latitude: 0, longitude: 0, network_zone: "eu-central" }));

export function location(name: string) {
  return LOCATIONS.find((one) => one.name === name) ?? LOCATIONS[0];
}

/** A stable id for a name. */
function idOf(name: string): number {
  return [...name].reduce((sum, character) => (sum * 31 + character.charCodeAt(0)) % 1_000_003, 7);
}

export function serverType(name: string) {
  const sold = {
    cores: 2,
    memory: 4,
    disk: 40,
    storage_type: "local",
    cpu_type: "shared",
    architecture: "x86",
  };
  const locations = LOCATIONS.map(({ id, name: where }) => ({
    id,
    name: where,
    available: true,
    recommended: true,
    deprecation: null,
  }));
  return {
    id: idOf(name),
    name,
    description: name,
    category: "shared",
    ...sold,
    prices: [],
    deprecated: false,
    deprecation: null,
    locations,
  };
}

export function loadBalancerType(name: string) {
  const limits = { max_connections: 10_000, max_services: 5, max_targets: 25, max_assigned_certificates: 10 };
  return { id: idOf(name), name, description: name, ...limits, prices: [], deprecated: null };
}

export function image(name: string) {
  const version = { os_flavor: "debian", os_version: "13", architecture: "x86", rapid_deploy: true };
  const none = { image_size: null, created_from: null, bound_to: null, deprecated: null, deleted: null };
  const rest = {
    disk_size: 10,
    created: "2026-01-01T00:00:00+00:00",
    protection: { delete: false },
    labels: {},
  };
  return {
    id: idOf(name),
    status: "available",
    type: "system",
    name,
    description: name,
    ...version,
    ...none,
    ...rest,
  };
}

const SOLD = { server_types: serverType, load_balancer_types: loadBalancerType, images: image } as const;

/** The items under a path, filtered by name; undefined if there is no such path. */
export function listed(kind: string, name: string | null): unknown[] | undefined {
  if (kind === "locations") return LOCATIONS.filter((one) => name === null || one.name === name);
  if (kind === "datacenters" || kind === "isos") return [];
  if (kind === "images" && name !== null && name !== "debian-13") return [];
  if (kind === "server_types" || kind === "load_balancer_types" || kind === "images")
    return name === null ? [] : [SOLD[kind](name)];
  return undefined;
}
