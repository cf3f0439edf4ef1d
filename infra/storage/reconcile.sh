# shellcheck shell=bash
# What concerns the storage clusters as a whole, from ops-1. settle-storage does it, now and every quarter of an hour.

install_packages
download "$MC_URL" "$MC_SHA256" /usr/local/bin/mc 0755
install_files
on_change '/etc/systemd/system/*' systemctl daemon-reload

settled=$(settle-storage) || fail "the storage sites are not as declared; see above. Once mended, run up again."
while read -r change; do [ -z "$change" ] || note "$change"; done <<<"$settled"

enable settle-storage.timer

finish
