// One space as JSON: what the engine sends to ops-1, and what the space's directory has as config/space.json.
import * as z from "zod";

const apps = z.array(z.string());

/** What is wanted of a space: what converge-space reads. */
export const wantedSpaceSchema = z.strictObject({
  id: z.string(),
  name: z.string(),
  host: z.string(),
  contact: z.string(),
  state: z.enum(["active", "suspended", "archived"]),
  /** Of a space that is not active. */
  reason: z.string().optional(),
  since: z.string().optional(),
  /** Of an archived space. */
  archive: z.object({ graceDays: z.number() }).optional(),
  wave: z.string(),
  /** Three parts: `34.0.4`. */
  release: z.string(),
  // These are the same for all spaces. They are here so that a change of them makes every space converge.
  apps,
  appsOptional: apps,
  appsOff: apps,
  /** The office suite that a new space starts with. */
  office: z.string(),
  twoFactor: z.literal("required").optional(),
  officeClients: z.string(),
  limits: z.strictObject({ accounts: z.number(), storageBytes: z.number() }),
  database: z.strictObject({ name: z.string(), user: z.string(), password: z.string() }),
  /** Absent in environments without storage. */
  s3: z.strictObject({ bucket: z.string(), user: z.string(), secret: z.string() }).optional(),
  /** redis-users on ops-1 adds the number of its database. */
  redis: z.strictObject({
    user: z.string(),
    password: z.string(),
    prefix: z.string(),
    database: z.number().optional(),
  }),
  nextcloud: z.strictObject({ instanceId: z.string(), secret: z.string(), passwordSalt: z.string() }),
});
export type WantedSpace = z.infer<typeof wantedSpaceSchema>;

/** config/space.json, which config.php reads, too. */
export interface SpaceDocument extends WantedSpace {
  /** What the space's database is on, in four parts: `34.0.4.1`. */
  version: string;
  /** Of a space whose database was put back to an earlier state. */
  dataFingerprint?: string;
}
