# shellcheck shell=bash
# Reconciles the PostgreSQL nodes together, on ops-1, which remembers the primary: fills empty nodes, starts the
# remembered primary, creates roles, and starts the watch.

# Otherwise Debian creates a cluster with its own settings during the installation.
file /etc/postgresql-common/createcluster.conf 0644 root:root <<<'create_main_cluster = false'
install_packages
mkdir -p /run/framaspace
install_files
on_change '/etc/systemd/system/*' systemctl daemon-reload
on_change '/usr/local/sbin/postgres-cluster /etc/systemd/system/postgres-watch*' systemctl try-restart postgres-watch.service

said=$(printf '%s\n%s\n' "$ADMIN_PASSWORD" "$REPLICATION_PASSWORD" | postgres-cluster reconcile)
while read -r word change; do [ "$word" != changed ] || note "$change"; done <<<"$said"

enable postgres-watch.service
[ ! -e /usr/local/sbin/postgres-backups ] || enable postgres-backups-check.timer

finish
