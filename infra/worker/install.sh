# shellcheck shell=bash
# PHP and the code of every release. ops-1 says which space's code runs, by run-as-space.

install_packages
mkdir -p /srv/releases /srv/spaces
install_files
on_change '/etc/systemd/system/*' systemctl daemon-reload
reload_sshd() { sshd -t && systemctl reload ssh; }
on_change '/etc/ssh/*' reload_sshd

released=$(install-releases)
note_lines "$released"

finish
