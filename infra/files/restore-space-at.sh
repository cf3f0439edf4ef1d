#!/bin/bash
# restore-space-at ID TIME [NEW_ID], on ops-1: one space back to a moment, such as "2026-11-23 14:00" (UTC), or to there
# as NEW_ID, which must be a space already and loses what it holds. Database from the backups and the archive, files from
# the bucket's versions at the same instant. Nothing else is touched; killed anywhere, the same command finishes it, and
# until then no other program works on the space.
set -euo pipefail
export TZ=UTC

# shellcheck source=../../spaces/scripts/space-lib.sh
. /usr/local/lib/framaspace/space-lib.sh
# shellcheck source=scratch-postgres.sh
. /usr/local/lib/framaspace/scratch-postgres.sh
umask 077

say() { echo "space $ID: $*" >&2; }
admin_sql() { admin_psql postgres "$@"; }

[ $# -eq 2 ] || [ $# -eq 3 ] || fail "write: restore-space-at ID 'YYYY-MM-DD HH:MM[:SS]' [NEW_ID]; the time is UTC"
SOURCE=$1 ID=${3:-$1}
for id in "$SOURCE" "$ID"; do [[ $id =~ ^[a-z][a-z0-9-]{2,31}$ ]] || fail "\"$id\" is no id"; done
MOMENT=$(date -d "$2" '+%F %T') || fail "\"$2\" is no time; write YYYY-MM-DD HH:MM"
[[ $MOMENT < $(date '+%F %T') ]] || fail "$MOMENT is still to come"
[ -e "$SPACES/$ID/config/space.json" ] || fail "is no space here; add it to the tenants file and run up, then this again"
read_space <"$SPACES/$ID/config/space.json"
RESTORED=${ID}_restored BEFORE=${ID}_before_restore
DUMP=/var/lib/postgresql/restore-$ID.dump
UNDER_WAY=$RESTORING_AT/$ID
FROM=space-$SOURCE

# record [changing]: what is under way, on disk. From "changing" on, what $BEFORE holds was in use, and is not to be
# dropped by a second run.
record() {
  mkdir -p "$RESTORING_AT"
  printf '%s\n' "$SOURCE" "$MOMENT" "$@" >"$RESTORING_AT/.new.$ID"
  sync "$RESTORING_AT/.new.$ID"
  mv "$RESTORING_AT/.new.$ID" "$UNDER_WAY"
}

# Sets BEGUN to how far an earlier run came, and refuses to go on with anything else than what that one was told.
refuse_another() {
  local source moment
  BEGUN=
  # By an earlier version of this program, which wrote nothing down, and only once it was changing databases.
  if [ -e "$RESTORING/$ID" ] && [ ! -s "$RESTORING/$ID" ]; then BEGUN=changing; fi
  [ -e "$UNDER_WAY" ] || return 0
  { read -r source; read -r moment; read -r BEGUN || true; } <"$UNDER_WAY"
  [ "$source" = "$SOURCE" ] && [ "$moment" = "$MOMENT" ] ||
    fail "its restore to $moment was cut off. Finish it first: $(restore_at_command "$source" "$moment"); then run this again"
}

# shellcheck disable=SC2034 # fail names it.
STEP="restoring $SOURCE"
lock_space
refuse_cut_off restore-space-at
refuse_another
[ "$STATE" != archived ] || fail "it is archived. An export of it comes back by restore-space $ID; where its data is wanted as of a moment, write state: suspended in its entry and run up first. Nothing was changed."
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
scratch_start "--db-include=$SOURCE" --type=time "--target=$MOMENT+00" --target-action=promote ||
  fail "its database of $MOMENT can't be restored. Nothing was changed. postgres-backups list shows from when on there are backups."
# A database that was made after the backup comes from the archive alone, without being included.
[ "$(scratch_psql -d postgres -c "SELECT count(*) FROM pg_database WHERE datname = '$SOURCE'")" = 1 ] ||
  fail "there was no database $SOURCE at $MOMENT. Nothing was changed."
# It comes back on the release that it was on.
facts=$(scratch_psql -d "$SOURCE" -F ' ' -f - <<'SQL'
SELECT to_regclass('public.framaspace') IS NOT NULL AS ours \gset
\if :ours
SELECT key, value FROM framaspace WHERE key IN ('version', 'upgrade');
\endif
SQL
) || fail "the restored database can't be read. Nothing was changed."
THEN=$(sed -n 's/^version //p' <<<"$facts")
[ -n "$THEN" ] || fail "$SOURCE was not installed yet at $MOMENT. Nothing was changed."
[[ $facts != *upgrade* ]] || fail "$SOURCE was being upgraded at $MOMENT; take a moment before or after. Nothing was changed."
[ -f "$RELEASES/${THEN%.*}/index.php" ] ||
  fail "at $MOMENT it was on ${THEN%.*}, which is not on this machine. Nothing was changed. Add ${THEN%.*} to spaces/catalog.yaml (state: leaving), run up for the platform, then run this again"
as_postgres "$PGBIN/pg_dump" -h "$CLUSTER" -Fc --no-owner --no-acl "$SOURCE" >"$DUMP" || fail "the restored database can't be read. Nothing was changed."
scratch_stop

say "loading it beside the one in use"
admin_sql -c "SET client_min_messages = warning" -c "DROP DATABASE IF EXISTS \"$RESTORED\" WITH (FORCE)"
admin_sql -c "CREATE DATABASE \"$RESTORED\" OWNER \"$DBUSER\" TEMPLATE template0"
# As the space's own role: everything in it is the space's.
pg_restore --dbname="service=framaspace dbname=$RESTORED" --role="$DBUSER" --no-owner --no-acl --exit-on-error --single-transaction "$DUMP"
FINGERPRINT=$(admin_psql "$RESTORED" -c "SET ROLE \"$DBUSER\"" -c "$SQL_NEW_FINGERPRINT")
if [ "$SOURCE" != "$ID" ] && [ -n "$BUCKET" ]; then
  admin_psql "$RESTORED" <<SQL
SET ROLE "$DBUSER";
SELECT 'UPDATE oc_storages SET id = replace(id, ''::$FROM'', ''::$BUCKET'') WHERE id LIKE ''object::store:%::$FROM''' WHERE to_regclass('oc_storages') IS NOT NULL \gexec
SQL
fi

# Visitors wait outside while database and files are of different times.
[ -n "$BEGUN" ] || record
close_space
say "its database changes places"
OLD=$BEFORE
if [ "$BEGUN" = changing ] && [ "$(admin_sql -c "SELECT count(*) FROM pg_database WHERE datname = '$BEFORE'")" = 1 ]; then OLD=${ID}_half_restored; fi
admin_sql -c "SET client_min_messages = warning" -c "DROP DATABASE IF EXISTS \"$OLD\" WITH (FORCE)"
record changing
rm -f "$RESTORING/$ID"
# New connections are refused until it is done, or some would be in between.
admin_sql >/dev/null <<SQL
ALTER DATABASE "$DATABASE" CONNECTION LIMIT 0;
ALTER ROLE "$DBUSER" IN DATABASE "$RESTORED" SET default_transaction_read_only = on;
SET ROLE "$DBUSER";
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '$DATABASE';
RESET ROLE;
BEGIN;
ALTER DATABASE "$DATABASE" RENAME TO "$OLD";
ALTER DATABASE "$RESTORED" RENAME TO "$DATABASE";
COMMIT;
ALTER DATABASE "$OLD" CONNECTION LIMIT -1;
SQL
[ "$OLD" = "$BEFORE" ] || admin_sql -c "DROP DATABASE \"$OLD\" WITH (FORCE)"
rm -f "$DUMP"
follow_database "$THEN" "$FINGERPRINT"

# listing WHERE [--rewind …]: key, version, ETag of each object, sorted.
listing() { mc --json ls --recursive "$@" | jq -r 'select(.status == "success" and .type == "file" and (.isDeleteMarker | not)) | [.key, .versionId // "", .etag] | @tsv' | sort; }
if [ -n "$BUCKET" ]; then
  say "its files"
  then_file=$(mktemp) now_file=$(mktemp)
  trap 'scratch_stop; rm -f "$then_file" "$now_file"' EXIT
  listing --rewind "${MOMENT/ /T}Z" "serving/$FROM/" >"$then_file"
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
[ "${THEN%.*}" = "$RELEASE" ] ||
  say "is on ${THEN%.*}, as it was then. To upgrade it to $RELEASE again: jq -c 'del(.version) | .release = \"$RELEASE\"' $DIRECTORY/config/space.json | converge-space"
say "is as $SOURCE was at $MOMENT. What was there before is kept: to drop it, psql service=framaspace -c 'DROP DATABASE \"$BEFORE\"'"
