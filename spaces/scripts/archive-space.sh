#!/bin/bash
# archive-space ID [--locked]: takes an archived space on: a verified export, made since visitors were shut out, then,
# archive.graceDays later, its database and bucket emptied. Prints how far it is as one line of JSON.
#   archive-space --all      every archived space, and exports that were begun and not finished: a timer does
# Killed anywhere, the next run finishes. Nothing is dropped without an export that is whole at that moment.
# shellcheck source-path=SCRIPTDIR source=archive-lib.sh
. /usr/local/lib/framaspace/archive-lib.sh

# record KEY VALUE: what is known of the space's archiving.
record() {
  local before
  mkdir -p "$ARCHIVED"
  before=$(cat "$ARCHIVED/$ID" 2>/dev/null || echo '{}')
  # shellcheck disable=SC2016 # jq's variables
  jq -c --arg key "$1" --arg value "$2" '.[$key] = $value' <<<"$before" >"$ARCHIVED/.new.$ID"
  sync "$ARCHIVED/.new.$ID"
  mv "$ARCHIVED/.new.$ID" "$ARCHIVED/$ID"
}
known() { jq -r --arg key "$1" '.[$key] // ""' "$ARCHIVED/$ID" 2>/dev/null || true; }
now() { date -u +%FT%TZ; }

# Every file of the export is there with its size; export-space read them all back when it wrote them.
still_whole() {
  local export=$1 listed
  listed=$(archive_list "$export/")
  archive_get "$export/manifest.json" | jq -r '.sha256 | keys[]' | while read -r name; do
    grep -qE "^[1-9][0-9]* $name$" <<<"$listed" || [[ $name == files.tsv || $name == objects.tsv ]] && grep -qE " $name$" <<<"$listed" || exit 1
  done
}

drop_data() {
  still_whole "$(known export)" || fail "its export $(known export) is not whole in the archive any more, so nothing was dropped; remove $ARCHIVED/$ID to have it exported again"
  record dropping "$(now)"
  destroy_bucket
  load_database /dev/fd/4 4< <(zstd -q </dev/null) || fail "could not empty its database; look at the primary (psql service=framaspace), then run it again"
  rm -rf "${KEPT:?}/$ID" "${KEPT:?}/$ID".*
  record dropped "$(now)"
}

archive() {
  local due
  if [ -z "$(known since)" ]; then record since "$(now)"; fi
  if [ -z "$(known dropped)" ] && [ -z "$(known export)" ]; then
    # Where another ops-1 dropped it already, an export of nothing must not pass for the last one.
    if [ -z "$(count_rows)" ] && [ -n "$(finished_exports "$ID")" ]; then
      record dropping "$(now)"
      record dropped "$(now)"
      record exported "$(now)"
      record export "$ID/$(finished_exports "$ID" | tail -n 1)"
    else
      export-space "$ID" --locked >/dev/null || exit 1
      record exported "$(now)"
      record export "$(jq -r .export "$EXPORTS/$ID")"
    fi
  fi
  GRACE=$(jq -r '.archive.graceDays // empty' <<<"$SPACE")
  [[ $GRACE =~ ^[0-9]+$ ]] || fail "space.json says no archive.graceDays; run up again"
  due=$(date -u -d "$(known exported) + $GRACE days" +%FT%TZ)
  if [ -z "$(known dropped)" ] && [[ ! $(now) < $due ]]; then drop_data; fi
  [ -n "$(known dropped)" ] || [ "$(known due)" = "$due" ] || record due "$due"
  cat "$ARCHIVED/$ID"
}

if [ "${1:-}" = --all ]; then
  failed=0
  for path in "$SPACES"/*/archived; do
    [ ! -e "$path" ] || archive-space "$(basename "$(dirname "$path")")" >/dev/null || failed=1
  done
  # A space whose export was killed may still be shut.
  for path in "$WORK"/*/exporting; do
    [ ! -e "$path" ] || export-space "$(basename "$(dirname "$path")")" >/dev/null || failed=1
  done
  exit $failed
fi
[ $# -ge 1 ] && [[ $1 =~ ^[a-z][a-z0-9-]{2,31}$ ]] || { echo "archive-space ID" >&2; exit 1; }
read_space <"$SPACES/$1/config/space.json"
[ "${2:-}" = --locked ] || lock_space
STEP=archive
[ "$STATE" = archived ] || fail "its state is $STATE"
refuse_cut_off archive-space
archive
