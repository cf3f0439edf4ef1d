# shellcheck shell=bash
# What prepare-release and runbooks need to work on one space by shell: how they fail, read the space, reach its database
# and run Nextcloud's command line. Programs in TypeScript have the same in spaces/agent/programs. Sourced, never run:
#   read_space <space.json; STEP=…; …
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
# Directories in which Nextcloud may write its configuration while it installs or upgrades.
SCRATCH=/var/lib/framaspace/scratch
CA=/usr/local/share/ca-certificates/framaspace.crt
# PostgreSQL's own programs, without Debian's wrapper in Perl, which takes longer than a query.
PGBIN=/usr/lib/postgresql/17/bin
STEP=reading

# fail WHAT: names space and step, says what is wrong and what to do next, and exits. Replaces program-lib.sh's.
fail() {
  echo "space ${ID:-?}, $STEP: $*" >&2
  exit 1
}
# Whichever process of the program failed, only the program itself says this, once.
trap '[ "$BASHPID" != "$$" ] || echo "space ${ID:-?}, $STEP: line $LINENO failed; run it again" >&2' ERR

# read_space: reads one space as JSON from standard input, as its space.json has it. Sets a variable for each field that
# is needed. A field that the JSON lacks is empty.
read_space() {
  local fields
  fields=$(jq -r --slurpfile platform /etc/framaspace/platform.json \
    '$platform[0].database as $database |
     .id, .release, .database.name, .database.user, .database.password, $database.hosts, $database.port // 5432,
     .s3.bucket // "", .contact // "", "end"') ||
    fail "standard input is no JSON"
  # shellcheck disable=SC2034 # Each program, and each runbook, uses its own.
  { read -r ID; read -r RELEASE; read -r DATABASE; read -r DBUSER; read -r DBPASSWORD; read -r DBHOSTS; read -r DBPORT
    read -r BUCKET; read -r CONTACT; } <<<"$fields"
  # The id becomes a path: never trust that the caller has checked it.
  is_id "$ID" || fail "this is no id"
  [[ $RELEASE =~ ^[0-9]+(\.[0-9]+){2}$ ]] || fail "\"$RELEASE\" is no release"
  DIRECTORY=$SPACES/$ID
}

# office_settings: prints what Collabora's connector has to know, one `key value` on a line; nothing where there is no
# Collabora. Why: spaces/agent/programs/converge/space-apps.ts.
office_settings() {
  jq -r 'select(.office.suites | index("collabora")) |
    ["preview_generation no", "public_wopi_url https://collabora.\(.domain)\(.port | if . then ":\(.)" else "" end)",
     "wopi_allowlist \(.office.clients)", "wopi_url \(.office.url)"][]' /etc/framaspace/platform.json
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

drop_scratch() { rm -rf "${SCRATCH:?}/$ID"; }

# run_php CONFIG_DIRECTORY RELEASE SCRIPT WORDS…: runs a program of Nextcloud's, as the user of the space and within the
# limits that PHP has on the web servers (infra/web/rootfs/etc/php/8.4/fpm/conf.d/90-framaspace.ini). The caller exports as variables
# what must not show in process lists.
run_php() (
  config=$1 code=$RELEASES/$2 user=$(stat -c %u "$DIRECTORY/tmp")
  shift 2
  cd "$code"
  export NEXTCLOUD_CONFIG_DIR=$config HOME=$DIRECTORY/tmp PGSSLMODE=verify-full PGSSLROOTCERT=$CA \
    PGTARGETSESSIONATTRS=read-write PGCONNECT_TIMEOUT=5 PGCHANNELBINDING=disable PGOPTIONS=$WRITES
  exec setpriv --reuid="$user" --regid="$user" --clear-groups --no-new-privs php \
    -d sys_temp_dir="$DIRECTORY/tmp" -d upload_tmp_dir="$DIRECTORY/tmp" -d syslog.ident="$ID" \
    "$code/$1" "${@:2}" 9>&- </dev/null
)

# occ CONFIG_DIRECTORY RELEASE WORDS…: Nextcloud's command line.
occ() { run_php "$1" "$2" occ --no-interaction --no-ansi "${@:3}"; }

# What Nextcloud leaves to its administrator after an installation, as words for occ. After an upgrade it is the same
# (spaces/agent/programs/converge/upgrade.ts).
# shellcheck disable=SC2034 # The programs use it.
REPAIRS=(db:add-missing-columns db:add-missing-primary-keys db:add-missing-indices "maintenance:repair --include-expensive")

# A background job that needs a shell, which PHP does not have here. Each run would fail, and log a page. The job comes
# back with a new release, or if the app is turned off and on.
# shellcheck disable=SC2034 # The programs use it.
SQL_DROP_JOBS="DELETE FROM oc_jobs WHERE class = 'OCA\Talk\BackgroundJob\CheckMatterbridges'"
