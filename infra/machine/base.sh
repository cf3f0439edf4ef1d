# shellcheck shell=bash
# What every machine has: names, firewall, SSH for keys only, security upgrades, the platform's CA, logs to logs-1.

# cloud-init writes SSH keys and /etc/hosts at the first boot; wait, or it would overwrite ours.
if command -v cloud-init >/dev/null; then cloud-init status --wait >/dev/null 2>&1 || true; fi

install_packages
[ "$(cat /etc/hostname)" = "$MACHINE" ] || { hostnamectl hostname "$MACHINE"; note "host name $MACHINE"; }

# The group of services that may read the machine's private key.
getent group framaspace-tls >/dev/null || { groupadd --system framaspace-tls; note "group framaspace-tls"; }
install_files

on_change '/etc/nftables.conf' nft -f /etc/nftables.conf
enable nftables.service

reload_sshd() { sshd -t && systemctl reload ssh; }
on_change '/etc/ssh/*' reload_sshd

restart_rsyslog() { rsyslogd -N1 >/dev/null 2>&1 || rsyslogd -N1; systemctl restart rsyslog; }
on_change '/etc/rsyslog*' restart_rsyslog
# rsyslog and nginx read what they show and whom they trust at their start; nginx has it on storage servers alone.
show_and_trust() {
  update-ca-certificates >/dev/null
  systemctl try-restart rsyslog
  ! systemctl -q is-active nginx || systemctl reload nginx
}
on_change '/etc/framaspace/tls/* /usr/local/share/ca-certificates/*' show_and_trust
on_change '/etc/systemd/journald.conf.d/*' systemctl restart systemd-journald
enable rsyslog.service unattended-upgrades.service apt-daily-upgrade.timer

finish
