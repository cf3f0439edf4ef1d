# shellcheck shell=bash
# What takes a web server minutes and no visitor notices: packages, and the code of every release.

# Packages of PHP restart PHP-FPM, so where that serves install.sh adds them.
if systemctl -q is-active php8.4-fpm; then
  for index in "${!PACKAGES[@]}"; do [[ ${PACKAGES[index]} != php* ]] || unset "PACKAGES[index]"; done
fi
install_packages
mkdir -p /srv/releases
# Spaces may not list each other.
install -d -m 0711 /srv/spaces
install_files

released=$(install-releases)
note_lines "$released"

finish
