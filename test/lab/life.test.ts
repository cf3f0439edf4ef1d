// The life of spaces on the machines: installed, upgraded, cut off in the middle, restored, limited and repaired. With
// the fake Nextcloud, which can be told to fail or to be slow; lab/fake-nextcloud/occ says what it replaces.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as z from "zod";
import { renderEntry } from "../../spaces/fleet/edit.ts";
import { DOMAIN, sharedLab as lab } from "../support/suite-lab.ts";
import { FILES, slowBody, Visitor } from "../support/visitor.ts";

const OLD = "34.0.4";
const NEW = "35.0.2";
/** Spaces of this suite only: `bloc-a` … `bloc-t`, all in the wave main. */
const WAVE = Array.from({ length: 20 }, (_, index) => `bloc-${String.fromCharCode(97 + index)}`);
const [FIRST = "", SECOND = "", THIRD = "", FOURTH = "", FIFTH = "", SIXTH = ""] = WAVE;

const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);

beforeAll(async () => {
  console.log(`SEED=${seed}`);
  await lab.prepare();
  const entries = WAVE.map((id) =>
    renderEntry({
      id,
      name: `Bloc ${id.slice(-1).toUpperCase()}`,
      kind: "collective",
      contact: `${id}@bloc.example`,
      plan: "small",
      office: "collabora",
      wave: "main",
    }),
  );
  await writeFile(join(lab.tree, "spaces/tenants/lab/002.yaml"), entries.join("\n"));
  await lab.up();
});

afterAll(() => lab.remove());

/** What converge-space prints. */
const resultSchema = z.object({
  release: z.string(),
  changed: z.array(z.string()),
  pending: z.array(z.string()),
  invited: z.boolean(),
  accounts: z.object({ enabled: z.number(), allowed: z.number() }),
});

interface Outcome {
  status: number;
  said: string;
  result?: z.infer<typeof resultSchema>;
}

const ops = (command: string) => lab.on("ops-1", command);

/** Converges a space as its entry says, except for what `filter` (of jq) changes. */
async function converge(id: string, filter = "."): Promise<Outcome> {
  const wanted = `jq -c 'del(.version) | ${filter}' /srv/spaces/${id}/config/space.json`;
  const said = await ops(`${wanted} | converge-space 2>/tmp/said-${id}; echo " $?"; cat /tmp/said-${id}`);
  const [, json = "", status = "", error = ""] = /^(\{.*\}\n)? ?(\d+)\n?([^]*)$/.exec(said) ?? [];
  return {
    status: Number(status),
    said: error,
    ...(json !== "" && { result: resultSchema.parse(JSON.parse(json)) }),
  };
}

const upgrade = (id: string) => converge(id, `.release = "${NEW}"`);

/** Runs SQL in a space's own database. */
const sql = (id: string, text: string) =>
  lab.inside(id, `base64 -d <<<${Buffer.from(text).toString("base64")} | sql -f -`);
const tell = (id: string, what: string, value: string) =>
  sql(
    id,
    `INSERT INTO oc_appconfig VALUES ('fake', '${what}', '${value}') ON CONFLICT (appid, configkey) DO UPDATE SET configvalue = excluded.configvalue;`,
  );
const untell = (id: string) => sql(id, "DELETE FROM oc_appconfig WHERE appid = 'fake';");
const versionOf = (id: string) => sql(id, "SELECT value FROM framaspace WHERE key = 'version';");
const page = async (id: string) => (await lab.probe(`${id}.${DOMAIN}`)).status;
const releaseOf = (id: string) => ops(`basename "$(readlink /srv/spaces/${id}/release)"`);

/** A row that none of our programs writes. An upgrade that is undone, or started again, must keep it. */
const leaveMark = (id: string) =>
  sql(id, "INSERT INTO oc_preferences VALUES ('admin', 'mark', 'mark', 'kept') ON CONFLICT DO NOTHING;");
const marks = (id: string) => sql(id, "SELECT count(*) FROM oc_preferences WHERE appid = 'mark';");

describe("a new space", () => {
  test("has an administrator, invited by a mail with a link, and a password that nobody knows", async () => {
    const mails = await lab.lab("mail");
    expect(mails).toContain(`To: ${FIRST}@bloc.example`);
    expect(mails).toMatch(new RegExp(`https://${FIRST}\\.${DOMAIN}[^ ]*/lostpassword/reset/form/`));
    expect((await converge(FIRST)).result).toMatchObject({ invited: true, changed: [] });
    expect((await lab.lab("mail")).split(`To: ${FIRST}@bloc.example`)).toHaveLength(2);
  });

  test("is on the release of its wave, according to its database", async () => {
    expect(await versionOf(FIRST)).toBe(`${OLD}.1`);
    expect(await ops(`jq -r .version /srv/spaces/${FIRST}/config/space.json`)).toBe(`${OLD}.1`);
  });

  test("has the apps of the catalog, and one office suite", async () => {
    const apps = await sql(FIRST, "SELECT appid FROM oc_appconfig WHERE configvalue = 'yes' ORDER BY 1;");
    expect(apps.split("\n")).toEqual(expect.arrayContaining(["calendar", "deck", "richdocuments"]));
    expect(apps.split("\n")).not.toEqual(expect.arrayContaining(["registration"]));
    expect(apps.split("\n")).not.toEqual(expect.arrayContaining(["survey_client"]));
  });
});

test("apps follow the catalog; the space chooses its office suite and optional apps", async () => {
  await sql(FIRST, "UPDATE oc_appconfig SET configvalue = 'no' WHERE appid IN ('deck', 'richdocuments');");
  await sql(FIRST, "INSERT INTO oc_appconfig VALUES ('registration', 'enabled', 'yes');");
  expect((await converge(FIRST)).result?.changed).toEqual(["enable deck"]);
  expect(
    await sql(
      FIRST,
      "SELECT configvalue FROM oc_appconfig WHERE appid IN ('registration', 'richdocuments') AND configkey = 'enabled' ORDER BY appid;",
    ),
  ).toBe("yes\nno");
});

test("a release that lacks an app is not prepared, and a damaged preparation is made again", async () => {
  const missing = await ops(
    `cp /etc/framaspace/catalog.json /tmp/catalog.json; jq '.apps += ["teleport"]' /tmp/catalog.json >/etc/framaspace/catalog.json; prepare-release ${OLD} 2>&1; cat /tmp/catalog.json >/etc/framaspace/catalog.json`,
  );
  expect(missing).toContain(
    `release ${OLD}: it lacks teleport, which spaces/catalog.yaml lists under apps or appsOptional; nothing was changed.`,
  );
  expect(await ops(`prepare-release ${OLD}`)).toBe("");
  expect(await ops(`echo x >>/var/lib/framaspace/releases/${OLD}/schema.sql; prepare-release ${OLD}`)).toBe(
    `release ${OLD} prepared`,
  );
});

describe("limits", () => {
  test("too many accounts for the plan are reported", async () => {
    await sql(SECOND, "INSERT INTO oc_users SELECT 'user' || n, 'x', 'x' FROM generate_series(1, 16) n;");
    const { result, said } = await converge(SECOND);
    expect(result?.accounts).toEqual({ enabled: 17, allowed: 15 });
    expect(said).toContain(`space ${SECOND}: 17 accounts are enabled, 15 are in its plan`);
    await sql(
      SECOND,
      "INSERT INTO oc_preferences SELECT uid, 'core', 'enabled', 'false' FROM oc_users WHERE uid LIKE 'user%';",
    );
    expect((await converge(SECOND)).result?.accounts.enabled).toBe(1);
  });

  test("a full space accepts no more files, and still serves its files", async () => {
    await sql(
      SECOND,
      `INSERT INTO oc_storages (id) VALUES ('object::user:admin');
INSERT INTO oc_filecache (storage, path, path_hash, size) SELECT numeric_id, '', md5(''), 11 * 2^30 FROM oc_storages;`,
    );
    expect((await converge(SECOND)).result?.changed).toEqual(["full"]);
    const put = { method: "PUT", path: "/remote.php/dav/files/admin/more.txt" };
    expect((await lab.probe(`${SECOND}.${DOMAIN}`, put)).status).toBe(507);
    for (const [method, path] of [
      ["PUT", "/remote.php/files/more.txt"],
      ["COPY", "/remote.php/dav/files/admin/more.txt"],
      ["MOVE", "/remote.php/dav/uploads/admin/1/.file"],
    ] as const)
      expect((await lab.probe(`${SECOND}.${DOMAIN}`, { method, path })).status, method).toBe(507);
    expect(await page(SECOND)).toBe(200);
    // The folder that somebody shares from elsewhere takes no room here.
    await sql(
      SECOND,
      "UPDATE oc_storages SET id = 'shared::' || md5('elsewhere') WHERE id = 'object::user:admin';",
    );
    expect((await converge(SECOND)).result?.changed).toEqual(["no full"]);
    await sql(SECOND, "DELETE FROM oc_filecache; DELETE FROM oc_storages;");
    expect((await lab.probe(`${SECOND}.${DOMAIN}`, put)).status).not.toBe(507);
  });
});

describe("background jobs", () => {
  const jobs = async (id: string) =>
    Number(
      await sql(id, "SELECT coalesce(max(configvalue), '0') FROM oc_appconfig WHERE configkey = 'cron';"),
    );

  test("run for each space, but not for a suspended one", async () => {
    await converge(THIRD, `.state = "suspended"`);
    await ops(`rm -f /var/lib/framaspace/cron/${SECOND} /var/lib/framaspace/cron/${THIRD}`);
    const before = await jobs(THIRD);
    await expect
      .poll(() => ops(`ls /var/lib/framaspace/cron`), { timeout: 400_000, interval: 5000 })
      .toContain(SECOND);
    await expect.poll(() => jobs(SECOND), { timeout: 60_000, interval: 2000 }).toBeGreaterThan(0);
    expect(await jobs(THIRD)).toBe(before);
    expect(await page(THIRD)).toBe(503);
    expect((await converge(THIRD, `.state = "active"`)).result?.changed).toContain("no suspended");
    expect(await page(THIRD)).toBe(200);
  });
});

describe("an upgrade", () => {
  test("over two majors or backwards is refused before anything changes", async () => {
    await sql(FOURTH, "UPDATE framaspace SET value = '33.0.9.1' WHERE key = 'version';");
    expect((await upgrade(FOURTH)).said).toContain(
      `it is on 33.0.9, and ${NEW} is 2 majors ahead: one at a time. Nothing was changed; move wave "main" to a 34 release first`,
    );
    await sql(FOURTH, `UPDATE framaspace SET value = '${NEW}.1' WHERE key = 'version';`);
    expect((await converge(FOURTH)).said).toContain("Nextcloud cannot go back.");
    await sql(FOURTH, `UPDATE framaspace SET value = '${OLD}.1' WHERE key = 'version';`);
    expect((await converge(FOURTH)).result?.changed).toEqual([]);
  });

  test("on a full disk leaves the space as it was", async () => {
    await ops(
      `mkdir -p /var/lib/framaspace/kept && mount -t tmpfs -o size=4k tmpfs /var/lib/framaspace/kept && head -c 4096 /dev/zero >/var/lib/framaspace/kept/fill`,
    );
    try {
      const { status, said } = await upgrade(FOURTH);
      expect(status).toBe(1);
      expect(said).toContain("could not be dumped to /var/lib/framaspace/kept/");
      expect(said).toContain("is the disk full");
      expect(await page(FOURTH)).toBe(200);
      expect(await releaseOf(FOURTH)).toBe(OLD);
    } finally {
      await ops("umount /var/lib/framaspace/kept");
    }
  });

  test("that is cut off anywhere is finished by the next run: nothing is lost, nothing is done twice", async () => {
    await leaveMark(FIFTH);
    await tell(FIFTH, "slow-upgrade", "2");
    for (let run = 0; run < 5; run++) {
      // Before the dump, during the upgrade, or after it.
      const seconds = (((seed * (run + 3)) % 500) / 100).toFixed(2);
      await ops(
        `jq -c 'del(.version) | .release = "${NEW}"' /srv/spaces/${FIFTH}/config/space.json >/tmp/cut.json; converge-space </tmp/cut.json >/dev/null 2>&1 & sleep ${seconds}; systemctl kill --signal=KILL converge-spaces`,
      );
      console.log(`run ${run} was cut off after ${seconds} s`);
    }
    await untell(FIFTH);
    expect(await upgrade(FIFTH)).toMatchObject({ status: 0, result: { release: NEW } });
    expect(await marks(FIFTH)).toBe("1");
    expect(await page(FIFTH)).toBe(200);
    expect(await ops(`ls /srv/spaces/${FIFTH}`)).not.toContain("maintenance");
    // Nothing of it is left where it ran.
    const left = `ls -A /srv/spaces; systemctl list-units --plain --no-legend 'space-${FIFTH}-*'`;
    expect(await lab.on("worker-1", left)).toBe("");
    expect((await upgrade(FIFTH)).result?.changed).toEqual([]);
  });

  test("that is undone keeps everything acknowledged, even with uploads under way at its start", async () => {
    const visitor = new Visitor(lab.port, `${SIXTH}.${DOMAIN}`);
    const put = (name: string, until: Promise<unknown>) =>
      visitor.ask("PUT", `${FILES}/${name}`, slowBody(content, until));
    const content = Buffer.from("begun, and ended ".repeat(40));
    await ops("touch /run/began");
    /** True on ops-1 when the dump of the upgrade exists and occ is running. */
    const dumped = `test /var/lib/framaspace/kept/${SIXTH}/upgrade.sql.zst -nt /run/began`;
    const seen = (command: string) =>
      expect.poll(() => ops(`${command} && echo yes || true`), { timeout: 300_000 }).toBe("yes");
    await tell(SIXTH, "slow-upgrade", "15");
    await tell(SIXTH, "fail-upgrade", "yes");
    const puts = [
      put(
        "soon.txt",
        seen(`test -e /srv/spaces/${SIXTH}/maintenance`).then(() => sleep(3000)),
      ),
      put("late.txt", seen(dumped)),
    ];
    await sleep(2000);
    const { said } = await upgrade(SIXTH);
    expect(said).toContain("and was undone");
    await untell(SIXTH);
    const [soon, late] = await Promise.all(puts);
    expect(soon?.status).toBe(201);
    expect(late?.status).toBeGreaterThanOrEqual(500);
    expect(said).toContain("1 requests still under way after 30 s are ended; they were not acknowledged");
    expect((await visitor.ask("GET", `${FILES}/soon.txt`)).bytes).toEqual(content);
    expect((await visitor.ask("GET", `${FILES}/late.txt`)).status).toBe(404);
    const again = await visitor.ask("PUT", `${FILES}/late.txt`, { body: content });
    expect(again.status).toBe(201);
    expect((await visitor.ask("GET", `${FILES}/late.txt`)).bytes).toEqual(content);
  });

  test("waits for a background job while the space still serves", async () => {
    await tell(SIXTH, "slow-cron", "20");
    await ops(`rm -f /var/lib/framaspace/cron/${SIXTH}`);
    const job = `pgrep -f '/srv/spaces/${SIXTH}/.*/cron[.]php'`;
    await expect
      .poll(() => ops(`${job} >/dev/null && echo yes || true`), { timeout: 400_000, interval: 1000 })
      .toBe("yes");
    const statuses: number[] = [];
    const upgrading = upgrade(SIXTH);
    const over = new AbortController();
    const watching = (async () => {
      for (; !over.signal.aborted; await sleep(250)) statuses.push(await page(SIXTH));
    })();
    const { status, said } = await upgrading.finally(() => over.abort());
    await watching;
    await untell(SIXTH);
    expect({ status, said }).toEqual({ status: 0, said: "" });
    const closed = statuses.filter((answer) => answer !== 200).length;
    console.log(`${closed} of ${statuses.length} probes, four per second, were refused`);
    expect(closed).toBeLessThan(40);
    expect(statuses.length - closed).toBeGreaterThan(20);
  });

  test("without the database changes nothing, and is finished when the database is back", async () => {
    // No earlier test has upgraded this space: otherwise finish-spaces might have finished that upgrade by now.
    const rule = "ip daddr 10.0.30.0/24 reject";
    await ops(`nft add rule inet framaspace output ${rule}`);
    try {
      const { status, said } = await upgrade(SECOND);
      expect(status).toBe(1);
      // The wanted state is kept there first, if it was not kept yet.
      expect(said).toMatch(
        new RegExp(
          `space ${SECOND}, database: its role cannot use its database|what is wanted of ${SECOND} cannot be kept in PostgreSQL`,
        ),
      );
      expect(await ops(`readlink /srv/spaces/${SECOND}/release`)).toBe(`/srv/releases/${OLD}`);
    } finally {
      await ops("nft -f /etc/nftables.conf");
    }
    // From here on, finish-spaces may be faster.
    expect(await upgrade(SECOND)).toMatchObject({ status: 0, result: { release: NEW } });
  });

  test("of a wave: one space fails, is restored and says why; the others are upgraded", async () => {
    const failing = WAVE.at(-1) ?? "";
    await leaveMark(failing);
    await tell(failing, "fail-upgrade", "yes");
    const outcomes = new Map<string, Outcome>();
    const waiting = [...WAVE];
    const worker = async () => {
      for (let id = waiting.shift(); id !== undefined; id = waiting.shift())
        outcomes.set(id, await upgrade(id));
    };
    await Promise.all([worker(), worker(), worker()]);
    const failed = [...outcomes].filter(([, { status }]) => status !== 0);
    expect(failed.map(([id]) => id)).toEqual([failing]);
    expect(failed[0]?.[1].said).toContain(
      `space ${failing}, upgrade: from ${OLD} to ${NEW} failed, and was undone: it serves ${OLD} again, nothing is lost. Why: occ upgrade ended with status 5: Update failed, as it was told to.`,
    );
    for (const id of WAVE) {
      expect(await page(id), id).toBe(200);
      expect(await releaseOf(id), id).toBe(id === failing ? OLD : NEW);
    }
    expect(await marks(failing)).toBe("1");
    expect(await sql(failing, "SELECT to_regclass('oc_of_35') IS NULL;")).toBe("t");
    await untell(failing);
    expect(await upgrade(failing)).toMatchObject({ status: 0, result: { release: NEW } });
    expect(await ops(`ls /var/lib/framaspace/waves/main/${NEW}`)).toBe("");
  });
});

test("a web server that was unreachable gets the changes when it is back", async () => {
  // SSH also comes through ops-1, so web-2 removes the rule by itself.
  await lab.on(
    "web-2",
    "systemd-run --quiet --on-active=40 nft -f /etc/nftables.conf && nft insert rule inet framaspace input ip saddr 10.0.1.0/24 drop",
  );
  await ops("rm -f /run/framaspace/ssh-distribute-web-2");
  const { status, said, result } = await converge(FIRST, `.release = "${NEW}" | .name = "Another name"`);
  expect({ status, pending: result?.pending }).toEqual({ status: 0, pending: ["web-2"] });
  expect(said).toContain("not served by web-2");
  const copied = `grep -o 'Another name' /srv/spaces/${FIRST}/config/space.json`;
  await expect
    .poll(() => lab.on("web-2", copied).catch(() => "not yet"), { timeout: 150_000, interval: 2000 })
    .toBe("Another name");
});
