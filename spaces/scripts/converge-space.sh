#!/bin/bash
# converge-space: reads one wanted space as JSON from standard input, compares it with what is there, does what is
# missing, and prints the result as one line of JSON. Run twice, it does nothing the second time; killed anywhere, the
# next run finishes, and there is one: what is wanted is kept first (finish-spaces), and what was not done is tried again.
#   converge-space --again ID    goes by what was wanted last
# Each step is a function that can be run again. What a space's database is, the database says
# itself (table framaspace), so that the answer comes back with any dump of it.
# shellcheck source-path=SCRIPTDIR source=space-lib.sh
. /usr/local/lib/framaspace/space-lib.sh

# Spaces that failed to upgrade, by wave and release: WAVES/<wave>/<release>/<id>.
WAVES=/var/lib/framaspace/waves
LOG=/var/log/framaspace
declare -A FOUND=()

check_release() {
  local prepared=$PREPARED_RELEASES/$RELEASE
  [ -f "$RELEASES/$RELEASE/index.php" ] ||
    fail "release $RELEASE is not on this machine; run up for the platform, then again"
  [ "$APPS / $APPS_OPTIONAL / $APPS_OFF" = "$CATALOG_APPS / $CATALOG_APPS_OPTIONAL / $CATALOG_APPS_OFF" ] ||
    fail "the catalog lists other apps than this machine knows of; run up for the platform, then again"
  [ -f "$prepared/key" ] || prepare-release "$RELEASE" >/dev/null 9>&- || exit 1
  read -r TARGET <"$prepared/version"
  read -r PREPARED_APPS <"$prepared/apps"
}

# look: what the space's database says of itself.
look() {
  local key value
  FOUND=()
  while read -r key value; do FOUND[$key]=$value; done < <(
    sql -F ' ' -v used="$SQL_USED_STORAGE" -v refused="$APPS_REFUSED" -f - <<'SQL' || echo failed
SELECT to_regclass('public.framaspace') IS NOT NULL AS ours \gset
\if :ours
SELECT key, value FROM framaspace;
SELECT 'apps', string_agg(appid, ' ' ORDER BY appid) FROM oc_appconfig WHERE configkey = 'enabled' AND configvalue <> 'no';
SELECT 'refused', string_agg(DISTINCT appid, ' ') FROM oc_appconfig WHERE appid = ANY (string_to_array(:'refused', ' '));
SELECT 'approval', configvalue FROM oc_appconfig WHERE appid = 'registration' AND configkey = 'admin_approval_required';
SELECT 'accounts', count(*) FROM oc_users WHERE NOT EXISTS (SELECT FROM oc_preferences
  WHERE userid = uid AND appid = 'core' AND configkey = 'enabled' AND configvalue IN ('false', '0'));
SELECT 'used', (:used);
SELECT 'default-quota', configvalue FROM oc_appconfig WHERE appid = 'files' AND configkey = 'default_quota';
SELECT 'admin', 1 FROM oc_users WHERE uid = 'admin';
SELECT 'shut', 1 FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase JOIN pg_roles r ON r.oid = setrole
 WHERE datname = current_database() AND rolname = current_user AND 'default_transaction_read_only=on' = ANY (setconfig);
\else
SELECT 'tables', count(*) FROM pg_tables WHERE schemaname = 'public';
\endif
SQL
  )
  [ -z "${FOUND[failed]+1}" ] ||
    fail "its role cannot use its database; look at the primary (psql service=framaspace), then run up again"
  # By a run that was killed.
  SHUT=${FOUND[shut]-$SHUT}
}

# Refuses what cannot be done, before anything is.
judge() {
  local found=${FOUND[version]-} ahead
  if [ -z "$found" ]; then
    [ "${FOUND[tables]}" = 0 ] ||
      fail "its database holds ${FOUND[tables]} tables that were not made here; nothing was changed. If they are wanted, restore them by npm run space -- restore; else empty the database"
    return 0
  fi
  [ "$found" != "$TARGET" ] || return 0
  [ "$(printf '%s\n' "$found" "$TARGET" | sort -V | head -n 1)" = "$found" ] ||
    fail "it is on ${found%.*}, and $RELEASE is older: Nextcloud cannot go back. Nothing was changed; write ${found%.*} or later for wave \"$WAVE\" in spaces/catalog.yaml"
  ahead=$((${RELEASE%%.*} - ${found%%.*}))
  [ "$ahead" -le 1 ] ||
    fail "it is on ${found%.*}, and $RELEASE is $ahead majors ahead: one at a time. Nothing was changed; move wave \"$WAVE\" to a $((${found%%.*} + 1)) release first, in spaces/catalog.yaml"
}

# What a release begins with, loaded in one transaction: all of it is there, or nothing.
install_schema() {
  local prepared=$PREPARED_RELEASES/$RELEASE
  [ -z "${FOUND[version]-}" ] || return 0
  (cd "$prepared" && sha256sum --quiet --check checksums) >/dev/null 2>&1 || prepare-release "$RELEASE" >/dev/null 9>&- || exit 1
  # What is deleted can be brought back, from its first file on; settle-storage sees to the rest of the bucket.
  [ -z "$BUCKET" ] || mc_root version enable "serving/$BUCKET" >/dev/null ||
    fail "its bucket $BUCKET cannot be made to keep old versions; does object storage serve (mc admin info serving)? Nothing was installed; run up again"
  # Apps by which two suites open the same documents: the one that is asked for is on, once. It is the space's own
  # choice from then on.
  { cat "$prepared/schema.sql" - <<'SQL'
UPDATE public.oc_appconfig SET configvalue = 'no' WHERE configkey = 'enabled' AND :'office' <> ''
   AND appid = ANY (string_to_array(:'offices', ' ')) AND appid <> :'office';
INSERT INTO public.oc_appconfig (appid, configkey, configvalue) VALUES ('files', 'default_quota', :'quota'), ('theming', 'name', :'name');
INSERT INTO public.framaspace VALUES ('quota', :'quota');
SQL
  } | as_role psql -XAtq -1 -v ON_ERROR_STOP=1 -v office="$OFFICE_APP" -v offices="$OFFICE_APPS" -v quota="$(quota)" -v name="$NAME" -f - >/dev/null ||
    fail "release $RELEASE could not be loaded into its database; nothing of it is there. See above, then run up again"
  note "installed $RELEASE"
  look
}

# As Nextcloud writes quotas: 1 GB is 2^30 bytes.
quota() { echo "$((STORAGE_BYTES / 1024 ** 3)) GB"; }

# A new directory appears whole: nginx would serve half of one.
make_directory() {
  [ ! -d "$DIRECTORY" ] || return 0
  local final=$DIRECTORY before=("${CHANGED[@]}")
  DIRECTORY=$SPACES/.new.$ID
  rm -rf "$DIRECTORY"
  install -d -m 0750 -o root -g www-data "$DIRECTORY" "$DIRECTORY/config"
  install -d -m 0700 -o www-data -g www-data "$DIRECTORY/data" "$DIRECTORY/tmp"
  put data/.ncdata 0640 www-data:www-data '# Nextcloud data directory'
  write_files
  # Not before everything in it is on disk: after a power loss a directory must not be there without its files.
  sync -f "$DIRECTORY"
  mv -T "$DIRECTORY" "$final"
  DIRECTORY=$final
  CHANGED=("${before[@]}" directory)
}

# As the database is: another release is written once its upgrade has succeeded.
write_files() {
  local version=${FOUND[version]-$VERSION} release json=$SPACE
  release=${version%.*}
  [ "$release" = "$RELEASE" ] && [ -z "${FOUND[fingerprint]-}" ] ||
    json=$(jq -cS --arg release "$release" --arg fingerprint "${FOUND[fingerprint]-}" \
      '.release = $release | if $fingerprint == "" then . else .dataFingerprint = $fingerprint end' <<<"$SPACE")
  # It is sorted, and no field comes after this one.
  put config/space.json 0640 root:www-data "${json%\}},\"version\":\"$version\"}"
  # Nextcloud's command line refuses a file that is not its user's own.
  put config/config.php 0440 www-data:www-data "<?php \$CONFIG = (require '/usr/local/share/framaspace/config.php')(__DIR__);"
  link_release "$release"
}

# The first administrator: a password that nobody ever sees, and a letter with a link to choose one. Nextcloud says
# nothing where a letter cannot be sent, so the relay is asked first.
invite() {
  local said='' config=$DIRECTORY/config NC_log_type=errorlog
  # What Nextcloud logs of a letter then stands in what occ says.
  export NC_log_type
  INVITED=true
  [ -z "${FOUND[administrator]-}" ] || return 0
  relay_answers || INVITED=false
  if [ -z "${FOUND[admin]-}" ]; then
    [ "$INVITED" = false ] || set -- --email="$CONTACT"
    said=$(occ "$config" "$RELEASE" user:add --generate-password --display-name=Administration --group=admin "$@" admin 2>&1) || true
    [[ $said == *"was created successfully"* ]] || fail "its first administrator could not be made: ${said:0:500}. Run up again"
    note administrator
    ! was_refused || INVITED=false
  elif [ "$INVITED" = true ]; then
    # A run before this one got as far as the account alone.
    said=$(occ "$config" "$RELEASE" group:adduser admin admin &&
      occ "$config" "$RELEASE" user:setting admin settings email "$CONTACT" &&
      occ "$config" "$RELEASE" user:welcome --reset-password admin 2>&1) || INVITED=false
    ! was_refused || INVITED=false
  fi
  if [ "$INVITED" = true ]; then
    sql -c "INSERT INTO framaspace VALUES ('administrator', current_date) ON CONFLICT DO NOTHING"
    note invitation
  else
    LEFT+=("the invitation to $CONTACT could not be sent (relay: $(jq -r '.mail | "\(.host):\(.port)"' /etc/framaspace/platform.json))")
    # Of an exception that is logged, only what the relay said.
    if [[ $said == *'\"Message\":\"'* ]]; then
      said=${said#*'\"Message\":\"'}
      said=${said%%'\",\"Code\"'*} said=${said//\\/}
    fi
    echo "space $ID: ${LEFT[-1]}; it is tried again until it is (finish-spaces). ${said:0:500}" >&2
  fi
}

# Nextcloud takes no notice where the relay does not take the letter (OC\Mail\Mailer::send), but for its log.
was_refused() { [[ $said == *"Sending mail to "*failed* ]]; }

relay_answers() {
  curl -s -o /dev/null --connect-timeout 5 --max-time 10 "$(jq -r '.mail | (if .port == 465 then "smtps" else "smtp" end) + "://\(.host):\(.port)"' /etc/framaspace/platform.json)"
}

# The apps that the prepared release has on are on, no others, aside of those that are the space's own choice.
match_apps() {
  local app on=() off=() wanted=" $PREPARED_APPS " found=" ${FOUND[apps]-} " own=" $OFFICE_APPS $CATALOG_APPS_OPTIONAL "
  [ "$wanted" != "$found" ] || return 0
  for app in $PREPARED_APPS; do
    [[ $found == *" $app "* || $own == *" $app "* ]] || on+=("$app")
  done
  for app in ${FOUND[apps]-}; do
    [[ $wanted == *" $app "* || $own == *" $app "* ]] || off+=("$app")
  done
  [ "${#on[@]}" -eq 0 ] || change_apps enable "${on[@]}"
  [ "${#off[@]}" -eq 0 ] || change_apps disable "${off[@]}"
}

# What the space's database knows of apps that no space may have goes, the secrets that they keep there too. By SQL: their
# code is gone, and Nextcloud's own way might want it. Who worked with such an office suite gets the entry's instead.
drop_refused() {
  local app suite='' found=" ${FOUND[apps]-} "
  for app in ${FOUND[refused]-}; do [[ $found != *" $app "* ]] || suite=$OFFICE_APP; done
  for app in $OFFICE_APPS; do [[ $found != *" $app "* ]] || suite=; done
  [[ " $PREPARED_APPS " != *" ${suite:-none} "* ]] || change_apps enable "$suite"
  for app in ${FOUND[refused]-}; do
    sql -c "DELETE FROM oc_appconfig WHERE appid = '$app'" -c "DELETE FROM oc_jobs WHERE starts_with(lower(class), 'oca\\$app\\')"
    found=${found/ $app / }
    FOUND[apps]=$found
    note "no $app"
  done
}

# Somebody of the space lets each new account in. Where approval was never asked for, registration is on because it was on
# in every space, and not because this one wants it.
match_registration() {
  [[ " $CATALOG_APPS $CATALOG_APPS_OPTIONAL " == *" registration "* ]] || return 0
  case ${FOUND[approval]-} in
    1 | yes | true | on) return ;;
    '') [[ " $CATALOG_APPS " == *" registration "* || " ${FOUND[apps]-} " != *" registration "* ]] || change_apps disable registration ;;
  esac
  occ "$DIRECTORY/config" "$RELEASE" config:app:set registration admin_approval_required --value=yes --type=boolean >/dev/null ||
    fail "could not have its administrator approve those who register"
  note "registration by approval"
}

change_apps() {
  local said
  said=$(occ "$DIRECTORY/config" "$RELEASE" "app:$1" "${@:2}" 2>&1) || fail "could not $1 ${*:2}: ${said:0:500}"
  note "$1 ${*:2}"
}

# Storage counts for the whole space. The quota of each account follows the plan where the space has set no other.
match_limits() {
  local quota
  mark_full "${FOUND[used]-0}"
  quota=$(quota)
  if [ "${FOUND[quota]-}" != "$quota" ]; then
    if [ "${FOUND[default-quota]-}" = "${FOUND[quota]-}" ]; then
      occ "$DIRECTORY/config" "$RELEASE" config:app:set files default_quota --value="$quota" >/dev/null ||
        fail "could not set the quota of its accounts to $quota"
    fi
    sql -c "INSERT INTO framaspace VALUES ('quota', '$quota') ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    note "quota $quota"
  fi
  [ "${FOUND[accounts]-0}" -le "$ACCOUNTS" ] ||
    echo "space $ID: ${FOUND[accounts]} accounts are enabled, $ACCOUNTS are in its plan; see docs/runbooks/too-many-accounts.md" >&2
}

# A wave in which too many spaces have failed upgrades no further one, but those that failed may try again.
check_wave() {
  local marks=$WAVES/$WAVE/$RELEASE failed total
  [ -d "$marks" ] && [ ! -e "$marks/$ID" ] || return 0
  failed=$(find "$marks" -type f | wc -l)
  total=$(grep -lF "\"wave\":\"$WAVE\"" "$SPACES"/*/config/space.json | wc -l)
  [ $((failed * 100)) -le $((STOP_AT_FAILED_PERCENT * total)) ] ||
    fail "wave \"$WAVE\" has stopped on its way to $RELEASE: $failed of $total spaces failed ($(cd "$marks" && echo *)), more than $STOP_AT_FAILED_PERCENT %. It stays on ${FOUND[version]%.*}. See $LOG/upgrade-<id>.log; when the cause is gone, run up again: those that failed try first"
}

mark_failed() {
  mkdir -p "$WAVES/$WAVE/$RELEASE"
  echo "$1" >"$WAVES/$WAVE/$RELEASE/$ID"
}

# From close_space on nobody writes, so the dump is all there is to go back to. Until the new release was seen to serve,
# the database says "upgrade", and a run that finds that puts the dump back and begins anew.
upgrade() {
  local from=${FOUND[version]} dump=$KEPT/$ID/upgrade.sql.zst apps=${FOUND[apps]-} why
  check_wave
  close_space
  mkdir -p "$LOG"
  (umask 077 && : >"$LOG/upgrade-$ID.log")
  dump_database "$dump" ||
    { open_space; fail "its database could not be dumped to $dump; is the disk full (df $KEPT)? It serves ${from%.*} as before. Run up again"; }
  sql -c "INSERT INTO framaspace VALUES ('upgrade', '$from')"
  if ! { try_upgrade "$apps" && sql -c "DELETE FROM framaspace WHERE key = 'upgrade'"; }; then
    why=$(grep -v '^ *$' "$LOG/upgrade-$ID.log" | tail -n 1 | cut -c 1-300)
    put_back
    mark_failed "$why"
    fail "from ${from%.*} to $RELEASE failed, and was undone: it serves ${from%.*} again, nothing is lost. Why: $why. All it said: $LOG/upgrade-$ID.log. When the cause is gone, run up again"
  fi
  rm -f "$WAVES/$WAVE/$RELEASE/$ID"
  note "upgraded ${from%.*} to $RELEASE"
}

# try_upgrade APPS: false where any part fails; set -e does not reach in here.
try_upgrade() {
  local code=0 app lost=() seen
  scratch_config || return 1
  { occ "$SCRATCH/$ID" "$RELEASE" upgrade || code=$?; } >>"$LOG/upgrade-$ID.log" 2>&1
  drop_scratch
  # 3: there was nothing to do.
  [ "$code" = 0 ] || [ "$code" = 3 ] || { echo "occ upgrade ended with status $code: $(grep -v '^ *$' "$LOG/upgrade-$ID.log" | tail -n 1)" >>"$LOG/upgrade-$ID.log"; return 1; }
  sql -c "UPDATE framaspace SET value = '$TARGET' WHERE key = 'version'" \
    -c "INSERT INTO framaspace VALUES ('repair', '$TARGET') ON CONFLICT (key) DO UPDATE SET value = excluded.value" || return 1
  look
  for app in $1; do
    [[ " ${FOUND[apps]} " == *" $app "* || " $PREPARED_APPS " != *" $app "* ]] || lost+=("$app")
  done
  [ "${#lost[@]}" -eq 0 ] || occ "$DIRECTORY/config" "$RELEASE" app:enable "${lost[@]}" >>"$LOG/upgrade-$ID.log" 2>&1 ||
    { echo "apps that were on before are off and do not come on: ${lost[*]}" >>"$LOG/upgrade-$ID.log"; return 1; }
  write_files && distribute
  seen=$(see_through_web_servers)
  [ -z "$seen" ] || { echo "on the new release, ${seen//$'\n'/; }" >>"$LOG/upgrade-$ID.log"; return 1; }
}

# see_through_web_servers: prints what is wrong with the space as a web server that is not away serves it, behind its
# maintenance. All are asked at once: visitors are waiting.
see_through_web_servers() {
  local web
  # Suspended, it answers nobody.
  [ "$STATE" = active ] || return 0
  while read -r web; do
    [ -e "/run/framaspace/away/$web" ] || see_through "$web" &
  done </etc/framaspace/web-servers
  wait
}

see_through() {
  local web=$1 status page
  status=$(curl -s --connect-timeout 2 --max-time 60 -H "Host: $HOST" -H "$BEHIND" "http://$web/status.php") || true
  jq -e --arg release "$RELEASE" '.installed and (.maintenance or .needsDbUpgrade | not) and .versionstring == $release' >/dev/null 2>&1 <<<"$status" ||
    { echo "$web says ${status:0:300}"; return; }
  page=$(curl -s -o /dev/null -w '%{http_code}' --connect-timeout 2 --max-time 60 -H "Host: $HOST" -H "$BEHIND" "http://$web/index.php/login") || true
  [ "$page" = 200 ] || echo "$web answers the login page with $page"
}

# The database as it was before its upgrade began, on the release that it was on.
put_back() {
  local dump=$KEPT/$ID/upgrade.sql.zst
  drop_scratch
  [ -f "$dump" ] || fail "an upgrade was cut off, and $dump, which it began with, is gone. The space stays closed; restore it from the last backup (docs/runbooks)"
  # What a killed run began may still be at it.
  shut_database
  load_database "$dump" || fail "its database could not be put back from $dump; the space stays closed. See above, then run up again: it begins with this"
  # Nobody but the upgrade did anything since, that was acknowledged.
  bring_back "$(stat -c %Y "$dump")" all
  look
  write_files
  open_space
}

# Indices and repairs that a release leaves to be asked for. They take their time, so the space serves meanwhile; in a
# scratch configuration, because repairing sets maintenance there.
repair() {
  local command
  [ -n "${FOUND[repair]-}" ] || return 0
  scratch_config
  for command in "${REPAIRS[@]}"; do
    # shellcheck disable=SC2086 # Words.
    occ "$SCRATCH/$ID" "$RELEASE" $command >>"$LOG/upgrade-$ID.log" 2>&1 ||
      fail "occ $command failed after its upgrade to $RELEASE, which serves; see $LOG/upgrade-$ID.log, then run up again"
  done
  drop_scratch
  sql -c "DELETE FROM framaspace WHERE key = 'repair'"
  note repaired
}

# What archive-space and restore-space have in hand: a space whose data is gone must not be served as an empty one.
check_archive() {
  refuse_cut_off converge-space
  [ "$STATE" != archived ] && [ -e "/var/lib/framaspace/archived/$ID" ] || return 0
  if grep -q '"dropping"' "/var/lib/framaspace/archived/$ID"; then
    fail "its live data was dropped; restore its export first: npm run space -- restore $ID"
  fi
  rm "/var/lib/framaspace/archived/$ID"
}

# Whether visitors get in: nginx looks for these files at each request.
set_state() {
  case $STATE in
    active) drop suspended; drop archived ;;
    suspended) put suspended 0640 root:www-data ''; drop archived ;;
    archived) put archived 0640 root:www-data ''; drop suspended ;;
  esac
  # Whoever was at work behind it is dead, or would hold the lock.
  open_database
  drop maintenance
}

# What is wrong on a web server may be that its copy is missing; so push once more before it counts. A web server that
# does not answer gets its copy from the timer as soon as it does, so the space is served while another one answers.
serve() {
  local expected=200 wrong
  [ "$STATE" != suspended ] || expected=503
  [ "$STATE" != archived ] || expected=410
  [ ! -e "$UNDISTRIBUTED/$ID" ] || distribute
  wrong=$(ask_pages "$expected")
  if grep -qv ' away$' <<<"$wrong" && [ -n "$wrong" ]; then
    distribute
    wrong=$(ask_pages "$expected")
  fi
  [ -n "$wrong" ] || return 0
  PENDING=$(cut -d' ' -f1 <<<"$wrong")
  LEFT+=("not served by ${wrong//$'\n'/, }")
  echo "space $ID: not served by ${wrong//$'\n'/, }; tried again twice a minute (systemctl status distribute-spaces)" >&2
  [ "$(wc -w <<<"$PENDING")" -lt "$(wc -l </etc/framaspace/web-servers)" ] || fail "no web server answers as it should"
}

# begin [--again ID]: which space, and what is wanted of it. What is wanted is kept before anything is done, and is
# unfinished until all is.
begin() {
  if [ "${1:-}" = --again ]; then
    ID=${2:-}
    [[ $ID =~ ^[a-z][a-z0-9-]{2,31}$ ]] && [ -f "$WANTED/$ID" ] || fail "nothing is known to be wanted of it"
    lock_space
    read_space <"$WANTED/$ID"
  else
    read_space
    lock_space
    STEP=keeping && finish-spaces --keep "$ID" <<<"$SPACE" 9>&-
  fi
  mkdir -p "$UNFINISHED"
  REASON=$UNFINISHED/$ID
  [ -e "$REASON" ] || echo "begun, and cut off" >"$REASON"
}

# What is left to do is finish-spaces'.
end() {
  local left=${LEFT[*]/%/;}
  if [ -n "$left" ]; then echo "${left%;}" >"$REASON"; else rm -f "$REASON" "/run/framaspace/tries/$ID" "/var/lib/framaspace/closed/$ID"; fi
}

PENDING=
INVITED=
LEFT=()
begin "$@"
STEP=archive && check_archive
# An archived space has its files, and maybe no database any more.
if [ "$STATE" != archived ]; then
  STEP=release && check_release
  STEP=database && look
  STEP=upgrade
  [ -n "${FOUND[upgrade]-}" ] || judge
elif [ -f "$DIRECTORY/config/space.json" ] && [[ $(<"$DIRECTORY/config/space.json") =~ \"version\":\"([0-9.]+)\" ]]; then
  VERSION=${BASH_REMATCH[1]}
else
  VERSION=$RELEASE.0
fi
STEP=redis && SPACE=$(redis-users "$ID" <<<"$SPACE" 9>&-)
if [ "$STATE" != archived ]; then
  STEP=upgrade
  [ -z "${FOUND[upgrade]-}" ] || { put_back; judge; }
  STEP=install && install_schema
fi
STEP=directory && make_directory
write_files
if [ "$STATE" != archived ]; then
  STEP=upgrade
  if [ "${FOUND[version]}" != "$TARGET" ]; then upgrade; fi
  STEP=apps && drop_refused
  match_registration
  match_apps
  STEP=limits && match_limits
fi
STEP=state && set_state
if [ "$STATE" = active ]; then STEP=administrator && invite; fi
STEP='web servers' && serve
ARCHIVE=null
if [ "$STATE" = archived ]; then STEP=archive && ARCHIVE=$(archive-space "$ID" --locked); fi
if [ "$STATE" = active ]; then STEP=repair && repair; fi
end

jq -cn --arg id "$ID" --arg state "$STATE" --arg release "${FOUND[version]-$VERSION}" --arg url "$URL" --arg pending "$PENDING" \
  --argjson accounts "${FOUND[accounts]-0}" --argjson allowed "$ACCOUNTS" --argjson used "${FOUND[used]-0}" --argjson storage "$STORAGE_BYTES" \
  --arg invited "$INVITED" --argjson archive "$ARCHIVE" --argjson export "$(cat "/var/lib/framaspace/exports/$ID" 2>/dev/null || echo null)" \
  '{$id, $state, release: ($release | sub("\\.\\d+$"; "")), $url, accounts: {enabled: $accounts, $allowed}, storageBytes: {$used, allowed: $storage},
    invited: ($invited == "true"), pending: ($pending | split("\n") | map(select(. != ""))), changed: $ARGS.positional}
    + if $archive then {$archive} else {} end + if $export then {lastExport: $export.export} else {} end' \
  --args -- "${CHANGED[@]}"
