# shellcheck shell=bash
# A scratch PostgreSQL on ops-1, filled from the backups, for the programs that check backups and that fetch one space
# from them. It listens only on a socket in its own directory.

CLUSTER=/var/lib/postgresql/scratch
PGBIN=/usr/lib/postgresql/17/bin

as_postgres() { (cd / && HOME=/var/lib/postgresql exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"); }
backrest() { as_postgres pgbackrest --stanza=main "$@"; }
scratch_psql() { as_postgres psql -XAtq -v ON_ERROR_STOP=1 -h "$CLUSTER" "$@"; }

# scratch_start [--db-include=NAME …] [--type=time --target=TIME …]: restores, recovers, and waits until it can be read.
# Databases that are not included come as empty files, so that they take no space on the disk.
scratch_start() {
  scratch_stop
  install -d -m 0700 -o postgres -g postgres "$CLUSTER" "$CLUSTER/data"
  backrest restore --pg1-path="$CLUSTER/data" --archive-mode=off "$@" >&2 || return 1
  # No client reads during the recovery, so the limits may be lower than the primary's. Nothing here must survive a
  # crash.
  as_postgres tee "$CLUSTER/data/postgresql.conf" >/dev/null <<CONF
listen_addresses = ''
unix_socket_directories = '$CLUSTER'
hba_file = '$CLUSTER/data/pg_hba.conf'
hot_standby = off
fsync = off
autovacuum = off
max_connections = 20
shared_buffers = '128MB'
log_min_messages = fatal
CONF
  as_postgres tee "$CLUSTER/data/pg_hba.conf" >/dev/null <<<'local all postgres peer'
  # The server must not hold the locks of the program that starts it: if that is killed, the next one stops the server.
  as_postgres "$PGBIN/pg_ctl" start -D "$CLUSTER/data" -w -t "${SCRATCH_SECONDS:-3600}" -l "$CLUSTER/log" >/dev/null 5>&- 9>&- ||
    { tail -n 5 "$CLUSTER/log" >&2; return 1; }
  local end=$((SECONDS + ${SCRATCH_SECONDS:-3600}))
  until [ "$(scratch_psql -d postgres -c 'SELECT pg_is_in_recovery()' 2>/dev/null)" = f ]; do
    [ "$SECONDS" -lt "$end" ] && [ -e "$CLUSTER/data/postmaster.pid" ] || { tail -n 5 "$CLUSTER/log" >&2; return 1; }
    sleep 0.5
  done
}

scratch_stop() {
  if [ -e "$CLUSTER/data/postmaster.pid" ]; then as_postgres "$PGBIN/pg_ctl" stop -D "$CLUSTER/data" -m immediate -w >/dev/null || true; fi
  rm -rf "$CLUSTER"
}
