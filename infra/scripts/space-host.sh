# shellcheck shell=bash source-path=SCRIPTDIR source=lib.sh
# What works on spaces, on ops-1. It touches no space: converge-space does, called once for each.

install_packages
remove_packages php8.4-imagick
mkdir -p /srv/spaces /srv/releases
install_files
on_change '/etc/systemd/system/*' systemctl daemon-reload

# A new ops-1 has the spaces' directories from a web server: the engine converges no space whose entry did not change.
INCOMING=/srv/spaces.incoming
pull() { # pull WEB
  rsync --recursive --links --perms --times --owner --group --numeric-ids --timeout=60 \
    --rsh='ssh -F /etc/framaspace/distribute/ssh_config' --filter='+ /*/data/.ncdata' --filter='- /*/data/**' \
    --filter='- /*/tmp/**' --filter='- .new.*' "root@$1:" $INCOMING/ </dev/null >/dev/null 2>&1
}
if [ -z "$(ls -A /srv/spaces)" ] || [ -e $INCOMING ]; then
  mkdir -p /run/framaspace
  while read -r web; do
    if pull "$web"; then
      for directory in "$INCOMING"/*/; do
        name=$(basename "$directory")
        [ ! -d "$directory" ] || [ -e "/srv/spaces/$name" ] || { mv -T "$directory" "/srv/spaces/$name"; note "space $name, from $web"; }
      done
      break
    fi
  done </etc/framaspace/web-servers
  rm -rf $INCOMING
fi

released=$(install-releases)
while read -r change; do [ -z "$change" ] || note "$change"; done <<<"$released"

while read -r version _; do
  prepared=$(prepare-release "$version")
  [ -z "$prepared" ] || note "$prepared"
done </etc/framaspace/releases

on_change '/usr/local/* /etc/systemd/system/run-cron*' systemctl try-restart run-cron.service
enable distribute-spaces.timer archive-spaces.timer run-cron.service

finish
