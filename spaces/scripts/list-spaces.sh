#!/bin/bash
# list-spaces [--fresh] [ID…]: one line of JSON for each space: state, release, accounts, bytes of files, last activity,
# last export, what is not done yet of what is wanted. Accounts, bytes and activity are asked from the databases, at most an
# hour ago for all spaces (a survey of thousands takes a minute), right now for those that are named. It only reads.
# shellcheck source-path=SCRIPTDIR source=archive-lib.sh
. /usr/local/lib/framaspace/archive-lib.sh

SURVEY=/var/lib/framaspace/survey
# Databases asked at once: well below what the server's connections leave for the spaces.
WORKERS=8

FACTS="SELECT json_build_object('id', current_database(),
  'accounts', (SELECT count(*) FROM oc_users),
  'bytes', (SELECT coalesce(sum(f.size), 0) FROM oc_filecache f JOIN oc_storages s ON s.numeric_id = f.storage
              JOIN oc_mimetypes m ON m.id = f.mimetype
             WHERE s.id LIKE 'object::%' AND m.mimetype <> 'httpd/unix-directory' AND f.size > 0),
  'lastActivity', (SELECT to_char(to_timestamp(max(last_activity)) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM oc_authtoken));"

# ask: reads databases' names and prints what each says, by one psql that goes from one to the next; a database that has
# no Nextcloud says nothing.
ask() {
  while read -r database; do
    printf '\\connect "%s"\n' "$database"
    printf "SELECT to_regclass('public.oc_filecache') IS NOT NULL AS nextcloud \\\\gset\n\\\\if :nextcloud\n%s\n\\\\endif\n" "$FACTS"
  done | "$PGBIN/psql" -XAtq -d "service=framaspace dbname=postgres" -v ON_ERROR_STOP=1
}

# survey ID…: of those that have a database: a connection that is refused would end the psql that asks.
survey() {
  local there
  there=$(admin_psql postgres -c "SELECT datname FROM pg_database") ||
    fail "the databases do not answer; look at the primary (psql service=framaspace)"
  comm -12 <(printf '%s\n' "$@" | sort) <(sort <<<"$there") | split --number=r/$WORKERS - "$TEMPORARY/names."
  for names in "$TEMPORARY"/names.*; do
    ask <"$names" >"$names.facts" &
  done
  wait
  cat "$TEMPORARY"/names.*.facts
}

TEMPORARY=$(mktemp -d)
trap 'rm -rf "$TEMPORARY"' EXIT
FRESH=
if [ "${1:-}" = --fresh ]; then FRESH=1; shift; fi
mkdir -p "$WANTED" "$UNFINISHED"
# What is only wanted so far is listed, too.
mapfile -t ids < <({
  find "$SPACES" -mindepth 3 -maxdepth 3 -path '*/config/space.json' ! -path '*/.new.*' -printf '%P\n' | cut -d/ -f1
  find "$WANTED" -type f ! -name '.*' -printf '%f\n'
} | sort -u)
known() { if [ -f "$SPACES/$1/config/space.json" ]; then echo "$SPACES/$1/config/space.json"; else echo "$WANTED/$1"; fi; }
if [ $# -gt 0 ]; then
  for id; do
    [ -f "$(known "$id")" ] || { echo "there is no space \"$id\" on this machine; has its stack been brought up?" >&2; exit 1; }
  done
  ids=("$@")
  survey "${ids[@]}" >"$TEMPORARY/facts"
else
  [ "${#ids[@]}" -gt 0 ] || exit 0
  if [ -n "$FRESH" ] || [ ! -e "$SURVEY" ] || [ -n "$(find "$SURVEY" -mmin +60)" ] || [ "${#ids[@]}" -le 100 ]; then
    survey "${ids[@]}" >"$TEMPORARY/facts"
    cp "$TEMPORARY/facts" "$SURVEY.new"
    mv "$SURVEY.new" "$SURVEY"
  else
    cp "$SURVEY" "$TEMPORARY/facts"
  fi
fi

for id in "${ids[@]}"; do
  flags=
  for flag in maintenance suspended archived; do [ ! -e "$SPACES/$id/$flag" ] || flags+=" $flag"; done
  printf '{"id":"%s","flags":"%s"}\n' "$id" "${flags# }"
done >"$TEMPORARY/flags"
mkdir -p "$EXPORTS" "$ARCHIVED"
# jq reads all files in one go; what a space is opened with is not among what it prints.
for id in "${ids[@]}"; do known "$id"; done | xargs jq -c '{id, name, host, state, release: (.version // .release | split(".")[:3] | join(".")), reason, since, limits}' |
  jq -cn --slurpfile flags "$TEMPORARY/flags" --slurpfile facts "$TEMPORARY/facts" \
    --slurpfile exports <(find "$EXPORTS" -type f ! -name '.*' -exec cat {} +) \
    --slurpfile unfinished <(find "$UNFINISHED" -type f ! -name '.*' -printf '%f ' -exec cat {} \; | jq -Rc 'split(" ") | {id: .[0], why: (.[1:] | join(" "))}') \
    --slurpfile archived <(find "$ARCHIVED" -type f ! -name '.*' -printf '%f ' -exec cat {} \; | jq -Rc 'split(" ") | {id: .[0]} + (.[1:] | join(" ") | fromjson)') '
    def by_id: map({ (.id): . }) | add // {};
    ($flags | by_id) as $flags | ($facts | by_id) as $facts | ($exports | by_id) as $exports | ($archived | by_id) as $archived | ($unfinished | by_id) as $unfinished
    | inputs | . + { flags: ($flags[.id].flags // ""), accounts: $facts[.id].accounts, bytes: $facts[.id].bytes,
        lastActivity: $facts[.id].lastActivity, lastExport: ($exports[.id] | if . then { export, at, objects, bytes } else null end),
        archived: ($archived[.id] | if . then del(.id) else null end), unfinished: $unfinished[.id].why }'
