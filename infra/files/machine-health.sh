#!/bin/bash
# machine-health, on every machine: its clock, then what will hurt soon there, a line each. platform-health on ops-1 asks
# every machine for it, with a key that opens nothing else.
set -euo pipefail
export LC_ALL=C
# Where a disk is called full, in percent. A storage server's drives are MinIO's to tell of.
FULL=80

date +%s.%N
# A file system that hangs must not take the rest along.
timeout 10 df --local --output=pcent,target -x tmpfs -x devtmpfs -x efivarfs -x overlay -x squashfs 2>/dev/null |
  awk -v full="$FULL" 'NR > 1 && $1 + 0 >= full && $2 !~ "^/srv/minio/" { print "disk " $2 ": " $1 " full" }' ||
  echo "disks: df cannot say how full they are"
# What a role of this machine noted.
cat /run/framaspace/problems/* 2>/dev/null || true
systemctl --failed --no-legend --plain | awk '{ print "unit " $1 ": failed; systemctl status " $1 }'
