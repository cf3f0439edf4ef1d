#!/bin/bash
# restore-space ID [EXPORT]: puts an export (default: the space's own last one) in the place of what the space ID holds,
# and prints the result as one line of JSON. EXPORT is "<id>/<time>", or an id for its last one: so an export of one
# space becomes another. Refused onto a living space: only a suspended or archived one that nobody has used takes it.
# Killed anywhere, the next run finishes what this one began; no half of an export is ever in service.
# shellcheck source-path=SCRIPTDIR source=archive-lib.sh
. /usr/local/lib/framaspace/archive-lib.sh

choose_export() {
  local wanted=$1 begun last
  begun=$(cat "$RESTORING/$ID" 2>/dev/null || true)
  case $wanted in
    '') wanted=${begun:-$ID} ;;
  esac
  [[ $wanted =~ ^[a-z][a-z0-9-]{2,31}(/[0-9]{8}T[0-9]{6}Z)?$ ]] || fail "\"$wanted\" names no export; write an id, or <id>/<time> as export-space printed it"
  if [[ $wanted != */* ]]; then
    last=$(finished_exports "$wanted" | tail -n 1)
    [ -n "$last" ] || fail "there is no export of \"$wanted\" in the archive"
    wanted=$wanted/$last
  fi
  [ -z "$begun" ] || [ "$begun" = "$wanted" ] || fail "$begun is half restored onto it. Finish it: restore-space $ID $begun; then run this again"
  EXPORT=$wanted
}

read_manifest() {
  HERE=$WORK/$ID/restore
  rm -rf "$HERE"
  mkdir -p "$HERE"
  archive_get "$EXPORT/manifest.json" >"$HERE/manifest.json" 2>/dev/null || fail "the archive has no export \"$EXPORT\" (its manifest cannot be read)"
  jq -e '.format == 1' "$HERE/manifest.json" >/dev/null || fail "the manifest of $EXPORT is of a format that this program does not know"
  { read -r FROM; read -r FROM_BUCKET; read -r FROM_INSTANCE; read -r FROM_RELEASE; read -r FROM_VERSION; read -r BYTES; read -r OBJECTS; } < <(
    jq -r '.id, .bucket, .instanceId, .release, .version, .bytes, .objects' "$HERE/manifest.json")
  [ -f "$RELEASES/$FROM_RELEASE/index.php" ] ||
    fail "$EXPORT is of release $FROM_RELEASE, which is not on this machine; add it to spaces/catalog.yaml (state: leaving), run up for the platform, then run it again"
  [ "$OBJECTS" -eq 0 ] || { [ -n "$BUCKET" ] && [ -n "$STORAGE" ]; } || fail "$EXPORT holds $OBJECTS files, and this environment has no object storage to put them in"
}

# Whether somebody has used the space: accounts that have logged in, and files that are not Nextcloud's own.
refuse_living() {
  local used=''
  [ ! -e "$RESTORING/$ID" ] || return 0
  if [ "$STATE" = active ]; then used="it is active"; fi
  if [ -z "$used" ] && has_nextcloud; then
    used=$(sql -F ' ' <<'SQL' | awk '$1 > 0 || $2 > 0 { print $1 " accounts have logged in to it, and it holds " $2 " files" }'
SELECT (SELECT count(*) FROM oc_preferences WHERE appid = 'login' AND configkey = 'lastLogin' AND configvalue <> '0'),
       (SELECT count(*) FROM oc_filecache f JOIN oc_mimetypes m ON m.id = f.mimetype
         WHERE m.mimetype <> 'httpd/unix-directory' AND f.path LIKE 'files/%')
SQL
    )
  fi
  [ -z "$used" ] || fail "it is a living space: $used. Restoring would overwrite that, so nothing was changed. Restore into a new id (docs/runbooks/restore-a-space.md), or archive this one first"
}

# get NAME FILE: a file of the export, if it is what was written then.
get() {
  local expected
  expected=$(jq -r --arg name "$1" '.sha256[$name] // ""' "$HERE/manifest.json")
  archive_get "$EXPORT/$1" >"$2" || fail "cannot read archive/$EXPORT/$1; is object storage up (mc admin info serving)? Run it again once it is"
  [ "$(sha256sum <"$2" | cut -d' ' -f1)" = "$expected" ] || fail "archive/$EXPORT/$1 is not what was exported (its checksum is another). Take an earlier export: restore-space $ID $FROM/<time>"
}

# Only into an empty bucket: what a killed run put there is the same again. Its old versions stay.
restore_files() {
  local part
  [ "$OBJECTS" -gt 0 ] || { empty_bucket; return; }
  need_room $((2 * $(jq -r '.sha256 | keys[] | select(endswith(".tar"))' "$HERE/manifest.json" | wc -l) * 1048576))
  get objects.tsv "$HERE/objects.tsv"
  [ -e "$WORK/$ID/emptied" ] || { empty_bucket; touch "$WORK/$ID/emptied"; }
  cut -d' ' -f5 "$HERE/objects.tsv" | sort -u | while read -r part; do
    [ ! -e "$WORK/$ID/done-$part" ] || continue
    need_room $((2 * $(awk -v part="$part" '$5 == part { sum += $2 } END { print sum + 0 }' "$HERE/objects.tsv")))
    get "$part" "$HERE/part.tar"
    rm -rf "$HERE/part"
    mkdir "$HERE/part"
    # Named one by one: nothing else comes out of it, wherever it would want to go.
    awk -v part="$part" '$5 == part { print "objects/" $1 }' "$HERE/objects.tsv" >"$HERE/names"
    tar --extract --file="$HERE/part.tar" --directory="$HERE/part" --no-same-owner --no-same-permissions --files-from="$HERE/names"
    awk -v part="$part" '$5 == part { print $4 "  objects/" $1 }' "$HERE/objects.tsv" | (cd "$HERE/part" && sha256sum --check --quiet --strict) ||
      fail "$part of $EXPORT holds other files than its manifest says; take an earlier export: restore-space $ID $FROM/<time>"
    storage cp --quiet --recursive "$HERE/part/objects/" "serving/$BUCKET/"
    rm -rf "$HERE/part" "$HERE/part.tar"
    touch "$WORK/$ID/done-$part"
  done
}

# The name of its root storage holds the bucket's, and that of its own folder the instance id: in another space both are
# others (lib/private/Files/ObjectStore/S3ConfigTrait.php, lib/private/Files/AppData/AppData.php).
adapt() {
  local instance
  instance=$(jq -r '.nextcloud.instanceId // ""' <<<"$SPACE")
  if [ "$FROM_BUCKET" != "$BUCKET" ]; then cat <<SQL
SELECT 'UPDATE oc_storages SET id = ''object::store:amazon::$BUCKET'' WHERE id = ''object::store:amazon::$FROM_BUCKET'''
 WHERE to_regclass('public.oc_storages') IS NOT NULL \\gexec
SQL
  fi
  if [ "$FROM_INSTANCE" != "$instance" ]; then cat <<SQL
SELECT \$\$UPDATE oc_filecache SET
  name = CASE WHEN path = 'appdata_$FROM_INSTANCE' THEN 'appdata_$instance' ELSE name END,
  path = 'appdata_$instance' || substr(path, length('appdata_$FROM_INSTANCE') + 1),
  path_hash = md5('appdata_$instance' || substr(path, length('appdata_$FROM_INSTANCE') + 1))
 WHERE path = 'appdata_$FROM_INSTANCE' OR path LIKE 'appdata\\_$FROM_INSTANCE/%'\$\$
 WHERE to_regclass('public.oc_filecache') IS NOT NULL \\gexec
SQL
  fi
}

restore_database() {
  need_room $((4 * $(stat -c %s "$HERE/database.dump")))
  { "$PGBIN/pg_restore" --no-owner --no-privileges --file=- "$HERE/database.dump"
    echo 'SET search_path = public;'
    adapt; } | zstd -q -3 -f -o "$HERE/load.sql.zst"
  load_database "$HERE/load.sql.zst" || fail "the database took none of it (one transaction); its log says why. Run it again"
}

verify() {
  local different
  different=$(diff <(jq -r '.rows | to_entries[] | "\(.key) \(.value)"' "$HERE/manifest.json" | LC_ALL=C sort) <(count_rows | LC_ALL=C sort) || true)
  [ -z "$different" ] || fail "the database holds other rows than $EXPORT: $(grep -m 1 '^[<>]' <<<"$different"); run it again"
  [ "$OBJECTS" -eq 0 ] && return
  different=$(diff <(cut -d' ' -f1,2 "$HERE/objects.tsv" | sort) <(bucket_objects | cut -d' ' -f1,2) || true)
  [ -z "$different" ] || fail "$BUCKET holds other files than $EXPORT: $(grep -m 1 '^[<>]' <<<"$different"); run it again"
}

# As long as its code is that of the export: converging upgrades it from there.
set_release() {
  local fingerprint
  fingerprint=$(sql -c "SELECT to_regclass('public.framaspace') IS NOT NULL")
  if [ "$fingerprint" = t ]; then fingerprint=$(sql -c "$SQL_NEW_FINGERPRINT"); else fingerprint=; fi
  follow_database "$FROM_VERSION" "$fingerprint"
  [ ! -e "$UNDISTRIBUTED/$ID" ] || distribute
}

[ $# -ge 1 ] && [[ $1 =~ ^[a-z][a-z0-9-]{2,31}$ ]] || { echo "restore-space ID [EXPORT]" >&2; exit 1; }
[ -f "$SPACES/$1/config/space.json" ] ||
  { echo "there is no space \"$1\" on this machine; add its entry with state: suspended and run up, then run it again" >&2; exit 1; }
read_space <"$SPACES/$1/config/space.json"
lock_space
STEP='export'
refuse_cut_off restore-space
choose_export "${2:-}"
read_manifest
STEP=target && refuse_living
wait_for_cron
# One that was begun stays shut until it is finished.
trap '[ -e "$RESTORING/$ID" ] || open_database' EXIT
shut_database
# By a request that was under way when visitors were shut out.
refuse_living
get database.dump "$HERE/database.dump"
mkdir -p "$RESTORING"
if [ ! -e "$RESTORING/$ID" ]; then
  rm -f "$WORK/$ID"/done-* "$WORK/$ID/emptied"
  echo "$EXPORT" >"$RESTORING/.new.$ID"
  mv "$RESTORING/.new.$ID" "$RESTORING/$ID"
fi
STEP=files && restore_files
STEP=database && restore_database
STEP=verification && verify
STEP=release && set_release
# From here on it is a space like any other.
rm -f "$ARCHIVED/$ID"
open_database
rm "$RESTORING/$ID"
rm -rf "${WORK:?}/$ID"
jq -cn --arg id "$ID" --arg export "$EXPORT" --arg release "$FROM_RELEASE" --argjson objects "$OBJECTS" --argjson bytes "$BYTES" --arg state "$STATE" \
  '{$id, restored: $export, $release, $objects, $bytes, $state, next: "in its entry, write state: active; then run up"}'
