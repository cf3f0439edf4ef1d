#!/bin/bash
# Makes a machine of the lab a stock Nextcloud, as the admin manual has it: nginx, PHP-FPM, PostgreSQL, Redis and APCu on
# one machine, files on its disk. Runs inside the machine, as root. Reads two lines from standard input: the passwords of
# the accounts admin and banc. Prints an app password for banc.
#   install.sh PORT
set -euo pipefail
export LC_ALL=C.UTF-8
port=$1
read -r admin
read -r own
code=/var/www/nextcloud
occ() { (cd $code && setpriv --reuid=www-data --regid=www-data --init-groups php --define apc.enable_cli=1 occ --no-interaction --no-ansi "$@"); }

# Admin manual, "Server tuning": workers for a machine of this size, OPcache as it is recommended.
cat >/etc/php/8.4/fpm/pool.d/www.conf <<'END'
[www]
user = www-data
group = www-data
listen = /run/php/php8.4-fpm.sock
listen.owner = www-data
listen.group = www-data
pm = dynamic
pm.max_children = 120
pm.start_servers = 12
pm.min_spare_servers = 6
pm.max_spare_servers = 18
env[PATH] = /usr/local/bin:/usr/bin:/bin
php_admin_value[memory_limit] = 512M
php_admin_value[output_buffering] = 0
php_admin_value[post_max_size] = 16G
php_admin_value[upload_max_filesize] = 16G
END
cat >/etc/php/8.4/fpm/conf.d/90-stock.ini <<'END'
opcache.interned_strings_buffer = 16
opcache.memory_consumption = 256
opcache.max_accelerated_files = 20000
opcache.revalidate_freq = 60
END

mkdir -p /etc/nginx/tls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=stock.localhost \
  -addext subjectAltName=DNS:stock.localhost -keyout /etc/nginx/tls/stock.key -out /etc/nginx/tls/stock.crt 2>/dev/null
# Admin manual, "NGINX configuration", webroot: what the measured requests meet of it.
cat >/etc/nginx/sites-enabled/default <<END
map \$arg_v \$asset_immutable { "" ""; default ", immutable"; }
server {
  listen 127.0.0.1:$port ssl;
  http2 on;
  server_name stock.localhost;
  ssl_certificate /etc/nginx/tls/stock.crt;
  ssl_certificate_key /etc/nginx/tls/stock.key;
  root $code;
  client_max_body_size 512M;
  client_body_timeout 300s;
  client_body_buffer_size 512k;
  fastcgi_buffers 64 4K;
  gzip on;
  gzip_vary on;
  gzip_comp_level 4;
  gzip_min_length 256;
  gzip_types text/css text/javascript application/javascript application/json image/svg+xml;
  index index.php index.html /index.php\$request_uri;
  location ~ ^/(?:build|tests|config|lib|3rdparty|templates|data)(?:\$|/) { return 404; }
  location ~ ^/(?:\.|autotest|occ|issue|indie|db_|console) { return 404; }
  location ~ \.php(?:\$|/) {
    rewrite ^/(?!index|remote|public|cron|core\/ajax\/update|status|ocs\/v[12]|updater\/.+|ocs-provider\/.+|.+\/richdocumentscode(_arm64)?\/proxy) /index.php\$request_uri;
    fastcgi_split_path_info ^(.+?\.php)(/.*)\$;
    set \$path_info \$fastcgi_path_info;
    try_files \$fastcgi_script_name =404;
    include fastcgi_params;
    fastcgi_param SCRIPT_FILENAME \$document_root\$fastcgi_script_name;
    fastcgi_param PATH_INFO \$path_info;
    fastcgi_param HTTPS on;
    fastcgi_param modHeadersAvailable true;
    fastcgi_param front_controller_active true;
    fastcgi_pass unix:/run/php/php8.4-fpm.sock;
    fastcgi_intercept_errors on;
    fastcgi_request_buffering off;
    fastcgi_max_temp_file_size 0;
  }
  location ~ \.(?:css|js|mjs|svg|gif|ico|jpg|png|webp|wasm|tflite|map|ogg|flac)\$ {
    try_files \$uri /index.php\$request_uri;
    add_header Cache-Control "public, max-age=15778463\$asset_immutable";
    access_log off;
  }
  location / { try_files \$uri \$uri/ /index.php\$request_uri; }
}
END
systemctl restart redis-server postgresql
until runuser -u postgres -- psql -XAtqc 'SELECT 1' >/dev/null 2>&1; do sleep 0.2; done

password=$(head -c 24 /dev/urandom | base64 | tr +/ -_)
runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -f - <<<"CREATE ROLE nextcloud LOGIN PASSWORD '$password'; CREATE DATABASE nextcloud OWNER nextcloud TEMPLATE template0;"
install -d -o www-data -g www-data /var/www/data
install -d -o www-data -g www-data $code/config
touch $code/config/CAN_INSTALL
cat >$code/config/autoconfig.php <<END
<?php \$AUTOCONFIG = ['dbtype' => 'pgsql', 'dbname' => 'nextcloud', 'dbuser' => 'nextcloud', 'dbpass' => '$password',
  'dbhost' => '127.0.0.1', 'dbtableprefix' => 'oc_', 'directory' => '/var/www/data',
  'adminlogin' => 'admin', 'adminpass' => '$admin'];
END
cat >$code/config/stock.config.php <<'END'
<?php $CONFIG = ['memcache.local' => '\OC\Memcache\APCu', 'memcache.distributed' => '\OC\Memcache\Redis',
  'memcache.locking' => '\OC\Memcache\Redis', 'redis' => ['host' => '127.0.0.1', 'port' => 6379],
  'trusted_domains' => ['stock.localhost'], 'skeletondirectory' => '', 'htaccess.RewriteBase' => '/'];
END
chown www-data:www-data $code/config/*.php
systemctl restart php8.4-fpm nginx
# The first visit installs it, by what autoconfig.php says.
curl -sk --resolve "stock.localhost:$port:127.0.0.1" -o /dev/null "https://stock.localhost:$port/index.php"
occ status | grep -q 'installed: true'
occ background:cron >/dev/null
OC_PASS=$own occ user:add --password-from-env banc >/dev/null
NC_PASS=$own occ user:auth-tokens:add --password-from-env banc | tail -n 1
