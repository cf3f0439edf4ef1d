# shellcheck shell=bash
# Sets up what every machine has: host names, firewall, SSH by key only, security upgrades, the platform's CA, and
# logs that go to logs-1.

# At the first boot cloud-init writes SSH keys and /etc/hosts. Wait for its end, or it overwrites our files.
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
# rsyslog and nginx read their certificate and the CA only when they start. nginx uses them on storage servers only.
reload_certificates() {
  update-ca-certificates >/dev/null
  systemctl try-restart rsyslog
  ! systemctl -q is-active nginx || systemctl reload nginx
}
on_change '/etc/framaspace/tls/* /usr/local/share/ca-certificates/*' reload_certificates
on_change '/etc/systemd/journald.conf.d/*' systemctl restart systemd-journald
reload_units() { systemctl daemon-reload && systemctl try-restart tell-logs.timer; }
on_change '/etc/systemd/system/*' reload_units
enable rsyslog.service unattended-upgrades.service apt-daily-upgrade.timer
# logs-1 has none.
[ ! -e /etc/systemd/system/tell-logs.timer ] || enable tell-logs.timer

finish
