# shellcheck shell=bash
# nginx and PHP-FPM for all spaces, after prepare.sh. This script knows no space: ops-1 fills /srv/spaces, and nothing
# here is reloaded when it does.

# While PHP-FPM or nginx restarts, other web servers serve this one's spaces: nginx takes no connection any more, so the
# gateways ask another one, and lets requests under way end.
has_left=
leave() {
  [ "$WEB_SERVERS" -gt 1 ] && [ -z "$has_left" ] && nginx_serves && systemctl -q is-active php8.4-fpm || return 0
  nginx -q -t
  has_left=1
  trap 'systemctl start nginx' EXIT
  # A chat that waits for news is asked again after half a minute.
  end_nginx 40
}
come_back() {
  [ -n "$has_left" ] || return 0
  systemctl start nginx
  # Until then gateways that were refused ask other web servers, of which the next one leaves after this script.
  sleep "$((GATEWAYS_FORGET_SECONDS + 2))"
}

# Packages of PHP restart PHP-FPM.
[ -z "$(missing_packages)" ] || leave
install_packages
getent passwd framaspace-nginx >/dev/null || {
  useradd --system --gid www-data --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin framaspace-nginx
  note "user framaspace-nginx"
}
install_files
# Afterwards, because the configuration of before names APCu.
remove_packages php8.4-imagick php8.4-apcu
on_change '/etc/systemd/system/*' systemctl daemon-reload
on_change '/etc/sysctl.d/*' set_kernel

# As many PHP workers as fit: Nextcloud needs about 120 MB in each that works, and 25 MB in each that waits for a next
# request (docs/decisions/0035-own-user-and-pool.md). A fifth of the memory is for the rest.
megabytes=$(awk '/^MemTotal/ { print int($2 * 0.8 / 1024) }' /proc/meminfo)
children=$((megabytes / 120 > 8 ? megabytes / 120 : 8))
# One space, or one client, may use three quarters of them: the requests of others are short. It may not use more
# workers than its role may have connections (spaces/space.ts). Uploads may use half of that, because they last as long
# as their client takes: the rest stays free for pages.
share=$((children * 3 / 4 < 140 ? children * 3 / 4 : 140))
# Workers that wait count, too: one for each space that was asked in the last seconds. This must not be reached: PHP-FPM
# does not come back to a request that it could start no worker for, until its pool gets another one. So nginx refuses
# before, by the number of those that work. Most need less than 120 MB, so twice as many may, and one space at its share
# leaves others more than it has.
file /etc/php/8.4/fpm/workers.conf 0644 root:root <<<"process.max = $((children * 2 + megabytes / 25))"
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
limit_conn php_of_server $((children * 2));
limit_conn php_of_space $share;
limit_conn php_of_client $share;
limit_conn uploads_of_space $((share / 2));
limit_conn large_uploads_of_space 8;
END

restarted=
# A reload would not make the sockets' directory.
restart_php() {
  test_php
  leave
  systemctl restart php8.4-fpm
  restarted=1
}
# Where no other web server serves meanwhile, a reload keeps the sockets, and requests wait. But it first waits for those
# under way.
reload_php() {
  [ -z "$restarted" ] || return 0
  test_php
  leave
  if [ -n "$has_left" ]; then systemctl restart php8.4-fpm; else systemctl reload-or-restart php8.4-fpm; fi
}
test_php() { php-fpm8.4 -t >/dev/null 2>&1 || php-fpm8.4 -t; }
restart_nginx() {
  leave
  systemctl restart nginx
}
on_change '/etc/systemd/system/php8.4-fpm*' restart_php
on_change '/etc/php/8.4/fpm/* removed/*' reload_php
on_change '/etc/systemd/system/nginx*' restart_nginx
on_change '/etc/nginx/*' reload_nginx
enable php8.4-fpm.service nginx.service opcache-hits.timer
come_back

finish
