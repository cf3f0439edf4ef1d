# shellcheck shell=bash
# ops-1, the administrators' machine: clients and their credentials.

install_packages
install_files
on_change '/etc/systemd/system/*' systemctl daemon-reload

finish
