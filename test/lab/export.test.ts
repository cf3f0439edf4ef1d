// Spaces that are exported, restored, copied and given up: by the programs of ops-1, also when they are killed, and
// also under faults. The spaces have the tables of Nextcloud that the programs read and, if MinIO is available, files.
import { ExecaError } from "execa";
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DOMAIN, sharedLab as lab, storageWords } from "../support/suite-lab.ts";

const hasStorage = storageWords().length > 0;
const WITHOUT = hasStorage ? "" : " (no FRAMASPACE_MINIO and FRAMASPACE_MC: without files, archive on ops-1)";
const [ID, CLONE] = ["muguet", "narcisse"];
const on = lab.on.bind(lab);
const inside = lab.inside.bind(lab);

/** The output of a command that must fail. */
async function refusal(run: Promise<string>): Promise<string> {
  const outcome = await run.then(
    (said) => ({ said }),
    (error: unknown) => ({ refused: error instanceof ExecaError ? `${error.stdout}\n${error.stderr}` : "" }),
  );
  if ("said" in outcome) throw new Error(`it did not fail, and printed: ${outcome.said}`);
  return outcome.refused;
}

const EMPTY = `
DELETE FROM oc_filecache; DELETE FROM oc_storages; DELETE FROM oc_mimetypes; DELETE FROM oc_authtoken;
DELETE FROM oc_preferences WHERE appid = 'login'; DELETE FROM oc_users WHERE uid <> 'admin';
INSERT INTO oc_mimetypes VALUES (2, 'httpd/unix-directory'), (3, 'text/plain');`;

const FILES = 40;

/** Nextcloud keeps the storage of an account with a long name under a digest. */
const ALICE = "alice".padEnd(64, "-b");
const STORAGE = createHash("md5").update(`object::user:${ALICE}`).digest("hex");

/** Gives a space the tables, rows and files of a space in use. */
async function fill(id: string): Promise<void> {
  const instance = await on("ops-1", `jq -r .nextcloud.instanceId /srv/spaces/${id}/config/space.json`);
  const rows = hasStorage
    ? `INSERT INTO oc_storages VALUES (1, 'object::store:amazon::space-${id}'), (2, '${STORAGE}');
INSERT INTO oc_filecache (fileid, storage, path, path_hash, name, mimetype, size) VALUES (1, 2, '', md5(''), '', 2, -1),
  (2, 1, 'appdata_${instance}', md5('appdata_${instance}'), 'appdata_${instance}', 2, 6),
  (3, 1, 'appdata_${instance}/logo', md5('appdata_${instance}/logo'), 'logo', 3, 6);
INSERT INTO oc_filecache (fileid, storage, path, path_hash, name, mimetype, size, mtime)
  SELECT n, 2, 'files/note ' || n || '.txt', md5('files/note ' || n || '.txt'), 'note ' || n || '.txt', 3, 8, 1700000000 FROM generate_series(101, ${100 + FILES}) n;`
    : "";
  const sql = `${EMPTY}
INSERT INTO oc_users (uid) VALUES ('${ALICE}'), ('bob');
INSERT INTO oc_preferences VALUES ('${ALICE}', 'login', 'lastLogin', '1700000000');
INSERT INTO oc_authtoken VALUES (1, '${ALICE}', 1700000600);
${rows}`;
  await on("ops-1", `cat >/root/fill.sql <<'END'\n${sql}\nEND`);
  await inside(id, "sql -q -f /root/fill.sql");
  if (!hasStorage) return;
  await inside(
    id,
    `empty_bucket; rm -rf /root/objects; mkdir /root/objects; printf %s " logo " >/root/objects/urn:oid:3;
     for n in $(seq 101 ${100 + FILES}); do echo "file$n" >/root/objects/urn:oid:$n; done;
     storage cp --quiet --recursive /root/objects/ serving/$BUCKET/`,
  );
}

/** All rows and files of a space as one checksum, without the fingerprint that its sync clients get after a restore. */
const fingerprint = (id: string) =>
  inside(
    id,
    "{ as_role pg_dump --data-only --inserts | grep -E ^INSERT | grep -vF fingerprint | sort; bucket_objects; } | sha256sum | cut -c1-64",
  );

const exported = async (id: string) =>
  JSON.parse((await on("ops-1", `export-space ${id}`)).trim().split("\n").at(-1) ?? "") as {
    export: string;
    files: number;
    objects: number;
    tables: number;
  };

/**
 * Does what the engine does when the entry changes its state, without the engine: runs converge-space with another
 * state. Rejects with the output.
 */
const converge = (id: string, state: "active" | "suspended" | "archived", graceDays = 30) =>
  on(
    "ops-1",
    `jq -c '.state = "${state}" | .archive.graceDays = ${graceDays}' /srv/spaces/${id}/config/space.json | converge-space`,
  );

beforeAll(async () => {
  await lab.prepare();
  for (const id of [ID, CLONE]) await lab.space("add", "--id", id, "--name", id);
  await lab.up();
  // Removes what an earlier run left, if the lab belongs to a person.
  await on(
    "ops-1",
    `rm -rf /var/lib/framaspace/{archived,restoring,work}/${ID} /var/lib/framaspace/work/${CLONE}`,
  );
  await fill(ID);
});
afterAll(() => lab.remove());

describe(`an active space${WITHOUT}`, () => {
  test("is exported while people use it, and is closed for seconds at most", async () => {
    const statuses: (number | undefined)[] = [];
    const running = exported(ID);
    const still = Symbol("still running");
    while ((await Promise.race([running, Promise.resolve(still)])) === still) {
      statuses.push((await lab.probe(`${ID}.${DOMAIN}`)).status);
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    const { objects, files, tables } = await running;
    expect(tables).toBeGreaterThan(8);
    expect({ objects, files }).toEqual(
      hasStorage ? { objects: FILES + 1, files: FILES + 1 } : { objects: 0, files: 0 },
    );
    expect(new Set(statuses)).toEqual(new Set(statuses.includes(503) ? [200, 503] : [200]));
    expect((await lab.probe(`${ID}.${DOMAIN}`)).status).toBe(200);
  });

  test.runIf(hasStorage)(
    "is exported during an upload: an unfinished file does not count as missing",
    async () => {
      await inside(
        ID,
        `sql -c "INSERT INTO oc_filecache (fileid, storage, path, path_hash, name, mimetype, size) VALUES (99, 2, \\$\\$uploads/1/.target\\$\\$, md5(\\$\\$uploads/1/.target\\$\\$), \\$\\$.target\\$\\$, 3, 6000000)"`,
      );
      try {
        expect((await exported(ID)).objects).toBe(FILES + 1);
      } finally {
        await inside(ID, 'sql -c "DELETE FROM oc_filecache WHERE fileid = 99"');
      }
    },
  );

  test("has an export without keys of this platform, but with what Nextcloud itself needs", async () => {
    const name = (await exported(ID)).export;
    const settings = JSON.parse(await inside(ID, `archive_get ${name}/space.json`)) as Record<string, object>;
    expect(settings.database).toEqual({ name: ID, user: ID });
    expect(settings).not.toHaveProperty("redis");
    expect(JSON.stringify(settings.s3 ?? {})).not.toContain("secret");
    expect(Object.keys(settings.nextcloud ?? {}).sort()).toEqual(["instanceId", "passwordSalt", "secret"]);
    const everything = await inside(
      ID,
      `archive_list ${name}/ | cut -d" " -f2- | while read -r n; do archive_get ${name}/$n; done | tr -d "\\000"`,
    );
    for (const secret of ["database.password", "redis.password", ...(hasStorage ? ["s3.secret"] : [])]) {
      const value = await on("ops-1", `jq -r .${secret} /srv/spaces/${ID}/config/space.json`);
      expect(value.length).toBeGreaterThan(30);
      expect(everything).not.toContain(value);
    }
  });

  test("is exported by the next run if one was killed at any moment", { timeout: 1_200_000 }, async () => {
    const seed = Number(process.env.SEED ?? Date.now() % 100_000);
    console.log(`SEED=${seed}`);
    for (let round = 0; round < 6; round++) {
      const seconds = (((seed * (round + 1) * 7919) % 5000) / 1000 + 0.1).toFixed(2);
      await on(
        "ops-1",
        `timeout -s KILL ${seconds} setsid -w export-space ${ID} >/dev/null 2>&1 || true; pkill -KILL -f "[/]usr/local/sbin/export-space ${ID}" || true`,
      );
      const { objects } = await exported(ID);
      expect(objects, `killed after ${seconds} s`).toBe(hasStorage ? FILES + 1 : 0);
      expect((await lab.probe(`${ID}.${DOMAIN}`)).status).toBe(200);
    }
    // Nothing unfinished stays.
    const folders = await inside(
      ID,
      `archive_list ${ID}/ | cut -d" " -f2- | cut -d/ -f1 | sort -u | wc -l; finished_exports ${ID} | wc -l; ls /var/lib/framaspace/work`,
    );
    const [all, finished, work] = folders.split("\n");
    expect(all).toBe(finished);
    expect(work ?? "").not.toContain(ID);
  });

  test("cannot be overwritten by an export", async () => {
    const before = await fingerprint(ID);
    expect(await refusal(on("ops-1", `restore-space ${ID}`))).toContain("it is in use: it is active");
    await converge(ID, "suspended");
    const said = await refusal(on("ops-1", `restore-space ${ID}`));
    expect(said).toMatch(/it is in use: 1 accounts have logged in to it, and it holds \d+ files/);
    expect(said).toContain("Restore into a new id");
    await converge(ID, "active");
    expect(await fingerprint(ID)).toBe(before);
  });

  test.runIf(hasStorage)("keeps the archive from the spaces' users", async () => {
    const said = await on(
      "ops-1",
      `secret=$(jq -r .s3.secret /srv/spaces/${ID}/config/space.json); for path in archive archive/${ID}; do
       MC_HOST_space="https://${ID}:$secret@storage-a1:9000" mc --config-dir /tmp/mc-space ls space/$path 2>&1; done; true`,
    );
    expect(said.match(/Access Denied/g)).toHaveLength(2);
  });
});

describe("a fault", () => {
  test.runIf(hasStorage)(
    "an export that does not verify fails, and says which file and what to do",
    async () => {
      const finished = await inside(ID, `finished_exports ${ID}`);
      await inside(
        ID,
        `storage cp --quiet serving/$BUCKET/urn:oid:117 serving/$BUCKET/urn:oid:9999; storage rm serving/$BUCKET/urn:oid:117`,
      );
      await inside(ID, `echo longer than the database says | mc pipe --quiet serving/$BUCKET/urn:oid:120`);
      const said = await refusal(on("ops-1", `export-space ${ID}`));
      expect(said).toMatch(
        /space muguet, verification: the export does not verify: of 41 files, 2 are not there as the database has them, first: urn:oid:117 \(files\/note 117.txt\) is not in the bucket\. Nothing was dropped/,
      );
      expect(await inside(ID, `finished_exports ${ID}`)).toBe(finished);
      expect((await lab.probe(`${ID}.${DOMAIN}`)).status).toBe(200);
      await fill(ID);
      await exported(ID);
    },
  );

  test.runIf(hasStorage)("object storage that is down is reported", async () => {
    await on("storage-a1", "systemctl stop minio");
    try {
      expect(await refusal(on("ops-1", `export-space ${ID}`))).toMatch(
        /object storage: .*is it up \(mc .*\)\? Nothing is lost; run it again once it is/,
      );
    } finally {
      await on("storage-a1", "systemctl start minio");
    }
    await expect
      .poll(() => on("ops-1", "mc ready serving >/dev/null 2>&1 && echo ready || true"), { timeout: 60_000 })
      .toBe("ready");
  });

  test("a database that is down is reported", async () => {
    const node = await lab.primary();
    // A node that is only stopped would be started again.
    await on(node, "systemctl mask --runtime --now postgresql@17-main");
    try {
      expect(await refusal(on("ops-1", `export-space ${ID}`))).toMatch(
        /space muguet, database: .*look at the primary/,
      );
    } finally {
      await on(node, "systemctl unmask --runtime postgresql@17-main && systemctl start postgresql@17-main");
    }
    await exported(ID);
    expect((await lab.probe(`${ID}.${DOMAIN}`)).status).toBe(200);
  });

  test("a full disk on ops-1 is reported before anything changes", async () => {
    await on("ops-1", "mount -t tmpfs -o size=16m tmpfs /var/lib/framaspace/work");
    try {
      expect(await refusal(on("ops-1", `export-space ${ID}`))).toMatch(
        /ops-1 has \d+ MB free under \/var\/lib\/framaspace\/work, and \d+ MB are needed; make room .*Nothing was changed/,
      );
    } finally {
      await on("ops-1", "umount /var/lib/framaspace/work");
    }
    expect((await lab.probe(`${ID}.${DOMAIN}`)).status).toBe(200);
  });
});

describe("an archived space", () => {
  let before: string;
  const state = () => on("ops-1", `cat /var/lib/framaspace/archived/${ID} 2>/dev/null || true`);

  test("is closed and exported, and one line brings it back until the grace period is over", async () => {
    before = await fingerprint(ID);
    await converge(ID, "suspended");
    await converge(ID, "archived");
    expect((await lab.probe(`${ID}.${DOMAIN}`)).status).toBe(410);
    const { due, export: name, exported: at } = JSON.parse(await state()) as Record<string, string>;
    expect(name).toMatch(new RegExp(`^${ID}/`));
    expect(Date.parse(`${due}`) - Date.parse(`${at}`)).toBe(30 * 24 * 3600 * 1000);
    await on("ops-1", "archive-space --all");
    expect(await fingerprint(ID)).toBe(before);

    await converge(ID, "active");
    expect((await lab.probe(`${ID}.${DOMAIN}`)).status).toBe(200);
    expect(await state()).toBe("");
  });

  test.runIf(hasStorage)("loses nothing if its export does not verify", async () => {
    await converge(ID, "suspended");
    await inside(ID, `storage rm serving/$BUCKET/urn:oid:117`);
    const broken = await fingerprint(ID);
    expect(await refusal(converge(ID, "archived", 0))).toContain("the export does not verify");
    expect(await fingerprint(ID)).toBe(broken);
    expect((await lab.probe(`${ID}.${DOMAIN}`)).status).toBe(410);
    await fill(ID);
    await converge(ID, "active");
  });

  test("loses its live data when the grace period is over, even after a kill", async () => {
    await converge(ID, "suspended");
    await converge(ID, "archived");
    before = await fingerprint(ID);
    await on(
      "ops-1",
      `f=/srv/spaces/${ID}/config/space.json; jq -c ".archive.graceDays = 0" $f >/root/s && cat /root/s >$f`,
    );
    for (const seconds of [0.5, 1, 1.5])
      await on("ops-1", `timeout -s KILL ${seconds} archive-space ${ID} >/dev/null 2>&1 || true`);
    await converge(ID, "archived", 0);
    expect(await state()).toContain('"dropped"');
    expect(await inside(ID, "count_rows; bucket_objects")).toBe("");
  });

  test("is not served as an empty space", async () => {
    const said = await refusal(converge(ID, "active"));
    expect(said).toContain(
      `its live data was dropped; restore its export first: npm run space -- restore ${ID}`,
    );
    expect((await lab.probe(`${ID}.${DOMAIN}`)).status).toBe(410);
  });

  test("is restored as it was, even after a kill", async () => {
    // The last run has all the time. An earlier one may also reach the end.
    let said = "";
    for (const seconds of [0.4, 0.9, 1.5, 2.2, 120])
      said ||= await on("ops-1", `timeout -s KILL ${seconds} restore-space ${ID} 2>/dev/null || true`);
    const { restored } = JSON.parse(said) as { restored: string };
    expect(restored).toMatch(new RegExp(`^${ID}/`));
    await converge(ID, "active");
    expect(await fingerprint(ID)).toBe(before);
    expect((await lab.probe(`${ID}.${DOMAIN}`)).status).toBe(200);
  });
});

describe("a copy", () => {
  test("of an export in another space uses the storage and folder of that space", async () => {
    await converge(CLONE, "suspended");
    await on("ops-1", `restore-space ${CLONE} ${ID}`);
    await converge(CLONE, "active");
    expect((await lab.probe(`${CLONE}.${DOMAIN}`)).status).toBe(200);
    const rows = await inside(CLONE, `sql -c "SELECT count(*) FROM oc_users"`);
    expect(rows).toBe("3");
    if (!hasStorage) return;
    const instance = await on("ops-1", `jq -r .nextcloud.instanceId /srv/spaces/${CLONE}/config/space.json`);
    expect(await inside(CLONE, `sql -c "SELECT id FROM oc_storages ORDER BY 1"`)).toBe(
      `${STORAGE}\nobject::store:amazon::space-${CLONE}`,
    );
    expect(
      await inside(
        CLONE,
        `sql -c "SELECT path, path_hash = md5(path) FROM oc_filecache WHERE storage = 1 ORDER BY 1"`,
      ),
    ).toBe(`appdata_${instance}|t\nappdata_${instance}/logo|t`);
    expect(await inside(CLONE, "bucket_objects | wc -l")).toBe(String(FILES + 1));
  });
});

describe("removing an entry", () => {
  test("of a space that is not archived is refused by the last program that is asked", async () => {
    const said = await refusal(on("ops-1", `remove-space ${CLONE}`));
    expect(said).toContain("it is not archived, so it stays. Put its entry back");
    expect((await lab.probe(`${CLONE}.${DOMAIN}`)).status).toBe(200);
  });

  test("removes the directory, user and copies of the space, and keeps its export", async () => {
    await converge(CLONE, "suspended");
    await converge(CLONE, "archived");
    await on("ops-1", `remove-space ${CLONE}`);
    await on("ops-1", `remove-space ${CLONE}`);
    for (const web of ["web-1", "web-2"]) {
      expect(await on(web, `ls /srv/spaces`)).not.toContain(CLONE);
      expect(await on(web, `ls /srv/spaces`)).toContain(ID);
    }
    expect((await lab.probe(`${CLONE}.${DOMAIN}`)).status).toBe(404);
    expect(await inside(ID, `finished_exports ${CLONE} | wc -l`)).toBe("1");
  });
});

test("list-spaces prints what each space holds", async () => {
  const spaces = (await on("ops-1", "list-spaces"))
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(spaces.find(({ id }) => id === ID)).toMatchObject({
    state: "active",
    accounts: 3,
    bytes: hasStorage ? FILES * 8 + 6 : 0,
    lastActivity: "2023-11-14T22:23:20Z",
    lastExport: { export: expect.stringMatching(new RegExp(`^${ID}/`)) as string },
  });
  expect(JSON.stringify(spaces)).not.toMatch(/password|secret/i);
});
