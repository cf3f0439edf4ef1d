// Records acknowledged writes outside the tested machines, after each acknowledgement. Writers on ops-1 insert numbers
// into a space's database. No number is used twice, and each write has its own connection, as with PHP. The numbers are
// collected here. The suites test docs/runbooks/ with this ledger.
import { execa } from "execa";
import { setTimeout as sleep } from "node:timers/promises";
import { openLab } from "../../lab/lab.ts";
import { insideMachine } from "../../lab/machine.ts";
import type { TestLab } from "./suite-lab.ts";

/** With fewer acknowledged writes, a run proves nothing. */
const LEAST = 30;
const WRITERS = 3;
const STOP = "/run/framaspace/ledger-stop";

/** Sets up a connection as spaces do, and defines `run SQL`. */
const CONNECT = (space: string) => `
export PGPASSWORD=$(jq -r .database.password /srv/spaces/${space}/config/space.json)
export PGHOST=$(jq -r .database.hosts /etc/framaspace/platform.json) PGUSER=${space} PGDATABASE=${space}
export PGTARGETSESSIONATTRS=read-write PGCONNECT_TIMEOUT=2 PGSSLMODE=verify-full PGCHANNELBINDING=disable
export PGSSLROOTCERT=/usr/local/share/ca-certificates/framaspace.crt PGOPTIONS='-c client_min_messages=warning'
run() { timeout 60 /usr/lib/postgresql/17/bin/psql -XAtq -v ON_ERROR_STOP=1 -c "$1"; }
`;

/** The output of SQL in a space's database. */
export function sqlOf(lab: TestLab, space: string, sql: string): Promise<string> {
  return lab.on("ops-1", `${CONNECT(space)}run ${quote(sql)}`);
}

function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

export interface Verdict {
  acknowledged: number;
  /** Acknowledged, but missing in the database. Goal: none. */
  lost: number[];
  /** Longest time without an acknowledgement. */
  secondsWithout: number;
}

/** Longest time between two consecutive moments. */
export function longestPause(moments: readonly number[]): number {
  const sorted = moments.toSorted((a, b) => a - b);
  return Math.max(...sorted.slice(1).map((at, index) => at - (sorted[index] ?? at)));
}

/** Writers that insert into a space's database. */
export class Ledger {
  readonly #lab: TestLab;
  readonly #space: string;
  readonly #writers: Promise<unknown>[] = [];
  readonly #acknowledged: { at: number; value: number }[] = [];

  constructor(lab: TestLab, space: string) {
    this.#lab = lab;
    this.#space = space;
  }

  /** Starts the writers, and returns once a run has enough acknowledged writes. */
  async start(): Promise<void> {
    await this.#lab.on("ops-1", `rm -f ${STOP}`);
    await sqlOf(
      this.#lab,
      this.#space,
      "CREATE TABLE IF NOT EXISTS ledger (n bigint PRIMARY KEY); TRUNCATE ledger",
    );
    for (let writer = 1; writer <= WRITERS; writer++) {
      const script = `${CONNECT(this.#space)}
for ((n = ${writer}000000; ; n++)); do
  [ ! -e ${STOP} ] || exit 0
  if run "INSERT INTO ledger VALUES ($n)" >/dev/null 2>&1; then echo "$EPOCHREALTIME $n"; else sleep 0.05; fi
done
`;
      // Not over SSH, because `up` closes open connections.
      const [program = "", ...words] = await insideMachine(openLab(this.#lab.name), "ops-1");
      const child = execa(program, [...words, "bash", "-s"], { input: script, reject: false });
      child.stdout.setEncoding("utf8");
      let rest = "";
      child.stdout.on("data", (chunk: string) => {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) {
          const [at, value] = line.split(" ").map(Number);
          if (at !== undefined && value !== undefined) this.#acknowledged.push({ at, value });
        }
      });
      this.#writers.push(child);
    }
    await this.more();
  }

  /** Waits for as many more acknowledged writes as a run needs. */
  async more(): Promise<void> {
    const wanted = this.#acknowledged.length + LEAST;
    for (const end = Date.now() + 180_000; this.#acknowledged.length < wanted; await sleep(200))
      if (Date.now() > end) throw new Error(`no ${LEAST} writes were acknowledged within three minutes`);
  }

  /** Stops all writers and compares. Throws if there were too few writes. */
  async stop(): Promise<Verdict> {
    await this.#lab.on("ops-1", `touch ${STOP}`);
    await Promise.all(this.#writers);
    const there = new Set(
      (await sqlOf(this.#lab, this.#space, "SELECT n FROM ledger")).split("\n").map(Number),
    );
    const values = this.#acknowledged.map(({ value }) => value);
    if (values.length < 2 * LEAST)
      throw new Error(`only ${values.length} writes were acknowledged: this run proves nothing`);
    return {
      acknowledged: values.length,
      lost: values.filter((value) => !there.has(value)),
      secondsWithout: longestPause(this.#acknowledged.map(({ at }) => at)),
    };
  }
}
