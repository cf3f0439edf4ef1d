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
# Dumps from before an upgrade. Only ops-1 has them, and nothing else could make them again.
# shellcheck disable=SC2034 # The programs use it.
KEPT=/var/lib/framaspace/kept
# Spaces whose directory changed here, and may not be on every web server yet.
UNDISTRIBUTED=/var/lib/framaspace/undistributed
# id → what is being restored onto the space, until it is done. restore-space writes the export, restore-space-at the
# source space and the moment. Each program has its own folder, so that neither takes the other's work for its own.
RESTORING=/var/lib/framaspace/restoring
RESTORING_AT=/var/lib/framaspace/restoring-at
# What is wanted of each space, and why it is not done yet. finish-spaces keeps the first, and works through the second.
# shellcheck disable=SC2034 # The programs use it.
WANTED=/var/lib/framaspace/wanted
# shellcheck disable=SC2034 # The programs use it.
UNFINISHED=/var/lib/framaspace/unfinished
# Spaces that remove-space has removed. Their databases go after that.
# shellcheck disable=SC2034 # The programs use it.
REMOVED=/var/lib/framaspace/removed
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
# Collabora. Why: spaces/agent/programs/converge/space-apps.ts.
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

# refuse_cut_off PROGRAM: fails if a restore onto the space was begun and is not finished, and names the command that
# finishes it. The two programs that restore check their own work themselves.
refuse_cut_off() {
  local source moment
  if [ "$1" != restore-space-at ] && [ -e "$RESTORING_AT/$ID" ]; then
    { read -r source; read -r moment; } <"$RESTORING_AT/$ID"
    fail "its restore to $moment was cut off. Finish it on ops-1: $(restore_at_command "$source" "$moment"); then run this again"
  fi
  if [ "$1" != restore-space ] && [ -s "$RESTORING/$ID" ]; then
    fail "$(<"$RESTORING/$ID") is half restored onto it. Finish it on ops-1: restore-space $ID $(<"$RESTORING/$ID"); then run this again"
  fi
  # An earlier version of restore-space-at wrote only this empty file.
  if [ "$1" != restore-space-at ] && [ -e "$RESTORING/$ID" ] && [ ! -s "$RESTORING/$ID" ]; then
    fail "its restore to a moment was cut off, and nothing was written down of it. Finish it on ops-1 by the same restore-space-at as then (its moment: grep -e --target= /var/log/pgbackrest/main-restore.log); then run this again"
  fi
}

# restore_at_command SOURCE MOMENT: prints the command that was typed for this space.
restore_at_command() {
  local words=("$1" "'$2'")
  [ "$1" = "$ID" ] || words+=("$ID")
  echo "restore-space-at ${words[*]}"
}

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

# load_database FILE.sql.zst: replaces everything in the database, in one transaction. psql would commit what it has where
# its input ends, so the input is one \if: if zstd fails before \endif, psql fails, and nothing has changed.
load_database() {
  { printf '%s\n' '\if true' && cat /usr/local/lib/framaspace/empty-database.sql && zstd -qdc "$1" && printf '%s\n' '\endif'; } |
    PGOPTIONS='-c client_min_messages=warning' as_role psql -XAtq -1 -v ON_ERROR_STOP=1 -f - >/dev/null
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
  exec setpriv --reuid=www-data --regid=www-data --init-groups --no-new-privs \
    php -d open_basedir="$code/:$DIRECTORY/:$config/:/usr/local/share/framaspace/:/etc/framaspace/platform.json:$CA:/dev/urandom" \
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

# link_release RELEASE: one symbolic link says which release answers, on every web server, from the next request on.
link_release() {
  local target=$RELEASES/$1
  [ "$(readlink "$DIRECTORY/release" || true)" != "$target" ] || return 0
  touches
  # A killed run may have left this link. With -n, ln replaces it, and does not follow it.
  ln -sfn "$target" "$DIRECTORY/.new.release"
  mv -T "$DIRECTORY/.new.release" "$DIRECTORY/release"
  note "release $1"
}

# follow_database VERSION FINGERPRINT: puts a space whose database was restored on the release of that database. The
# fingerprint tells its clients that what they know of the space is from another time. Converging keeps both.
follow_database() {
  put config/space.json 0640 root:www-data "$(jq -cS --arg version "$1" --arg fingerprint "$2" \
    '.release = ($version | sub("\\.[0-9]+$"; "")) | .version = $version | .dataFingerprint = $fingerprint' <<<"$SPACE")"
  link_release "${1%.*}"
}

# A new fingerprint makes sync clients ask about files that are newer than the space's, instead of deleting them.
# shellcheck disable=SC2034 # The programs use it.
SQL_NEW_FINGERPRINT="INSERT INTO framaspace VALUES ('fingerprint', md5(random()::text || clock_timestamp()::text))
  ON CONFLICT (key) DO UPDATE SET value = excluded.value RETURNING value"

# distribute: copies the directory to every web server. If one does not answer, the timer copies it as soon as it does.
distribute() {
  if distribute-spaces "$ID" 9>&- >/dev/null; then rm -f "$UNDISTRIBUTED/$ID"; fi
}

# ask_pages STATUS [HEADER]: prints "<web server> <status>" for each web server whose status.php answers with another
# status. It does not ask servers that are known to be unreachable. With "$BEHIND" as header, ops-1 sees the space
# behind its maintenance.
# shellcheck disable=SC2034 # Its callers'.
BEHIND='X-Behind-Maintenance: yes'
ask_pages() {
  local requests=() web url status
  while read -r web; do
    if [ -e "/run/framaspace/unreachable/$web" ]; then echo "$web unreachable"; else requests+=(-o /dev/null "http://$web/status.php"); fi
  done </etc/framaspace/web-servers
  [ "${#requests[@]}" -gt 0 ] || return 0
  { curl -sZ --connect-timeout 2 --max-time 20 -H "Host: $HOST" ${2:+-H "$2"} -w '%{url} %{http_code}\n' "${requests[@]}" || true; } |
    while read -r url status; do
      web=${url#http://}
      [ "$status" = "$1" ] || echo "${web%%/*} $status"
    done
}

# close_space: waits for the background job while the space still serves. Then every web server answers visitors with a
# 503 that asks them to come back soon. Then it waits for requests that are under way, and shuts the database. From here
# on, only the caller changes the space's data. Fails if a web server goes on serving the space.
close_space() {
  local serving
  wait_for_cron
  put maintenance 0640 root:www-data ''
  distribute
  serving=$(ask_pages 503 | grep -v -e ' unreachable$' -e ' 000$' || true)
  if [ -n "$serving" ]; then
    open_space
    fail "${serving//$'\n'/, } would go on serving it meanwhile; look at the web server (npm run lab -- logs, journalctl -u distribute-spaces), then run it again"
  fi
  shut_database
}

# open_space: lets visitors in again.
open_space() {
  open_database
  drop maintenance
  distribute
  exec 7>&-
}

# wait_for_cron: waits until the background job has ended. None begins until the caller ends, or opens the space.
wait_for_cron() {
  exec 7>"/run/framaspace/cron-$ID.lock"
  flock --timeout 900 7 ||
    fail "its background job has run for 15 minutes, so nothing was changed (fuser -v /run/framaspace/cron-$ID.lock); run it again"
}

# Seconds that requests under way may still take once visitors are shut out.
PATIENCE=30
# SHUT: this program has shut the database, or may have. ENDED: Unix time in seconds from which on it has ended
# requests.
SHUT=
ENDED=

# shut_database: from here on, only the programs of ops-1 write to the database, whatever web servers do. The database
# itself refuses the others, because Nextcloud connects again after its connection is cut: an upload that was under way
# would be acknowledged after the dump. What is refused here was not acknowledged.
shut_database() {
  local STEP=database others end=$((SECONDS + PATIENCE))
  local sessions="FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = '$DATABASE' AND usename = '$DBUSER'"
  SHUT=1
  # PHP asks libpq for a session that may write, and libpq refuses one that may not.
  admin_psql postgres -c "ALTER ROLE \"$DBUSER\" IN DATABASE \"$DATABASE\" SET default_transaction_read_only = on" ||
    fail "its database cannot be shut; look at the primary (psql service=framaspace), then run it again"
  while :; do
    others=$(admin_psql postgres -c "SELECT count(*) $sessions") && [ -n "$others" ] ||
      fail "its database does not say who is connected to it; look at the primary (psql service=framaspace), then run it again"
    [ "$others" != 0 ] || return 0
    [ "$SECONDS" -lt "$((end + PATIENCE))" ] ||
      fail "$others requests of it cannot be ended (psql service=framaspace -c 'SELECT * FROM pg_stat_activity'); run it again"
    if [ "$SECONDS" -ge "$end" ]; then
      echo "space $ID: $others requests still under way after $PATIENCE s are ended; they were not acknowledged" >&2
      # Two seconds earlier: what a request was writing to the bucket at that moment counts, too.
      ENDED=${ENDED:-$((EPOCHSECONDS - 2))}
      admin_psql postgres -c "SELECT count(pg_terminate_backend(pid)) $sessions" >/dev/null ||
        fail "requests of it cannot be ended; look at the primary (psql service=framaspace), then run it again"
    fi
    sleep 0.5
  done
}

# open_database: lets web servers write again.
open_database() {
  [ -n "$SHUT" ] || return 0
  local STEP=database
  if [ -n "$ENDED" ]; then bring_back "$ENDED"; fi
  admin_psql postgres -c "ALTER ROLE \"$DBUSER\" IN DATABASE \"$DATABASE\" RESET default_transaction_read_only" ||
    fail "its database cannot be opened again, so visitors stay outside; look at the primary (psql service=framaspace), then run it again"
  SHUT=""
  ENDED=""
}

mc_root() { HOME=/root MC_CONFIG_DIR=/root/.mc mc "$@" 2>/dev/null </dev/null; }

# bring_back SECONDS [all]: brings back files that were overwritten in the bucket, or deleted from it, since then. It
# takes those whose size in the database is that of the earlier version, and not that of the current one; with "all",
# every one. Nextcloud writes to the bucket first: an ended request leaves its change there, and the database never
# hears of it. If a file cannot be brought back, the space serves all the same.
bring_back() {
  local since found files changed key version
  [ -n "$BUCKET" ] || return 0
  since=$(date -u -d "@$1" +%FT%T)
  if ! { found=$(mc_root ls --json --recursive --versions "serving/$BUCKET") && files=$(list_sizes) &&
    # Newest first. Prints key, size now ("-" if deleted), and version and size of what was there then.
    changed=$(jq -rn --arg since "$since" 'reduce (inputs | select(.type == "file")) as $one ({};
        if $one.lastModified >= $since then .[$one.key].now //= (if $one.isDeleteMarker then "-" else $one.size end)
        else .[$one.key].before //= $one end)
      | to_entries[] | select(.value.now and .value.before and (.value.before.isDeleteMarker | not))
      | "\(.key) \(.value.now) \(.value.before.versionId) \(.value.before.size)"' <<<"$found") &&
    awk -v all="${2:-}" 'NR == FNR { size[$1] = $2; next }
      $1 in size && (all || $2 != size[$1] && $4 == size[$1]) { print $1, $3 }' <(echo "$files") - <<<"$changed" |
      while read -r key version; do
        mc_root --quiet cp --version-id "$version" "serving/$BUCKET/$key" "serving/$BUCKET/$key" >/dev/null || exit 1
      done; }; then
    echo "space $ID: files that were overwritten or deleted and not acknowledged could not be brought back; is object storage up (mc admin info serving)? An export will name them" >&2
  fi
}

# list_sizes: prints the key in the bucket and the size of each file that Nextcloud knows.
list_sizes() {
  sql -F ' ' -v storages="$(</usr/local/lib/framaspace/storages.sql)" -f - <<'SQL'
SELECT to_regclass('public.oc_filecache') IS NOT NULL AS nextcloud \gset
\if :nextcloud
SELECT 'urn:oid:' || fileid, size FROM oc_filecache JOIN :storages s ON numeric_id = storage WHERE id LIKE 'object::%';
\endif
SQL
}
