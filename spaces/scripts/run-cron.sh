#!/bin/bash
# run-cron: the background jobs of all spaces, a bounded number at once. Each space has its own minute in an interval,
# by a hash of its id, so that the load is even: a short interval while it is in use, a long one else. One that is
# suspended, archived or worked on has none, and no space has two at a time.
# shellcheck source-path=SCRIPTDIR source=space-lib.sh
. /usr/local/lib/framaspace/space-lib.sh

# A file for each space: its time is when the last job began, and it holds a letter while the space is in use.
SEEN=/var/lib/framaspace/cron
# What run_php ends a job after.
LONGEST_SECONDS=3600

settings() {
  read -r WORKERS ACTIVE IDLE < <(jq -r '.cron | "\(.workers) \(.activeMinutes * 60) \(.idleMinutes * 60)"' /etc/framaspace/catalog.json)
}

# due: ids of the spaces whose slot has begun since their last job, longest waiting first.
due() {
  { find "$SEEN" -type f -printf 'seen %f %T@ %s\n'
    find "$SPACES" -mindepth 1 -maxdepth 1 -type d -name '[a-z]*' -printf 'space %f\n'
    find "$SPACES" -mindepth 2 -maxdepth 2 '(' -name suspended -o -name archived -o -name maintenance ')' -printf '%h\n' | sed 's,.*/,not ,'
  } | awk -v now="$EPOCHSECONDS" -v active="$ACTIVE" -v idle="$IDLE" '
    BEGIN { for (i = 32; i < 127; i++) code[sprintf("%c", i)] = i }
    $1 == "seen" { last[$2] = $3; used[$2] = $4 }
    $1 == "space" { spaces[$2] }
    $1 == "not" { delete spaces[$2] }
    END {
      for (id in spaces) {
        hash = 0
        for (i = 1; i <= length(id); i++) hash = (hash * 31 + code[substr(id, i, 1)]) % 1000003
        interval = (!(id in last) || used[id] > 0) ? active : idle
        begin = now - (now - hash % interval) % interval
        if (last[id] + 0 < begin) print last[id] + 0, id
      }
    }' | sort -n | cut -d' ' -f2
}

# job ID: one space's job, in a process of its own.
job() {
  local begun=$EPOCHSECONDS used
  read_space <"$SPACES/$1/config/space.json"
  STEP=cron
  exec 7>"/run/framaspace/cron-$ID.lock"
  flock --nonblock 7 || return 0
  # It may have been closed since the list was made.
  ! is_cut_off && [ ! -e "$DIRECTORY/maintenance" ] && [ ! -e "$DIRECTORY/suspended" ] && [ ! -e "$DIRECTORY/archived" ] || return 0
  touch "$SEEN/$ID"
  run_php "$DIRECTORY/config" "$RELEASE" cron.php ||
    echo "space $ID: its background job ended with status $?; see its log on logs-1" >&2
  used=$(sql -c "$SQL_DROP_JOBS" -c "SELECT (coalesce(max(last_activity), 0) > $((begun - IDLE)))::int FROM oc_authtoken") || return 0
  if [ "$used" = 1 ]; then echo x >"$SEEN/$ID"; else : >"$SEEN/$ID"; fi
  touch -d "@$begun" "$SEEN/$ID"
  match_storage
}

# Between two converges too, a space that is full takes no more; whoever works on the space will see to it themselves.
match_storage() {
  local used
  used=$(sql -c "$SQL_USED_STORAGE")
  exec 9>"/run/framaspace/space-$ID.lock"
  flock --nonblock 9 || return 0
  mark_full "$used"
  [ ! -e "$UNDISTRIBUTED/$ID" ] || distribute
}

mkdir -p /run/framaspace "$SEEN" "$UNDISTRIBUTED"
while :; do
  settings
  next=$((EPOCHSECONDS + 30))
  for id in $(due); do
    while [ "$(jobs -rp | wc -l)" -ge "$WORKERS" ]; do wait -n || true; done
    job "$id" &
  done
  while [ "$EPOCHSECONDS" -lt "$next" ]; do sleep 1; done
done
