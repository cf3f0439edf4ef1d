// What ops-1 remembers of the cluster, outside both nodes: /var/lib/framaspace/postgres.json. It is on disk before
// anything relies on it.
import { existsSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { ProgramError } from "../../machine/programs/program-error.ts";
import { writeWhole } from "../../machine/programs/whole-file.ts";
import type { Node } from "./nodes.ts";

export interface RecordedCluster {
  /** The node that takes the writes. */
  primary?: Node;
  /** Whether a commit waits until the standby has it on disk. */
  mode?: "synchronous" | "asynchronous";
  /** PostgreSQL's identifier of the cluster. */
  systemId?: string;
  /** The node to which the writes are being moved, by the verb of this name. */
  switchover?: Node;
  failover?: Node;
  /** The node that such a move has left behind, until it is a standby again. */
  rebuild?: Node;
  /** When this was written last: `2026-11-24T14:00:00Z`. */
  since?: string;
}

export interface ClusterRecord {
  read(): RecordedCluster;
  /** Changes some values. An empty text removes one. */
  write(values: { readonly [Key in Exclude<keyof RecordedCluster, "since">]?: string }): Promise<void>;
}

/** @param file Its path. */
export function recordIn(file: string): ClusterRecord {
  const read = (): RecordedCluster => {
    if (!existsSync(file)) return {};
    try {
      return JSON.parse(readFileSync(file, "utf8")) as RecordedCluster;
    } catch (error) {
      throw new ProgramError(
        hostname(),
        `${file} cannot be read (${String(error)}). Nothing was changed. Move it away, see who takes the writes (postgres-cluster status), and say it: postgres-cluster adopt NODE`,
      );
    }
  };
  return {
    read,
    write: async (values) => {
      const since = `${new Date().toISOString().slice(0, 19)}Z`;
      const entries = Object.entries({ ...read(), ...values, since }).filter(([, value]) => value !== "");
      await writeWhole(file, [`${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`]);
    },
  };
}
