#!/bin/bash
# postgres-node VERB: what can be done to one PostgreSQL node, on that node, as root. It decides nothing: ops-1 does
# (postgres-cluster), which sees both nodes, and calls this with a key that opens nothing else. Every verb may be run
# again, whatever killed it before.
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C.UTF-8
umask 022

# shellcheck source=/dev/null
. /etc/framaspace/postgres-node
DATA=/var/lib/postgresql/17/main
INCOMING=$DATA.incoming
CONFIGURATION=/etc/postgresql/17/main
BIN=/usr/lib/postgresql/17/bin
UNIT=postgresql@17-main.service
# This node has been, or is about to be, replaced as the primary: it stays down until it follows. Outlives a reboot; the
# unit's ConditionPathExists looks at it.
FENCED=/var/lib/framaspace/postgres-fenced
# ops-1 says that there is no other primary.
PERMIT=/run/framaspace/postgres-permit

fail() {
  echo "$MACHINE: $*" >&2
  exit 1
}
changed() { echo "changed $*"; }
# Not runuser: it would log a session each time that ops-1 looks.
as_postgres() { (cd / && HOME=/var/lib/postgresql exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"); }
sql() { as_postgres psql -XAtq -v ON_ERROR_STOP=1 -d postgres "$@"; }
runs() { as_postgres pg_isready -q; }
has_data() { [ -e "$DATA/PG_VERSION" ]; }
is_standby() { [ -e "$DATA/standby.signal" ]; }
has_role() { [ "$(sql -c 'SELECT pg_is_in_recovery()' 2>/dev/null)" = "$1" ]; }
control() { as_postgres "$BIN/pg_controldata" "$DATA" | sed -n "s/^$1: *//p"; }

# until_so SECONDS COMMAND…
until_so() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.3
  done
}

peer_connection() { sed -n "s/^primary_conninfo = '\(.*\)'$/\1/p" "$CONFIGURATION/postgresql.conf"; }
ask_peer() { as_postgres psql -XAtq -d "$(peer_connection) dbname=postgres replication=true" -c "$1" 2>/dev/null; }
# What the peer says that it is: primary, standby, or nothing that answers.
peer_state() {
  case $(ask_peer 'SHOW in_hot_standby') in
    off) echo primary ;;
    on) echo standby ;;
    *) echo silent ;;
  esac
}
# The control file learns of a promotion at the next checkpoint only; the history file is there before it.
own_timeline() {
  local file newest
  newest=$(control "Latest checkpoint's TimeLineID")
  for file in "$DATA"/pg_wal/????????.history; do
    [ ! -e "$file" ] || file=$((16#$(basename "$file" .history)))
    [[ ! $file =~ ^[0-9]+$ ]] || [ "$file" -le "$newest" ] || newest=$file
  done
  echo "$newest"
}

# guard: before each start of the unit. Two nodes must never both take writes, in whatever order machines come back, so a
# primary starts only where its peer says that it follows, or where ops-1 has just said that there is no other.
guard() {
  local permitted=false
  # Good for one start, whatever becomes of it.
  if [ -e "$PERMIT" ]; then permitted=true; rm -f "$PERMIT"; fi
  has_data || fail "$DATA is empty; \`up\` fills it."
  if is_standby || [ -z "$PEER" ]; then return; fi
  local peer timeline
  peer=$(peer_state)
  case $peer in
    primary)
      : >"$FENCED"
      fail "not started: its data is a primary's, but $PEER takes the writes now. On ops-1: postgres-cluster rebuild $MACHINE"
      ;;
    standby)
      timeline=$(ask_peer IDENTIFY_SYSTEM | cut -d'|' -f2) ||
        fail "not started yet: $PEER is a standby, and does not say at which timeline. It is tried again."
      [ "$timeline" -le "$(own_timeline)" ] || {
        : >"$FENCED"
        fail "not started: $PEER is at timeline $timeline, later than this data. It was the primary in between. On ops-1: postgres-cluster status"
      }
      ;;
    *) $permitted || fail "not started yet: $PEER does not say what it is. ops-1 knows, and starts this node if it is to (postgres-watch)." ;;
  esac
}

start() {
  has_data || fail "$DATA is empty"
  [ ! -e "$FENCED" ] || fail "is fenced: the other node took over. On ops-1: postgres-cluster rebuild $MACHINE"
  is_standby || { mkdir -p "${PERMIT%/*}"; : >"$PERMIT"; }
  case $(systemctl is-active "$UNIT") in
    # It is being started, or recovers, or will be tried again in a moment.
    active | activating | reloading) ;;
    *)
      systemctl reset-failed "$UNIT" 2>/dev/null || true
      systemctl start "$UNIT" || true
      ;;
  esac
  until_so 300 runs || fail "PostgreSQL does not start: $(journalctl -q -u "$UNIT" -t postgres -n 5 --no-pager -o cat)"
  changed "PostgreSQL started"
}

fence() {
  mkdir -p "${FENCED%/*}"
  : >"$FENCED"
  sync "$FENCED"
  rm -f "$PERMIT"
  systemctl stop "$UNIT"
}

# demote: a primary that stops, after its standby has received all, and will only ever follow.
demote() {
  fence
  touch "$DATA/standby.signal"
  chown postgres:postgres "$DATA/standby.signal"
  sync "$DATA"
  control "Latest checkpoint location"
}

# undo_demote: the primary again, where the standby did not take over.
undo_demote() {
  [ "$(peer_state)" != primary ] || fail "$PEER has taken over"
  rm -f "$DATA/standby.signal" "$FENCED"
  start
}

# received LSN: whether this standby has all up to there.
received() {
  [ "$(sql -c "SELECT pg_last_wal_receive_lsn() >= '$1'::pg_lsn OR pg_last_wal_replay_lsn() >= '$1'::pg_lsn")" = t ] ||
    fail "has not received all up to $1"
}

promote() {
  if ! is_standby && runs && has_role f; then return; fi
  is_standby || fail "holds a primary's data and does not run: nothing to promote"
  # It has no standby yet that could confirm its writes.
  synchronous off
  runs || { systemctl start "$UNIT"; until_so 300 runs || fail "does not start; journalctl -u $UNIT"; }
  as_postgres "$BIN/pg_ctl" promote -D "$DATA" -w -t 120 >/dev/null || fail "was not promoted; journalctl -t postgres"
  slot
  # Until its first checkpoint the control file names the old timeline.
  sql -c CHECKPOINT
  changed "$MACHINE promoted, timeline $(own_timeline)"
}

# A slot that was given up for the disk's sake keeps nothing any more, though a standby that still finds its WAL goes on
# by it, and its wal_status then says "unreserved" for ever.
slot() {
  [ -n "$PEER" ] || return 0
  local slot=${PEER//-/_}
  ensure "slot $slot" \
    "SELECT count(*) = 1 FROM pg_replication_slots WHERE slot_name = '$slot' AND invalidation_reason IS NULL" \
    "SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots WHERE slot_name = '$slot' AND active;
     SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '$slot';
     SELECT pg_create_physical_replication_slot('$slot', true)"
}

# synchronous on|off: whether a commit waits until the peer has it on disk. Read from a file of its own, because
# postgresql.conf is the same at each `up`.
synchronous() {
  local wanted="# Written by postgres-node; ops-1 decides (postgres-cluster)."
  [ "$1" = off ] || wanted+=$'\n'"synchronous_standby_names = '\"$PEER\"'"
  if [ "$(cat "$CONFIGURATION/synchronous.conf" 2>/dev/null)" != "$wanted" ]; then
    printf '%s\n' "$wanted" >"$CONFIGURATION/synchronous.conf.new"
    mv "$CONFIGURATION/synchronous.conf.new" "$CONFIGURATION/synchronous.conf"
  fi
  ! runs || sql -c 'SELECT pg_reload_conf()' >/dev/null
}

streams() { [ "$(sql -c 'SELECT status FROM pg_stat_wal_receiver')" = streaming ]; }

# follow: becomes, or stays, a standby of the peer: as it is, after a rewind, or from a new copy, whichever does.
follow() {
  [ "$(peer_state)" = primary ] || fail "$PEER does not answer as a primary; nothing was changed. On ops-1: postgres-cluster status"
  rm -f "$PERMIT"
  if has_data; then
    [ "$(control 'Database system identifier')" = "$(ask_peer IDENTIFY_SYSTEM | cut -d'|' -f1)" ] ||
      fail "$DATA is another cluster than $PEER's; nothing was changed. Look at it; if nobody needs it, move it away and run this again."
    [ "$(own_timeline)" -le "$(ask_peer IDENTIFY_SYSTEM | cut -d'|' -f2)" ] ||
      fail "$DATA is at timeline $(own_timeline), later than $PEER's; nothing was changed. It may hold what $PEER lacks: look at both before anything is overwritten."
    if is_standby && [ ! -e "$FENCED" ]; then
      systemctl start "$UNIT" || true
      if until_so 20 streams; then return; fi
    fi
    # Down, and down after a power cut, until it can be nothing but a standby.
    fence
    if rewind && try_to_stream; then changed "$MACHINE follows $PEER, rewound"; return; fi
    fence
  else
    # Only an empty directory: rmdir refuses anything else.
    [ ! -e "$DATA" ] || rmdir "$DATA" || fail "$DATA is no cluster but holds files; look at them, move them away, run this again."
  fi
  copy
  try_to_stream || fail "does not stream from $PEER: $(journalctl -q -t postgres -n 5 --no-pager -o cat)"
  changed "$MACHINE follows $PEER, copied"
}

# With the peer's pages in place of those that only this node has. What it wrote alone is lost by that.
rewind() {
  as_postgres "$BIN/pg_rewind" -D "$DATA" --config-file="$CONFIGURATION/postgresql.conf" --restore-target-wal \
    --source-server="$(peer_connection) dbname=postgres" 2>&1 | tail -n 3
}

try_to_stream() {
  touch "$DATA/standby.signal"
  chown postgres:postgres "$DATA/standby.signal"
  synchronous off
  rm -f "$FENCED"
  systemctl reset-failed "$UNIT" 2>/dev/null || true
  systemctl restart "$UNIT" || true
  until_so 120 streams
}

# Made beside its place and moved there when whole, so that a killed run leaves nothing that looks like a cluster.
copy() {
  rm -rf "$INCOMING"
  if has_data && [ "$(du -sm "$DATA" | cut -f1)" -gt "$(df -m --output=avail "${DATA%/*}" | tail -n 1)" ]; then
    # No room for both, and this one is of no more use.
    rm -rf "$DATA"
  fi
  as_postgres "$BIN/pg_basebackup" -d "$(peer_connection)" -D "$INCOMING" -X stream -S "${MACHINE//-/_}" -c fast --no-password ||
    fail "could not copy $PEER; its log says why (journalctl -t postgres). Once mended, run this again."
  as_postgres touch "$INCOMING/standby.signal"
  rm -rf "$DATA"
  mv -T "$INCOMING" "$DATA"
}

# init: a new cluster. ops-1 asks for it only where no node holds data and it remembers no cluster.
init() {
  ! has_data || return 0
  [ ! -e "$DATA" ] || rmdir "$DATA" || fail "$DATA is no cluster but holds files; look at them, move them away, run this again."
  rm -rf "$INCOMING"
  # PostgreSQL's own collation: an upgrade of libc can't break the order of ten thousand databases' indices (23.2).
  as_postgres "$BIN/initdb" -D "$INCOMING" --data-checksums --encoding=UTF8 --locale-provider=builtin --locale=C.UTF-8 --auth=reject >/dev/null
  rm "$INCOMING"/{postgresql,pg_hba,pg_ident}.conf
  mv -T "$INCOMING" "$DATA"
  synchronous off
  changed "$MACHINE: new cluster, primary"
}

backrest() { as_postgres pgbackrest --stanza=main "$@"; }

# stanza: the place for the backups of this very cluster.
stanza() {
  [ -e /etc/pgbackrest/pgbackrest.conf ] || return 0
  backrest info --output=json | jq -e '.[0].status.code | IN(0, 2)' >/dev/null || {
    backrest stanza-create >&2
    changed "place for backups"
  }
}

# backup: run by a timer on each node. A full one each week; in between, what has changed since that.
backup() {
  local full
  [ -e /etc/pgbackrest/pgbackrest.conf ] || return 0
  has_data && runs && has_role f || return 0
  full=$(backrest info --output=json | jq '[.[0].backup[]? | select(.type == "full" and .error != true) | .timestamp.stop] | max // 0')
  if [ $(($(date +%s) - full)) -ge $((13 * 43200)) ]; then backrest backup --type=full; else backrest backup --type=diff; fi
}

# archive: all that is committed by now is in the archive, and a commit after it.
archive() {
  local segment
  backrest info >/dev/null
  sql -c 'SELECT txid_current()' >/dev/null
  segment=$(sql -c 'SELECT pg_walfile_name(pg_switch_wal())')
  until_so 120 archived "$segment" || fail "$segment is not archived after two minutes; /var/log/pgbackrest says why"
}
archived() { [ ! -e "$DATA/pg_wal/archive_status/$1.ready" ] && { [ -e "$DATA/pg_wal/archive_status/$1.done" ] || [ ! -e "$DATA/pg_wal/$1" ]; }; }

# restore [TIME]: fills an empty node from the backups, up to their end or to a moment; it becomes a primary.
restore() {
  local arguments=()
  ! has_data || fail "holds data; nothing was restored. If nobody needs it, move $DATA away, run this again."
  [ $# -eq 0 ] || arguments=(--type=time "--target=$*" --target-action=promote)
  rm -rf "$INCOMING"
  install -d -m 0700 -o postgres -g postgres "$INCOMING" "$DATA"
  backrest restore --pg1-path="$INCOMING" "${arguments[@]}" || fail "pgbackrest could not restore; /var/log/pgbackrest says why"
  # postgresql.conf says where log comes from. pgBackRest would have it fetched to $INCOMING, where nothing is any more
  # when PostgreSQL starts.
  sed -i '/^restore_command *=/d' "$INCOMING/postgresql.auto.conf"
  mv -T "$INCOMING" "$DATA"
  synchronous off
  rm -f "$FENCED"
  changed "$MACHINE: restored from the backups"
}

# ensure WHAT TEST SQL: runs the SQL where the test does not give t. Passwords and failures stay out of the log.
ensure() {
  [ "$(sql <<<"$2")" = t ] && return
  sql <<<"SET log_min_error_statement = panic; SET log_min_duration_statement = -1; $3" >/dev/null
  changed "$1"
}
accepts() { # accepts ROLE PASSWORD CONNECTION
  PGPASSWORD=$2 psql -XAtq -d "host=/run/postgresql user=$1 $3" -c 'SHOW server_version' >/dev/null 2>&1 && echo t
}
ensure_password() { # ensure_password ROLE PASSWORD CONNECTION
  [ "$(accepts "$@")" = t ] || ensure "password of $1" "SELECT 'f'" "ALTER ROLE $1 PASSWORD '$2'"
}

# roles: what a primary must hold beside the spaces'. Reads two lines: the password of $ADMIN, then of `replication`.
roles() {
  local admin_password replication_password database
  read -r admin_password
  read -r replication_password
  # A commit must not wait here: a standby that is to confirm it may need these very passwords.
  export PGOPTIONS='-c synchronous_commit=local'
  ensure "role $ADMIN" \
    "SELECT count(*) = 1 FROM pg_roles WHERE rolname = '$ADMIN' AND rolcanlogin AND rolcreaterole AND rolcreatedb" \
    "DO \$\$BEGIN IF to_regrole('$ADMIN') IS NULL THEN CREATE ROLE $ADMIN; END IF; END\$\$; ALTER ROLE $ADMIN LOGIN CREATEROLE CREATEDB"
  # It makes roles with passwords, which a failing statement must not carry into the log. What it makes it may also use. A
  # database that it makes or renames is known to the standby, too, when it is told so: whoever asks that one first, as
  # libpq does, is told that there is none, and asks no further.
  ensure "settings of $ADMIN" \
    "SELECT count(*) = 4 FROM pg_db_role_setting, unnest(setconfig) WHERE setrole = to_regrole('$ADMIN') AND unnest IN
       ('log_min_error_statement=panic', 'log_min_duration_statement=-1', 'createrole_self_grant=set, inherit',
        'synchronous_commit=remote_apply')" \
    "ALTER ROLE $ADMIN SET log_min_error_statement = panic; ALTER ROLE $ADMIN SET log_min_duration_statement = -1;
     ALTER ROLE $ADMIN SET createrole_self_grant = 'set, inherit'; ALTER ROLE $ADMIN SET synchronous_commit = remote_apply"
  ensure "reserved connections of $ADMIN" \
    "SELECT pg_has_role('$ADMIN', 'pg_use_reserved_connections', 'member') AND pg_has_role('$ADMIN', 'pg_monitor', 'member')" \
    "GRANT pg_use_reserved_connections, pg_monitor TO $ADMIN"
  # For what ops-1 keeps of spaces (finish-spaces): no space may connect to this database.
  ensure "schema of $ADMIN" \
    "SELECT count(*) = 1 FROM pg_namespace WHERE nspname = '$ADMIN' AND nspowner = to_regrole('$ADMIN')" \
    "CREATE SCHEMA IF NOT EXISTS $ADMIN AUTHORIZATION $ADMIN"
  ensure "role replication" \
    "SELECT count(*) = 1 FROM pg_roles WHERE rolname = 'replication' AND rolcanlogin AND rolreplication" \
    "DO \$\$BEGIN IF to_regrole('replication') IS NULL THEN CREATE ROLE replication; END IF; END\$\$; ALTER ROLE replication LOGIN REPLICATION"
  # New databases let everybody connect, which can't be changed for databases to come: `sameuser` in pg_hba.conf closes
  # that. These two belong to no space.
  for database in postgres template1; do
    ensure "nobody in $database" \
      "SELECT NOT EXISTS (SELECT FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE datname = '$database' AND grantee = 0)" \
      "REVOKE ALL ON DATABASE $database FROM PUBLIC; GRANT CONNECT ON DATABASE $database TO $ADMIN"
  done
  # What pg_rewind reads of the peer (its manual, "Notes"): nothing that a copy of the whole would not hold.
  ensure "rights of replication" \
    "SELECT has_database_privilege('replication', 'postgres', 'CONNECT') AND
       has_function_privilege('replication', 'pg_read_binary_file(text, bigint, bigint, boolean)', 'EXECUTE')" \
    "GRANT CONNECT ON DATABASE postgres TO replication;
     GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), pg_read_binary_file(text),
       pg_read_binary_file(text, bigint, bigint, boolean) TO replication"
  ensure_password "$ADMIN" "$admin_password" dbname=postgres
  ensure_password replication "$replication_password" "dbname=postgres replication=true"
  slot
}

# status: one line of JSON.
status() {
  local data=none running=false fenced=false details='{}'
  if has_data; then
    data=primary
    ! is_standby || data=standby
    details=$(jq -n --arg systemId "$(control 'Database system identifier')" --argjson timeline "$(own_timeline)" '$ARGS.named')
  fi
  [ ! -e "$FENCED" ] || fenced=true
  if has_data && runs; then
    running=true
    details+=$(sql -c "SELECT jsonb_build_object(
      'recovery', pg_is_in_recovery(),
      'streaming', EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'),
      'standby', (SELECT jsonb_build_object('name', application_name, 'state', state, 'sync', sync_state,
          'behindBytes', CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn() - replay_lsn END)
        FROM pg_stat_replication WHERE application_name = '$PEER' AND state = 'streaming' LIMIT 1),
      'slot', (SELECT jsonb_build_object('status', CASE WHEN invalidation_reason IS NULL THEN wal_status ELSE 'lost' END, 'safeBytes', safe_wal_size) FROM pg_replication_slots LIMIT 1),
      'synchronous', current_setting('synchronous_standby_names') <> '',
      'archiving', current_setting('archive_mode') <> 'off',
      'archiveFailing', (SELECT last_failed_time > coalesce(last_archived_time, '-infinity') FROM pg_stat_archiver),
      'archiveWaiting', (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'),
      'connections', (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
      'maxConnections', current_setting('max_connections')::int)")
  fi
  jq -cs --arg node "$MACHINE" --arg data "$data" --argjson running "$running" --argjson fenced "$fenced" \
    --argjson diskPercent "$(df --output=pcent /var/lib/postgresql | tail -n 1 | tr -d ' %')" 'add + $ARGS.named' <<<"$details"
}

if [ "${1:-}" = ssh ]; then
  # The key of ops-1 runs this, and only this.
  read -ra words <<<"${SSH_ORIGINAL_COMMAND:-}"
  set -- "${words[@]}"
fi
case ${1:-} in
  guard | start | fence | demote | undo_demote | promote | follow | init | roles | slot | status | stanza | backup | archive) "$1" ;;
  restore) shift; restore "$@" ;;
  received | synchronous) [[ ${2:-} =~ ^(on|off|[0-9A-F]+/[0-9A-F]+)$ ]] || fail "$1 takes on, off or an LSN"; "$1" "$2" ;;
  *) fail "verbs: status start fence demote undo_demote promote follow init roles slot stanza backup archive restore received synchronous" ;;
esac
