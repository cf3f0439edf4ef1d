#!/bin/bash
# postgres-cluster VERB, on ops-1: decides which PostgreSQL node takes the writes. It remembers that outside both nodes,
# so that neither comes back as a second primary, in whatever order machines return; what is done on a node is
# postgres-node's. docs/decisions/postgres-failover.md says why it is so.
#
#   status                 both nodes, as JSON, and what is remembered
#   switchover             the standby becomes the primary and the primary its standby: for maintenance
#   failover [--primary-is-off] [--accept-loss]
#                          the standby becomes the primary without the primary's help
#   former                 the node that does not take the writes
#   rebuild NODE           NODE becomes a standby of the primary again
#   restore [TIME]         fills empty nodes from the backups
#   adopt NODE             says who is the primary, where ops-1 is new and a node lost
#   settle                 what `up` runs: makes what is missing. Reads two passwords from standard input
#   watch                  what postgres-watch.service runs
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C.UTF-8
umask 022

# NODES, in order: the first one is the primary of an empty platform.
# shellcheck source=/dev/null
. /etc/framaspace/postgres/nodes
RECORD=/var/lib/framaspace/postgres.json
LOCK=/run/framaspace/postgres-cluster.lock

fail() {
  echo "$(hostname): $*" >&2
  exit 1
}
say() { echo "$*"; }

# on NODE VERB…: what postgres-node says there; 255 where the machine does not answer.
# The lock's descriptor is closed for ssh, which leaves a process behind that keeps the connection.
on() { ssh -F /etc/framaspace/postgres/ssh_config "$@" 9>&-; }
# status_of NODE: its status, with .reachable. Never fails.
status_of() {
  local answer
  if answer=$(on "$1" status </dev/null 2>/dev/null) && jq -e .node <<<"$answer" >/dev/null 2>&1; then
    jq -c '. + {reachable: true}' <<<"$answer"
  else
    jq -cn --arg node "$1" '{$node, reachable: false, running: false, data: "unknown"}'
  fi
}
is() { jq -e "$2" <<<"$1" >/dev/null; }

# recorded KEY: primary, systemId, mode (synchronous, asynchronous), since; switchover, failover: to whom one is under way.
recorded() { jq -r ".$1 // empty" "$RECORD" 2>/dev/null || true; }
# record KEY VALUE…: on disk before anything relies on it.
record() {
  local new=$RECORD.new arguments=()
  mkdir -p "${RECORD%/*}"
  while [ $# -gt 0 ]; do arguments+=(--arg "$1" "$2"); shift 2; done
  { cat "$RECORD" 2>/dev/null || echo '{}'; } |
    jq "${arguments[@]}" --arg since "$(date -u +%FT%TZ)" '. + $ARGS.named | with_entries(select(.value != ""))' >"$new"
  sync "$new"
  mv "$new" "$RECORD"
}
other() { # other NODE: the one that is not it, if there is one
  local node
  for node in "${NODES[@]}"; do [ "$node" = "$1" ] || echo "$node"; done
}

lock() {
  mkdir -p "${LOCK%/*}"
  exec 9>"$LOCK"
  flock "$@" 9
}

wait_for() { # wait_for SECONDS NODE CONDITION: until its status fulfils it
  local end=$((SECONDS + $1))
  until is "$(status_of "$2")" "$3"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.5
  done
}

# Commits wait for the standby again. Remembered once it is true: what is remembered as synchronous can be failed over
# to without a loss.
make_synchronous() {
  on "$1" synchronous on </dev/null
  wait_for 15 "$1" '.standby.sync == "sync"' || return 0
  record mode synchronous
}
# Commits no longer wait. Remembered before it is true.
make_asynchronous() {
  record mode asynchronous
  on "$1" synchronous off </dev/null
}

# From here on TO is the primary, whatever happens; the rest only follows from that.
take_over() {
  local from=$1 to=$2
  record mode asynchronous
  on "$to" promote </dev/null || fail "$to was not promoted. Mend what it says, then run this again."
  record primary "$to" switchover "" failover ""
  say "$to takes the writes now."
}

rebuild() {
  local node=$1 primary
  primary=$(recorded primary)
  [ -n "$primary" ] || fail "no primary is remembered; run up"
  [ "$node" != "$primary" ] || fail "$node is the primary. To make it a standby: postgres-cluster switchover"
  other "$primary" | grep -qxF "$node" || fail "$node is no node; write one of ${NODES[*]}"
  on "$primary" slot </dev/null || return 1
  on "$node" follow </dev/null || return 1
  make_synchronous "$primary"
}

switchover() {
  local from to lsn
  from=$(recorded primary)
  to=$(other "$from")
  [ -n "$from" ] && [ -n "$to" ] || fail "needs two nodes and a primary; postgres-cluster status"
  if [ "$(recorded switchover)" != "$to" ]; then
    [ -z "$(recorded failover)" ] || fail "a failover to $to was cut off. Finish it: postgres-cluster failover"
    is "$(status_of "$from")" '.running and .recovery == false and .standby != null' ||
      fail "$from is not a primary with a standby that streams. \`postgres-cluster status\` says what is; if $from is dead: postgres-cluster failover"
    record switchover "$to"
  fi
  # It stops once the standby has confirmed all.
  lsn=$(on "$from" demote </dev/null)
  if ! is "$(status_of "$to")" '.recovery == false'; then
    on "$to" received "$lsn" </dev/null || {
      on "$from" undo_demote </dev/null
      record switchover ""
      fail "$from is the primary again."
    }
  fi
  take_over "$from" "$to"
  rebuild "$from" || fail "$to is the primary, but $from does not follow. Once mended: postgres-cluster rebuild $from"
  advise "$to"
}

failover() {
  local off=false accept=false from to state old
  while [ $# -gt 0 ]; do
    case $1 in
      --primary-is-off) off=true ;;
      --accept-loss) accept=true ;;
      *) fail "failover knows --primary-is-off and --accept-loss, not $1" ;;
    esac
    shift
  done
  from=$(recorded primary)
  to=$(other "$from")
  [ -n "$from" ] && [ -n "$to" ] || fail "needs two nodes and a primary; postgres-cluster status"
  old=$(status_of "$from")
  if [ "$(recorded failover)" != "$to" ]; then
    state=$(status_of "$to")
    is "$state" '.data == "standby" and .fenced == false' || fail "$to holds no standby: $state"
    if is "$old" '.running and .recovery == false and .standby != null'; then
      fail "$from runs and $to follows it: postgres-cluster switchover does it without a loss"
    fi
    [ "$(recorded mode)" = synchronous ] || $accept ||
      fail "since $(recorded since) commits do not wait for $to: what $from took since $to stopped following would be lost. If $from can come back, that is better; if not, add --accept-loss."
  fi
  # It stops, and does not start again before it follows.
  { is "$old" .reachable && on "$from" fence </dev/null; } || $off ||
    fail "$from does not answer, so it can't be stopped from here. Power it off at the cloud (hcloud server poweroff $from), or make sure that it is; then add --primary-is-off."
  record failover "$to"
  take_over "$from" "$to"
  if is "$old" .reachable; then
    rebuild "$from" || say "$from does not follow yet. Once it is mended: postgres-cluster rebuild $from"
  else
    say "$from does not answer. When it is back, or replaced by \`up\`: postgres-cluster rebuild $from (up does it, too)."
  fi
  advise "$to"
}

advise() { say "Write \`framaspace:postgresPrimary: $1\` in the environment's configuration: Pulumi's provider asks one node only."; }

# settle: called by up, once the nodes are installed.
settle() {
  local admin_password replication_password node primary state holders=()
  read -r admin_password
  read -r replication_password
  declare -A states
  for node in "${NODES[@]}"; do
    states[$node]=$(status_of "$node")
    if ! is "${states[$node]}" '.data == "none"'; then holders+=("$node"); fi
  done
  primary=$(recorded primary)
  if [ -z "$primary" ]; then
    # ops-1 is new, or the platform is.
    for node in "${NODES[@]}"; do
      is "${states[$node]}" .reachable || fail "$node does not answer, and nothing is remembered of who is the primary: mend $node, or, where it is lost and \`postgres-cluster status\` shows whose data is the latest, say who it is: postgres-cluster adopt NODE"
    done
    if [ "${#holders[@]}" -eq 0 ]; then
      primary=${NODES[0]}
      [ ! -e /usr/local/sbin/postgres-backups ] || postgres-backups none ||
        fail "no node holds data, but there are backups of this platform. To restore them, see docs/runbooks/full-rebuild.md. To begin anew, move them away."
      on "$primary" init </dev/null
    else
      primary=$(printf '%s\n' "${states[@]}" |
        jq -rs 'map(select(.data == "primary" and .fenced == false)) | if length == 1 then .[0].node else empty end')
      [ -n "$primary" ] || fail "nothing is remembered, and the nodes do not say which one is the primary: $(printf '%s\n' "${states[@]}"). Say it: postgres-cluster adopt NODE"
    fi
    record primary "$primary" mode asynchronous
  fi
  state=$(status_of "$primary")
  case $(jq -r 'if .reachable then .data else "away" end' <<<"$state") in
    away) fail "$primary, the primary, does not answer. If it is gone for good: postgres-cluster failover" ;;
    none) fail "$primary, the primary, holds no data any more. Make the standby the primary (postgres-cluster failover), or restore the backups (docs/runbooks/full-rebuild.md); then run up again." ;;
  esac
  for verb in switchover failover; do
    [ -z "$(recorded $verb)" ] || fail "a $verb to $(recorded $verb) was cut off. Finish it: postgres-cluster $verb"
  done
  is "$state" .running || on "$primary" start </dev/null
  printf '%s\n%s\n' "$admin_password" "$replication_password" | on "$primary" roles
  state=$(status_of "$primary")
  record systemId "$(jq -r .systemId <<<"$state")"
  on "$primary" stanza </dev/null
  for node in $(other "$primary"); do
    if ! is "$state" '.standby != null'; then on "$node" follow </dev/null; fi
    if ! is "$(status_of "$primary")" '.standby.sync == "sync"'; then make_synchronous "$primary"; fi
  done
}

# restore [TIME]: an empty platform begins with the backups, as they end or as of a moment (UTC).
restore() {
  local primary node
  for node in "${NODES[@]}"; do
    is "$(status_of "$node")" '.data == "none"' || fail "$node holds data or does not answer. Only an empty platform is restored as a whole; one space: restore-space-at"
  done
  primary=${NODES[0]}
  on "$primary" restore "$@" </dev/null
  record primary "$primary" mode asynchronous systemId ""
  on "$primary" start </dev/null
  say "$primary holds the backups' data and takes writes. Now run up."
}

# adopt NODE: for people, where ops-1 is new and a node is lost.
adopt() {
  [[ " ${NODES[*]} " = *" ${1:-} "* ]] || fail "write one of ${NODES[*]}"
  [ -z "$(recorded primary)" ] || [ "$(recorded primary)" = "$1" ] || fail "$(recorded primary) is remembered as the primary; postgres-cluster failover moves it"
  is "$(status_of "$1")" '.data == "primary" or .data == "standby"' || fail "$1 holds no data or does not answer"
  if is "$(status_of "$1")" '.data == "standby"'; then
    record primary "$(other "$1")" mode asynchronous
    say "$1 is a standby. To make it the primary: postgres-cluster failover --accept-loss"
  else
    record primary "$1" mode asynchronous
    on "$1" start </dev/null
  fi
}

status() {
  local node
  for node in "${NODES[@]}"; do status_of "$node"; done | jq -s --slurpfile record <(cat "$RECORD" 2>/dev/null || echo '{}') '{record: $record[0], nodes: .}'
}

# former: the node that is not the primary.
former() { other "$(recorded primary)"; }

# One look. What it does by itself never moves the primary: it starts the one that is remembered, stops another one that
# takes writes, and lets commits go on when the standby is lost.
look() {
  local primary state node missing=/run/framaspace/postgres-standby-missing
  primary=$(recorded primary)
  if [ -z "$primary" ] || [ -n "$(recorded switchover)$(recorded failover)" ]; then return; fi
  for node in $(other "$primary"); do
    if is "$(status_of "$node")" '.running and .recovery == false'; then
      echo "$node takes writes beside $primary, the primary: it is stopped. postgres-cluster rebuild $node" >&2
      on "$node" fence </dev/null
    fi
  done
  state=$(status_of "$primary")
  is "$state" .reachable || return 0
  if is "$state" '.running == false'; then
    is "$state" '.data == "primary" and .fenced == false' || return 0
    on "$primary" start </dev/null
    return
  fi
  [ "${#NODES[@]}" -gt 1 ] || return 0
  if is "$state" '.standby != null'; then
    rm -f "$missing"
    if [ "$(recorded mode)" != synchronous ] || is "$state" '.synchronous == false'; then make_synchronous "$primary"; fi
  elif [ "$(recorded mode)" = synchronous ] || is "$state" .synchronous; then
    [ -e "$missing" ] || : >"$missing"
    # A standby that only restarts is back by then.
    if [ $(($(date +%s) - $(stat -c %Y "$missing"))) -ge "${PATIENCE:-5}" ]; then
      echo "$(other "$primary") does not follow $primary: commits no longer wait for it" >&2
      make_asynchronous "$primary"
      rm -f "$missing"
    fi
  fi
}

watch() {
  while :; do
    (lock --nonblock && look) || true
    sleep 3
  done
}

verb=${1:-status}
[ $# -eq 0 ] || shift
case $verb in
  status | watch | former) "$verb" ;;
  switchover | failover | rebuild | settle | adopt | restore)
    lock --timeout 900 || fail "another postgres-cluster has been at work for a quarter of an hour: fuser -v $LOCK"
    "$verb" "$@"
    ;;
  *) fail "there is no \"$verb\"; write one of status, switchover, failover, rebuild, adopt, restore" ;;
esac
