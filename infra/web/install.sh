# shellcheck shell=bash
# nginx and PHP-FPM for all spaces, and the code of every release. This script knows no space: ops-1 fills /srv/spaces,
# and nothing here is reloaded when it does.

install_packages
remove_packages php8.4-imagick
mkdir -p /srv/spaces /srv/releases
getent passwd framaspace-nginx >/dev/null || {
  useradd --system --gid www-data --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin framaspace-nginx
  note "user framaspace-nginx"
}
install_files
on_change '/etc/systemd/system/*' systemctl daemon-reload
on_change '/etc/sysctl.d/*' set_kernel

released=$(install-releases)
while read -r change; do [ -z "$change" ] || note "$change"; done <<<"$released"

# As many PHP workers as fit: Nextcloud needs about 120 MB in each, and a fifth of the memory is for the rest.
children=$(awk '/^MemTotal/ { n = int($2 * 0.8 / 1024 / 120); print n < 8 ? 8 : n }' /proc/meminfo)
file /etc/php/8.4/fpm/children.conf 0644 root:root <<END
pm.max_children = $children
pm.start_servers = $((children / 2))
pm.min_spare_servers = $((children / 2))
pm.max_spare_servers = $((children * 3 / 4))
END
# One space, or one client, may use three quarters of them: the requests of others are short. It may not use more
# workers than its role may have connections (spaces/space.ts). Uploads may use half of that, because they last as long
# as their client takes: the rest stays free for pages.
share=$((children * 3 / 4 < 140 ? children * 3 / 4 : 140))
file /etc/nginx/php-limits.conf 0644 root:root <<END
limit_conn php_of_space $share;
limit_conn php_of_client $share;
limit_conn uploads_of_space $((share / 2));
END

reload_php() {
  php-fpm8.4 -t >/dev/null 2>&1 || php-fpm8.4 -t
  systemctl reload-or-restart php8.4-fpm
}
on_change '/etc/php/8.4/fpm/* removed/*' reload_php
on_change '/etc/nginx/*' reload_nginx
on_change '/etc/systemd/system/php8.4-fpm*' systemctl try-restart php8.4-fpm
on_change '/etc/systemd/system/nginx*' systemctl try-restart nginx
enable php8.4-fpm.service nginx.service

finish
