// Gateways, web servers and Redis are killed, vanish and freeze while sync clients upload files to a real Nextcloud.
// What was acknowledged must be there, and no lock of a dead process may keep anybody out. Needs FRAMASPACE_NEXTCLOUD
// (the first archive), FRAMASPACE_MINIO and FRAMASPACE_MC. FRAMASPACE_ROUNDS repeats the faults.
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { machineGroup, openLab } from "../../lab/lab.ts";
import { startDaemon } from "../../lab/lifecycle.ts";
import { halt } from "../../lab/machine.ts";
import { DOMAIN, nextcloudMissing, nextcloudWords, ownLab } from "../support/suite-lab.ts";
import { SyncClients } from "../support/sync-clients.ts";
import { Visitor } from "../support/visitor.ts";

const ID = "lotus";
const HOST = `${ID}.${DOMAIN}`;
const ROUNDS = Array.from({ length: Number(process.env.FRAMASPACE_ROUNDS ?? 1) }, (_, index) => index + 1);
const FROZEN_SECONDS = 60;

const lab = ownLab("serving", 18450, nextcloudWords());
const password = `Aa1-${randomBytes(18).toString("base64url")}`;
const admin = () => new Visitor(lab.port, HOST, { user: "admin", password });

/** The processes end at once, and the kernel resets their connections. */
async function kill(machine: string): Promise<void> {
  await halt(openLab(lab.name), machine);
}

/** As when power or a cable fails: nobody is informed, and nothing answers any more. */
async function vanish(machine: string): Promise<void> {
  await lab.inNetworkOf(
    machine,
    "nft",
    "table inet gone { chain i { type filter hook input priority -300; policy drop; }; chain o { type filter hook output priority -300; policy drop; }; }",
  );
  await kill(machine);
}

/** All processes stop where they are. The kernel still accepts connections. */
async function freeze(machine: string, frozen: boolean): Promise<void> {
  await writeFile(join(openLab(lab.name).cgroup, machineGroup(machine), "cgroup.freeze"), frozen ? "1" : "0");
}

const FAULTS = {
  killed: { begin: kill, end: () => startDaemon(openLab(lab.name)) },
  vanished: {
    begin: vanish,
    async end(machine: string) {
      await lab.inNetworkOf(machine, "nft", "delete table inet gone");
      await startDaemon(openLab(lab.name));
    },
  },
  [`frozen for ${FROZEN_SECONDS} s`]: {
    async begin(machine: string) {
      await freeze(machine, true);
      await sleep(FROZEN_SECONDS * 1000);
      await freeze(machine, false);
    },
    end: () => Promise.resolve(),
  },
};

describe.skipIf(nextcloudMissing.length > 0)(
  `while files are uploaded${nextcloudMissing.length > 0 ? ` (skipped: ${nextcloudMissing.join(", ")} not set)` : ""}`,
  () => {
    beforeAll(async () => {
      await lab.prepare();
      await lab.shortenLocks();
      await lab.up();
      await lab.inside(ID, `export OC_PASS=${password}; occ user:resetpassword --password-from-env admin`);
    });
    afterAll(() => lab.remove());

    const cases = ["web", "gateway", "redis"].flatMap((service) =>
      Object.entries(FAULTS).map(([how, fault]) => ({ service, how, fault })),
    );

    describe.each(ROUNDS)("round %i", (round) => {
      test.each(cases)("$service $how", async ({ service, how, fault }) => {
        const machine = service === "web" ? await lab.webServerOf(ID) : `${service}-1`;
        const clients = new SyncClients(
          admin,
          `${service} ${how} ${round} ${Date.now()}`.replaceAll(" ", "-"),
        );
        await clients.start();
        try {
          await fault.begin(machine);
          // Other gateways and web servers take over. There is only one Redis.
          if (service === "redis") await sleep(10_000);
          else await clients.more();
        } finally {
          await fault.end(machine);
        }
        await clients.more();
        const { acknowledged, lost, secondsWithout, secondsForOne, refused } = await clients.stop();
        console.log(
          `${machine} ${how}: ${acknowledged} files acknowledged, ${lost.length} lost; ${secondsWithout.toFixed(1)} s without any, at most ${secondsForOne.toFixed(1)} s for one; refused ${JSON.stringify(refused)}`,
        );
        expect(lost).toEqual([]);
      });
    });
  },
);
