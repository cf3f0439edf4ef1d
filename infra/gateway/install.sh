# shellcheck shell=bash
# nginx in front of the web servers. Its configuration names machines, never spaces, so that only a change of the
# platform reloads it.

install_packages
install_files
on_change '/etc/systemd/system/*' systemctl daemon-reload
on_change '/etc/sysctl.d/*' set_kernel

on_change '/etc/nginx/*' reload_nginx
on_change '/etc/systemd/system/nginx*' systemctl try-restart nginx
enable nginx.service

finish
