#!/bin/bash
# minio-ready, before nginx opens on a storage server: waits until MinIO here serves, has had time to find the drives of
# nodes that start with it, and knows of every bucket of the platform that it keeps versions. A node that reads a
# bucket's settings while too few of their parts can be reached takes it for a bucket without any, and says nothing
# (cmd/bucket-metadata.go, loadBucketMetadataParse, goes on where a file is not found, and that is what is said of one
# that cannot be read). Until it looks again, after a quarter of an hour, what it writes has no versions, and what it is
# to delete stays. Started anew, it reads them anew; where that does not help, nginx stays closed until it has looked
# again.
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C

# shellcheck source=/dev/null
. /etc/framaspace/minio/environment
ENDPOINT=https://$HOSTNAME:9000
STATE=/run/framaspace/minio
# For machine-health.
PROBLEM=/run/framaspace/problems/minio
mkdir -p "$STATE" "${PROBLEM%/*}"

serves() { curl -fsS -m 5 -o /dev/null "$ENDPOINT/minio/health/cluster" 2>/dev/null; }

# MinIO says which drives were not there when it started. It looks for them again 15 seconds after a look that it takes
# within the first one (cmd/erasure-sets.go, monitorAndConnectEndpoints), and calls absent meanwhile what they have parts of.
lacked_drives() {
  journalctl --quiet --unit minio.service "_SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID minio.service)" \
    --grep 'will be retried' >/dev/null 2>&1
}

# get <PATHS: what MinIO here answers to each, and the path on a line of its own; the secret is on no command line.
get() {
  {
    printf '%s\n' silent fail fail-early 'max-time = 60' 'aws-sigv4 = "aws:amz:us-east-1:s3"' \
      "user = \"$MINIO_ROOT_USER:$MINIO_ROOT_PASSWORD\"" 'write-out = "\n%{url_effective}\n"'
    sed "s,.*,url = \"$ENDPOINT&\","
  } | curl --config -
}

# Names of the platform's buckets that are, for MinIO here, without versions.
unversioned() {
  local names
  names=$(get <<<"/") || return
  names=$(grep -oE '<Name>(space-[^<]+|backup|archive)</Name>' <<<"$names") || return 0
  echo "$names" | sed 's,<Name>\(.*\)</Name>,/\1?versioning,' | get |
    awk '/<Status>Enabled</ { kept = 1 } /^https:/ { if (!kept) { sub(/\?.*/, ""); sub(/.*\//, ""); print }; kept = 0 }'
}

until serves; do sleep 0.5; done
if lacked_drives; then sleep 17; fi

# One that is being made is without for a moment.
for _ in 1 2 3; do
  until serves; do sleep 0.5; done
  until found=$(unversioned); do sleep 1; done
  if [ -z "$found" ]; then
    rm -f "$STATE/starts" "$PROBLEM"
    exit
  fi
  sleep 2
done

name=$(head -n 1 <<<"$found")
starts=$(cat "$STATE/starts" 2>/dev/null || echo 0)
if [ "$starts" -lt 3 ]; then
  echo $((starts + 1)) >"$STATE/starts"
  echo "MinIO here takes $(wc -l <<<"$found") buckets for ones without versions, such as $name: started anew" >&2
  systemctl --no-block restart minio.service
  exit 1
fi
rm "$STATE/starts"

# Closed for good, it would take all spaces away for the sake of one bucket that somebody set so.
echo "minio versions: known here for all buckets but $(wc -l <<<"$found"), such as $name: closed until MinIO has looked again" >"$PROBLEM"
for ((waited = 0; waited < 1020; waited += 15)); do
  if found=$(unversioned) && [ -z "$found" ]; then
    rm "$PROBLEM"
    exit
  fi
  sleep 15
done
echo "minio versions: kept here for all buckets but $(wc -l <<<"$found"), such as $name; settle-storage all on ops-1" | tee "$PROBLEM" >&2
