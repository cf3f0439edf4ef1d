# shellcheck shell=bash
# What suites need on ops-1 to work on one space by shell: read the space, reach its database, run Nextcloud's command line.
# Sourced, then: read_space <space.json. Of ops-1's own programs, only occ-space is used here.
set -Eeuo pipefail
shopt -s inherit_errexit
SPACES=/srv/spaces
CA=/usr/local/share/ca-certificates/framaspace.crt
WRITES='-c default_transaction_read_only=off'

# read_space: reads one space as JSON from standard input, as its space.json has it, into variables.
read_space() {
  local fields
  fields=$(jq -r --slurpfile platform /etc/framaspace/platform.json \
    '$platform[0].database as $database |
     .id, .release, .database.name, .database.user, .database.password, $database.hosts, $database.port // 5432,
     .s3.bucket // "", "end"')
  # shellcheck disable=SC2034 # Each suite uses its own.
  { read -r ID; read -r RELEASE; read -r DATABASE; read -r DBUSER; read -r DBPASSWORD; read -r DBHOSTS; read -r DBPORT
    read -r BUCKET; } <<<"$fields"
  # shellcheck disable=SC2034
  DIRECTORY=$SPACES/$ID
}

# as_role psql|pg_dump WORDS…: runs it on the space's database, with the space's own role.
as_role() {
  local tool=$1
  shift
  PGHOST=$DBHOSTS PGPORT=$DBPORT PGUSER=$DBUSER PGDATABASE=$DATABASE PGPASSWORD=$DBPASSWORD \
    PGTARGETSESSIONATTRS=read-write PGCONNECT_TIMEOUT=5 PGSSLMODE=verify-full PGSSLROOTCERT=$CA PGCHANNELBINDING=disable \
    PGOPTIONS="$WRITES" "/usr/lib/postgresql/17/bin/$tool" "$@"
}

# sql WORDS…: psql for suites. It prints plain rows and stops at the first error.
sql() { as_role psql -XAtq -v ON_ERROR_STOP=1 "$@"; }

# occ WORDS…: Nextcloud's command line for the space.
occ() { occ-space "$ID" "$@"; }
