# shellcheck shell=bash
# What all our programs on machines share, and the scripts that install them (infra/machine/lib.sh).

# fail WHAT…: says what is wrong and who says so ($WHO, else the machine), and ends with 1.
fail() {
  echo "${WHO:-${MACHINE:-$(hostname)}}: $*" >&2
  exit 1
}

# is_id WORD: whether a space may be called so. The whole rule is in spaces/fleet/ids.ts; this one is for what becomes a path.
is_id() { [[ $1 =~ ^[a-z][a-z0-9-]{2,31}$ ]]; }

# until_so SECONDS COMMAND…: waits until the command succeeds; fails where it did not in that time.
until_so() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.3
  done
}
