#!/bin/bash
# converge-space: reads one wanted space as JSON from standard input, compares it with what is there, does what is
# missing, and prints the result as one line of JSON. Run twice, it does nothing the second time; killed anywhere, the
# next run finishes. Each step is a function that can be run again.
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C.UTF-8
umask 027

SPACES=/srv/spaces
RELEASES=/srv/releases
# Spaces whose directory changed here and may not have reached every web server.
UNDISTRIBUTED=/var/lib/framaspace/undistributed
CA=/usr/local/share/ca-certificates/framaspace.crt
# Itself, without Debian's wrapper in Perl, which takes longer than the query.
PSQL=/usr/lib/postgresql/17/bin/psql
CHANGED=()
STEP=reading

fail() {
  echo "space ${ID:-?}, $STEP: $*" >&2
  exit 1
}
trap 'echo "space ${ID:-?}, $STEP: line $LINENO failed; run up again" >&2' ERR

note() { CHANGED+=("$1"); }

# Called before anything changes: a run that is killed is distributed by the next one, and what does not work is not
# written, because the timer would carry it to the web servers.
touches() {
  end_database_check
  [ -e "$UNDISTRIBUTED/$ID" ] || : >"$UNDISTRIBUTED/$ID"
}

read_wanted() {
  local fields
  fields=$(jq -rcS --slurpfile platform /etc/framaspace/platform.json \
    '., .id, .host, .state, .release, .database.name, .database.user, .database.password, $platform[0].database.hosts') ||
    fail "standard input is no JSON"
  { read -r WANTED; read -r ID; read -r HOST; read -r STATE; read -r RELEASE; read -r DATABASE; read -r DBUSER
    read -r DBPASSWORD; read -r DBHOSTS; } <<<"$fields"
  # It becomes a path: never trust that whoever called has checked it.
  [[ $ID =~ ^[a-z][a-z0-9-]{2,31}$ ]] || fail "this is no id"
  [[ $RELEASE =~ ^[0-9]+(\.[0-9]+){2}$ ]] || fail "\"$RELEASE\" is no release"
  [[ $STATE =~ ^(active|suspended|archived)$ ]] || fail "\"$STATE\" is no state"
  DIRECTORY=$SPACES/$ID
}

lock() {
  mkdir -p /run/framaspace "$UNDISTRIBUTED"
  exec 9>"/run/framaspace/space-$ID.lock"
  flock --timeout 600 9 || fail "another run has been at it for ten minutes (fuser -v /run/framaspace/space-$ID.lock)"
}

check_release() {
  [ -f "$RELEASES/$RELEASE/index.php" ] ||
    fail "release $RELEASE is not on this machine; run up for the platform, then again"
}

# In the background: it takes longer than comparing all files, and asking the web servers.
start_database_check() {
  [ "$STATE" = active ] || return 0
  check_database &
  CHECK=$!
}

end_database_check() {
  [ -z "$CHECK" ] || wait "$CHECK" || exit 1
  CHECK=
}

check_database() {
  # libpq knows no digest for the Ed25519 signatures of our certificates, so no channel binding.
  PGPASSWORD=$DBPASSWORD PGTARGETSESSIONATTRS=read-write PGCONNECT_TIMEOUT=5 \
    PGSSLMODE=verify-full PGSSLROOTCERT=$CA PGCHANNELBINDING=disable \
    "$PSQL" -XAtq -h "$DBHOSTS" -U "$DBUSER" -d "$DATABASE" -c 'SELECT 1' >/dev/null ||
    fail "its role cannot use its database; look at the primary (psql service=framaspace), then run up again"
}

# put PATH MODE GROUP_OWNER CONTENT: makes a file of the space equal to the content, atomically.
put() {
  local path=$DIRECTORY/$1 mode=$2 owner=$3 content=$4 new
  if [ -f "$path" ] && [ "$(<"$path")" = "$content" ]; then return; fi
  touches
  new=$DIRECTORY/.new.${1//\//.}
  rm -f "$new"
  (umask 077 && printf '%s\n' "$content" >"$new")
  chown "$owner" "$new"
  chmod "$mode" "$new"
  mv "$new" "$path"
  note "$1"
}

drop() {
  [ -e "$DIRECTORY/$1" ] || return 0
  touches
  rm "$DIRECTORY/$1"
  note "no $1"
}

# A new directory appears whole: nginx would serve half of one.
make_directory() {
  [ ! -d "$DIRECTORY" ] || return 0
  local final=$DIRECTORY
  DIRECTORY=$SPACES/.new.$ID
  rm -rf "$DIRECTORY"
  install -d -m 0750 -o root -g www-data "$DIRECTORY" "$DIRECTORY/config"
  install -d -m 0700 -o www-data -g www-data "$DIRECTORY/data" "$DIRECTORY/tmp"
  put data/.ncdata 0640 www-data:www-data '# Nextcloud data directory'
  write_files
  # Not before everything in it is on disk: after a power loss a directory must not be there without its files.
  sync -f "$DIRECTORY"
  mv -T "$DIRECTORY" "$final"
  DIRECTORY=$final
  CHANGED=(directory)
}

write_files() {
  put config/space.json 0640 root:www-data "$WANTED"
  # Nextcloud's command line refuses a file that is not its user's own.
  put config/config.php 0440 www-data:www-data "<?php \$CONFIG = (require '/usr/local/share/framaspace/config.php')(__DIR__);"
  set_release
}

# One symbolic link decides which release answers, on every web server, at the next request.
set_release() {
  local target=$RELEASES/$RELEASE
  [ "$(readlink "$DIRECTORY/release" || true)" != "$target" ] || return 0
  touches
  ln -s "$target" "$DIRECTORY/.new.release"
  mv -T "$DIRECTORY/.new.release" "$DIRECTORY/release"
  note "release $RELEASE"
}

# Whether visitors get in: nginx looks for these files at each request.
set_state() {
  case $STATE in
    active) drop suspended; drop archived ;;
    suspended) put suspended 0640 root:www-data ''; drop archived ;;
    archived) put archived 0640 root:www-data ''; drop suspended ;;
  esac
}

# ask_pages: prints "<web server> <status>" for those that do not answer as they should; those that are known to be
# away are not asked.
ask_pages() {
  local expected=200 requests=() web url status
  [ "$STATE" != suspended ] || expected=503
  [ "$STATE" != archived ] || expected=410
  while read -r web; do
    if [ -e "/run/framaspace/away/$web" ]; then echo "$web away"; else requests+=(-o /dev/null "http://$web/status.php"); fi
  done </etc/framaspace/web-servers
  [ "${#requests[@]}" -gt 0 ] || return 0
  { curl -sZ --connect-timeout 2 --max-time 20 -H "Host: $HOST" -w '%{url} %{http_code}\n' "${requests[@]}" || true; } |
    while read -r url status; do
      web=${url#http://}
      [ "$status" = "$expected" ] || echo "${web%%/*} $status"
    done
}

distribute() {
  if distribute-spaces "$ID" 9>&- >/dev/null; then rm -f "$UNDISTRIBUTED/$ID"; fi
}

# What is wrong on a web server may be that its copy is missing; so push once more before it counts. A web server that
# does not answer gets its copy from the timer as soon as it does, so the space is served while another one answers.
serve() {
  local wrong
  [ ! -e "$UNDISTRIBUTED/$ID" ] || distribute
  wrong=$(ask_pages)
  end_database_check
  if grep -qv ' away$' <<<"$wrong" && [ -n "$wrong" ]; then
    distribute
    wrong=$(ask_pages)
  fi
  [ -n "$wrong" ] || return 0
  PENDING=$(cut -d' ' -f1 <<<"$wrong")
  echo "space $ID: not served by ${wrong//$'\n'/, }; tried again twice a minute (systemctl status distribute-spaces)" >&2
  [ "$(wc -w <<<"$PENDING")" -lt "$(wc -l </etc/framaspace/web-servers)" ] || fail "no web server answers as it should"
}

PENDING=
CHECK=
read_wanted
lock
STEP=release && check_release
STEP=database && start_database_check
STEP=directory && make_directory
write_files
STEP=state && set_state
STEP='web servers' && serve

jq -cn --arg id "$ID" --arg state "$STATE" --arg release "$RELEASE" --arg url "https://$HOST/" --arg pending "$PENDING" \
  '{$id, $state, $release, $url, pending: ($pending | split("\n") | map(select(. != ""))), changed: $ARGS.positional}' \
  --args -- "${CHANGED[@]}"
