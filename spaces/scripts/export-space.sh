#!/bin/bash
# export-space ID [--locked]: writes all that a space is into the archive: its database, its files, its settings without
# the keys to this platform, and a manifest with counts and checksums; then compares what it wrote with the living
# database. Prints the export as one line of JSON. The space is out of service for the seconds of the database's dump; a
# suspended or archived one already is. Killed anywhere, the next run goes on where it was, and opens the space again.
# What does not verify gets no manifest, and so is no export.
# shellcheck source-path=SCRIPTDIR source=archive-lib.sh
. /usr/local/lib/framaspace/archive-lib.sh

# A part is what has to fit on this machine's disk; a file that is larger is a part of its own.
PART_BYTES=1073741824
PART_OBJECTS=500

# The folder of the archive that a run which was killed had begun, or a new one.
begin() {
  mkdir -p "$EXPORTS" "$WORK/$ID"
  NAME=$(cat "$WORK/$ID/exporting" 2>/dev/null || true)
  if [ -z "$NAME" ]; then
    NAME=$(date -u +%Y%m%dT%H%M%SZ)
    echo "$NAME" >"$WORK/$ID/exporting.new"
    mv "$WORK/$ID/exporting.new" "$WORK/$ID/exporting"
  fi
  HERE=$WORK/$ID/$NAME
  mkdir -p "$HERE"
}

# The numbers of the parts that are in the archive with their lists: "objects-0001.tsv" is written after its part.
parts() { find "$HERE" -name 'objects-*.tsv' -printf '%f\n' | sed 's/[^0-9]//g' | sort; }

# A list on this machine may be missing where another ops-1 began; the archive has them all.
fetch_lists() {
  local name
  archive_list "$ID/$NAME/" | cut -d' ' -f2- | { grep '^objects-.*\.tsv$' || true; } | while read -r name; do
    [ -e "$HERE/$name" ] || { archive_get "$ID/$NAME/$name" >"$HERE/$name.new" && mv "$HERE/$name.new" "$HERE/$name"; }
  done
}

# What the parts hold: "key size etag", for each key as in the last part that has it; objects.tsv of the export is the
# same with checksum and part.
exported_objects() {
  find "$HERE" -name 'objects-*.tsv' -print0 | sort -z | xargs -0r cat | awk '{ last[$1] = $2 " " $3 } END { for (key in last) print key, last[key] }' | sort
}

# copy_objects: everything of the bucket that no part has, or has as it was before.
copy_objects() {
  local key size batch=() bytes=0
  bucket_objects >"$HERE/bucket"
  comm -13 <(exported_objects) "$HERE/bucket" >"$HERE/missing"
  while read -r key size _; do
    if [ "${#batch[@]}" -gt 0 ] && { [ $((bytes + size)) -gt $PART_BYTES ] || [ "${#batch[@]}" -ge $PART_OBJECTS ]; }; then
      copy_part "$bytes" "${batch[@]}"
      batch=() bytes=0
    fi
    batch+=("$key")
    bytes=$((bytes + size))
  done <"$HERE/missing"
  [ "${#batch[@]}" -eq 0 ] || copy_part "$bytes" "${batch[@]}"
}

copy_part() {
  local bytes=$1 number key part sum
  shift
  need_room "$bytes"
  number=$(printf '%04d' $((10#$(parts | tail -n 1 | grep . || echo 0) + 1)))
  part=$HERE/part
  rm -rf "$part"
  mkdir -p "$part/objects"
  # One that has gone meanwhile is missing here, and in the next look at the bucket.
  mc cp --quiet "${@/#/serving/$BUCKET/}" "$part/objects/" >/dev/null 2>"$part/said" || true
  (cd "$part/objects" && find . -type f -printf '%P\n' | sort) >"$part/names"
  [ -s "$part/names" ] || [ -z "$(bucket_objects)" ] || fail "could not read $BUCKET: $(tail -n 1 "$part/said"); is object storage up (mc admin info serving)? Run it again"
  [ -s "$part/names" ] || return 0
  { tar --create --file=- --directory="$part" --owner=0 --group=0 --numeric-owner --mode=u+rw,go=r objects | tee /dev/fd/3 | sha256sum | cut -d' ' -f1 >"$part/sum"; } 3>&1 |
    archive_put_stream "$ID/$NAME/objects-$number.tar"
  sum=$(<"$part/sum")
  # key size etag sha256 part sum-of-the-part
  while read -r key; do
    echo "$key $(stat -c %s "$part/objects/$key") $(awk -v key="$key" '$1 == key { print $3 }' "$HERE/bucket") $(sha256sum <"$part/objects/$key" | cut -d' ' -f1) objects-$number.tar $sum"
  done <"$part/names" >"$part/list"
  archive_put "$part/list" "$ID/$NAME/objects-$number.tsv"
  mv "$part/list" "$HERE/objects-$number.tsv"
  rm -rf "$part"
}

dump() {
  need_room "$(sql -c 'SELECT pg_database_size(current_database())')"
  as_role pg_dump --format=custom --no-owner --no-privileges --file="$HERE/database.dump" ||
    fail "could not dump the database; look at the primary (psql service=framaspace), then run it again"
  count_rows >"$HERE/rows"
  list_files >"$HERE/files.tsv"
  bucket_objects >"$HERE/bucket"
}

# Loads the dump into a database of its own and counts again: a dump is good when it could be restored.
verify_database() {
  local trial="$ID.verify" different
  admin_psql postgres -c "DROP DATABASE IF EXISTS \"$trial\" WITH (FORCE)" -c "CREATE DATABASE \"$trial\" TEMPLATE template0" 2>/dev/null ||
    fail "could not make a database to try the dump in; look at the primary (psql service=framaspace), then run it again"
  if ! "$PGBIN/pg_restore" --no-owner --no-privileges --single-transaction -d "service=framaspace dbname=$trial" "$HERE/database.dump" 2>"$HERE/said"; then
    fail "the dump cannot be restored: $(head -n 1 "$HERE/said"). Nothing was dropped; look at the primary's log, then run it again"
  fi
  count_rows admin_psql "$trial" >"$HERE/rows-of-dump"
  admin_psql postgres -c "DROP DATABASE \"$trial\" WITH (FORCE)"
  different=$(diff "$HERE/rows" "$HERE/rows-of-dump" || true)
  [ -z "$different" ] || fail "the dump does not hold what the database does: $(grep -m 1 '^[<>]' <<<"$different"). Nothing was dropped; run it again"
}

# Each file that Nextcloud knows is in the export with the size that Nextcloud knows.
verify_files() {
  local wrong
  exported_objects >"$HERE/exported"
  # What has gone from the bucket is no part of the space any more.
  join "$HERE/exported" "$HERE/bucket" | awk '$2 == $4 && $3 == $5 { print $1, $2 }' >"$HERE/held"
  [ "$(wc -l <"$HERE/held")" = "$(wc -l <"$HERE/bucket")" ] ||
    fail "$(comm -13 "$HERE/exported" "$HERE/bucket" | wc -l) objects of $BUCKET could not be copied as they are now. Nothing was dropped; run it again"
  wrong=$(awk -F'\t' -v held="$HERE/held" '
    BEGIN { while ((getline line < held) > 0) { split(line, word, " "); size[word[1]] = word[2] } }
    # What somebody has begun to upload: Nextcloud writes it down before it is in the bucket, and drops it a day later.
    $3 ~ /^object::user:/ && $4 ~ /^uploads\// { next }
    $3 ~ /^object::/ {
      key = "urn:oid:" $1
      if (!(key in size)) print key " (" $4 ") is not in the bucket"
      else if (size[key] != $2) print key " (" $4 ") has " size[key] " bytes in the bucket, and " $2 " in the database"
    }
    # Caches and previews that Nextcloud makes again.
    $3 ~ /^(home|local)::/ && $4 !~ /^appdata_/ { print $4 " is on a web server (" $3 "), and not in object storage" }
  ' "$HERE/files.tsv")
  [ -z "$wrong" ] || fail "the export does not verify: of $(wc -l <"$HERE/files.tsv") files, $(wc -l <<<"$wrong") are not there as the database has them, first: $(head -n 1 <<<"$wrong"). Nothing was dropped, and the export does not count. Bring the object back (mc ls --versions serving/$BUCKET/KEY), or have its file deleted in the space, then run it again"
}

# Without what opens this platform: passwords of database, storage and cache. `secret` and `passwordSalt` go along:
# without them, app passwords and what Nextcloud itself encrypted are of no use to whoever takes the space elsewhere.
write_settings() {
  jq -S 'del(.database.password, .s3.secret, .redis)' <<<"$SPACE" >"$HERE/space.json"
}

write_manifest() {
  local objects=$HERE/objects.tsv
  find "$HERE" -name 'objects-*.tsv' -print0 | sort -z | xargs -0r cat |
    awk -v held="$HERE/held" 'BEGIN { while ((getline line < held) > 0) { split(line, word, " "); wanted[word[1]] = 1 } }
      $1 in wanted { last[$1] = $0 } END { for (key in last) print last[key] }' | sort >"$HERE/objects"
  { cut -d' ' -f1,4 "$HERE/objects" | awk '{ print $2 "  objects/" $1 }'
    (cd "$HERE" && sha256sum database.dump files.tsv space.json); } >"$HERE/SHA256SUMS"
  mv "$HERE/objects" "$objects"
  for file in database.dump files.tsv space.json objects.tsv SHA256SUMS; do archive_put "$HERE/$file" "$ID/$NAME/$file"; done
  jq -nS --arg id "$ID" --arg name "$ID/$NAME" --arg at "$(date -u +%FT%TZ)" --arg version "${VERSION:-$RELEASE.0}" --arg bucket "$BUCKET" \
    --argjson instance "$(jq '.nextcloud.instanceId // ""' <<<"$SPACE")" \
    --argjson objects "$(wc -l <"$objects")" --argjson bytes "$(awk '{ sum += $2 } END { print sum + 0 }' "$objects")" \
    --argjson files "$(wc -l <"$HERE/files.tsv")" \
    --rawfile rows "$HERE/rows" --rawfile sums "$HERE/SHA256SUMS" --arg sums_sum "$(sha256sum <"$HERE/SHA256SUMS" | cut -d' ' -f1)" \
    --arg list_sum "$(sha256sum <"$objects" | cut -d' ' -f1)" --rawfile list "$objects" '
    { format: 1, id: $id, export: $name, at: $at, version: $version,
      release: ($version | split(".")[:3] | join(".")), instanceId: $instance, bucket: $bucket,
      files: $files, objects: $objects, bytes: $bytes,
      rows: ($rows | split("\n") | map(select(. != "") | split(" ") | { (.[0]): (.[1] | tonumber) }) | add // {}),
      sha256: (($sums | split("\n") | map(select(test("  (database.dump|files.tsv|space.json)$")) | split("  ") | { (.[1]): .[0] }) | add)
        + { "SHA256SUMS": $sums_sum, "objects.tsv": $list_sum }
        + ($list | split("\n") | map(select(. != "") | split(" ") | { (.[4]): .[5] }) | add // {})) }' >"$HERE/manifest.json"
  archive_put "$HERE/manifest.json" "$ID/$NAME/manifest.json"
}

# What is in the archive now, read back: every file with its checksum.
verify_archive() {
  local name sum
  jq -r '.sha256 | to_entries[] | "\(.value) \(.key)"' "$HERE/manifest.json" | while read -r sum name; do
    [ "$(archive_get "$ID/$NAME/$name" | sha256sum | cut -d' ' -f1)" = "$sum" ] ||
      fail "$name of the archive is not what was written; run it again"
  done
}

# Its database would be neither of the one release nor of the other.
refuse_half_upgraded() {
  local found
  found=$(sql -f - <<'SQL'
SELECT to_regclass('public.framaspace') IS NOT NULL AS ours \gset
\if :ours
SELECT 'found' FROM framaspace WHERE key = 'upgrade';
\endif
SQL
  ) || fail "its role cannot use its database; look at the primary (psql service=framaspace), then run it again"
  [ -z "$found" ] ||
    fail "an upgrade of it was cut off. Run up for its stack, with state: active or suspended, which undoes the upgrade and begins again; then run this again"
}

CLOSED=
reopen() {
  if [ -n "$CLOSED" ]; then CLOSED=; open_space; else open_database; fi
}
trap reopen EXIT

[ $# -ge 1 ] && [[ $1 =~ ^[a-z][a-z0-9-]{2,31}$ ]] || { echo "export-space ID" >&2; exit 1; }
[ -f "$SPACES/$1/config/space.json" ] || { echo "there is no space \"$1\" on this machine (ls $SPACES)" >&2; exit 1; }
read_space <"$SPACES/$1/config/space.json"
[ "${2:-}" = --locked ] || lock_space
STEP='export'
refuse_cut_off export-space
begin
STEP=files
fetch_lists
copy_objects
STEP=database && refuse_half_upgraded
if [ "$STATE" = active ]; then
  STEP=closing
  CLOSED=1
  close_space
else
  # An upload may still be under way from before visitors were shut out.
  wait_for_cron
  shut_database
fi
STEP='files again' && copy_objects
STEP=database && dump
reopen
STEP=verification
verify_database
verify_files
STEP=manifest
write_settings
write_manifest
verify_archive || exit 1

jq -c '{id, export, at, release, files, objects, bytes, tables: (.rows | length), where: $where}' \
  --arg where "$([ -n "$STORAGE" ] && echo 'object storage, bucket archive' || echo "ops-1:$ARCHIVE_FOLDER, because this environment has no object storage")" \
  "$HERE/manifest.json" >"$EXPORTS/.new.$ID"
mv "$EXPORTS/.new.$ID" "$EXPORTS/$ID"
rm -rf "${WORK:?}/$ID"
# Folders that other runs began and nobody will finish.
for other in $(archive_list "$ID/" | cut -d' ' -f2- | cut -d/ -f1 | sort -u); do
  finished_exports "$ID" | grep -qxF "$other" || archive_remove "$ID/$other/"
done
cat "$EXPORTS/$ID"
