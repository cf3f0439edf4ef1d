# shellcheck shell=bash
# Functions for all our programs on machines, and for the scripts that install them (infra/machine/lib.sh).

# fail WHAT…: prints the name of the program ($WHO, else the machine) and what is wrong, and exits with 1.
fail() {
  echo "${WHO:-${MACHINE:-$(hostname)}}: $*" >&2
  exit 1
}

# is_id WORD: succeeds if a space may have this id. It protects paths; the whole rule is in spaces/fleet/ids.ts.
is_id() { [[ $1 =~ ^[a-z][a-z0-9-]{2,31}$ ]]; }

# until_so SECONDS COMMAND…: waits until the command succeeds. Fails if it does not succeed in that time.
until_so() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.3
  done
}
