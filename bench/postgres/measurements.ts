// The task and the results of `npm run bench:postgres`.

/** A way to run the databases. */
export interface Way {
  title: string;
  settings: "defaults" | "chosen";
  /** PgBouncer's mode; undefined if clients connect to PostgreSQL directly. */
  pooler?: "transaction";
}

/** Shape of a load. Each worker makes one request after the other. */
export interface Load {
  workers: number;
  /** How many requests go to one space before another one is chosen, on average. */
  visit: number;
  seconds: number;
  /** How long a request keeps its connection while it does something else. */
  holdMs: number;
  /** One request for each space, instead of requests for a time. */
  each?: boolean;
}

export interface Task {
  /** postgresql.conf as the program renders it. */
  chosen: string;
  spaces: number;
  rounds: number;
  /** After these seconds no more databases are created. */
  fillSeconds: number;
  /** No round begins that would end after these seconds. */
  seconds: number;
  ways: Way[];
  pages: Load;
  polls: Load;
  crowd: Load;
  idleSeconds: number;
}

export interface Rates {
  perSecond: number;
  /** Milliseconds: medians (50) and 99th percentile (99). */
  connect50: number;
  total50: number;
  total99: number;
  refusedPercent: number;
}

export interface Busy extends Rates {
  serverCpuMs: number;
  poolerCpuMs: number;
}

/** The figures of one way, in one round. */
export interface Figures {
  pages: Busy;
  polls: Busy;
  crowd: Rates & { processes: number; serverMb: number; poolerMb: number };
  /** Percent of one core, without any request. Not measured with a pooler: its settings are another way's. */
  idleCpuPercent: number | undefined;
  refusals: string[];
}

/** The figures of all ways, in all rounds. */
export interface Result {
  figures: Figures[][];
  versions: string[];
  spaces: number;
  /** Files of each database. */
  files: number;
}
