# shellcheck shell=bash
# nginx and PHP-FPM for all spaces, and the code of every release. This script knows no space: ops-1 fills /srv/spaces,
# and nothing here is reloaded when it does.

install_packages
mkdir -p /srv/releases
# Spaces may not list each other.
install -d -m 0711 /srv/spaces
getent passwd framaspace-nginx >/dev/null || {
  useradd --system --gid www-data --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin framaspace-nginx
  note "user framaspace-nginx"
}
install_files
# Afterwards, because the configuration of before names APCu.
remove_packages php8.4-imagick php8.4-apcu
on_change '/etc/systemd/system/*' systemctl daemon-reload
on_change '/etc/sysctl.d/*' set_kernel

released=$(install-releases)
while read -r change; do [ -z "$change" ] || note "$change"; done <<<"$released"

# As many PHP workers as fit: Nextcloud needs about 120 MB in each that works, and 25 MB in each that waits for a next
# request (npm run bench:day). A fifth of the memory is for the rest.
megabytes=$(awk '/^MemTotal/ { print int($2 * 0.8 / 1024) }' /proc/meminfo)
children=$((megabytes / 120 > 8 ? megabytes / 120 : 8))
# One space, or one client, may use three quarters of them: the requests of others are short. It may not use more
# workers than its role may have connections (spaces/space.ts). Uploads may use half of that, because they last as long
# as their client takes: the rest stays free for pages.
share=$((children * 3 / 4 < 140 ? children * 3 / 4 : 140))
# Workers that wait count, too: one for each space that was asked in the last seconds. This must not be reached: PHP-FPM
# does not come back to a request that it could start no worker for, until its pool gets another one. So nginx refuses
# before, by the number of those that work.
file /etc/php/8.4/fpm/workers.conf 0644 root:root <<<"process.max = $((children + megabytes / 25))"
# nginx refuses before a pool is full.
file /etc/php/8.4/fpm/pool.conf 0644 root:root < <(
  grep -E '^[a-z]' /etc/framaspace/php-pool.conf
  echo "pm.max_children = $((share + 4))"
)
file /etc/php/8.4/fpm/pools.conf 0644 root:root < <(awk -v most="$MOST_SPACES" -v first="$FIRST_USER" 'BEGIN {
  for (n = 1; n <= most; n++)
    printf "[space-%d]\nuser = %d\ngroup = %d\ninclude = /etc/php/8.4/fpm/pool.conf\n", n, first + n - 1, first + n - 1
}')
# PHP keeps a request's body on the disk, less than 10 GB (infra/gateway/gateway.ts), and so Nextcloud keeps parts of it on
# their way to object storage (config.php). With these numbers, one space takes 180 GB at most; a web server of 32 GB of
# memory has 240 GB of disk (Hetzner, CCX33).
file /etc/nginx/php-limits.conf 0644 root:root <<END
limit_conn php_of_server $children;
limit_conn php_of_space $share;
limit_conn php_of_client $share;
limit_conn uploads_of_space $((share / 2));
limit_conn large_uploads_of_space 8;
END

restarted=
# A reload would not make the sockets' directory.
restart_php() {
  php-fpm8.4 -t >/dev/null 2>&1 || php-fpm8.4 -t
  systemctl restart php8.4-fpm
  restarted=1
}
reload_php() {
  [ -z "$restarted" ] || return 0
  php-fpm8.4 -t >/dev/null 2>&1 || php-fpm8.4 -t
  systemctl reload-or-restart php8.4-fpm
}
on_change '/etc/systemd/system/php8.4-fpm*' restart_php
on_change '/etc/php/8.4/fpm/* removed/*' reload_php
on_change '/etc/nginx/*' reload_nginx
on_change '/etc/systemd/system/nginx*' systemctl try-restart nginx
enable php8.4-fpm.service nginx.service opcache-hits.timer

finish
