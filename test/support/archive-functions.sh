# shellcheck shell=bash
# What suites ask ops-1 about a space's bucket, its database and the archive. Sourced after space-functions.sh:
# BUCKET is the space's bucket, empty in an environment without object storage. Nothing of ops-1's own programs is used
# here, so that a suite sees what they left.
has_storage() { [ "$(jq 'has("s3")' /etc/framaspace/platform.json)" = true ]; }

storage() { mc --json "$@" >/dev/null; }

# bucket_objects: prints "key size etag" of each file of Nextcloud's in the bucket.
bucket_objects() {
  [ -n "$BUCKET" ] || return 0
  mc ls --json --recursive "serving/$BUCKET" |
    jq -r 'select(.type == "file") | "\(.key) \(.size) \(.etag)"' | { grep -E '^urn:oid:[0-9]+ ' || true; } | sort
}

empty_bucket() { [ -z "$(bucket_objects)" ] || storage rm --recursive --force "serving/$BUCKET/"; }

# count_rows: prints "table rows" of each table of the space.
count_rows() {
  sql -F ' ' <<'SQL'
SELECT format('SELECT %L, count(*) FROM public.%I', relname, relname) FROM pg_class
 WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY relname COLLATE "C" \gexec
SQL
}

# archive_list FOLDER/: prints "size name" of what is in it.
archive_list() {
  if has_storage; then
    mc ls --json --recursive "serving/archive/$1" | jq -r 'select(.type == "file") | "\(.size) \(.key)"'
  elif [ -d "/srv/archive/$1" ]; then
    (cd "/srv/archive/$1" && find . -type f ! -name '.new.*' -printf '%s %P\n')
  fi
}

archive_get() { if has_storage; then mc cat --quiet "serving/archive/$1"; else cat "/srv/archive/$1"; fi; }

# finished_exports ID: prints the times of its complete exports, oldest first.
finished_exports() { archive_list "$1/" | sed -n 's,^[0-9]* \(.*\)/manifest\.json$,\1,p' | sort; }
