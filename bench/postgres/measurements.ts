// What `npm run bench:postgres` asks for and what it gets.

/** A way to run the databases. */
export interface Way {
  title: string;
  settings: "defaults" | "chosen";
  /** PgBouncer's mode; undefined where clients connect to PostgreSQL. */
  pooler?: "transaction";
}

/** Shape of a load: workers make requests one after the other. */
export interface Load {
  workers: number;
  /** Requests to one space before another one is chosen, on average. */
  visit: number;
  seconds: number;
  /** How long a request keeps its connection while it does something else. */
  holdMs: number;
  /** Once for each space, instead of for a time. */
  each?: boolean;
}

export interface Task {
  /** postgresql.conf as the program renders it. */
  chosen: string;
  spaces: number;
  rounds: number;
  /** When no further databases are made. */
  fillSeconds: number;
  /** No further round begins where it would end later. */
  seconds: number;
  ways: Way[];
  pages: Load;
  polls: Load;
  crowd: Load;
  idleSeconds: number;
}

export interface Rates {
  perSecond: number;
  /** Milliseconds, medians and 99 of 100. */
  connect50: number;
  total50: number;
  total99: number;
  refusedPercent: number;
}

export interface Busy extends Rates {
  serverCpuMs: number;
  poolerCpuMs: number;
}

/** Of one way, in one round. */
export interface Figures {
  pages: Busy;
  polls: Busy;
  crowd: Rates & { processes: number; serverMb: number; poolerMb: number };
  /** Of one core, when nobody asks for anything; not measured again where the settings are another way's. */
  idleCpuPercent: number | undefined;
  refusals: string[];
}

/** Of all ways, in all rounds. */
export interface Result {
  figures: Figures[][];
  versions: string[];
  spaces: number;
  /** In each database. */
  files: number;
}
