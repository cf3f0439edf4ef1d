# shellcheck shell=bash
# A PostgreSQL node, as far as it does not depend on the other node: packages, settings, keys. postgres-cluster on ops-1
# decides which node is the primary; it then fills and starts new nodes.

DATA=/var/lib/postgresql/17/main
CONFIGURATION=/etc/postgresql/17/main

# Otherwise Debian creates a cluster with its own settings during the installation.
file /etc/postgresql-common/createcluster.conf 0644 root:root <<<'create_main_cluster = false'
install_packages
if ! id -nG postgres | grep -qw framaspace-tls; then usermod -aG framaspace-tls postgres; note "postgres in framaspace-tls"; fi

# Settings that depend on the size of the machine. In steps, so that a new kernel with a few MB more changes nothing.
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
# Written by infra/postgres/install.sh from this machine's memory and the size of its file system.
# A quarter: the manual's starting point (19.4.1). The rest caches files, and the planner counts on it.
shared_buffers = '$(share "$MEMORY_MB" 25 128)MB'
effective_cache_size = '$(share "$MEMORY_MB" 70 128)MB'
max_wal_size = '$(share "$DISK_MB" 5 512)MB'
max_slot_wal_keep_size = '$(share "$DISK_MB" 10 1024)MB'
END
install_files
on_change '/etc/systemd/system/*' systemctl daemon-reload

as_postgres() { (cd / && exec runuser -u postgres -- "$@"); }
sql() { as_postgres psql -XAtq -v ON_ERROR_STOP=1 -d postgres "$@"; }
# Refuses settings that PostgreSQL cannot read before they do harm.
check_settings() {
  local problem
  problem=$(sql -c "SELECT sourcefile || ' line ' || sourceline || ': ' || error FROM pg_file_settings
      WHERE error IS NOT NULL AND error <> 'setting could not be applied'
    UNION ALL SELECT file_name || ' line ' || line_number || ': ' || error FROM pg_hba_file_rules WHERE error IS NOT NULL")
  [ -z "$problem" ] || fail "$problem"
}
has_reloaded() { [ "$(sql -c 'SELECT pg_conf_load_time()')" != "$1" ]; }
# Reloads, and restarts only if a setting requires it.
apply_settings() {
  local before
  check_settings
  before=$(sql -c 'SELECT pg_conf_load_time()')
  systemctl reload postgresql@17-main
  wait_until 30 "PostgreSQL read its settings" has_reloaded "$before"
  if [ "$(sql -c 'SELECT count(*) FROM pg_settings WHERE pending_restart')" != 0 ]; then restart; fi
}
# A standby does not start with a lower max_connections than its primary's WAL says ("Administrator's Overview" of hot
# standby in the manual; the other four settings of that list stay at their defaults).
has_enough() {
  local wanted there
  wanted=$(sql -c "SELECT setting FROM pg_file_settings WHERE name = 'max_connections' ORDER BY seqno DESC LIMIT 1")
  there=$(as_postgres /usr/lib/postgresql/17/bin/pg_controldata "$DATA" | sed -n 's/^max_connections setting: *//p')
  [ "$wanted" -ge "$there" ]
}
# The other node may restart at the same time. postgres-node guard then refuses a primary's first start, and systemd
# tries again.
restart() {
  [ ! -e "$DATA/standby.signal" ] || wait_until 120 "the primary runs with the max_connections that this standby will have" has_enough
  systemctl restart postgresql@17-main || true
  wait_until 120 "PostgreSQL runs again (journalctl -u postgresql@17-main)" as_postgres pg_isready -q
  note "postgresql restarted"
}
apply_unit() {
  check_settings
  restart
}
if systemctl -q is-active postgresql@17-main; then
  on_change '/etc/systemd/system/postgresql@*' apply_unit
  on_change '/etc/postgresql/*' apply_settings
fi
enable framaspace-postgres-tls.path postgres-backup.timer
# A node that must stay down does not start (postgres-node guard, fence). That is no failure of this script.
for unit in postgresql.service postgresql@17-main.service; do
  systemctl -q is-enabled "$unit" || { systemctl -q enable "$unit" && note "$unit enabled"; }
done
if [ -e "$DATA/PG_VERSION" ] && ! systemctl -q is-active postgresql@17-main; then systemctl start postgresql@17-main || true; fi

finish
