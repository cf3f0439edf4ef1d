#!/bin/bash
# restore-space-at ID TIME [NEW_ID], on ops-1: one space back to a moment, such as "2026-11-23 14:00" (UTC), or to there
# as NEW_ID, which must be a space already and loses what it holds. Database from the backups and the archive, files from
# the bucket's versions at the same instant. Nothing else is touched; run again, it finishes what a killed run began.
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C.UTF-8 TZ=UTC
umask 077

# shellcheck source=scratch-postgres.sh
. /usr/local/lib/framaspace/scratch-postgres.sh

fail() {
  echo "space ${ID:-?}: $*" >&2
  exit 1
}
say() { echo "space $ID: $*" >&2; }
sql() { psql service=framaspace -XAtq -v ON_ERROR_STOP=1 "$@"; }

[ $# -eq 2 ] || [ $# -eq 3 ] || fail "write: restore-space-at ID 'YYYY-MM-DD HH:MM[:SS]' [NEW_ID]; the time is UTC"
ID=$1 NEW=${3:-$1}
for id in "$ID" "$NEW"; do [[ $id =~ ^[a-z][a-z0-9-]{2,31}$ ]] || fail "\"$id\" is no id"; done
MOMENT=$(date -d "$2" '+%F %T+00') || fail "\"$2\" is no time; write YYYY-MM-DD HH:MM"
[[ $MOMENT < $(date '+%F %T+00') ]] || fail "$MOMENT is still to come"
DIRECTORY=/srv/spaces/$NEW
[ -d "$DIRECTORY" ] || fail "$NEW is no space here; add it to the tenants file and run up, then this again"
RESTORED=${NEW}_restored BEFORE=${NEW}_before_restore
DUMP=/var/lib/postgresql/restore-$NEW.dump
BUCKET=space-$ID
S3=false
if jq -e .s3 "$DIRECTORY/config/space.json" >/dev/null; then S3=true; fi

mkdir -p /run/framaspace
exec 8>"/run/framaspace/space-$NEW.lock" 9>/run/framaspace/scratch-postgres.lock
flock --timeout 600 8 || fail "something else has worked on $NEW for ten minutes: fuser -v /run/framaspace/space-$NEW.lock"
flock --timeout 3600 9 || fail "something else has restored for an hour: fuser -v /run/framaspace/scratch-postgres.lock"
trap scratch_stop EXIT

# Before anything changes: the files of that moment must be there, too.
if $S3; then
  [ "$(mc --json version info "serving/$BUCKET" | jq -r '.versioning.status')" = Enabled ] ||
    fail "bucket $BUCKET keeps no versions, so its files can't go back. Nothing was changed."
fi

say "the database at $MOMENT, from the backups"
# The archive must hold that moment, and something after it, or recovery could not know that it got there.
PRIMARY=$(jq -r .primary /var/lib/framaspace/postgres.json)
ssh -F /etc/framaspace/postgres/ssh_config "$PRIMARY" archive </dev/null 8>&- 9>&- || fail "what $PRIMARY wrote last is not in the archive; postgres-cluster status"
scratch_start "--db-include=$ID" --type=time "--target=$MOMENT" ||
  fail "its database of $MOMENT can't be restored. Nothing was changed. postgres-backups list shows from when on there are backups."
# A database that was made after the backup comes from the archive alone, without being included.
[ "$(scratch_psql -d postgres -c "SELECT count(*) FROM pg_database WHERE datname = '$ID'")" = 1 ] ||
  fail "there was no database $ID at $MOMENT. Nothing was changed."
as_postgres "$BIN/pg_dump" -h "$SCRATCH" -Fc --no-owner --no-acl "$ID" >"$DUMP" || fail "the restored database can't be read. Nothing was changed."
scratch_stop

say "loading it beside the one in use"
sql -c "DROP DATABASE IF EXISTS \"$RESTORED\" WITH (FORCE)"
sql -c "CREATE DATABASE \"$RESTORED\" OWNER \"$NEW\" TEMPLATE template0"
# As the space's own role: everything in it is the space's.
pg_restore --dbname="service=framaspace dbname=$RESTORED" --role="$NEW" --no-owner --no-acl --exit-on-error --single-transaction "$DUMP"
if [ "$NEW" != "$ID" ] && $S3; then
  psql "service=framaspace dbname=$RESTORED" -XAtq -v ON_ERROR_STOP=1 <<SQL
SET ROLE "$NEW";
SELECT 'UPDATE oc_storages SET id = replace(id, ''::$BUCKET'', ''::space-$NEW'') WHERE id LIKE ''object::store:%::$BUCKET''' WHERE to_regclass('oc_storages') IS NOT NULL \gexec
SQL
fi

# Visitors wait outside while database and files are of different times.
HELD=$DIRECTORY/.restoring
if [ ! -e "$DIRECTORY/suspended" ]; then : >"$HELD"; fi
install -m 0640 -g www-data /dev/null "$DIRECTORY/suspended"
distribute-spaces "$NEW" 8>&- 9>&- >/dev/null || say "not every web server heard that it is closed meanwhile"

say "its database changes places"
sql -c "DROP DATABASE IF EXISTS \"$BEFORE\" WITH (FORCE)"
# New connections are refused until it is done, or PHP would be in between.
sql <<SQL
ALTER DATABASE "$NEW" CONNECTION LIMIT 0;
SET ROLE "$NEW";
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '$NEW';
RESET ROLE;
BEGIN;
ALTER DATABASE "$NEW" RENAME TO "$BEFORE";
ALTER DATABASE "$RESTORED" RENAME TO "$NEW";
COMMIT;
ALTER DATABASE "$BEFORE" CONNECTION LIMIT 0;
SQL
rm -f "$DUMP"

# listing WHERE [--rewind …]: key, version, ETag of each object, sorted.
listing() { mc --json ls --recursive "$@" | jq -r 'select(.status == "success" and .type == "file" and (.isDeleteMarker | not)) | [.key, .versionId // "", .etag] | @tsv' | sort; }
if $S3; then
  say "its files"
  then_file=$(mktemp) now_file=$(mktemp)
  trap 'scratch_stop; rm -f "$then_file" "$now_file"' EXIT
  listing --rewind "${MOMENT/ /T}:00" "serving/$BUCKET/" >"$then_file"
  listing "serving/space-$NEW/" >"$now_file"
  restored=0 removed=0
  while IFS=$'\t' read -r key version _; do
    mc --quiet cp --version-id "$version" "serving/$BUCKET/$key" "serving/space-$NEW/$key" </dev/null >/dev/null
    restored=$((restored + 1))
  done < <(join -t $'\t' -v 1 -j 1 <(awk -F'\t' -v OFS='\t' '{ print $1 "|" $3, $2 }' "$then_file" | sort) <(awk -F'\t' -v OFS='\t' '{ print $1 "|" $3, $2 }' "$now_file" | sort) |
    sed 's/|[^|\t]*\t/\t/')
  while read -r key; do
    mc --quiet rm "serving/space-$NEW/$key" </dev/null >/dev/null
    removed=$((removed + 1))
  done < <(comm -13 <(cut -f1 "$then_file" | sort) <(cut -f1 "$now_file" | sort))
  say "$restored files put back, $removed set aside as old versions"
fi

if [ -e "$HELD" ]; then rm -f "$DIRECTORY/suspended" "$HELD"; fi
distribute-spaces "$NEW" 8>&- 9>&- >/dev/null || say "not every web server heard that it is open again; the timer tells them"
say "is as it was at $MOMENT. What was there before is kept: to drop it, psql service=framaspace -c 'DROP DATABASE \"$BEFORE\"'"
