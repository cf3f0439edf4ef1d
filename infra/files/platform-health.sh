#!/bin/bash
# platform-health, on ops-1: what will hurt soon, one line each, and exit status 1 where there is any. A timer runs it
# every five minutes with --report: what is new, what is over, and once a day what still stands goes to the log and by
# mail to the administrators. docs/runbooks/alarms.md says for each line what to do.
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C.UTF-8
umask 077

# MAIL, REDIS, MACHINES
# shellcheck source=/dev/null
. /etc/framaspace/health/settings
KNOWN=/var/lib/framaspace/health
CERTIFICATES=(/usr/local/share/ca-certificates/framaspace.crt /etc/framaspace/tls/cert.pem)
# Where a memory or a number of connections is called full; disks are machine-health's.
FULL=80
CLOCK_SECONDS=5
CERTIFICATE_DAYS=${CERTIFICATE_DAYS:-30}
# A nightly backup that is older was missed once.
BACKUP_HOURS=30

# Each prints its problems as "what: how it is"; the part before the colon names it from one run to the next.
postgres() {
  [ -e /var/lib/framaspace/postgres.json ] || { echo "postgres record: ops-1 remembers no primary; run up"; return; }
  timeout 60 postgres-cluster status | jq -r --argjson full "$FULL" '
    .record as $record | (.nodes | length) as $nodes | .nodes[] | .node as $node |
    (select(.reachable and (.running | not)) | "\($node) down: PostgreSQL does not run there\(if .fenced then ", fenced: postgres-cluster rebuild \($node)" else "" end)"),
    (select(.running and .connections >= .maxConnections * $full / 100) | "\($node) connections: \(.connections) of \(.maxConnections)"),
    (select($node == $record.primary and $nodes > 1) |
      (select($record.mode != "synchronous") | "postgres standby: since \($record.since) no standby confirms what is written"),
      (select(.running and .slot.status != "reserved" and .slot.status != "extended") | "postgres slot: \(.slot.status // "missing"): the standby lost, or soon loses, what it needs; postgres-cluster rebuild")),
    (select($node == $record.primary and .running and .archiving) |
      (select(.archiveFailing) | "postgres archive: the last segment was refused; /var/log/pgbackrest on \($node) says why"),
      (select(.archiveWaiting > 10) | "postgres archive queue: \(.archiveWaiting) segments wait, on a disk that is \(.diskPercent) % full"))' ||
    echo "postgres status: cannot be had"
  for move in switchover failover; do
    [ -z "$(jq -r ".$move // empty" /var/lib/framaspace/postgres.json)" ] || echo "postgres $move: was cut off; run postgres-cluster $move again"
  done
}

backups() {
  if [ ! -e /etc/pgbackrest/pgbackrest.conf ]; then
    echo "backups: none are made, because this environment declares no object storage"
    return
  fi
  local latest age
  latest=$(timeout 120 postgres-backups latest 2>/dev/null) || { echo "backups unreadable: the storage that holds them does not answer; postgres-backups list"; return; }
  age=$((($(date +%s) - latest) / 3600))
  [ "$latest" -gt 0 ] || { echo "backups missing: there is none yet; systemctl start postgres-backup on the primary"; return; }
  [ "$age" -lt "$BACKUP_HOURS" ] || echo "backups old: the latest is of $age hours ago; journalctl -u postgres-backup on the primary"
  if [ ! -e /var/lib/framaspace/backup-check.json ]; then
    echo "backups unchecked: none was ever restored to see; systemctl start postgres-backups-check"
  else
    jq -r --argjson hours "$BACKUP_HOURS" '
      (select(.ok | not) | "backups damaged: \(.text)"),
      (select(now - .at > $hours * 3600) | "backups unchecked: last restored to see \((now - .at) / 3600 | floor) hours ago")' /var/lib/framaspace/backup-check.json
  fi
}

redis() {
  local info
  info=$(REDISCLI_AUTH=$(</etc/framaspace/redis/admin) timeout 20 redis-cli -h "$REDIS" --user admin --no-auth-warning INFO 2>&1) || true
  awk -F: -v full="$FULL" '
    { sub(/\r/, "") ; v[$1] = $2 }
    END {
      if (!("used_memory" in v)) { print "redis away: it does not answer"; exit }
      if (v["maxmemory"] > 0 && v["used_memory"] * 100 >= v["maxmemory"] * full)
        printf "redis memory: %d %% full; when it is full, nobody can log in or write. Give redis-1 a larger type (framaspace:machines)\n", v["used_memory"] * 100 / v["maxmemory"]
      if (v["evicted_keys"] > 0) print "redis evicted: it threw keys away, locks and sessions among them; maxmemory-policy must be noeviction"
      if (v["aof_enabled"] != 1) print "redis not kept: appendonly is off, so a restart loses all sessions"
      if (v["aof_last_write_status"] != "ok") print "redis not kept: it cannot write to its disk"
      if (v["aof_last_bgrewrite_status"] != "ok") print "redis rewrite: its file could not be rewritten, and grows; is memory or disk short?"
    }' <<<"$info"
}

# As the timer of settle-storage noted it last; that it fails is a failed unit of this machine.
storage() {
  ! [ -e /var/lib/framaspace/storage/problems ] || cat /var/lib/framaspace/storage/problems
}

# What an entry asks for and is not done: finish-spaces tries again, and list-spaces has all of them.
spaces() {
  local folder=/var/lib/framaspace/unfinished most=20 id left
  ! [ -e /var/lib/framaspace/wanted-problems ] || cat /var/lib/framaspace/wanted-problems
  [ -d $folder ] || return 0
  # Somebody may be at work on those that were only begun.
  mapfile -t left < <(find $folder -type f ! -name '.*' ! '(' -mmin -15 -size -100c -exec grep -q '^begun' {} \; ')' -printf '%f\n' | sort)
  if [ "${#left[@]}" -gt $most ]; then
    echo "spaces unfinished: ${#left[@]} of them, such as ${left[*]:0:5}; npm run space -- list says why"
    return
  fi
  for id in "${left[@]}"; do echo "space $id: $(head -c 300 "$folder/$id" 2>/dev/null)"; done
}

certificates() {
  local file
  for file in "${CERTIFICATES[@]}"; do
    openssl x509 -in "$file" -noout -checkend $((CERTIFICATE_DAYS * 86400)) >/dev/null ||
      echo "certificate $(basename "$file"): ends $(openssl x509 -in "$file" -noout -enddate | cut -d= -f2), as all of the platform do; raise framaspace:certificates.years and run up"
  done
}

# Every other machine by its own word, and this one, all at once: what it says of itself is told with its name before it.
machines() {
  local name
  for name in "${MACHINES[@]}"; do machine "$name" & done
  wait
}

# A clock that shows a time between question and answer may be right. Storage refuses what is signed 15 minutes off, but
# logs that are to be put in order, and moments to go back to, take seconds.
machine() { # machine NAME
  local before said
  before=$(date +%s.%N)
  if [ "$1" = "$HOSTNAME" ]; then
    said=$(machine-health)
  else
    said=$(timeout 30 ssh -F /etc/framaspace/health/ssh_config "$1" </dev/null 2>/dev/null) || { echo "$1 away: ops-1 does not reach it"; return; }
  fi
  awk -v name="$1" -v before="$before" -v after="$(date +%s.%N)" -v bound="$CLOCK_SECONDS" '
    NR == 1 {
      off = $1 < before ? $1 - before : $1 > after ? $1 - after : 0
      if (off > bound || -off > bound)
        printf "%s clock: %d seconds %s that of ops-1; timedatectl timesync-status on both\n", name, off < 0 ? -off : off, off < 0 ? "behind" : "ahead of"
    }
    NR > 1 { print name " " $0 }' <<<"$said"
}

send() { # send SUBJECT <TEXT
  local platform=/etc/framaspace/platform.json
  {
    printf 'From: %s\nTo: %s\nSubject: %s\nDate: %s\n\n' "$(jq -r .mail.from $platform)" "$MAIL" "$1" "$(date -R)"
    cat
  } | curl -sS -m 60 --ssl --cacert /etc/ssl/certs/ca-certificates.crt \
    --config <(jq -r '.mail | if .user then "user = \"\(.user):\(.password)\"" else "" end' $platform) \
    --url "smtp://$(jq -r '.mail | "\(.host):\(.port)"' $platform)" --mail-from "$(jq -r .mail.from $platform)" --mail-rcpt "$MAIL" -T -
}

report() {
  local now=$1 new over line
  mkdir -p "$KNOWN"
  touch "$KNOWN/problems"
  names() { cut -d: -f1 "$@" | sort; }
  new=$(join -t: -v 1 <(sort <<<"$now") <(names "$KNOWN/problems") | grep . || true)
  over=$(comm -13 <(names <<<"$now" | grep . || true) <(names "$KNOWN/problems"))
  while read -r line; do [ -z "$line" ] || logger -p user.err -t platform-health "$line"; done <<<"$new"
  while read -r line; do [ -z "$line" ] || logger -p user.notice -t platform-health "over: $line"; done <<<"$over"
  if [ -n "$new$over" ] || { [ -n "$now" ] && [ -z "$(find "$KNOWN/mailed" -mmin -1440 2>/dev/null)" ]; }; then
    if printf '%s\n' "${new:+New:
$new
}" "${over:+Over:
$over
}" "${now:+All that stands:
$now
}" | send "[framaspace] $(grep -c . <<<"$now" || true) alarms" 2>"$KNOWN/mail-error"; then
      touch "$KNOWN/mailed"
    else
      logger -p user.err -t platform-health "the administrators could not be told by mail: $(tr '\n' ' ' <"$KNOWN/mail-error")"
    fi
  fi
  printf '%s\n' "$now" | grep . >"$KNOWN/problems.new" || true
  mv "$KNOWN/problems.new" "$KNOWN/problems"
}

problems=$({ postgres; backups; redis; storage; spaces; certificates; machines; } | sort -u)
if [ "${1:-}" = --report ]; then
  report "$problems"
elif [ -n "$problems" ]; then
  echo "$problems"
  exit 1
fi
