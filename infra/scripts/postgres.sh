# shellcheck shell=bash source-path=SCRIPTDIR source=lib.sh
# A PostgreSQL node. An empty one becomes a standby of the peer where that is a primary, else the primary if it is
# $FIRST. One that holds data stays what it is: promoting, demoting and rebuilding are decisions of people.

DATA=/var/lib/postgresql/17/main
INCOMING=$DATA.incoming
CONFIGURATION=/etc/postgresql/17/main
BIN=/usr/lib/postgresql/17/bin

# Debian would make a cluster with its own settings while it installs.
file /etc/postgresql-common/createcluster.conf 0644 root:root <<<'create_main_cluster = false'
install_packages
if ! id -nG postgres | grep -qw framaspace-tls; then usermod -aG framaspace-tls postgres; note "postgres in framaspace-tls"; fi

# What follows the size of the machine, in steps, so that a new kernel's few MB more change nothing.
memory_mb() {
  local total limit
  total=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
  if [ "$limit" != max ] && [ $((limit >> 20)) -lt "$total" ]; then total=$((limit >> 20)); fi
  echo "$total"
}
share() { # share TOTAL PERCENT STEP: at least one step
  local steps=$(($1 * $2 / 100 / $3))
  echo $(((steps > 0 ? steps : 1) * $3))
}
MEMORY_MB=$(memory_mb)
DISK_MB=$(df -m --output=size /var/lib/postgresql | tail -n 1)
file "$CONFIGURATION/machine.conf" 0644 root:root <<END
# Written by postgres.sh from this machine's memory and the size of its file system.
# A quarter: the manual's starting point (19.4.1). The rest caches files, and plans count on it.
shared_buffers = '$(share "$MEMORY_MB" 25 128)MB'
effective_cache_size = '$(share "$MEMORY_MB" 70 128)MB'
max_wal_size = '$(share "$DISK_MB" 5 512)MB'
max_slot_wal_keep_size = '$(share "$DISK_MB" 10 1024)MB'
END
install_files
on_change '/etc/systemd/system/*' systemctl daemon-reload

as_postgres() { (cd / && exec runuser -u postgres -- "$@"); }
sql() { as_postgres psql -XAtq -v ON_ERROR_STOP=1 -d postgres "$@"; }
peer_connection() { sed -n "s/^primary_conninfo = '\(.*\)'$/\1/p" "$CONFIGURATION/postgresql.conf"; }

# What the peer says that it is: primary, standby, or nothing that answers.
peer_state() {
  case $(as_postgres psql -XAtq -d "$(peer_connection) dbname=postgres replication=true" -c 'SHOW in_hot_standby' 2>/dev/null) in
    off) echo primary ;;
    on) echo standby ;;
    *) echo silent ;;
  esac
}
peer_is_primary() { [ "$(peer_state)" = primary ]; }

# Made beside its place and moved there when whole, so that a killed run leaves nothing that looks like a cluster.
make_primary() {
  rm -rf "$INCOMING"
  # PostgreSQL's own collation: an upgrade of libc can't break the order of ten thousand databases' indices (23.2).
  as_postgres "$BIN/initdb" -D "$INCOMING" --data-checksums --encoding=UTF8 --locale-provider=builtin --locale=C.UTF-8 --auth=reject >/dev/null
  rm "$INCOMING"/{postgresql,pg_hba,pg_ident}.conf
  mv -T "$INCOMING" "$DATA"
  note "new cluster, primary"
}
make_standby() {
  rm -rf "$INCOMING"
  as_postgres "$BIN/pg_basebackup" -d "$(peer_connection)" -D "$INCOMING" -X stream -S "${MACHINE//-/_}" -c fast --no-password ||
    fail "could not copy $PEER; its log says why (journalctl -t postgres). Once mended, run up again."
  as_postgres touch "$INCOMING/standby.signal"
  mv -T "$INCOMING" "$DATA"
  note "standby, copied from $PEER"
}

if [ ! -e "$DATA/PG_VERSION" ]; then
  # Only an empty directory: rmdir refuses anything else.
  [ ! -e "$DATA" ] || rmdir "$DATA" || fail "$DATA is no cluster but holds files; look at them, move them away, run up again."
  [ -z "$PEER" ] || [ "$MACHINE" = "$FIRST" ] || wait_until 60 "$PEER answers as a primary, which the empty $MACHINE could copy" peer_is_primary
  case $PEER:$([ -z "$PEER" ] || peer_state) in
    *:primary) make_standby ;;
    *:standby) fail "$MACHINE is empty and $PEER is a standby without a primary. Promote it (on $PEER: pg_ctlcluster 17 main promote), then run up again." ;;
    *) make_primary ;;
  esac
fi

# A primary that comes back after the other node took over must not start, or both would take writes.
if [ -n "$PEER" ] && [ ! -e "$DATA/standby.signal" ] && peer_is_primary; then
  fail "$DATA is a primary's, but $PEER takes the writes of the spaces now. Here, \`systemctl stop postgresql@17-main && mv $DATA $DATA.old\`, then run up again: it will follow $PEER."
fi

# Reloads, and restarts only where a setting asks for it. A file that can't be read is refused before it does harm.
apply_settings() {
  local problem before
  systemctl -q is-active postgresql@17-main || return 0
  problem=$(sql -c "SELECT sourcefile || ' line ' || sourceline || ': ' || error FROM pg_file_settings
      WHERE error IS NOT NULL AND error <> 'setting could not be applied'
    UNION ALL SELECT file_name || ' line ' || line_number || ': ' || error FROM pg_hba_file_rules WHERE error IS NOT NULL")
  [ -z "$problem" ] || fail "$problem"
  before=$(sql -c 'SELECT pg_conf_load_time()')
  systemctl reload postgresql@17-main
  wait_until 30 "PostgreSQL read its settings" has_reloaded "$before"
  if [ "$(sql -c 'SELECT count(*) FROM pg_settings WHERE pending_restart')" != 0 ]; then restart; fi
}
has_reloaded() { [ "$(sql -c 'SELECT pg_conf_load_time()')" != "$1" ]; }
restart() {
  systemctl restart postgresql@17-main
  note "postgresql restarted"
}
if systemctl -q is-active postgresql@17-main; then
  on_change '/etc/systemd/system/postgresql*' restart
fi
on_change '/etc/postgresql/*' apply_settings
enable postgresql.service postgresql@17-main.service framaspace-postgres-tls.path
# or_log ADVICE WAIT-ARGUMENTS…: wait_until that ends with PostgreSQL's own words.
or_log() {
  local advice=$1
  shift
  (wait_until "$@") || {
    journalctl -q -t postgres -n 10 --no-pager -o cat >&2
    tail -n 5 /var/log/postgresql/postgresql-17-main.log >&2
    fail "$advice"
  }
}
streams() { [ "$(sql -c 'SELECT status FROM pg_stat_wal_receiver')" = streaming ]; }
or_log "once mended, run up again." 120 "PostgreSQL takes connections" as_postgres pg_isready -q

if [ "$(sql -c 'SELECT pg_is_in_recovery()')" = t ]; then
  [ -n "$PEER" ] || fail "is a standby, but no other node is declared. Promote it: pg_ctlcluster 17 main promote"
  or_log "if its slot was given up (WAL removed), this copy is of no more use: here, \`systemctl stop postgresql@17-main && mv $DATA $DATA.old\`, then run up again." \
    30 "streams from $PEER" streams
  finish
  exit
fi

# ensure WHAT TEST SQL: runs the SQL where the test does not give t. Passwords and failures stay out of the log.
ensure() {
  [ "$(sql <<<"$2")" = t ] && return
  sql <<<"SET log_min_error_statement = panic; SET log_min_duration_statement = -1; $3" >/dev/null
  note "$1"
}
accepts() { # accepts ROLE PASSWORD CONNECTION
  PGPASSWORD=$2 psql -XAtq -d "host=/run/postgresql user=$1 $3" -c 'SHOW server_version' >/dev/null 2>&1 && echo t
}
ensure_password() { # ensure_password ROLE PASSWORD CONNECTION
  [ "$(accepts "$@")" = t ] || ensure "password of $1" "SELECT 'f'" "ALTER ROLE $1 PASSWORD '$2'"
}

ensure "role $ADMIN" \
  "SELECT count(*) = 1 FROM pg_roles WHERE rolname = '$ADMIN' AND rolcanlogin AND rolcreaterole AND rolcreatedb" \
  "DO \$\$BEGIN IF to_regrole('$ADMIN') IS NULL THEN CREATE ROLE $ADMIN; END IF; END\$\$; ALTER ROLE $ADMIN LOGIN CREATEROLE CREATEDB"
# It makes roles with passwords, which a failing statement must not carry into the log. What it makes it may also use.
ensure "settings of $ADMIN" \
  "SELECT count(*) = 3 FROM pg_db_role_setting, unnest(setconfig) WHERE setrole = to_regrole('$ADMIN') AND unnest IN
     ('log_min_error_statement=panic', 'log_min_duration_statement=-1', 'createrole_self_grant=set, inherit')" \
  "ALTER ROLE $ADMIN SET log_min_error_statement = panic; ALTER ROLE $ADMIN SET log_min_duration_statement = -1;
   ALTER ROLE $ADMIN SET createrole_self_grant = 'set, inherit'"
ensure "reserved connections of $ADMIN" \
  "SELECT pg_has_role('$ADMIN', 'pg_use_reserved_connections', 'member') AND pg_has_role('$ADMIN', 'pg_monitor', 'member')" \
  "GRANT pg_use_reserved_connections, pg_monitor TO $ADMIN"
ensure "role replication" \
  "SELECT count(*) = 1 FROM pg_roles WHERE rolname = 'replication' AND rolcanlogin AND rolreplication" \
  "DO \$\$BEGIN IF to_regrole('replication') IS NULL THEN CREATE ROLE replication; END IF; END\$\$; ALTER ROLE replication LOGIN REPLICATION"
# New databases let everybody connect, which can't be changed for databases to come: \`sameuser\` in pg_hba.conf closes
# that. These two belong to no space.
for database in postgres template1; do
  ensure "nobody in $database" \
    "SELECT NOT EXISTS (SELECT FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE datname = '$database' AND grantee = 0)" \
    "REVOKE ALL ON DATABASE $database FROM PUBLIC; GRANT CONNECT ON DATABASE $database TO $ADMIN"
done
ensure_password "$ADMIN" "$ADMIN_PASSWORD" dbname=postgres
ensure_password replication "$REPLICATION_PASSWORD" "dbname=postgres replication=true"

if [ -n "$PEER" ]; then
  SLOT=${PEER//-/_}
  # A slot that was given up for the disk's sake is of no use to anyone.
  ensure "slot $SLOT" \
    "SELECT count(*) = 1 FROM pg_replication_slots WHERE slot_name = '$SLOT' AND wal_status IS DISTINCT FROM 'lost'" \
    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '$SLOT';
     SELECT pg_create_physical_replication_slot('$SLOT', true)"
fi

finish
