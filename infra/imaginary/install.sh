# shellcheck shell=bash
# The preview service: one pinned binary and its unit.

install_packages
download "$URL" "$SHA256" /opt/imaginary/imaginary 0755
{ /opt/imaginary/imaginary -h 2>&1 || true; } | grep -q -e -return-size ||
  fail "Imaginary from $URL has no option -return-size, which Nextcloud needs for its previews: the last tagged version, 1.2.4, is too old. Build it from its master branch"
install_files

# `enable` and `wait_until` below report a failed start.
restart_imaginary() { systemctl daemon-reload && systemctl restart imaginary; }
on_change '*/imaginary*' restart_imaginary
enable imaginary.service
wait_until 30 "Imaginary at $HEALTH" curl -fsS -o /dev/null "$HEALTH"

finish
