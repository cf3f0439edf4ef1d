# shellcheck shell=bash
# The programs for spaces, on ops-1. This script converges no existing space: converge-space does, called once for each.

install_packages
mkdir -p /srv/releases
# Spaces may not list each other.
install -d -m 0711 /srv/spaces
install_files
# Functions of programs that were shell programs.
for name in archive-lib.sh member-lib.sh space-lib.sh; do
  file=/usr/local/lib/framaspace/$name
  [ ! -e "$file" ] || { rm "$file"; note "no $file"; }
done
on_change '/etc/systemd/system/*' systemctl daemon-reload
# Connections of workers that are no more would be tried for ever.
for unit in $(systemctl list-units --all --plain --no-legend 'worker-connection@*' | cut -d' ' -f1); do
  worker=${unit#*@}
  grep -qxF "${worker%.service}" /etc/framaspace/workers || { systemctl disable --now "$unit" >/dev/null 2>&1; note "no $unit"; }
done
while read -r worker; do enable "worker-connection@$worker.service"; done </etc/framaspace/workers

# A new ops-1 gets what is wanted of each space from PostgreSQL, and the spaces' directories from the remaining web
# servers: the engine converges no space whose entry is unchanged. One web server may be as new as this machine, so all
# are asked.
WANTED=/var/lib/framaspace/wanted
INCOMING=/srv/spaces.incoming
pull() { # pull WEB
  rsync --recursive --links --perms --times --owner --group --numeric-ids --timeout=60 \
    --rsh='ssh -F /etc/framaspace/distribute/ssh_config' --filter='+ /*/data/.ncdata' --filter='- /*/data/**' \
    --filter='- /*/tmp/**' --filter='- .new.*' "root@$1:" $INCOMING/ </dev/null >/dev/null 2>&1
}
# take DIRECTORY: installs a space's directory from a web server. If the space is not wanted, it was removed while that
# server was unreachable.
take() {
  local name
  name=$(basename "$1")
  [ -e "$WANTED/$name" ] && [ ! -e "/srv/spaces/$name" ] || return 0
  if [ -e "$1/maintenance" ]; then
    : >"/var/lib/framaspace/closed/$name"
    echo "it was closed when the former ops-1 was lost, and only that machine knew why: was it being restored, exported or upgraded? Once its data is right: converge-space --again $name" >"/var/lib/framaspace/unfinished/$name"
  fi
  mv -T "$1" "/srv/spaces/$name"
  note "space $name, from $web"
}
lost() { comm -23 <(ls "$WANTED") <(ls /srv/spaces); }
mkdir -p /run/framaspace
finish-spaces --fetch
# Record what is wanted of spaces that are older than this record.
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

# Before files change hands: the program of before runs jobs as another user.
on_change '/usr/local/* /etc/systemd/system/run-cron*' systemctl try-restart run-cron.service
finish-spaces --users
# Not waited for: the one of before ends what it is at.
on_change '/usr/local/lib/framaspace/converge-space /etc/systemd/system/converge-spaces.service' systemctl --no-block try-restart converge-spaces.service

# Spaces' code ran here before there were workers.
mapfile -t php < <(dpkg-query -W -f '${Package}\n' 'php8.4-*' 2>/dev/null)
remove_packages "${php[@]}"
rm -rf /var/lib/framaspace/scratch /etc/php/8.4/cli/conf.d/90-framaspace.ini

released=$(install-releases)
note_lines "$released"

while read -r version _; do
  prepared=$(prepare-release "$version")
  [ -z "$prepared" ] || note "$prepared"
done </etc/framaspace/releases

# Converge now the spaces that no web server had, because they serve nobody until then. The timer does the rest.
back=$(lost)
if [ -n "$back" ]; then
  finish-spaces --all
  for name in $back; do [ ! -d "/srv/spaces/$name" ] || note "space $name, made again"; done
fi

enable distribute-spaces.timer finish-spaces.timer archive-spaces.timer run-cron.service converge-spaces.service
# Now, because all that it looks at is there.
enable platform-health.timer

finish
