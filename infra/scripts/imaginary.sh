# shellcheck shell=bash source-path=SCRIPTDIR source=lib.sh
# The preview service: one pinned binary and its unit.

install_packages
download "$URL" "$SHA256" /opt/imaginary/imaginary 0755
install_files

# Whether it starts is for `enable` and `wait_until` to tell.
restart_imaginary() { systemctl daemon-reload && systemctl restart imaginary; }
on_change '*/imaginary*' restart_imaginary
enable imaginary.service
wait_until 30 "Imaginary at $HEALTH" curl -fsS -o /dev/null "$HEALTH"

finish
