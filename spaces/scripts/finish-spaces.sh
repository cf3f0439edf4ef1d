#!/bin/bash
# finish-spaces: what is wanted of spaces and not there yet comes true without anybody typing it again. What is wanted is
# kept on this machine, and, because this machine can be lost with all web servers, in PostgreSQL, encrypted.
#   finish-spaces                brings both to the same, then runs converge-space for what is unfinished and due; by a timer
#   finish-spaces --all          the same, due or not
#   finish-spaces --keep ID      keeps what is wanted of a space, given as JSON on standard input
#   finish-spaces --forget ID    forgets a space
#   finish-spaces --fetch        only brings both to the same, and fails where that cannot be
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C.UTF-8 HOME=/root PGOPTIONS='-c client_min_messages=warning'
umask 077

SPACES=/srv/spaces
# id → what is wanted of it.
WANTED=/var/lib/framaspace/wanted
# id → why it is not done. converge-space writes it before it begins anything, and removes it when all is done.
UNFINISHED=/var/lib/framaspace/unfinished
# Spaces that were closed when a former ops-1 was lost, which knew why: people have to look.
CLOSED=/var/lib/framaspace/closed
# id → how often it was tried; its time is when it was last.
TRIES=/run/framaspace/tries
# What is not well with the keeping itself, for platform-health.
PROBLEMS=/var/lib/framaspace/wanted-problems
# Not in PostgreSQL, so that whoever gets into a database server does not get into the spaces' files.
KEY=/etc/framaspace/wanted/key
PGBIN=/usr/lib/postgresql/17/bin
WORKERS=4
# Seconds from one try to the next: doubled each time, up to an hour.
SOONEST=60
LATEST=3600

fail() {
  echo "finish-spaces: $*" >&2
  exit 1
}
ids_in() { find "$1" -mindepth 1 -maxdepth 1 -type f ! -name '.*' -printf '%f\n' | sort; }

# The administrators' own schema; no space reaches the database postgres.
admin() { "$PGBIN/psql" -XAtq -F ' ' -v ON_ERROR_STOP=1 -d "service=framaspace dbname=postgres" "$@"; }
TABLE="CREATE TABLE IF NOT EXISTS framaspace.spaces (id text PRIMARY KEY, digest text NOT NULL, key text NOT NULL, sealed text NOT NULL)"
# Which key a row was sealed with: another generation of it seals all rows anew.
key_id() { sha256sum <"$KEY" | cut -c 1-16; }
# The key has 240 bits: deriving it slowly from what people could guess is for nothing.
sealing() { openssl enc "$@" -aes-256-cbc -pbkdf2 -iter 1 -base64 -A -pass "file:$KEY"; }

# store ID DIGEST FILE: this machine's word for a space, into PostgreSQL.
store() {
  local sealed
  sealed=$(sealing <"$3") || return
  admin -v id="$1" -v digest="$2" -v key="$(key_id)" -v sealed="$sealed" -f - <<SQL
$TABLE;
INSERT INTO framaspace.spaces VALUES (:'id', :'digest', :'key', :'sealed')
ON CONFLICT (id) DO UPDATE SET digest = excluded.digest, key = excluded.key, sealed = excluded.sealed;
SQL
}

# In PostgreSQL first: what this machine knows, and that does not, would be lost with it.
keep() {
  local id=$1 new=$WANTED/.new.$1
  cat >"$new"
  [ -s "$new" ] || fail "nothing to keep of $id on standard input"
  if cmp -s "$new" "$WANTED/$id"; then rm "$new"; return; fi
  store "$id" "$(sha256sum <"$new" | cut -d' ' -f1)" "$new" ||
    fail "what is wanted of $id cannot be kept in PostgreSQL; look at the primary (psql service=framaspace), then run up again"
  sync "$new"
  mv "$new" "$WANTED/$id"
}

forget() {
  admin -v id="$1" -f - <<SQL || fail "$1 cannot be forgotten: PostgreSQL does not answer (psql service=framaspace); run it again"
$TABLE;
DELETE FROM framaspace.spaces WHERE id = :'id';
SQL
  rm -f "$WANTED/$1" "$UNFINISHED/$1" "$CLOSED/$1" "$TRIES/$1"
}

# exchange: this machine's word counts; what it has no word of, it was lost with. Prints what is not well.
exchange() {
  local rows id digest key sealed
  declare -A there=()
  rows=$(admin -c "$TABLE" -c "SELECT id, digest, key FROM framaspace.spaces") ||
    { echo "spaces kept: what is wanted of them cannot be kept in PostgreSQL; psql service=framaspace"; return; }
  while read -r id digest key; do [ -z "$id" ] || there[$id]="$digest $key"; done <<<"$rows"
  key=$(key_id)
  while read -r digest id; do
    [ "${there[$id]-}" = "$digest $key" ] || store "$id" "$digest" "$WANTED/$id" || echo "spaces kept: that of $id is not in PostgreSQL"
    unset "there[$id]"
  done < <(cd "$WANTED" && ids_in . | xargs -r sha256sum | tr -s ' ')
  [ "${#there[@]}" -gt 0 ] || return 0
  admin -c "SELECT id, digest, sealed FROM framaspace.spaces WHERE id = ANY (string_to_array('${!there[*]}', ' '))" |
    while read -r id digest sealed; do
      if ! sealing -d <<<"$sealed" >"$WANTED/.new.$id" 2>/dev/null || [ "$(sha256sum <"$WANTED/.new.$id")" != "$digest  -" ]; then
        rm -f "$WANTED/.new.$id"
        echo "spaces kept: that of $id opens with another key than this machine has; write the former number of ops/wanted in framaspace:generations, and run up"
        continue
      fi
      echo "it is to be made again on this ops-1" >"$UNFINISHED/$id"
      mv "$WANTED/.new.$id" "$WANTED/$id"
    done
}

# lost: spaces that this machine has no directory of, or no record of their user in Redis, without which it could not make
# that user again.
find_lost() {
  local id
  while read -r id; do
    [ -e "$UNFINISHED/$id" ] || echo "its directory, or its user of Redis, is not known here" >"$UNFINISHED/$id"
  done < <(comm -23 <(ids_in "$WANTED") <(comm -12 <(ids_in /var/lib/framaspace/redis) \
    <(find "$SPACES" -mindepth 3 -maxdepth 3 -path '*/config/space.json' ! -path '*/.new.*' -printf '%P\n' | cut -d/ -f1 | sort)))
}

# is_due ID: by how often it was tried, and when.
is_due() {
  local tries=0 last wait=$SOONEST
  if [ -e "$TRIES/$1" ]; then read -r tries <"$TRIES/$1"; fi
  last=$(stat -c %Y "$TRIES/$1" 2>/dev/null || stat -c %Y "$UNFINISHED/$1")
  while [ "$tries" -gt 0 ] && [ "$wait" -lt "$LATEST" ]; do wait=$((wait * 2)) tries=$((tries - 1)); done
  [ $((EPOCHSECONDS - last)) -ge $((wait < LATEST ? wait : LATEST)) ]
}

# An upgrade that failed shuts visitors out each time that it is tried: people say when (docs/runbooks/failed-upgrade.md).
waits_for_people() {
  [ -e "$CLOSED/$1" ] || [ -e "/var/lib/framaspace/waves/$(jq -r '"\(.wave)/\(.release)/\(.id)"' "$WANTED/$1")" ]
}

try() {
  local id=$1 tries=0
  if [ -e "$TRIES/$id" ]; then read -r tries <"$TRIES/$id"; fi
  converge-space --again "$id" >/dev/null || true
  if [ -e "$UNFINISHED/$id" ]; then echo $((tries + 1)) >"$TRIES/$id"; else rm -f "$TRIES/$id"; fi
}

finish() {
  local id
  for id in $(ids_in "$UNFINISHED"); do
    [ -e "$WANTED/$id" ] || { rm -f "$UNFINISHED/$id"; continue; }
    if waits_for_people "$id" || { [ "$1" != --all ] && ! is_due "$id"; }; then continue; fi
    # Somebody is at work on it.
    flock --nonblock "/run/framaspace/space-$id.lock" true || continue
    while [ "$(jobs -rp | wc -l)" -ge "$WORKERS" ]; do wait -n || true; done
    try "$id" &
  done
  wait
}

mkdir -p "$WANTED" "$UNFINISHED" "$CLOSED" "$TRIES" /var/lib/framaspace/redis
case ${1:-} in
  --keep | --forget)
    [[ ${2:-} =~ ^[a-z][a-z0-9-]{2,31}$ ]] || fail "write finish-spaces $1 ID"
    "${1#--}" "$2"
    ;;
  '' | --all | --fetch)
    exec 9>/run/framaspace/finish-spaces.lock
    flock --timeout 600 9 || fail "another one has been at work for ten minutes (fuser -v /run/framaspace/finish-spaces.lock)"
    exchange | tee "$PROBLEMS.new" >&2
    mv "$PROBLEMS.new" "$PROBLEMS"
    exec 9>&-
    if [ "${1:-}" = --fetch ]; then
      [ ! -s "$PROBLEMS" ] || exit 1
      exit 0
    fi
    find_lost
    finish "${1:-}"
    ;;
  *) fail "it knows --all, --keep ID, --forget ID and --fetch" ;;
esac
