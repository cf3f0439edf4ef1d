// Where the programs of ops-1 find things. Tests put a folder in the machine's place.

export interface Places {
  /** Master copies of the spaces' directories. */
  readonly spaces: string;
  readonly releases: string;
  /** What prepare-release made of each release. */
  readonly prepared: string;
  /** Dumps from before an upgrade. Only ops-1 has them, and nothing else could make them again. */
  readonly kept: string;
  /** Spaces whose directory changed here, and may not be on every web server yet. */
  readonly undistributed: string;
  /**
   * Id → what is being restored onto the space, until it is done. restore-space writes the export, restore-space-at the
   * source space and the moment. Each has its own folder, so that neither takes the other's work for its own.
   */
  readonly restoring: string;
  readonly restoringAt: string;
  /** What each program is working on: one folder for each space, removed when it is done. */
  readonly work: string;
  /** Exports, where the environment has no object storage. */
  readonly archive: string;
  /** Home of the user postgres. */
  readonly postgresHome: string;
  /** Which node takes writes. */
  readonly postgresNodes: string;
  /** Id → what archive-space did. */
  readonly archivedRecords: string;
  /** Id → the last export. */
  readonly exports: string;
  /** Id → what is wanted of the space. */
  readonly wanted: string;
  /** Id → why something that is wanted is not done yet. */
  readonly unfinished: string;
  /** What is wrong with these records themselves, for platform-health. */
  readonly wantedProblems: string;
  /**
   * The key of PostgreSQL's copy. It is not in PostgreSQL: whoever gets into a database server must not get into the
   * spaces' files.
   */
  readonly wantedKey: string;
  /** Id → how often an unfinished space was tried. The time of the file is that of the last try. */
  readonly tries: string;
  /** Id → what its user of Redis was made of, without any password. */
  readonly redisRecords: string;
  /** What every user of Redis may do, and how the administrator gets in. */
  readonly redisRules: string;
  /** Id → when its last background job began, and whether it is in use. run-cron says how. */
  readonly cron: string;
  /** What list-spaces heard from all databases, last time. */
  readonly survey: string;
  /** Spaces that remove-space has removed. */
  readonly removed: string;
  /** Spaces that were closed when a former ops-1 was lost. Only that machine knew why, so people have to look. */
  readonly closed: string;
  /** Spaces whose upgrade failed, by wave and release: `<wave>/<release>/<id>`. */
  readonly waves: string;
  /** Releases that at least one space serves after its upgrade: release → that space. */
  readonly proven: string;
  /** Where the service converge-spaces is asked. */
  readonly convergeSocket: string;
  /** Locks, and what is known of web servers and workers. */
  readonly run: string;
  readonly log: string;
  readonly platform: string;
  readonly catalog: string;
  readonly webServers: string;
  /** How ssh gets to web servers, to copy. */
  readonly distributeSsh: string;
  readonly workers: string;
  /** How ssh gets to workers, to run a space's code. */
  readonly workerSsh: string;
  /** SQL of ours. */
  readonly library: string;
  /** PostgreSQL's own programs, without Debian's wrapper in Perl, which takes longer than a query. */
  readonly postgresql: string;
}

/** The places under a folder; on the machine under "". */
export function placesIn(
  root: string,
  library = "/usr/local/lib/framaspace",
  postgresql = "/usr/lib/postgresql/17/bin",
): Places {
  const data = `${root}/var/lib/framaspace`;
  return {
    spaces: `${root}/srv/spaces`,
    releases: `${root}/srv/releases`,
    prepared: `${data}/releases`,
    kept: `${data}/kept`,
    undistributed: `${data}/undistributed`,
    restoring: `${data}/restoring`,
    restoringAt: `${data}/restoring-at`,
    work: `${data}/work`,
    archive: `${root}/srv/archive`,
    postgresHome: `${root}/var/lib/postgresql`,
    postgresNodes: `${data}/postgres.json`,
    archivedRecords: `${data}/archived`,
    exports: `${data}/exports`,
    wanted: `${data}/wanted`,
    unfinished: `${data}/unfinished`,
    wantedProblems: `${data}/wanted-problems`,
    wantedKey: `${root}/etc/framaspace/wanted/key`,
    tries: `${root}/run/framaspace/tries`,
    redisRecords: `${data}/redis`,
    redisRules: `${root}/etc/framaspace/redis`,
    cron: `${data}/cron`,
    survey: `${data}/survey`,
    removed: `${data}/removed`,
    closed: `${data}/closed`,
    waves: `${data}/waves`,
    proven: `${data}/proven`,
    convergeSocket: `${root}/run/framaspace/converge.sock`,
    run: `${root}/run/framaspace`,
    log: `${root}/var/log/framaspace`,
    platform: `${root}/etc/framaspace/platform.json`,
    catalog: `${root}/etc/framaspace/catalog.json`,
    webServers: `${root}/etc/framaspace/web-servers`,
    distributeSsh: `${root}/etc/framaspace/distribute/ssh_config`,
    workers: `${root}/etc/framaspace/workers`,
    workerSsh: `${root}/etc/framaspace/worker/ssh_config`,
    library,
    postgresql,
  };
}

/** The authority of the platform's own certificates. */
export const CA = "/usr/local/share/ca-certificates/framaspace.crt";
/** The configuration that all spaces share. */
export const SHARED_CONFIG = "/usr/local/share/framaspace/config.php";
