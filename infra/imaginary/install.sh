# shellcheck shell=bash
# The preview service: one pinned binary and its unit.

install_packages
download "$URL" "$SHA256" /opt/imaginary/imaginary 0755
{ /opt/imaginary/imaginary -h 2>&1 || true; } | grep -q -e -return-size ||
  fail "Imaginary from $URL has no option -return-size, without which Nextcloud takes no preview of it: its last tagged version, 1.2.4, is too old. Build it from its master branch"
install_files

# Whether it starts is for `enable` and `wait_until` to tell.
restart_imaginary() { systemctl daemon-reload && systemctl restart imaginary; }
on_change '*/imaginary*' restart_imaginary
enable imaginary.service
wait_until 30 "Imaginary at $HEALTH" curl -fsS -o /dev/null "$HEALTH"

finish
