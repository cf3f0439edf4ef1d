#!/bin/bash
# restore-space-at ID TIME [NEW_ID], on ops-1: one space back to a moment, such as "2026-11-23 14:00" (UTC), or to there
# as NEW_ID, which must be a space already and loses what it holds. Database from the backups and the archive, files from
# the bucket's versions at the same instant. Nothing else is touched; run again, it finishes what a killed run began.
set -euo pipefail
export TZ=UTC

# shellcheck source=../../spaces/scripts/space-lib.sh
. /usr/local/lib/framaspace/space-lib.sh
# shellcheck source=scratch-postgres.sh
. /usr/local/lib/framaspace/scratch-postgres.sh
umask 077

say() { echo "space $ID: $*" >&2; }
admin_sql() { psql service=framaspace -XAtq -v ON_ERROR_STOP=1 "$@"; }

[ $# -eq 2 ] || [ $# -eq 3 ] || fail "write: restore-space-at ID 'YYYY-MM-DD HH:MM[:SS]' [NEW_ID]; the time is UTC"
SOURCE=$1 ID=${3:-$1}
for id in "$SOURCE" "$ID"; do [[ $id =~ ^[a-z][a-z0-9-]{2,31}$ ]] || fail "\"$id\" is no id"; done
MOMENT=$(date -d "$2" '+%F %T+00') || fail "\"$2\" is no time; write YYYY-MM-DD HH:MM"
[[ $MOMENT < $(date '+%F %T+00') ]] || fail "$MOMENT is still to come"
[ -e "$SPACES/$ID/config/space.json" ] || fail "is no space here; add it to the tenants file and run up, then this again"
read_space <"$SPACES/$ID/config/space.json"
RESTORED=${ID}_restored BEFORE=${ID}_before_restore
DUMP=/var/lib/postgresql/restore-$ID.dump
# From the change of databases to the end: what $BEFORE holds was in use, and is not to be dropped by a second run.
UNDER_WAY=/var/lib/framaspace/restoring/$ID
FROM=space-$SOURCE

# shellcheck disable=SC2034 # fail names it.
STEP="restoring $SOURCE"
lock_space
exec 8>/run/framaspace/scratch-postgres.lock
flock --timeout 3600 8 || fail "something else has restored for an hour: fuser -v /run/framaspace/scratch-postgres.lock"
trap scratch_stop EXIT

# Before anything changes: the files of that moment must be there, too.
if [ -n "$BUCKET" ]; then
  [ "$(mc --json version info "serving/$FROM" | jq -r '.versioning.status')" = Enabled ] ||
    fail "bucket $FROM keeps no versions, so its files can't go back. Nothing was changed."
fi

say "the database at $MOMENT, from the backups"
# The archive must hold that moment, and something after it, or recovery could not know that it got there.
PRIMARY=$(jq -r .primary /var/lib/framaspace/postgres.json)
ssh -F /etc/framaspace/postgres/ssh_config "$PRIMARY" archive </dev/null 8>&- 9>&- >/dev/null || fail "what $PRIMARY wrote last is not in the archive; postgres-cluster status"
scratch_start "--db-include=$SOURCE" --type=time "--target=$MOMENT" --target-action=promote ||
  fail "its database of $MOMENT can't be restored. Nothing was changed. postgres-backups list shows from when on there are backups."
# A database that was made after the backup comes from the archive alone, without being included.
[ "$(scratch_psql -d postgres -c "SELECT count(*) FROM pg_database WHERE datname = '$SOURCE'")" = 1 ] ||
  fail "there was no database $SOURCE at $MOMENT. Nothing was changed."
as_postgres "$PGBIN/pg_dump" -h "$CLUSTER" -Fc --no-owner --no-acl "$SOURCE" >"$DUMP" || fail "the restored database can't be read. Nothing was changed."
scratch_stop

say "loading it beside the one in use"
admin_sql -c "SET client_min_messages = warning" -c "DROP DATABASE IF EXISTS \"$RESTORED\" WITH (FORCE)"
admin_sql -c "CREATE DATABASE \"$RESTORED\" OWNER \"$DBUSER\" TEMPLATE template0"
# As the space's own role: everything in it is the space's.
pg_restore --dbname="service=framaspace dbname=$RESTORED" --role="$DBUSER" --no-owner --no-acl --exit-on-error --single-transaction "$DUMP"
if [ "$SOURCE" != "$ID" ] && [ -n "$BUCKET" ]; then
  psql "service=framaspace dbname=$RESTORED" -XAtq -v ON_ERROR_STOP=1 <<SQL
SET ROLE "$DBUSER";
SELECT 'UPDATE oc_storages SET id = replace(id, ''::$FROM'', ''::$BUCKET'') WHERE id LIKE ''object::store:%::$FROM''' WHERE to_regclass('oc_storages') IS NOT NULL \gexec
SQL
fi

# Visitors wait outside while database and files are of different times.
close_space
say "its database changes places"
mkdir -p "${UNDER_WAY%/*}"
OLD=$BEFORE
if [ -e "$UNDER_WAY" ] && [ "$(admin_sql -c "SELECT count(*) FROM pg_database WHERE datname = '$BEFORE'")" = 1 ]; then OLD=${ID}_half_restored; fi
admin_sql -c "SET client_min_messages = warning" -c "DROP DATABASE IF EXISTS \"$OLD\" WITH (FORCE)"
: >"$UNDER_WAY"
# New connections are refused until it is done, or some would be in between.
admin_sql >/dev/null <<SQL
ALTER DATABASE "$DATABASE" CONNECTION LIMIT 0;
SET ROLE "$DBUSER";
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '$DATABASE';
RESET ROLE;
BEGIN;
ALTER DATABASE "$DATABASE" RENAME TO "$OLD";
ALTER DATABASE "$RESTORED" RENAME TO "$DATABASE";
COMMIT;
SQL
[ "$OLD" = "$BEFORE" ] || admin_sql -c "DROP DATABASE \"$OLD\" WITH (FORCE)"
rm -f "$DUMP"

# listing WHERE [--rewind …]: key, version, ETag of each object, sorted.
listing() { mc --json ls --recursive "$@" | jq -r 'select(.status == "success" and .type == "file" and (.isDeleteMarker | not)) | [.key, .versionId // "", .etag] | @tsv' | sort; }
if [ -n "$BUCKET" ]; then
  say "its files"
  then_file=$(mktemp) now_file=$(mktemp)
  trap 'scratch_stop; rm -f "$then_file" "$now_file"' EXIT
  listing --rewind "${MOMENT/ /T}:00" "serving/$FROM/" >"$then_file"
  listing "serving/$BUCKET/" >"$now_file"
  restored=0 removed=0
  while IFS=$'\t' read -r key version _; do
    mc --quiet cp --version-id "$version" "serving/$FROM/$key" "serving/$BUCKET/$key" </dev/null >/dev/null
    restored=$((restored + 1))
  done < <(join -t $'\t' -v 1 -j 1 <(awk -F'\t' -v OFS='\t' '{ print $1 "|" $3, $2 }' "$then_file" | sort) <(awk -F'\t' -v OFS='\t' '{ print $1 "|" $3, $2 }' "$now_file" | sort) |
    sed 's/|[^|\t]*\t/\t/')
  while read -r key; do
    mc --quiet rm "serving/$BUCKET/$key" </dev/null >/dev/null
    removed=$((removed + 1))
  done < <(comm -13 <(cut -f1 "$then_file" | sort) <(cut -f1 "$now_file" | sort))
  say "$restored files put back, $removed set aside as old versions"
fi

open_space
rm -f "$UNDER_WAY"
say "is as $SOURCE was at $MOMENT. What was there before is kept: to drop it, psql service=framaspace -c 'DROP DATABASE \"$BEFORE\"'"
