# shellcheck shell=bash
# Central logs: rsyslog receives every machine's lines over TLS and sorts them into files; keep-logs keeps each day's
# files for a year, and hear-machines says whose lines do not arrive.

install_packages
install -d -m 0750 -g adm /var/log/machines /var/log/spaces
install_files

reload_units() { systemctl daemon-reload && systemctl try-restart keep-logs.timer hear-machines.timer; }
on_change '/etc/systemd/system/*' reload_units
restart_rsyslog() { rsyslogd -N1 >/dev/null 2>&1 || rsyslogd -N1; systemctl restart rsyslog; }
on_change '/etc/rsyslog*' restart_rsyslog
enable keep-logs.timer hear-machines.timer

finish
