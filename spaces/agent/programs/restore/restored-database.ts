// The database of an export, put into the space's.
import { statSync } from "node:fs";
import { Readable } from "node:stream";
import { needRoom } from "../files.ts";
import { outputOf } from "../../../../infra/machine/programs/run-command.ts";
import { CommandError } from "../../../../infra/machine/programs/program-error.ts";
import { loadDatabase, pack } from "../space-database.ts";
import { failure, held } from "../space-work.ts";
import type { Restoring } from "./restoring.ts";

export async function restoreDatabase(work: Restoring): Promise<void> {
  const { here, places } = work;
  const dump = `${here}/database.dump`;
  needRoom(work, 4 * statSync(dump).size);
  const words = ["--no-owner", "--no-privileges", "--file=-", dump];
  const statements = outputOf(`${places.postgresql}/pg_restore`, words, held(work));
  const content = Readable.from(
    (async function* () {
      yield* statements as AsyncIterable<Buffer>;
      yield `SET search_path = public;\n${adapting(work)}`;
    })(),
  );
  const file = `${here}/load.sql.zst`;
  if (!(await pack(work, content, file))) throw new CommandError("pg_restore", 1);
  if (!(await loadDatabase(work, file)))
    throw failure(work, "the database took none of it (one transaction); its log says why. Run it again");
}

/**
 * The name of Nextcloud's root storage contains the bucket's name, and the name of Nextcloud's own folder the instance
 * id. Both differ in another space (lib/private/Files/ObjectStore/S3ConfigTrait.php,
 * lib/private/Files/AppData/AppData.php).
 */
function adapting({ manifest, space }: Restoring): string {
  const bucket = space.document.s3?.bucket ?? "";
  const [from, to] = [manifest.instanceId, space.document.nextcloud?.instanceId ?? ""];
  const storages = String.raw`SELECT 'UPDATE oc_storages SET id = ''object::store:amazon::${bucket}'' WHERE id = ''object::store:amazon::${manifest.bucket}'''
 WHERE to_regclass('public.oc_storages') IS NOT NULL \gexec
`;
  const folder = String.raw`SELECT $$UPDATE oc_filecache SET
  name = CASE WHEN path = 'appdata_${from}' THEN 'appdata_${to}' ELSE name END,
  path = 'appdata_${to}' || substr(path, length('appdata_${from}') + 1),
  path_hash = md5('appdata_${to}' || substr(path, length('appdata_${from}') + 1))
 WHERE path = 'appdata_${from}' OR path LIKE 'appdata\_${from}/%'$$
 WHERE to_regclass('public.oc_filecache') IS NOT NULL \gexec
`;
  return (bucket === manifest.bucket ? "" : storages) + (from === to ? "" : folder);
}
