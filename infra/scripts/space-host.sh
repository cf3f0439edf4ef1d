# shellcheck shell=bash source-path=SCRIPTDIR source=lib.sh
# What works on spaces, on ops-1. It touches no space: converge-space does, called once for each.

install_packages
mkdir -p /srv/spaces /srv/releases
install_files
on_change '/etc/systemd/system/*' systemctl daemon-reload

released=$(install-releases)
while read -r change; do [ -z "$change" ] || note "$change"; done <<<"$released"

while read -r version _; do
  prepared=$(prepare-release "$version")
  [ -z "$prepared" ] || note "$prepared"
done </etc/framaspace/releases

enable distribute-spaces.timer

finish
