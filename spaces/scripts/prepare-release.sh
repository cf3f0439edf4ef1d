#!/bin/bash
# prepare-release VERSION: installs the release once, in a database of its own that goes again, and keeps what new spaces
# begin with under /var/lib/framaspace/releases/VERSION: schema.sql, holding nobody's identity; apps, those that are on;
# version, with its four parts. Does nothing where they are whole and made from the same; prints a line for what it made.
# shellcheck source-path=SCRIPTDIR source=space-lib.sh
. /usr/local/lib/framaspace/space-lib.sh

RELEASE=${1-}
[[ $RELEASE =~ ^[0-9]+(\.[0-9]+){2}$ ]] || { echo "prepare-release: write a version such as 34.0.4" >&2; exit 1; }
CATALOG=/etc/framaspace/catalog.json
CODE=$RELEASES/$RELEASE
PREPARED=$PREPARED_RELEASES/$RELEASE

fail() {
  echo "release $RELEASE: $*" >&2
  exit 1
}
trap 'echo "release $RELEASE, $STEP: line $LINENO failed; the end of what it said:" >&2; tail -n 20 "$LOG" 2>/dev/null | cut -c 1-300 >&2 || true' ERR
LOG=/dev/null

# What a prepared release depends on.
key() {
  { cat "$CODE/.sha256" "$0"; printf '%s\n' "${REPAIRS[@]}"; jq -cS '{apps, appsOptional, appsOff, officeApps}' "$CATALOG"; jq -cS '{domain, suites: .office.suites}' /etc/framaspace/platform.json; } |
    sha256sum
}

is_whole() {
  [ -f "$PREPARED/key" ] && [ "$(<"$PREPARED/key")" = "$KEY" ] &&
    (cd "$PREPARED" && sha256sum --quiet --check checksums) >/dev/null 2>&1
}

check_apps() {
  local app missing=()
  while read -r app; do
    [ -f "$CODE/apps/$app/appinfo/info.xml" ] || missing+=("$app")
  done < <(jq -r '.apps[], .appsOptional[]' "$CATALOG")
  [ "${#missing[@]}" -eq 0 ] ||
    fail "it lacks ${missing[*]}, which spaces/catalog.yaml lists under apps or appsOptional; nothing was changed. Build the app into the archive (apps/<name>), or take it off the list"
}

# The database and the role are named so that no space can be: an id has no underscore.
admin() { PGOPTIONS='-c client_min_messages=warning' psql service=framaspace -XAtq -v ON_ERROR_STOP=1 -f -; }
drop_database() {
  admin <<<"DROP DATABASE IF EXISTS $NAME WITH (FORCE);
DROP ROLE IF EXISTS $NAME;"
}
make_database() {
  drop_database
  admin <<<"CREATE ROLE $NAME LOGIN PASSWORD '$DBPASSWORD';
CREATE DATABASE $NAME OWNER $NAME TEMPLATE template0;"
}

run() { PGPASSFILE=$DIRECTORY/pgpass occ "$DIRECTORY" "$RELEASE" "$@" >>"$LOG" 2>&1; }

install() {
  local config=$SCRATCH/$ID office suite app command on=() off=()
  rm -rf "$config"
  command install -d -m 0711 "$SCRATCH"
  command install -d -m 0700 -o www-data -g www-data "$config" "$config/data" "$config/tmp"
  DIRECTORY=$config
  # The password comes from a file that libpq reads where it is given an empty one: an option would show in process lists.
  (umask 077 && printf '*:*:%s:%s:%s\n' "$NAME" "$NAME" "$DBPASSWORD" >"$config/pgpass")
  cat >"$config/config.php" <<PHP
<?php \$CONFIG = [
  'datadirectory' => '$config/data', 'tempdirectory' => '$config/tmp', 'check_data_directory_permissions' => false,
  'appstoreenabled' => false, 'skeletondirectory' => '', 'log_type' => 'errorlog', 'loglevel' => 2,
  'pgsql_ssl' => ['mode' => 'verify-full', 'rootcert' => '$CA', 'cert' => "''", 'key' => "''", 'crl' => "''"],
];
PHP
  chown www-data:www-data "$config/pgpass" "$config/config.php"
  chmod 0600 "$config/config.php"
  run maintenance:install --disable-admin-user --data-dir="$config/data" --database=pgsql --database-host="$DBHOSTS" \
    --database-port="$DBPORT" --database-name="$NAME" --database-user="$NAME" --database-pass=
  mapfile -t on < <(jq -r '.apps[]' "$CATALOG")
  [ "${#on[@]}" -eq 0 ] || run app:enable "${on[@]}"
  while read -r app; do [ ! -d "$CODE/apps/$app" ] || off+=("$app"); done < <(jq -r '.appsOff[]' "$CATALOG")
  [ "${#off[@]}" -eq 0 ] || run app:disable "${off[@]}"
  # Whoever turns it on finds that accounts wait for approval.
  run config:app:set registration admin_approval_required --value=yes --type=boolean
  run background:cron
  # What an installation leaves to be asked for; no space has to wait for it while everything is empty.
  for command in "${REPAIRS[@]}"; do
    # shellcheck disable=SC2086 # Words.
    run $command
  done
  # Jobs of apps that are off: each space would log each of them once.
  for app in "${off[@]}"; do sed -n 's,.*<job>\(.*\)</job>.*,\1,p' "$CODE/apps/$app/appinfo/info.xml"; done >"$config/jobs-off"
  while read -r suite app; do
    office=https://$suite.$(jq -r .domain /etc/framaspace/platform.json)
    # ONLYOFFICE's address is in config.php; Collabora's connector looks in the database alone.
    if [ "$app" = richdocuments ]; then
      run config:app:set richdocuments wopi_url --value="$office"
      run config:app:set richdocuments public_wopi_url --value="$office"
    fi
  done < <(jq -r --slurpfile platform /etc/framaspace/platform.json \
    '.apps as $apps | .officeApps | to_entries[] | select(.key | IN($platform[0].office.suites[]?)) | select(.value | IN($apps[])) | "\(.key) \(.value)"' "$CATALOG")
}

# Whatever would make two spaces know something of each other, or point at this scratch directory, goes.
strip() {
  local left
  sql -v jobs="$(<"$SCRATCH/$ID/jobs-off")" -f - <<'SQL'
DELETE FROM oc_jobs WHERE class = ANY (string_to_array(:'jobs', E'\n'));
SELECT format('TRUNCATE %I CASCADE', tablename) FROM pg_tables WHERE schemaname = 'public' AND tablename IN
  ('oc_storages', 'oc_filecache', 'oc_filecache_extended', 'oc_mounts', 'oc_file_locks', 'oc_preferences', 'oc_authtoken') \gexec
SQL
  sql -c "$SQL_DROP_JOBS"
  left=$(sql -c "SELECT count(*) FROM oc_users" -c "SELECT count(*) FROM oc_appconfig WHERE configvalue LIKE '%$SCRATCH%'")
  [ "$left" = $'0\n0' ] || fail "what it installs holds accounts or paths of its own ($left); it cannot be what all spaces begin with"
  sql -c "CREATE TABLE framaspace (key text PRIMARY KEY, value text NOT NULL)" \
    -c "INSERT INTO framaspace VALUES ('version', '$VERSION')"
}

keep() {
  local new
  mkdir -p "$PREPARED_RELEASES"
  rm -rf "$PREPARED_RELEASES"/.new.*
  new=$(mktemp -d "$PREPARED_RELEASES/.new.XXXXXX")
  as_role pg_dump --no-owner --no-privileges >"$new/schema.sql"
  echo "$VERSION" >"$new/version"
  sql -c "SELECT string_agg(appid, ' ' ORDER BY appid) FROM oc_appconfig WHERE configkey = 'enabled' AND configvalue <> 'no'" >"$new/apps"
  (cd "$new" && sha256sum schema.sql version apps >checksums)
  echo "$KEY" >"$new/key"
  sync -f "$new"
  if [ -e "$PREPARED" ]; then mv --exchange -T "$new" "$PREPARED"; rm -rf "$new"; else mv -T "$new" "$PREPARED"; fi
}

[ -f "$CODE/occ" ] || fail "it is not on this machine; run up for the platform"
mkdir -p /run/framaspace
exec 9>"/run/framaspace/release-$RELEASE.lock"
flock 9
KEY=$(key)
! is_whole || exit 0
STEP=apps
check_apps

# For the functions that work on a space.
NAME=golden_${RELEASE//./_}
ID=release-$RELEASE
read -r DBHOSTS DBPORT < <(jq -r '.database | "\(.hosts) \(.port)"' /etc/framaspace/platform.json)
DBUSER=$NAME DATABASE=$NAME
DBPASSWORD=$(head -c 24 /dev/urandom | base64 | tr +/ -_)
# shellcheck disable=SC2016 # PHP's.
VERSION=$(php -r 'require $argv[1]; echo implode(".", $OC_Version);' "$CODE/version.php")
mkdir -p /var/log/framaspace
LOG=/var/log/framaspace/prepare-$RELEASE.log
(umask 077 && : >"$LOG")

STEP=database && make_database
STEP=install && install
STEP=stripping && strip
STEP=keeping && keep
STEP=clearing
drop_scratch
drop_database
echo "release $RELEASE prepared"
