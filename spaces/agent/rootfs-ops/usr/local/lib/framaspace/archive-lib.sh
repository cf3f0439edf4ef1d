# shellcheck shell=bash source=space-lib.sh
# What export-space, restore-space and archive-space share: where exports are, and what a database and a bucket hold. An
# export is a folder <id>/<time> of the archive. Its manifest.json is written last: a folder without one is no export.
. /usr/local/lib/framaspace/space-lib.sh
# psql and mc find the administrators' credentials in root's home.
# shellcheck disable=SC2031 # occ has a HOME of its own, in a subshell.
export HOME=/root MC_CONFIG_DIR=/root/.mc

# The archive is a bucket if the environment has object storage, else a folder of this machine.
ARCHIVE_BUCKET=serving/archive
ARCHIVE_FOLDER=/srv/archive
# What each program is working on: one folder for each space, removed when it is done.
WORK=/var/lib/framaspace/work
# id → the space's last export, as export-space printed it.
# shellcheck disable=SC2034 # The programs use it.
EXPORTS=/var/lib/framaspace/exports
# id → how far the archiving of the space is. archive-space writes it.
# shellcheck disable=SC2034 # The programs use it.
ARCHIVED=/var/lib/framaspace/archived

if [ "$(jq 'has("s3")' /etc/framaspace/platform.json)" = true ]; then STORAGE=1; else STORAGE=; fi

# storage_fails SAID: fails with mc's own words, and says what to do.
storage_fails() {
  local cause
  cause=$(jq -rR 'fromjson? | .error | select(.) | .cause.message? // .message' <<<"$1" | head -n 1)
  fail "object storage: ${cause:-$(tail -n 1 <<<"$1")}; is it up (mc ready serving, mc admin info serving)? Nothing is lost; run it again once it is"
}

# storage WORD…: runs mc, and fails if mc does.
storage() {
  local said
  said=$(mc --json "$@" 2>&1) || storage_fails "$said"
}

# list_storage WORD… PATH: prints "key size etag" of each file there.
list_storage() {
  local found
  found=$(mc ls --json --recursive "$@" 2>&1) || storage_fails "$found"
  jq -r 'select(.type == "file") | [.key, (.size | tostring), .etag] | join(" ")' <<<"$found"
}

archive_put() { # FILE NAME
  if [ -n "$STORAGE" ]; then storage cp --quiet "$1" "$ARCHIVE_BUCKET/$2"; return; fi
  mkdir -p "$(dirname "$ARCHIVE_FOLDER/$2")"
  cp "$1" "$ARCHIVE_FOLDER/$2.new" && sync "$ARCHIVE_FOLDER/$2.new" && mv "$ARCHIVE_FOLDER/$2.new" "$ARCHIVE_FOLDER/$2"
}

archive_put_stream() { # NAME <CONTENT
  if [ -n "$STORAGE" ]; then
    local said
    said=$(mc pipe --json "$ARCHIVE_BUCKET/$1" 2>&1) || storage_fails "$said"
  else
    mkdir -p "$(dirname "$ARCHIVE_FOLDER/$1")"
    cat >"$ARCHIVE_FOLDER/$1.new" && sync "$ARCHIVE_FOLDER/$1.new" && mv "$ARCHIVE_FOLDER/$1.new" "$ARCHIVE_FOLDER/$1"
  fi
}

archive_get() { # NAME: to standard output
  if [ -n "$STORAGE" ]; then mc cat --quiet "$ARCHIVE_BUCKET/$1"; else cat "$ARCHIVE_FOLDER/$1"; fi
}

archive_list() { # PREFIX/: "size name" of what is under it, the prefix left out
  if [ -n "$STORAGE" ]; then
    list_storage "$ARCHIVE_BUCKET/$1" | awk '{ print $2, $1 }'
  elif [ -d "$ARCHIVE_FOLDER/$1" ]; then
    (cd "$ARCHIVE_FOLDER/$1" && find . -type f ! -name '*.new' -printf '%s %P\n')
  fi
}

archive_remove() { # PREFIX/
  if [ -n "$STORAGE" ]; then
    mc rm --quiet --recursive --force --versions "$ARCHIVE_BUCKET/$1" >/dev/null
  else
    rm -rf "${ARCHIVE_FOLDER:?}/${1:?}"
  fi
}

# finished_exports ID: prints the names of the space's complete exports, oldest first.
finished_exports() { archive_list "$1/" | sed -n 's,^[0-9]* \(.*\)/manifest\.json$,\1,p' | sort; }

# need_room BYTES: fails before the disk of this machine is full.
need_room() {
  local free
  mkdir -p "$WORK"
  free=$(df --output=avail -B1 "$WORK" | tail -n 1)
  # 256 MB stay free for everything else that this machine does.
  [ "$free" -ge $(($1 + 268435456)) ] ||
    fail "ops-1 has $((free >> 20)) MB free under $WORK, and $((($1 + 268435456) >> 20)) MB are needed; make room (du -xh /var --threshold=500M) or give ops-1 a larger type, then run it again. Nothing was changed"
}

# bucket_objects: prints "key size etag" of the space's bucket, but for keys not of Nextcloud's, which nobody uses.
bucket_objects() {
  [ -n "$BUCKET" ] && [ -n "$STORAGE" ] || return 0
  list_storage "serving/$BUCKET" | { grep -E '^urn:oid:[0-9]+ ' || true; } | sort
}

# count_rows [PSQL…]: prints "table rows" of every table. Without words, it asks the space's database.
count_rows() {
  [ $# -gt 0 ] || set -- sql
  "$@" -F ' ' <<'SQL'
SELECT format('SELECT %L, count(*) FROM public.%I', relname, relname) FROM pg_class
 WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY relname COLLATE "C" \gexec
SQL
}

# has_nextcloud: whether the database is one of Nextcloud's.
has_nextcloud() { [ "$(sql -c "SELECT to_regclass('public.oc_filecache') IS NOT NULL")" = t ]; }

# list_files: the files, not directories, that Nextcloud knows: fileid, size, storage, path, time. Escaped as by COPY.
list_files() {
  if has_nextcloud; then sql -c "COPY (
    SELECT f.fileid, f.size, s.id, f.path, f.mtime FROM oc_filecache f
      JOIN $(</usr/local/lib/framaspace/storages.sql) s ON s.numeric_id = f.storage JOIN oc_mimetypes m ON m.id = f.mimetype
     WHERE m.mimetype <> 'httpd/unix-directory' ORDER BY f.fileid) TO STDOUT"; fi
}

# empty_bucket: deletes every file in it. Old versions stay, so that the space can go back to an earlier moment.
empty_bucket() {
  local found
  [ -n "$BUCKET" ] && [ -n "$STORAGE" ] || return 0
  found=$(list_storage "serving/$BUCKET") || exit 1
  [ -z "$found" ] || storage rm --recursive --force "serving/$BUCKET/"
}

# destroy_bucket: deletes every file in it with all old versions. Only an archived space may lose those.
destroy_bucket() {
  local found
  [ -n "$BUCKET" ] && [ -n "$STORAGE" ] || return 0
  [ "$STATE" = archived ] || fail "its state is $STATE, so old versions of its files stay"
  found=$(list_storage --versions "serving/$BUCKET") || exit 1
  [ -z "$found" ] || storage rm --recursive --force --versions "serving/$BUCKET/"
}
