// A refresh that can be undone. If MinIO's provider cannot ask about a bucket, it takes the bucket for gone. The gate
// stops a refresh while MinIO is unreachable, but MinIO may become unreachable while the refresh runs.
import { UserError } from "../../validation/user-error.ts";
import { listBuckets } from "./buckets.ts";
import { giveTerminal, type Cli } from "./cli.ts";
import { bucketsOf, exportState, importState } from "./state.ts";

/**
 * Refreshes a stack of spaces. Resolves to the CLI's exit status. If MinIO still has a bucket that the refresh took for
 * gone, or if that cannot be found out, it puts the earlier state back and throws a UserError.
 * @param words For the CLI, the command first.
 * @param ca MinIO's certificate authority, as PEM.
 */
export async function refresh(cli: Cli, words: readonly string[], ca: string): Promise<number> {
  const before = await exportState(cli);
  const buckets = bucketsOf(before);
  if (buckets.length > 0) await listBuckets(cli, ca);
  const status = await giveTerminal(cli, words);
  if (buckets.length === 0) return status;
  const after = await exportState(cli).catch(() => undefined);
  if (!after) {
    // Another refresh would begin from the state of this one, and would not notice what this one lost.
    await importState(cli, before);
    throw new UserError(
      "The state after the refresh cannot be read, so it is again what it was before; run the refresh again.",
    );
  }
  const left = new Set(bucketsOf(after).map(({ urn }) => urn));
  const dropped = buckets.filter(({ urn }) => !left.has(urn));
  if (dropped.length === 0) return status;
  const there = await listBuckets(cli, ca).catch(() => undefined);
  const wrong = dropped.filter(({ id }) => !there || there.has(id ?? ""));
  if (wrong.length === 0) return status;
  await importState(cli, before);
  const named = wrong.map(({ id }) => id).slice(0, 5);
  throw new UserError(
    `The refresh took ${wrong.length} of ${buckets.length} buckets for gone (${named.join(", ")}), but ${there ? "MinIO has them" : "MinIO no longer answers"}: it must have been unreachable in between. The state is again what it was before; run the refresh again.`,
  );
}
