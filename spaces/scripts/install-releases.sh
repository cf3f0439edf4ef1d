#!/bin/bash
# install-releases: unpacks the releases that /etc/framaspace/releases lists (version, SHA-256, address) under
# /srv/releases, read-only, and drops those that it lists no more and no space runs. Prints one line for each change.
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C.UTF-8
umask 022

LIST=/etc/framaspace/releases
# Apps that no space may have, a name a line: what is not there, no administrator of a space can turn on.
REFUSED=/etc/framaspace/refused-apps
RELEASES=/srv/releases

fail() {
  echo "$(hostname): $*" >&2
  exit 1
}

mkdir -p "$RELEASES"
exec 9>"$RELEASES/.lock"
flock 9
# What a run that was killed left half unpacked.
rm -rf "$RELEASES"/.new.*

# settle_times FOLDER SHA256: gives all files one time, in the years from 2000 to 2008, that follows from the archive's
# checksum. OPcache keeps nothing of a file whose time is 0, as in a reproducible archive, or to come; and nginx makes ETags
# of times, which must be the same on all web servers and others in another release.
settle_times() {
  local seconds=$((946684800 + 16#${2:0:7}))
  [ "$(stat -c %Y "$1/version.php")" = "$seconds" ] || find "$1" -depth -exec touch --no-dereference --date="@$seconds" {} +
}

declare -A wanted=()
while read -r version sha256 url; do
  wanted[$version]=1
  target=$RELEASES/$version
  if [ -f "$target/.sha256" ] && [ "$(<"$target/.sha256")" = "$sha256" ]; then
    settle_times "$target" "$sha256"
    continue
  fi

  archive=$(mktemp "$RELEASES/.new.XXXXXX")
  curl -fsSL --retry 3 --connect-timeout 20 -o "$archive" "$url" ||
    fail "could not download release $version from $url"
  found=$(sha256sum <"$archive")
  [ "$found" = "$sha256  -" ] ||
    fail "$url has SHA-256 ${found%% *}, not the pinned $sha256; nothing was installed. Check what is served there, then correct release $version in spaces/catalog.yaml."
  new=$(mktemp -d "$RELEASES/.new.XXXXXX")
  tar --extract --file="$archive" --directory="$new" --strip-components=1 --no-same-owner --no-same-permissions ||
    fail "could not unpack release $version; is the disk full (df $RELEASES)? Then run up again"
  rm "$archive"
  [ -f "$new/index.php" ] && [ -f "$new/version.php" ] ||
    fail "$url is no Nextcloud release: it has no index.php or version.php in its top folder"
  echo "$sha256" >"$new/.sha256"
  chmod -R u=rwX,go=rX,a-w "$new"
  settle_times "$new" "$sha256"
  # Renaming a directory needs write permission on it.
  chmod u+w "$new"
  if [ -e "$target" ]; then
    mv --exchange -T "$new" "$target"
    rm -rf "$new"
  else
    mv -T "$new" "$target"
  fi
  echo "release $version"
done <"$LIST"

while read -r app; do
  for path in "$RELEASES"/*/"apps/$app"; do
    [ -d "$path" ] || continue
    chmod u+w "${path%/*}" && chmod -R u+w "$path"
    rm -rf "$path"
    chmod u-w "${path%/*}"
    version=${path#"$RELEASES/"}
    echo "release ${version%%/*} without $app"
  done
done <"$REFUSED"

for path in "$RELEASES"/*/; do
  version=$(basename "$path")
  [ -d "$path" ] && [ -z "${wanted[$version]:-}" ] || continue
  [ -z "$(find /srv/spaces -mindepth 2 -maxdepth 2 -name release -lname "*/$version" -print -quit)" ] || continue
  rm -rf "${RELEASES:?}/$version"
  echo "release $version removed"
done
