#!/bin/bash
# settle-storage [watch | all | compare | heal SITE]: keeps the storage sites as /etc/framaspace/storage declares them:
# laid out as computed, paired, with their users, policies, buckets and lifecycle rules. Does only what is missing, never
# deletes an object, and prints what it changed. `watch` is the timer's: it also notes what will need a person soon, for
# platform-health. `all` looks at every bucket's settings again, not only at new ones'. `compare` lists the objects that
# one site has and the other has not, older than a minute. `heal` brings every object of a site onto all the drives that
# it belongs on; `watch` has it done where drives were away.
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C.UTF-8 MC_CONFIG_DIR=/root/.mc
. /etc/framaspace/storage/settings
STATE=/var/lib/framaspace/storage
mkdir -p "$STATE"
WORK=${1:-settle}

fail() {
  echo "ops-1: storage: $*" >&2
  exit 1
}

# reply COMMAND…: an mc command's JSON; on failure what MinIO says.
reply() {
  local answer
  answer=$(mc --json "$@") || fail "mc $*: $(jq -rs 'map(.error | if type == "object" then .cause.error?.Message? // .cause.message? // .message else . end) | join("; ")' <<<"$answer" 2>/dev/null || echo "$answer")"
  echo "$answer"
}

buckets() { reply ls "$1" | jq -r '.key // empty | rtrimstr("/")'; }
is_empty() { [ -z "$(buckets "$1")" ]; }

wait_for_sites() {
  local site seconds=300 end
  [ "$WORK" != watch ] || seconds=30
  for site in "${SITES[@]}"; do
    end=$((SECONDS + seconds))
    until curl -fsS -m 5 "$(mc --json alias list "$site" | jq -r .URL)/minio/health/cluster" >/dev/null 2>&1; do
      [ "$SECONDS" -lt "$end" ] ||
        fail "the $site site does not serve after $seconds s. \`journalctl -u minio -n 50\` on each of its nodes says what it waits for. If the site is lost: docs/runbooks/primary-site-lost.md"
      sleep 0.3
    done
  done
}

# What MinIO made of the drives is what capacity was computed from.
check_layout() {
  local site declared found
  declared="$PARITY: $(printf '%s, ' "${POOLS[@]}")"
  for site in "${SITES[@]}"; do
    found=$(reply admin info "$site" | jq -r '.info.backend | "\(.standardSCParity): \([.totalSets, .totalDrivesPerSet] | transpose | map("\(.[0]) \(.[1]), ") | add)"')
    [ "$found" = "$declared" ] ||
      fail "the $site site has parity and pools (sets, drives of a set) \"$found\", not \"$declared\" as computed. Pools never change once they hold data: put storage.pools and storage.parity back to what is there."
  done
}

names_in() { reply admin replicate info "$1" | jq -r 'if .enabled then [.sites[].name] | sort | join(" ") else "" end'; }
id_of() { reply admin info "$1" | jq -r .info.deploymentID; }
ids_in() { reply admin replicate info "$1" | jq -r 'if .enabled then [.sites[].deploymentID] | sort | join(" ") else "" end'; }

# An unpaired site forgets its partner; objects stay. A partner that isn't there any more cannot agree, hence --force.
unpair() { [ -z "$(names_in "$1")" ] || reply admin replicate rm "$1" --all --force >/dev/null; }

# Both know both, as they are now? A site that was built anew has another id.
is_paired() {
  local both
  both=$(printf '%s\n' "$(id_of primary)" "$(id_of replica)" | sort | paste -sd' ')
  [ "$(ids_in primary)" = "$both" ] && [ "$(ids_in replica)" = "$both" ]
}

# add_sites SOURCE TARGET. MinIO asks every five seconds who is there (cmd/bucket-targets.go, heartBeat), and until then
# takes a site that is back for one that is away still.
add_sites() {
  local said end=$((SECONDS + 60))
  until said=$(reply admin replicate add "$1" "$2" 2>&1); do
    [ "$SECONDS" -lt "$end" ] && grep -q 'is offline for endpoint' <<<"$said" || { echo "$said" >&2; return 1; }
    sleep 2
  done
}

pair() {
  local source target
  ! is_paired || return 0
  # MinIO pairs sites of which at most one holds anything; what was there is copied to the other.
  if is_empty replica; then source=primary target=replica
  elif is_empty primary; then source=replica target=primary
  else
    fail "the sites are not paired (primary knows \"$(names_in primary)\", replica \"$(names_in replica)\"), and both hold buckets: only a person can say which is right. Nothing was changed. docs/runbooks/primary-site-lost.md, \"Both sites hold data\", says how to compare them and go on."
  fi
  unpair "$source"
  unpair "$target"
  echo "$source $target" >"$STATE/fill"
  add_sites "$source" "$target" || exit
  is_paired || fail "primary and replica were paired, but do not both say so: run up again."
  echo "sites paired, from $source to $target"
}

# What the source held before is copied by a scan that takes days to come round; this begins it now, also where an earlier
# run was cut off before it. MinIO begins no second time while it is at it.
fill() {
  local source target said left
  [ -e "$STATE/fill" ] || return 0
  read -r source target <"$STATE/fill"
  if [ -n "$(buckets "$source")" ]; then
    if ! said=$(reply admin replicate resync start "$source" "$target" 2>&1); then
      grep -q 'already in progress' <<<"$said" || { echo "$said" >&2; exit 1; }
      return 0
    fi
    left=$(jq -r '.buckets[]? | select(.errorDetail) | "\(.bucket): \(.errorDetail)"' <<<"$said")
    [ -z "$left" ] || fail "not copied from $source to $target: $(head -n 1 <<<"$left") ($(wc -l <<<"$left") in all). It is tried again every quarter of an hour."
  fi
  rm "$STATE/fill"
}

# A policy in one form: MinIO gives its lists in an order of its own.
plain() { jq -S 'walk(if type == "array" then sort else . end)' "$@"; }

# Replication brings users and policies to the other site.
settle_users() {
  local file policy declared found name secret known
  for file in /etc/framaspace/storage/policies/*.json; do
    policy=$(basename "$file" .json)
    declared=$(plain "$file")
    found=$(mc --json admin policy info serving "$policy" 2>/dev/null | jq .policyInfo.Policy | plain || true)
    [ "$declared" != "$found" ] || continue
    reply admin policy create serving "$policy" "$file" >/dev/null
    echo "policy $policy"
  done
  while read -r name secret; do
    # A secret can't be asked for; what was set last is remembered by its digest.
    known=$STATE/user-$name
    if ! mc --json admin user info serving "$name" >/dev/null 2>&1 || ! sha256sum <<<"$secret" | cmp -s - "$known"; then
      printf '%s\n' "$name" "$secret" | reply admin user add serving >/dev/null
      sha256sum <<<"$secret" >"$known"
      echo "user $name"
    fi
    [ "$(reply admin user info serving "$name" | jq -r '.policyName // ""')" = "$name" ] || {
      reply admin policy attach serving "$name" --user "$name" >/dev/null
      echo "policy of $name"
    }
  done </etc/framaspace/storage/users
}

make_buckets() {
  local bucket known
  known=$(buckets serving)
  for bucket in "${BUCKETS[@]}"; do
    grep -qxF "$bucket" <<<"$known" || { reply mb "serving/$bucket" >/dev/null; echo "bucket $bucket"; }
  done
}

rule_of() {
  if [ -e "/etc/framaspace/storage/lifecycle/$1.json" ]; then echo "/etc/framaspace/storage/lifecycle/$1.json"
  else echo /etc/framaspace/storage/lifecycle/others.json; fi
}

# settle_bucket SITE BUCKET: versions are kept, and expire.
settle_bucket() {
  local rule
  rule=$(rule_of "$2")
  [ "$(reply version info "$1/$2" | jq -r .versioning.status)" = Enabled ] || reply version enable "$1/$2" >/dev/null
  mc ilm rule export "$1/$2" 2>/dev/null | jq -eS --slurpfile declared "$rule" \
    'def plain: .Rules | map({ID, Status, Expiration, NoncurrentVersionExpiration, DelMarkerExpiration}) | sort_by(.ID); plain == ($declared[0] | plain)' >/dev/null 2>&1 ||
    mc ilm rule import "$1/$2" <"$rule" >/dev/null
}

# What `mc admin info` says, as input: every node answers and has all of its drives. Settings that are written while a
# node is away are none for one that starts later and reads them before it has found all others
# (docs/decisions/minio-versions.md).
all_there() { jq -e 'all(.info.servers[]; .state == "online" and all(.drives[]?; .state == "ok"))' >/dev/null; }

# Buckets are new ones mostly: what was seen to is noted, by rule, and looked at again after a day.
settle_buckets() {
  local site noted new bucket
  for site in "${SITES[@]}"; do
    reply admin info "$site" | all_there || { echo "settings of the $site site's buckets are left alone until all of its drives are there" >&2; continue; }
    noted=$STATE/buckets-$site-$(cat /etc/framaspace/storage/lifecycle/*.json | sha256sum | cut -c1-16)
    find "$STATE" -name "buckets-$site-*" ! -path "$noted" -delete
    find "$noted" -mmin +1440 -delete 2>/dev/null || true
    [ "$WORK" != all ] || rm -f "$noted"
    touch -a "$noted"
    new=$(buckets "$site" | sort | comm -23 - <(sort "$noted"))
    [ -n "$new" ] || continue
    while read -r bucket; do
      settle_bucket "$site" "$bucket"
      echo "$bucket" >>"$noted"
      echo "lifecycle of $site/$bucket"
    done <<<"$new"
  done
}

# As input likewise: nor is a drive being filled.
is_filled() {
  jq -e 'all(.info.servers[]; .state == "online" and all(.drives[]?; .state == "ok" and .healing != true))' >/dev/null
}

# As input likewise: a node was restarted after MOMENT, in seconds since 1970.
was_restarted() {
  jq -e --argjson seconds $(($(date +%s) - $1)) 'any(.info.servers[]; .uptime < $seconds)' >/dev/null
}

# What is written or deleted while a drive is away, or is being filled, is not on that one, and MinIO puts it there only
# when somebody reads it or its scanner comes by (docs/decisions/minio-versions.md). Meanwhile it bears fewer losses.
note_gaps() {
  local site info looked
  for site in "${SITES[@]}"; do
    info=$(reply admin info "$site")
    looked=$(stat -c %Y "$STATE/looked-$site" 2>/dev/null || date +%s)
    if was_restarted "$looked" <<<"$info"; then touch "$STATE/gaps-$site"; fi
    if ! is_filled <<<"$info"; then touch "$STATE/gaps-$site"
    elif [ -e "$STATE/gaps-$site" ]; then systemctl start --no-block "heal-storage@$site.service"; fi
    touch "$STATE/looked-$site"
  done
}

heal() {
  local site=$1 noted said
  until reply admin info "$site" 2>/dev/null | is_filled; do sleep 10; done
  noted=$(stat -c %y "$STATE/gaps-$site" 2>/dev/null || true)
  # A line for each object, then one for all.
  said=$(mc --json admin heal --recursive "$site" | tail -n 1) && [ "$(jq -r .type <<<"$said")" = summary ] ||
    fail "mc admin heal of the $site site ended early: $said"
  # Not where a drive went away in the meantime.
  [ "$(stat -c %y "$STATE/gaps-$site" 2>/dev/null || true)" != "$noted" ] || rm -f "$STATE/gaps-$site"
  jq -r --arg site "$site" '"\($site): \(.objects_scanned) objects looked at, \(.objects_healed) brought onto drives that lacked them"' <<<"$said"
}

# versions SITE BUCKET: a line for each version that is older than a minute.
versions() {
  mc --json ls --recursive --versions "$1/$2" |
    jq -r --arg end "$(date -u -d '1 minute ago' +%Y-%m-%dT%H:%M:%SZ)" \
      'select(.status == "success" and (.lastModified | sub("\\.[0-9]+"; "") | fromdateiso8601) <= ($end | fromdateiso8601)) | "\(.key) \(.versionId) \(.size) \(.etag // "-") \(.isDeleteMarker // false)"' | sort
}

# missing FROM TO: what FROM has and TO has not.
missing() {
  local bucket there
  there=$(buckets "$2")
  for bucket in $(buckets "$1"); do
    if grep -qxF "$bucket" <<<"$there"; then
      comm -23 <(versions "$1" "$bucket") <(versions "$2" "$bucket") | sed "s,^,$bucket/,"
    else echo "$bucket (the bucket)"; fi
  done
}

compare() {
  local site other found line status=0
  [ "${#SITES[@]}" -eq 2 ] || fail "one site is away: there is nothing to compare."
  for site in "${SITES[@]}"; do
    other=$([ "$site" = primary ] && echo replica || echo primary)
    found=$(missing "$site" "$other")
    [ -n "$found" ] || continue
    status=1
    while read -r line; do echo "only on $site: $line"; done <<<"$found"
  done
  [ "$status" -ne 0 ] || echo "Both sites hold the same objects."
  return "$status"
}

# Spaces are moved to another site only once it has all that the one they come from has, unless that one is away.
check_move() {
  local last found
  last=$(cat "$STATE/serving" 2>/dev/null || echo "$SERVING")
  if [ "$last" != "$SERVING" ] && [ "${#SITES[@]}" -eq 2 ]; then
    for _ in $(seq 20); do
      found=$(missing "$last" "$SERVING")
      [ -n "$found" ] || break
      sleep 15
    done
    [ -z "$found" ] || fail "spaces stay on $last: $SERVING has not yet got $(wc -l <<<"$found") objects, such as $(head -1 <<<"$found"). \`mc admin replicate status $last\` shows the progress; run up again when \`settle-storage compare\` is content. Until then write $last as storage.serving."
  fi
  [ -e "$STATE/serving" ] && [ "$last" = "$SERVING" ] || echo "$SERVING" >"$STATE/serving"
  [ "$last" = "$SERVING" ] || echo "spaces move from $last to $SERVING"
}

# What is still well, but will not stay so by itself: a line each, for platform-health to tell.
watch() {
  local site
  for site in "${SITES[@]}"; do
    # Without port: platform-health takes what stands before the colon as the problem's name.
    reply admin info "$site" | jq -r --arg site "$site" 'def bare: sub("^https?://"; "") | sub(":[0-9]+"; "");
      .info.servers[] | (.endpoint | bare) as $node |
      (if .state != "online" then "storage \($site) node \($node): \(.state)" else empty end),
      (.drives[]? | select(.state != "ok") | "storage \($site) drive \(.endpoint | bare): \(.state)"),
      (.drives[]? | select((.totalspace // 0) > 0 and .usedspace / .totalspace > 0.8) | "storage \($site) drive \(.endpoint | bare): over 80 % full")'
  done
  if $PAIRED && [ "${#SITES[@]}" -lt 2 ]; then echo "storage site: one is declared away, so what is written now has no second copy"; fi
}

if [ "$WORK" = heal ]; then
  [[ " ${SITES[*]} " == *" ${2-} "* ]] || fail "write which site: settle-storage heal ${SITES[0]}"
  heal "$2"
  exit
fi
exec 9>/run/lock/settle-storage
flock 9
wait_for_sites
if [ "$WORK" = compare ]; then compare; exit; fi
check_layout
if $PAIRED && [ "${#SITES[@]}" -eq 2 ]; then
  pair
  fill
fi
check_move
settle_users
make_buckets
settle_buckets
note_gaps
if [ "$WORK" = watch ]; then
  # platform-health may be reading the last one.
  watch >"$STATE/problems.new"
  mv "$STATE/problems.new" "$STATE/problems"
fi
