#!/bin/bash
# postgres-backups VERB, on ops-1.
#   none     succeeds where there is no backup at all
#   check    restores some spaces from the latest backup and what came after, and counts what is there; run by a timer
#   latest   when the latest backup ended, in seconds of Unix time; 0 where there is none
#   list     the backups, as pgBackRest shows them
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C.UTF-8
umask 022

# shellcheck source=scratch-postgres.sh
. /usr/local/lib/framaspace/scratch-postgres.sh
RESULT=/var/lib/framaspace/backup-check.json
# Databases that one check restores. Others do at other checks.
SAMPLE=5

fail() {
  echo "$(hostname): $*" >&2
  exit 1
}

none() {
  local found
  found=$(backrest info --output=json) || fail "cannot read the backups: $found"
  jq -e '[.[].backup[]?] | length == 0' <<<"$found" >/dev/null
}

report() { # report OK TEXT
  mkdir -p "${RESULT%/*}"
  jq -n --argjson ok "$1" --arg text "$2" --argjson at "$(date +%s)" '$ARGS.named' >"$RESULT.new"
  mv "$RESULT.new" "$RESULT"
  "$1" || fail "$2"
  echo "$2"
}

check() {
  local names name found total=0 include=()
  exec 9>/run/framaspace/scratch-postgres.lock
  flock --timeout 3600 9 || fail "something else has restored for an hour; fuser -v /run/framaspace/scratch-postgres.lock"
  trap scratch_stop EXIT
  names=$(backrest info --output=json --set="$(newest .label)" | jq -r '.[0].backup[-1]."database-ref"[]?.name' | grep -vE '^(postgres|template[01])$' | shuf -n "$SAMPLE") || true
  for name in $names; do include+=("--db-include=$name"); done
  [ "${#include[@]}" -gt 0 ] || include=(--db-include=postgres)
  scratch_start "${include[@]}" || report false "the latest backup can't be restored: $(tail -n 3 /var/log/pgbackrest/main-restore.log 2>/dev/null)"
  for name in $names; do
    # Reads each row of each table: a page that rotted fails its checksum.
    as_postgres "$PGBIN/pg_dump" -h "$CLUSTER" --data-only "$name" >/dev/null ||
      report false "space $name can't be read from the latest backup"
    found=$(scratch_psql -d "$name" -c "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
    total=$((total + found))
  done
  backrest verify --output=text --log-level-console=error >"$CLUSTER/verify" 2>&1 && ! grep -qiE 'status: error|invalid' "$CLUSTER/verify" ||
    report false "pgbackrest verify finds damage in the repository: $(tail -n 5 "$CLUSTER/verify")"
  report true "restored and read $(wc -w <<<"$names") spaces ($(tr '\n' ' ' <<<"$names")), $total tables; every file of the repository has its checksum"
}

newest() { backrest info --output=json | jq -r "[.[0].backup[]?] | max_by(.timestamp.stop)$1"; }
latest() { newest '.timestamp.stop // 0'; }

case ${1:-} in
  none | check | latest) "$1" ;;
  list) backrest info ;;
  *) fail "write one of none, check, latest, list" ;;
esac
