// The ids by which providers know resources of spaces. All are planned names, so a resource that the state has lost can
// be taken over without asking anybody for its id.
import type { Resource } from "../evaluate/graph.ts";

/** The input that is also the provider's id. */
const IDENTITY: Readonly<Record<string, string>> = {
  "postgresql:index/role:Role": "name",
  "postgresql:index/database:Database": "name",
  "minio:index/s3Bucket:S3Bucket": "bucket",
  "minio:index/iamUser:IamUser": "name",
};

/** The id of a resource with these inputs. Undefined for a kind whose id is not planned. */
export function knownId({ type, inputs }: Pick<Resource, "type" | "inputs">): string | undefined {
  const id = inputs[IDENTITY[type] ?? ""];
  return typeof id === "string" ? id : undefined;
}
