// The names of a space's storages, and what counts as used. The queries run on SQLite, which lacks two functions of PostgreSQL's.
import { createHash } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, it } from "vitest";
import { STORAGES, USED_STORAGE } from "../../../spaces/agent/programs/storage-queries.ts";

const md5 = (text: string) => createHash("md5").update(text).digest("hex");
/** Nextcloud cuts no id: it stores the digest of one that is longer than 64 characters. */
const stored = (id: string) => (id.length > 64 ? md5(id) : id);

let database: DatabaseSync;
beforeEach(() => {
  database = new DatabaseSync(":memory:");
  database.function("md5", (text) => md5(String(text)));
  database.function("greatest", (one, other) => Math.max(Number(one), Number(other)));
  database.exec(`CREATE TABLE oc_storages (numeric_id INTEGER PRIMARY KEY, id TEXT);
    CREATE TABLE oc_filecache (storage INTEGER, path_hash TEXT, size INTEGER);
    CREATE TABLE oc_users (uid TEXT);`);
});
afterEach(() => database.close());

/** Adds a storage whose root has this size, with a file in it. */
function storage(id: string, size: number): void {
  const { lastInsertRowid } = database.prepare("INSERT INTO oc_storages (id) VALUES (?)").run(stored(id));
  const insert = database.prepare("INSERT INTO oc_filecache VALUES (?, ?, ?)");
  insert.run(lastInsertRowid, md5(""), size);
  insert.run(lastInsertRowid, md5("files"), size);
}
const used = () => Object.values(database.prepare(USED_STORAGE).get() ?? {})[0];

it("is that of accounts and of Nextcloud itself, in the bucket or on disk", () => {
  expect(used()).toBe(0);
  storage("object::store:amazon::space-lotus", 1);
  storage("object::user:alice", 10);
  storage("home::bob", 100);
  storage("local::/srv/spaces/lotus/data/", 1000);
  // A root whose size Nextcloud does not know yet.
  storage("object::user:carole", -1);
  expect(used()).toBe(1111);
});

it.each([
  ["federated", `shared::${md5("token@elsewhere.example")}`],
  ["external, in object storage", `amazon::external::${md5("x")}`],
  ["external, elsewhere", "smb::guest@files.example//share//"],
  ["external, with a long address", `webdav::guest@${"long-".repeat(12)}.example/`],
])("is not what somebody else keeps: %s", (_, id) => {
  storage("object::user:alice", 10);
  storage(id, 50 * 2 ** 30);
  expect(used()).toBe(10);
});

it.each(["object::user:", "home::"])("is that of an account with a long name, too: %s…", (kind) => {
  const uid = "a".repeat(64);
  database.prepare("INSERT INTO oc_users VALUES (?)").run(uid);
  storage(kind + uid, 10);
  expect(used()).toBe(10);
});

it("names the storage of an account with a long name, whose digest alone Nextcloud keeps", () => {
  const uid = "a".repeat(64);
  database.prepare("INSERT INTO oc_users VALUES (?), ('bob')").run(uid);
  const names = ["home::bob", `object::user:${uid}`, "object::user:gone".padEnd(80, "e")];
  for (const name of names) storage(name, 1);
  const named = database.prepare(`SELECT id FROM ${STORAGES} s ORDER BY numeric_id`).all();
  expect(named.map(({ id }) => id)).toEqual(["home::bob", `object::user:${uid}`, stored(names[2] ?? "")]);
});
