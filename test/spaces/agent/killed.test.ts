// converge-space killed at each of its steps: each change of a file, each command. The test has the program list its own
// steps. Somebody uses the space as soon as it lets visitors in. The next run must finish, and lose nothing.
import {
  existsSync,
  globSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderProgram } from "../../../infra/machine/program-file.ts";
import { textOf } from "../../../spaces/agent/programs/read-space.ts";
import { LOTUS, makeOps } from "../../support/fake-ops.ts";
import { FakeMachine } from "../../support/fake-machine.ts";
import { fakeCommands, onPath } from "../../support/fakes.ts";
import { stepsToKill } from "../../support/steps-to-kill.ts";

const ROOT = join(import.meta.dirname, "../../..");
const LIBRARY = join(ROOT, "spaces/agent/rootfs-ops/usr/local/lib/framaspace");
const PROGRAM = renderProgram("spaces/agent/rootfs-ops/usr/local/lib/framaspace/converge-space.ts");

/** A database that can be dumped, put back and shut. The file `found` is its table framaspace, `more` what else it says. */
const DATABASE = {
  psql: String.raw`case " $* " in
      *" -1 "*) said=$(cat); [ -n "$said" ] || exit 0
        if [[ $said == '\if true'* ]]; then
          [[ $said == *'\endif' ]] || exit 3
          sed -n 's/^-- kept: //p' <<<"$said" >"$ROOT/found.new"; mv "$ROOT/found.new" "$ROOT/found"; exit
        fi
        exec "$ROOT/bin/psql-rest" "$@" <<<"$said" ;;
      *"RESET default_transaction_read_only"*) sed -i '/^shut/d' "$ROOT/more" ;;
      *"SET default_transaction_read_only"*) echo "shut 1" >>"$ROOT/more" ;;
    esac
    exec "$ROOT/bin/psql-rest" "$@"`,
  pg_dump: `sed 's/^/-- kept: /' "$ROOT/found"`,
};

const folder = mkdtempSync(join(tmpdir(), "killed-"));
const KILL_AT = join(folder, "kill-at.cjs");
writeFileSync(KILL_AT, renderProgram("test/support/kill-at.ts"));
afterAll(() => rmSync(folder, { recursive: true }));

/** One machine for each trial that runs at the same time, because fakes know where they are. */
class FakeOps extends FakeMachine {
  constructor(root: string) {
    super(root);
    makeOps(root);
    renameSync(this.at("bin/psql"), this.at("bin/psql-rest"));
    fakeCommands(root, DATABASE);
    const places = `placesIn("${root}", "${LIBRARY}", "${root}/bin")`;
    writeFileSync(this.at("converge-space"), PROGRAM.replace('placesIn("")', places));
    this.keepAs("new");
  }

  /** Runs the program, and kills it before a step. Resolves to the steps until then. */
  async converge(words: string[], space: object, killAt = 0) {
    const program = ["--require", KILL_AT, this.at("converge-space"), ...words];
    return this.runTo(process.execPath, program, { killAt, input: JSON.stringify(space) });
  }

  /** Key → value of the table framaspace: the last one counts. */
  database(): Record<string, string> {
    const lines = this.text("found")?.trim().split("\n") ?? [];
    return Object.fromEntries(lines.map((line) => [line.split(" ", 1)[0] ?? "", line.replace(/^\S* /, "")]));
  }

  /** Somebody writes to the space, if it is there, lets visitors in, and its database takes writes. */
  visit(): boolean {
    const letsIn =
      existsSync(this.at("srv/spaces/lotus/config/space.json")) &&
      !existsSync(this.at("srv/spaces/lotus/maintenance")) &&
      !readFileSync(this.at("more"), "utf8").includes("shut") &&
      existsSync(this.at("found"));
    if (letsIn)
      writeFileSync(this.at("found"), `${readFileSync(this.at("found"), "utf8")}acknowledged yes\n`);
    return letsIn;
  }

  /** All that must be the same after a run, killed or not. */
  state() {
    const { acknowledged, ...database } = this.database();
    const files = globSync("{srv/spaces,var/lib/framaspace,run/framaspace/members}/**/*", {
      cwd: this.root,
      withFileTypes: true,
    })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => [join(entry.parentPath, entry.name).replace(this.root, ""), entry] as const)
      .filter(([path]) => !path.includes("/releases/"))
      .map(([path, entry]) => {
        const target = this.at(path);
        const content = entry.isSymbolicLink() ? readlinkSync(target) : readFileSync(target, "utf8");
        // A dump is taken again, from a space that may have been used.
        return [path, path.endsWith(".zst") ? "" : content.replaceAll(this.root, "")];
      });
    const shut = readFileSync(this.at("more"), "utf8").includes("shut");
    return { database, shut, files: Object.fromEntries(files) as Record<string, string> };
  }
}

const installed = async (ops: FakeOps) => {
  await ops.converge([], LOTUS);
};
const NEXT = { ...LOTUS, release: "35.0.2" };
const CASES: readonly Case[] = [
  { name: "a first installation", prepare: async () => {}, wanted: LOTUS },
  { name: "an upgrade", prepare: installed, wanted: NEXT },
  {
    name: "an upgrade that is undone",
    prepare: async (ops: FakeOps) => {
      await installed(ops);
      writeFileSync(ops.at("served"), "34.0.4");
    },
    wanted: NEXT,
    like: "an upgrade",
  },
];
interface Case {
  name: string;
  prepare: (ops: FakeOps) => Promise<void>;
  wanted: object;
  /** Another case: its steps are not tried again. */
  like?: string;
}

describe.skipIf(!onPath("flock"))("converge-space, killed at each of its steps (flock on PATH)", () => {
  const machines: FakeOps[] = [];
  const known = new Map<string, readonly string[]>();
  beforeAll(() => {
    for (let number = 0; number < availableParallelism(); number += 1)
      machines.push(new FakeOps(join(folder, `machine-${number}`)));
  });

  /** Kills a run before this step, and runs the program once more. */
  async function kill(ops: FakeOps, { name, wanted }: Case, step: number) {
    ops.reset(name);
    const { signal } = await ops.converge([], wanted, step);
    const letIn = ops.visit();
    const during = ops.database()["upgrade"] !== undefined;
    const record = ops.at("var/lib/framaspace/wanted/lotus");
    // What was not kept, the engine says again.
    const kept = existsSync(record) && JSON.stringify(JSON.parse(readFileSync(record, "utf8")));
    const words = kept === textOf(wanted) ? ["--again", "lotus"] : [];
    const { exitCode, stderr } = await ops.converge(words, wanted);
    return {
      signal,
      letInDuringUpgrade: letIn && during,
      lost: letIn && ops.database()["acknowledged"] === undefined,
      exitCode,
      stderr,
      state: ops.state(),
    };
  }

  it.each(CASES)("$name", { timeout: 600_000 }, async (how) => {
    for (const ops of machines) {
      ops.reset("new");
      await how.prepare(ops);
      ops.keepAs(how.name);
    }
    const [first] = machines;
    const { exitCode, stderr, steps } = await first!.converge([], how.wanted);
    const expected = {
      signal: "SIGKILL",
      letInDuringUpgrade: false,
      lost: false,
      exitCode,
      stderr,
      state: first!.state(),
    };
    const before = known.get(how.like ?? "") ?? [];
    known.set(how.name, steps);
    const firstOther = steps.findIndex((step, index) => step !== before[index]);
    const waiting = stepsToKill(steps.length).filter((step) => step > firstOther);
    const tried = waiting.length;
    const harmed: object[] = [];
    await Promise.all(
      machines.map(async (ops) => {
        for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
          const found = await kill(ops, how, step);
          if (!isDeepStrictEqual(found, expected)) harmed.push({ before: steps[step - 1], found });
        }
      }),
    );
    console.log(
      `${how.name}: steps tried ${tried} of ${steps.length - firstOther}, spaces harmed ${harmed.length}`,
    );
    expect(steps.length - firstOther).toBeGreaterThan(20);
    expect(harmed.map((one) => ({ ...one, expected }))).toEqual([]);
  });
});
