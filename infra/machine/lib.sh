# shellcheck shell=bash
# The first part of every script that runs on a machine. It notes each change on disk before it makes it. So if a run is
# killed after it wrote a file and before it reloaded the service, the next run reloads it.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
umask 022

PENDING=/var/lib/framaspace/pending/${1//\//%}
mkdir -p "$PENDING"
CHANGES=()

# note WHAT: counts a change. `finish` prints it.
note() { CHANGES+=("$*"); }

# note_lines TEXT: notes each of its lines.
note_lines() {
  local line
  while read -r line; do [ -z "$line" ] || note "$line"; done <<<"$1"
}

# mark PATH: remembers for on_change that a file changes.
mark() { : >"$PENDING/${1//\//%}"; }

# file PATH MODE OWNER: writes standard input to the file, atomically. Remembers a change for on_change.
file() {
  local path=$1 mode=$2 owner=$3 new
  mkdir -p "$(dirname "$path")"
  new=$(mktemp "$path.XXXXXX")
  cat >"$new"
  chown "$owner" "$new"
  chmod "$mode" "$new"
  if [ -f "$path" ] && cmp -s "$new" "$path" && [ "$(stat -c %a:%U:%G "$new")" = "$(stat -c %a:%U:%G "$path")" ]; then
    rm "$new"
    return
  fi
  mark "$path"
  mv "$new" "$path"
  note "$path"
}

# on_change 'GLOB…' COMMAND…: runs the command if a matching file has changed since the command last succeeded. A file's
# mark lists the commands that have handled the change. So several commands may wait for one file, and after a failed
# run the next one repeats only the missing commands.
on_change() {
  local handler="$*" glob globs mark found=()
  read -ra globs <<<"${1//\//%}"
  shift
  for glob in "${globs[@]}"; do
    for mark in "$PENDING"/$glob; do
      [ ! -e "$mark" ] || grep -qxF -e "$handler" "$mark" || found+=("$mark")
    done
  done
  [ "${#found[@]}" -gt 0 ] || return 0
  "$@"
  for mark in "${found[@]}"; do echo "$handler" >>"$mark"; done
}

# missing_packages: prints those of $PACKAGES that are not installed.
missing_packages() {
  local package
  for package in "${PACKAGES[@]}"; do
    [ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" = "install ok installed" ] || echo "$package"
  done
}

# install_packages: installs $PACKAGES, without packages that Debian only recommends.
install_packages() {
  local missing apt=(apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold)
  # Finish an interrupted dpkg first.
  [ -z "$(ls -A /var/lib/dpkg/updates 2>/dev/null)" ] || wait_until 600 "dpkg has finished the interrupted work" dpkg --configure -a
  mapfile -t missing < <(missing_packages)
  [ "${#missing[@]}" -gt 0 ] || return 0
  # A new machine has no package lists, and those of an old one may name packages that are no longer served.
  "${apt[@]}" install "${missing[@]}" >/var/log/framaspace-apt.log 2>&1 ||
    { apt-get -q update && "${apt[@]}" install "${missing[@]}"; } >>/var/log/framaspace-apt.log 2>&1 ||
    { tail -n 20 /var/log/framaspace-apt.log >&2; fail "apt could not install ${missing[*]}; the whole output is in /var/log/framaspace-apt.log"; }
  note "packages ${missing[*]}"
}

# remove_packages PACKAGE…: removes packages that older versions of these scripts installed and no machine may have any
# more. on_change 'removed/*' reacts to it.
remove_packages() {
  local package found=()
  for package; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ] || found+=("$package")
  done
  [ "${#found[@]}" -gt 0 ] || return 0
  for package in "${found[@]}"; do mark "removed/$package"; done
  apt-get -q -y -o DPkg::Lock::Timeout=600 purge "${found[@]}" >/var/log/framaspace-apt.log 2>&1 ||
    { tail -n 20 /var/log/framaspace-apt.log >&2; fail "apt could not remove ${found[*]}; the whole output is in /var/log/framaspace-apt.log"; }
  note "no packages ${found[*]}"
}

# download URL SHA256 PATH MODE: downloads a pinned artifact once. Refuses a file with another checksum.
download() {
  local url=$1 sha256=$2 path=$3 mode=$4 new found
  [ "$sha256" != unpinned ] || fail "$url has no checksum in the configuration; check it and write it there (npm run release -- pin), and run up again"
  if [ -f "$path" ] && [ "$(sha256sum <"$path")" = "$sha256  -" ]; then return; fi
  mkdir -p "$(dirname "$path")"
  new=$(mktemp "$path.XXXXXX")
  curl -fsSL --retry 3 --connect-timeout 20 -o "$new" "$url" || { rm -f "$new"; fail "could not download $url"; }
  found=$(sha256sum <"$new")
  if [ "$found" != "$sha256  -" ]; then
    rm -f "$new"
    fail "$url has SHA-256 ${found%% *}, not the pinned $sha256; nothing was installed. Check what is served there, then correct sha256 in the configuration."
  fi
  chmod "$mode" "$new"
  mark "$path"
  mv "$new" "$path"
  note "$path"
}

# enable UNIT…: enables the units and starts them.
enable() {
  local unit
  for unit in "$@"; do
    if ! systemctl -q is-enabled "$unit" || ! systemctl -q is-active "$unit"; then
      systemctl enable --now "$unit" >/dev/null 2>&1 || { systemctl status --no-pager -n 20 "$unit" >&2 || true; fail "$unit does not start"; }
      note "$unit started"
    fi
  done
}

# reload_nginx: applies a changed configuration. With Debian's own configuration, nginx holds port 80 of all addresses,
# so that ours cannot bind its single address. Only then nginx restarts.
reload_nginx() {
  nginx -q -t
  if is_debians_nginx; then systemctl restart nginx; else systemctl reload-or-restart nginx; fi
}
is_debians_nginx() { [ -n "$(ss -Hltn 'src 0.0.0.0:80')" ]; }

# nginx_serves: succeeds if nginx runs with our configuration.
nginx_serves() { systemctl -q is-active nginx && ! is_debians_nginx; }

# end_nginx SECONDS: nginx takes no connection from now on, and ends once requests under way have ended. After SECONDS it
# cuts them off.
end_nginx() {
  nginx -s quit
  until_so "$1" nginx_has_ended || true
  systemctl stop nginx
}
nginx_has_ended() { ! systemctl -q is-active nginx; }

# set_kernel: applies our settings in /etc/sysctl.d. In a container some of them belong to the host and are not
# writable.
set_kernel() {
  local key value
  while IFS=' =' read -r key value; do
    [ ! -w "/proc/sys/${key//.//}" ] || sysctl -q -w "$key=$value"
  done < <(grep -h '^[a-z]' /etc/sysctl.d/60-framaspace-*.conf)
}

# wait_until SECONDS WHAT COMMAND…: waits until the command succeeds. After SECONDS the script fails.
wait_until() {
  local seconds=$1 what=$2
  shift 2
  until_so "$seconds" "$@" || fail "$what: still not true after $seconds s"
}

# finish: the last line of every script.
finish() {
  rm -f "$PENDING"/*
  echo "changed: ${#CHANGES[@]}"
  [ "${#CHANGES[@]}" -eq 0 ] || printf 'changed %s\n' "${CHANGES[@]}"
}
