# shellcheck shell=bash
# Reconciles the storage clusters as a whole, from ops-1: reconcile-storage does it, now and every quarter of an hour.

install_packages
download "$MC_URL" "$MC_SHA256" /usr/local/bin/mc 0755
install_files
on_change '/etc/systemd/system/*' systemctl daemon-reload

reconciled=$(reconcile-storage) || fail "the storage sites are not as declared; see above. Once fixed, run up again."
note_lines "$reconciled"

# The timer's name until November 2026.
for unit in settle-storage.timer settle-storage.service; do
  [ ! -e "/etc/systemd/system/$unit" ] || { systemctl -q disable --now "$unit"; rm "/etc/systemd/system/$unit"; systemctl daemon-reload; note "no $unit"; }
done
rm -f /usr/local/sbin/settle-storage
enable reconcile-storage.timer

finish
