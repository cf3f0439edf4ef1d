# shellcheck shell=bash
# What the shell programs that work on one space share: how they fail, lock, reach the space's database, run Nextcloud's
# command line, change the space's directory and copy it to the web servers. Programs in TypeScript have the same in
# spaces/agent/programs. Sourced, never run:
#   read_space <space.json; lock_space; STEP=…; …
set -Eeuo pipefail
shopt -s inherit_errexit
export LC_ALL=C.UTF-8
umask 027
# shellcheck source=infra/machine/rootfs/usr/local/lib/framaspace/program-lib.sh
. /usr/local/lib/framaspace/program-lib.sh

SPACES=/srv/spaces
RELEASES=/srv/releases
# What prepare-release made of each release.
# shellcheck disable=SC2034 # The programs use it.
PREPARED_RELEASES=/var/lib/framaspace/releases
# Spaces whose directory changed here, and may not be on every web server yet.
UNDISTRIBUTED=/var/lib/framaspace/undistributed
# id → what is being restored onto the space, until it is done: by restore-space, and by restore-space-at.
RESTORING=/var/lib/framaspace/restoring
RESTORING_AT=/var/lib/framaspace/restoring-at
# What is wanted of each space, and why it is not done yet. finish-spaces keeps the first, and works through the second.
# shellcheck disable=SC2034 # The programs use it.
WANTED=/var/lib/framaspace/wanted
# shellcheck disable=SC2034 # The programs use it.
UNFINISHED=/var/lib/framaspace/unfinished
# Directories in which Nextcloud may write its configuration while it installs or upgrades.
SCRATCH=/var/lib/framaspace/scratch
CA=/usr/local/share/ca-certificates/framaspace.crt
# PostgreSQL's own programs, without Debian's wrapper in Perl, which takes longer than a query.
PGBIN=/usr/lib/postgresql/17/bin
CHANGED=()
STEP=reading

# fail WHAT: names space and step, says what is wrong and what to do next, and exits. Replaces program-lib.sh's.
fail() {
  echo "space ${ID:-?}, $STEP: $*" >&2
  exit 1
}
# Whichever process of the program failed, only the program itself says this, once.
trap '[ "$BASHPID" != "$$" ] || echo "space ${ID:-?}, $STEP: line $LINENO failed; run it again" >&2' ERR

note() { CHANGED+=("$1"); }

# read_space: reads one space as JSON from standard input, as it is wanted or as its space.json has it. Sets SPACE (the
# same, sorted) and a variable for each field that programs need. A field that the JSON lacks is empty or 0.
read_space() {
  local fields
  fields=$(jq -rcS --slurpfile platform /etc/framaspace/platform.json \
    '$platform[0].database as $database |
     ., .id, .host, .state, .release, .version // "", .database.name, .database.user, .database.password,
     $database.hosts, $database.port // 5432, .s3.bucket // "", .contact // "", .limits.storageBytes // 0, "end"') ||
    fail "standard input is no JSON"
  # shellcheck disable=SC2034 # Each program, and each runbook, uses its own.
  { read -r SPACE; read -r ID; read -r HOST; read -r STATE; read -r RELEASE; read -r VERSION
    read -r DATABASE; read -r DBUSER; read -r DBPASSWORD; read -r DBHOSTS; read -r DBPORT; read -r BUCKET
    read -r CONTACT; read -r STORAGE_BYTES; } <<<"$fields"
  # The id becomes a path: never trust that the caller has checked it.
  is_id "$ID" || fail "this is no id"
  [[ $RELEASE =~ ^[0-9]+(\.[0-9]+){2}$ ]] || fail "\"$RELEASE\" is no release"
  [[ $STATE =~ ^(active|suspended|archived)$ ]] || fail "\"$STATE\" is no state"
  DIRECTORY=$SPACES/$ID
}

# office_settings: prints what Collabora's connector has to know, one `key value` on a line; nothing where there is no
# Collabora. The connector looks for it in the database alone. Web servers ask the suite directly; browsers reach it by
# the gateways. Documents are given to the suite alone. It makes no previews: they would take what open documents need.
office_settings() {
  jq -r 'select(.office.suites | index("collabora")) |
    ["preview_generation no", "public_wopi_url https://collabora.\(.domain)\(.port | if . then ":\(.)" else "" end)",
     "wopi_allowlist \(.office.clients)", "wopi_url \(.office.url)"][]' /etc/framaspace/platform.json
}

# lock_space: only one program at a time works on a space, until that program ends. It holds descriptor 9, which is
# closed for every process that outlives the program.
lock_space() {
  mkdir -p /run/framaspace "$UNDISTRIBUTED"
  exec 9>"/run/framaspace/space-$ID.lock"
  flock --timeout 600 9 || fail "another run has been at it for ten minutes (fuser -v /run/framaspace/space-$ID.lock)"
}

# is_cut_off: whether a restore onto the space was begun and is not finished.
is_cut_off() { [ -e "$RESTORING/$ID" ] || [ -e "$RESTORING_AT/$ID" ]; }

# admin_psql DATABASE WORD…: runs psql with the administrators' role.
admin_psql() {
  local database=$1
  shift
  HOME=/root "$PGBIN/psql" -XAtq -v ON_ERROR_STOP=1 -d "service=framaspace dbname=$database" "$@"
}

# Lets a session write to a database that is shut. Only the programs of ops-1 ask for this.
WRITES='-c default_transaction_read_only=off'

# as_role psql|pg_dump|pg_restore WORDS…: runs it on the space's database, with the space's own role.
as_role() {
  local tool=$1
  shift
  # No channel binding: libpq knows no digest for the Ed25519 signatures of our certificates.
  PGHOST=$DBHOSTS PGPORT=$DBPORT PGUSER=$DBUSER PGDATABASE=$DATABASE PGPASSWORD=$DBPASSWORD \
    PGTARGETSESSIONATTRS=read-write PGCONNECT_TIMEOUT=5 PGSSLMODE=verify-full PGSSLROOTCERT=$CA PGCHANNELBINDING=disable \
    PGOPTIONS="${PGOPTIONS:-} $WRITES" "$PGBIN/$tool" "$@"
}

# sql WORDS…: psql for programs. It prints plain rows and stops at the first error.
sql() { as_role psql -XAtq -v ON_ERROR_STOP=1 "$@"; }

# scratch_config: makes $SCRATCH/$ID, a configuration directory for occ in which Nextcloud may write, and that does not
# limit the space's accounts. It holds secrets: call drop_scratch when done.
scratch_config() {
  rm -rf "${SCRATCH:?}/$ID"
  install -d -m 0711 "$SCRATCH"
  install -d -m 0700 -o www-data -g www-data "$SCRATCH/$ID"
  (umask 077 && printf '%s\n' "<?php \$CONFIG = ['config_is_read_only' => false, 'one-click-instance' => false] + (require '/usr/local/share/framaspace/config.php')('$DIRECTORY/config');" >"$SCRATCH/$ID/config.php")
  chown www-data:www-data "$SCRATCH/$ID/config.php"
}

drop_scratch() { rm -rf "${SCRATCH:?}/$ID"; }

# run_php CONFIG_DIRECTORY RELEASE SCRIPT WORDS…: runs a program of Nextcloud's, as the user and within the limits that
# PHP has on the web servers (infra/web/rootfs/etc/nginx/space.conf). The caller exports as variables what must not show
# in process lists.
run_php() (
  config=$1 code=$RELEASES/$2
  shift 2
  cd "$code"
  export NEXTCLOUD_CONFIG_DIR=$config HOME=$DIRECTORY/tmp PGSSLMODE=verify-full PGSSLROOTCERT=$CA \
    PGTARGETSESSIONATTRS=read-write PGCONNECT_TIMEOUT=5 PGCHANNELBINDING=disable PGOPTIONS=$WRITES
  exec timeout "${LONGEST_SECONDS:-0}" setpriv --reuid=www-data --regid=www-data --init-groups --no-new-privs \
    php -d open_basedir="$code/:$DIRECTORY/:$config/:/usr/local/share/framaspace/:/etc/framaspace/platform.json:$CA:/dev/urandom" \
    -d sys_temp_dir="$DIRECTORY/tmp" -d upload_tmp_dir="$DIRECTORY/tmp" -d syslog.ident="$ID" \
    "$code/$1" "${@:2}" 9>&- </dev/null
)

# occ CONFIG_DIRECTORY RELEASE WORDS…: Nextcloud's command line.
occ() { run_php "$1" "$2" occ --no-interaction --no-ansi "${@:3}"; }

# What Nextcloud leaves to its administrator after an installation or an upgrade, as words for occ.
# shellcheck disable=SC2034 # The programs use it.
REPAIRS=(db:add-missing-columns db:add-missing-primary-keys db:add-missing-indices "maintenance:repair --include-expensive")

# A background job that needs a shell, which PHP does not have here. Each run would fail, and log a page. The job comes
# back with a new release, or if the app is turned off and on.
# shellcheck disable=SC2034 # The programs use it.
SQL_DROP_JOBS="DELETE FROM oc_jobs WHERE class = 'OCA\Talk\BackgroundJob\CheckMatterbridges'"

# Two settings with which a space's administrator would stop the space: without a module for encryption, all files
# answer 503; with no mode, no background job runs. nginx refuses both (infra/web/web.ts). But Nextcloud also takes a
# setting's name from a JSON body, in place of the name in the address.
# shellcheck disable=SC2034 # The programs use it.
SQL_RESET_SETTINGS="DELETE FROM oc_appconfig WHERE appid = 'core' AND configkey = 'encryption_enabled';
  UPDATE oc_appconfig SET configvalue = 'cron' WHERE appid = 'core' AND configkey = 'backgroundjobs_mode' AND configvalue <> 'cron'"

# mark_full BYTES: if a space uses all of its plan's storage, nginx takes no more files, and serves those it has.
mark_full() {
  if [ "$1" -ge "$STORAGE_BYTES" ]; then put full 0640 root:www-data ''; else drop full; fi
}

# touches: called before the space's directory changes, so that the next run distributes it if this one is killed.
touches() { [ -e "$UNDISTRIBUTED/$ID" ] || : >"$UNDISTRIBUTED/$ID"; }

# put PATH MODE GROUP_OWNER CONTENT: gives a file of the space this content, atomically.
put() {
  local path=$DIRECTORY/$1 mode=$2 owner=$3 content=$4 new
  if [ -f "$path" ] && [ "$(<"$path")" = "$content" ]; then return; fi
  touches
  new=$DIRECTORY/.new.${1//\//.}
  rm -f "$new"
  (umask 077 && printf '%s\n' "$content" >"$new")
  chown "$owner" "$new"
  chmod "$mode" "$new"
  mv "$new" "$path"
  note "$1"
}

# drop PATH: removes a file of the space.
drop() {
  [ -e "$DIRECTORY/$1" ] || return 0
  touches
  rm "$DIRECTORY/$1"
  note "no $1"
}

# distribute: copies the directory to every web server. If one does not answer, the timer copies it as soon as it does.
distribute() {
  if distribute-spaces "$ID" 9>&- >/dev/null; then rm -f "$UNDISTRIBUTED/$ID"; fi
}

# reachable_web_servers: prints those that are not known to be unreachable.
reachable_web_servers() {
  local web
  while read -r web; do
    [ -e "/run/framaspace/unreachable/$web" ] || echo "$web"
  done </etc/framaspace/web-servers
}

# wait_for_cron: waits until the background job has ended. None begins until the caller ends, or opens the space.
wait_for_cron() {
  exec 7>"/run/framaspace/cron-$ID.lock"
  flock --timeout 900 7 ||
    fail "its background job has run for 15 minutes, so nothing was changed (fuser -v /run/framaspace/cron-$ID.lock); run it again"
}
