// Placement groups. The endpoint only stores and shows them: in a lab it does not matter where machines run.
import * as z from "zod";
import { common, read, type Kind } from "./kind.ts";

export const placementGroups: Kind<"placement_groups"> = {
  singular: "placement_group",
  async create(entity, body) {
    return { ...entity, ...read(z.object({ type: z.string() }), body) };
  },
  view(group, state) {
    const members = state.servers.filter((server) => server.placement_group === group.id);
    return { ...common(group), type: group.type, servers: members.map(({ id }) => id) };
  },
};
