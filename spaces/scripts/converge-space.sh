#!/bin/bash
# converge-space: reads one wanted space as JSON from standard input, compares it with what is there, does what is
# missing, and prints the result as one line of JSON. Run twice, it does nothing the second time; killed anywhere, the
# next run finishes. Each step is a function that can be run again.
# shellcheck source-path=SCRIPTDIR source=space-lib.sh
. /usr/local/lib/framaspace/space-lib.sh

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

# What does not work is not written, because the timer would carry it to the web servers.
touches() {
  end_database_check
  [ -e "$UNDISTRIBUTED/$ID" ] || : >"$UNDISTRIBUTED/$ID"
}

end_database_check() {
  [ -z "$CHECK" ] || wait "$CHECK" || exit 1
  CHECK=
}

check_database() {
  sql -c 'SELECT 1' >/dev/null ||
    fail "its role cannot use its database; look at the primary (psql service=framaspace), then run up again"
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
  put config/space.json 0640 root:www-data "$SPACE"
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

# What is wrong on a web server may be that its copy is missing; so push once more before it counts. A web server that
# does not answer gets its copy from the timer as soon as it does, so the space is served while another one answers.
serve() {
  local expected=200 wrong
  [ "$STATE" != suspended ] || expected=503
  [ "$STATE" != archived ] || expected=410
  [ ! -e "$UNDISTRIBUTED/$ID" ] || distribute
  wrong=$(ask_pages "$expected")
  end_database_check
  if grep -qv ' away$' <<<"$wrong" && [ -n "$wrong" ]; then
    distribute
    wrong=$(ask_pages "$expected")
  fi
  [ -n "$wrong" ] || return 0
  PENDING=$(cut -d' ' -f1 <<<"$wrong")
  echo "space $ID: not served by ${wrong//$'\n'/, }; tried again twice a minute (systemctl status distribute-spaces)" >&2
  [ "$(wc -w <<<"$PENDING")" -lt "$(wc -l </etc/framaspace/web-servers)" ] || fail "no web server answers as it should"
}

PENDING=
CHECK=
read_space
lock_space
STEP=release && check_release
STEP=database && start_database_check
STEP=redis && SPACE=$(redis-users "$ID" <<<"$SPACE" 9>&-)
STEP=directory && make_directory
write_files
STEP=state && set_state
STEP='web servers' && serve

jq -cn --arg id "$ID" --arg state "$STATE" --arg release "$RELEASE" --arg url "https://$HOST/" --arg pending "$PENDING" \
  '{$id, $state, $release, $url, pending: ($pending | split("\n") | map(select(. != ""))), changed: $ARGS.positional}' \
  --args -- "${CHANGED[@]}"
