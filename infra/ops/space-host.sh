# shellcheck shell=bash
# What works on spaces, on ops-1. It touches no space: converge-space does, called once for each.

install_packages
remove_packages php8.4-imagick
mkdir -p /srv/spaces /srv/releases
install_files
on_change '/etc/systemd/system/*' systemctl daemon-reload

# A new ops-1 has what is wanted of each space from PostgreSQL, and their directories from the web servers that are left;
# the engine converges no space whose entry did not change. One web server may be as new as this machine, so all are asked.
WANTED=/var/lib/framaspace/wanted
INCOMING=/srv/spaces.incoming
pull() { # pull WEB
  rsync --recursive --links --perms --times --owner --group --numeric-ids --timeout=60 \
    --rsh='ssh -F /etc/framaspace/distribute/ssh_config' --filter='+ /*/data/.ncdata' --filter='- /*/data/**' \
    --filter='- /*/tmp/**' --filter='- .new.*' "root@$1:" $INCOMING/ </dev/null >/dev/null 2>&1
}
# take DIRECTORY: a space's directory that came from a web server. One that nobody wants was removed while that was away.
take() {
  local name
  name=$(basename "$1")
  [ -e "$WANTED/$name" ] && [ ! -e "/srv/spaces/$name" ] || return 0
  if [ -e "$1/maintenance" ]; then
    : >"/var/lib/framaspace/closed/$name"
    echo "it was closed when the former ops-1 was lost, which knew why: was it being restored, exported or upgraded? Once its data is right: converge-space --again $name" >"/var/lib/framaspace/unfinished/$name"
  fi
  mv -T "$1" "/srv/spaces/$name"
  note "space $name, from $web"
}
lost() { comm -23 <(ls "$WANTED") <(ls /srv/spaces); }
mkdir -p /run/framaspace
finish-spaces --fetch
# Spaces from before it was kept.
for directory in /srv/spaces/*/; do
  name=$(basename "$directory")
  [ ! -f "$directory/config/space.json" ] || [ -e "$WANTED/$name" ] ||
    jq -cS 'del(.version, .redis.database)' "$directory/config/space.json" | finish-spaces --keep "$name"
done
if [ -n "$(lost)" ] || [ -e $INCOMING ]; then
  while read -r web; do
    if pull "$web"; then
      for directory in "$INCOMING"/*/; do [ ! -d "$directory" ] || take "${directory%/}"; done
    fi
    rm -rf $INCOMING
  done </etc/framaspace/web-servers
fi

released=$(install-releases)
while read -r change; do [ -z "$change" ] || note "$change"; done <<<"$released"

while read -r version _; do
  prepared=$(prepare-release "$version")
  [ -z "$prepared" ] || note "$prepared"
done </etc/framaspace/releases

# Those that no web server had, now: nobody is served until then. What else is left to do, the timer does.
back=$(lost)
if [ -n "$back" ]; then
  finish-spaces --all
  for name in $back; do [ ! -d "/srv/spaces/$name" ] || note "space $name, made again"; done
fi

on_change '/usr/local/* /etc/systemd/system/run-cron*' systemctl try-restart run-cron.service
enable distribute-spaces.timer finish-spaces.timer archive-spaces.timer run-cron.service

finish
