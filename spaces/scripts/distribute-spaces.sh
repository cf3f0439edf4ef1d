#!/bin/bash
# distribute-spaces [ID]: copies the directory of one space, or of all, to every web server, and prints the names of
# those that it did not reach. A timer runs it for all spaces, which brings a web server that was away, or is new, to
# what it missed. One that takes no connection is noted as away, and left to the timer, so that nobody else waits for it.
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C.UTF-8

RSYNC=(rsync --recursive --links --perms --times --owner --group --numeric-ids --delete --timeout=60
  --rsh='ssh -F /etc/framaspace/distribute/ssh_config'
  # What PHP writes on a web server stays there. Perishable (p), so that a directory that goes takes it along.
  --filter='+ /*/data/.ncdata' --filter='-p /*/data/**' --filter='-p /*/tmp/**'
  # Being built by converge-space.
  --filter='- .new.*'
  # Never a whole space: if this machine lost its copies, the web servers must not lose theirs.
  --filter='P /*')
SOURCE=(/srv/spaces/)
LOCK=--exclusive
[ $# -eq 0 ] || { SOURCE=(--relative "/srv/spaces/./$1"); LOCK=--shared; }

# push WEB: copying all spaces excludes copying one, because a list of files made before a space changed would undo
# the change. The lock's descriptor is closed for ssh, which leaves a process behind that keeps the connection.
push() {
  local away=/run/framaspace/away/$1
  if [ "$LOCK" = --shared ] && [ -e "$away" ]; then echo "$1"; return; fi
  if {
    flock --timeout 60 "$LOCK" 8 && "${RSYNC[@]}" "${SOURCE[@]}" "root@$1:" 8>&- 2> >(sed "s/^/$1: /" >&2)
  } 8>"/run/framaspace/distribute-$1.lock"; then
    rm -f "$away"
  else
    timeout 3 bash -c "true </dev/tcp/$1/22" 2>/dev/null || : >"$away"
    echo "$1"
  fi
}

mkdir -p /run/framaspace/away
missed=$({ while read -r web; do push "$web" & done </etc/framaspace/web-servers; wait; } | sort)
[ -z "$missed" ] || { echo "$missed"; exit 1; }
