// What is wrong with PostgreSQL and its backups.
import { existsSync, readFileSync } from "node:fs";
import { ask, FULL, type LookedAt } from "./looked-at.ts";
import { parseJson } from "../../machine/programs/texts.ts";

/** If the latest backup is older, a nightly one is missing. */
const BACKUP_HOURS = 30;
const HOUR = 3600;
/** Segments that may wait for the archive. */
const QUEUE = 10;

/** What `postgres-cluster status` prints. */
interface ClusterStatus {
  record: { primary?: string; mode?: string; since?: string; switchover?: string; failover?: string };
  nodes: {
    node: string;
    reachable: boolean;
    running: boolean;
    fenced?: boolean;
    connections?: number;
    maxConnections?: number;
    slot?: { status?: string } | null;
    archiving?: boolean;
    archiveFailing?: boolean;
    archiveWaiting?: number;
    diskPercent?: number;
  }[];
}

export async function postgresProblems({ root }: LookedAt): Promise<string[]> {
  // Not made yet: this file comes with what makes the record (infra/postgres/reconcile.sh).
  if (!existsSync(`${root}/etc/framaspace/postgres/nodes`)) return [];
  if (!existsSync(`${root}/var/lib/framaspace/postgres.json`))
    return ["postgres record: ops-1 knows no primary; run up"];
  const { status, output } = await ask(60, "postgres-cluster", ["status"]);
  const said = status === 0 ? parseJson<ClusterStatus>(output) : undefined;
  if (!said) return ["postgres status: postgres-cluster status does not work"];
  const { record, nodes } = said;
  const moves = (["switchover", "failover"] as const).filter((move) => record[move] !== undefined);
  return [
    ...nodes.flatMap((node) => nodeProblems(node)),
    ...nodes
      .filter(({ node }) => node === record.primary)
      .flatMap((node) => [
        ...(nodes.length > 1 ? standbyProblems(record, node) : []),
        ...archiveProblems(node),
      ]),
    ...moves.map((move) => `postgres ${move}: was interrupted; run postgres-cluster ${move} again`),
  ];
}

type Node = ClusterStatus["nodes"][number];

function nodeProblems({
  node,
  reachable,
  running,
  fenced,
  connections = 0,
  maxConnections = 0,
}: Node): string[] {
  const next = fenced ? `, fenced: postgres-cluster rebuild ${node}` : "";
  return [
    ...(reachable && !running ? [`${node} down: PostgreSQL does not run there${next}`] : []),
    ...(running && connections >= (maxConnections * FULL) / 100
      ? [`${node} connections: ${connections} of ${maxConnections}`]
      : []),
  ];
}

function standbyProblems({ mode, since }: ClusterStatus["record"], { running, slot }: Node): string[] {
  const state = slot?.status;
  return [
    ...(mode === "synchronous"
      ? []
      : [`postgres standby: since ${since} no standby confirms what is written`]),
    ...(running && state !== "reserved" && state !== "extended"
      ? [
          `postgres slot: ${state ?? "missing"}: the standby has lost, or will soon lose, the WAL that it needs; postgres-cluster rebuild`,
        ]
      : []),
  ];
}

function archiveProblems(state: Node): string[] {
  const { node, running, archiving, archiveFailing, archiveWaiting = 0, diskPercent } = state;
  if (!running || !archiving) return [];
  return [
    ...(archiveFailing
      ? [`postgres archive: the last segment was refused; /var/log/pgbackrest on ${node} says why`]
      : []),
    ...(archiveWaiting > QUEUE
      ? [`postgres archive queue: ${archiveWaiting} segments wait, on a disk that is ${diskPercent} % full`]
      : []),
  ];
}

export async function backupProblems({ root }: LookedAt): Promise<string[]> {
  if (!existsSync(`${root}/etc/pgbackrest/pgbackrest.conf`))
    return ["backups: none are made, because this environment declares no object storage"];
  const { status, output } = await ask(120, "postgres-backups", ["latest"], { errors: "ignore" });
  const latest = Number(output);
  if (status !== 0 || Number.isNaN(latest))
    return ["backups unreadable: the storage that holds them does not answer; postgres-backups list"];
  if (latest <= 0)
    return ["backups missing: there is none yet; systemctl start postgres-backup on the primary"];
  const hours = hoursSince(latest);
  return [
    ...(hours < BACKUP_HOURS
      ? []
      : [`backups old: the latest is ${hours} hours old; journalctl -u postgres-backup on the primary`]),
    ...checkProblems(`${root}/var/lib/framaspace/backup-check.json`),
  ];
}

/** What the last test restore found. */
function checkProblems(file: string): string[] {
  if (!existsSync(file))
    return ["backups unchecked: no test restore has run yet; systemctl start postgres-backups-check"];
  const check = parseJson<{ ok: boolean; text: string; at: number }>(readFileSync(file, "utf8"));
  if (!check) return [`backups unchecked: ${file} cannot be read; systemctl start postgres-backups-check`];
  return [
    ...(check.ok ? [] : [`backups damaged: ${check.text}`]),
    ...(Date.now() / 1000 - check.at > BACKUP_HOURS * HOUR
      ? [`backups unchecked: the last test restore was ${hoursSince(check.at)} hours ago`]
      : []),
  ];
}

/** @param moment In seconds since 1970. */
const hoursSince = (moment: number) => Math.floor((Date.now() / 1000 - moment) / HOUR);
