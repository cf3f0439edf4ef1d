#!/bin/bash
# remove-space ID: forgets a space whose entry is gone: its directory here and on the web servers, its user in Redis. The
# engine calls it before it destroys database and bucket, so it is the last to say no: without a verified export it
# fails, and nothing is destroyed. Exports stay in the archive.
# shellcheck source-path=SCRIPTDIR source=archive-lib.sh
. /usr/local/lib/framaspace/archive-lib.sh

ID=${1:-}
[[ $ID =~ ^[a-z][a-z0-9-]{2,31}$ ]] || { echo "remove-space ID" >&2; exit 1; }
DIRECTORY=$SPACES/$ID
STEP=removal
lock_space
# It never converged, or an earlier run has been here. Or this machine is new, and has not got it back yet.
if [ ! -d "$DIRECTORY" ]; then
  [ "$(admin_psql "$ID" -c "SELECT to_regclass('public.framaspace') IS NOT NULL" 2>/dev/null || true)" != t ] ||
    fail "its directory is not on ops-1, but its database holds a space: nothing says that it is archived, so it stays. Put its entry back and run up; on ops-1, \`converge-space --again $ID\` says what is wrong"
  finish-spaces --forget "$ID" 9>&-
  exit 0
fi
[ -e "$DIRECTORY/archived" ] ||
  fail "it is not archived, so it stays. Put its entry back; to give the space up: npm run space -- suspend $ID --reason …, then archive, then remove"
[ -n "$(finished_exports "$ID")" ] ||
  fail "it has no verified export, so its data stays. Put its entry back with state: archived and run up, which exports it; then remove the entry"
refuse_cut_off remove-space

# Before its directory goes: what is wanted would be made again.
finish-spaces --forget "$ID" 9>&-
redis-users --remove "$ID"
nothing=$(mktemp -d)
trap 'rm -rf "$nothing"' EXIT
while read -r web; do
  # R: what distribute-spaces never lets go, a whole space.
  rsync --recursive --delete --timeout=60 --rsh='ssh -F /etc/framaspace/distribute/ssh_config' \
    --filter="R /$ID" --filter='P /*' --filter="+ /$ID/***" --filter='- *' "$nothing/" "root@$web:" 9>&- ||
    echo "space $ID: $web keeps its copy, which answers 410 (ssh $web rm -r /srv/spaces/$ID)" >&2
done </etc/framaspace/web-servers
rm -rf "$DIRECTORY" "${UNDISTRIBUTED:?}/$ID" "${ARCHIVED:?}/$ID" "${EXPORTS:?}/$ID" "${KEPT:?}/$ID"
