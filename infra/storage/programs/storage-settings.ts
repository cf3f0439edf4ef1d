// The form of /etc/framaspace/storage/settings: infra/storage/storage.ts writes it, and reconcile-storage reads it.
import type { SiteRole } from "../../inventory/environment.ts";

export interface StorageSettings {
  /** Those that are declared, and not declared unreachable. */
  sites: readonly SiteRole[];
  /** Whether two sites are declared, even if one of them is unreachable for now. */
  paired: boolean;
  /** The site that spaces use. */
  serving: SiteRole;
  parity: number;
  /** For each pool, in order: the number of sets, and of drives in a set. */
  pools: readonly { sets: number; setSize: number }[];
  buckets: readonly string[];
}
