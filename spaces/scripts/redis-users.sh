#!/bin/bash
# Gives each space its own user in Redis: the keys under its prefix, in a database that nobody else may select.
#   redis-users ID <SPACE    makes the user of one space, and prints the space's JSON with the number of its database
#   redis-users              makes those that Redis does not know (it was replaced), or all where the rules changed
#   redis-users --remove ID  removes the user and what it kept
# Run twice, it does nothing the second time. What each user was made of stands in $RECORDS, without any password.
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C.UTF-8
umask 077

RECORDS=/var/lib/framaspace/redis
RULES=/etc/framaspace/redis
PLATFORM=/etc/framaspace/platform.json

fail() {
  echo "Redis: $*" >&2
  exit 1
}

# as USER PASSWORD WORD…: what Redis answers. A refusal is an answer too: see to what is said.
as() {
  local user=$1 password=$2
  shift 2
  REDISCLI_AUTH=$password redis-cli -h "$HOST" -p "$PORT" -t 5 --no-auth-warning --user "$user" "$@" 2>&1
}
admin() {
  local answer
  answer=$(as admin "$(<"$RULES/admin")" "$@") || fail "$HOST does not answer: $answer; look there (journalctl -u redis-server), then run again"
  [[ $answer != *WRONGPASS* && $answer != *NOAUTH* ]] || fail "$HOST takes another password than $RULES/admin; run up for the platform, then again"
  echo "$answer"
}

# Reads commands, one a line, each of which has to succeed; then Redis writes its list of users.
apply() {
  local answers
  answers=$(admin <<<"$(cat)"$'\nACL SAVE')
  ! grep -qvE '^(OK|[0-9]+)?$' <<<"$answers" || fail "$(grep -vE '^(OK|[0-9]+)?$' <<<"$answers" | head -n 1)"
}

# The command that makes the user of a record: NUMBER HASH PATTERN….
setuser() {
  local id=$1 number hash patterns
  read -r number hash patterns <"$RECORDS/$id"
  echo "ACL SETUSER $id reset on $hash $patterns $(<"$RULES/commands") +select|$number"
}

# The number that Redis knows for the space, or the lowest that nobody has.
choose_number() {
  local users used
  users=$(admin ACL LIST)
  used=$(
    grep -oP "^user $1 .*\+select\|\K\d+" <<<"$users" || true
    { grep -oP '\+select\|\K\d+' <<<"$users" || true; find "$RECORDS" -type f ! -name '.*' -exec cut -d' ' -f1 {} +; } |
      sort -nu | awk -v lowest=1 '$1 == lowest { lowest++ } END { print lowest }'
  )
  head -n 1 <<<"$used"
}

# Older releases make up the prefix of their cache and locks themselves (memcache_customprefix is of 33.0.1).
has_prefix() {
  local major minor patch
  IFS=. read -r major minor patch _ <<<"$1"
  ((major > 33 || (major == 33 && (minor > 0 || patch > 0))))
}

one() {
  local id=$1 space fields user password prefix release running number patterns record
  space=$(cat)
  fields=$(jq -r '.redis.user, .redis.password, .redis.prefix, .release' <<<"$space")
  { read -r user; read -r password; read -r prefix; read -r release; } <<<"$fields"
  [ "$user" = "$id" ] || fail "space $id: redis.user is \"$user\"; it must be the id"
  patterns="~$prefix*"
  # Until the release that runs is a newer one too, the database alone keeps such a space apart.
  running=$(readlink "/srv/spaces/$id/release" || true)
  for release in "$release" "${running##*/}"; do
    [ -z "$release" ] || has_prefix "$release" || patterns="~*"
  done
  if [ -e "$RECORDS/$id" ]; then read -r number _ <"$RECORDS/$id"; else number=$(choose_number "$id"); fi
  [ "$number" -lt "$(<"$RULES/databases")" ] || fail "space $id: all $(<"$RULES/databases") databases are taken; raise their number in infra/redis.ts"
  record="$number #$(printf %s "$password" | sha256sum | cut -d' ' -f1) $patterns"
  if [ "$(cat "$RECORDS/$id" 2>/dev/null)" != "$record" ] || [ "$(as "$id" "$password" SELECT "$number")" != OK ]; then
    echo "$record" >"$RECORDS/.new.$id"
    mv "$RECORDS/.new.$id" "$RECORDS/$id"
    setuser "$id" | apply
  fi
  jq -cS --argjson number "$number" '.redis.database = $number' <<<"$space"
}

all() {
  local known missing
  if cmp -s "$RULES/commands" "$RECORDS/.commands"; then known=$(admin ACL USERS); else known=; fi
  missing=$(comm -23 <(find "$RECORDS" -type f ! -name '.*' -printf '%f\n' | sort) <(sort <<<"$known"))
  [ -z "$missing" ] || while read -r id; do setuser "$id"; done <<<"$missing" | apply
  cp "$RULES/commands" "$RECORDS/.commands"
}

remove() {
  local id=$1 number
  [ -e "$RECORDS/$id" ] || return 0
  read -r number _ <"$RECORDS/$id"
  apply <<<"SELECT $number
FLUSHDB ASYNC
ACL DELUSER $id"
  rm -f "$RECORDS/$id"
}

mkdir -p "$RECORDS" /run/framaspace
{ read -r HOST; read -r PORT; } < <(jq -r '.redis.host, .redis.port' "$PLATFORM")
exec 7>/run/framaspace/redis-users.lock
flock --timeout 60 7 || fail "another redis-users has been at it for a minute (fuser -v /run/framaspace/redis-users.lock)"
case ${1:-} in
  '') all ;;
  --remove) remove "$2" ;;
  *) one "$1" ;;
esac
