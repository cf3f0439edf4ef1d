#!/bin/bash
# Runs every hour on logs-1. The first run of a day sets aside what the files hold, under /var/log/kept/<that day>;
# the days' folders older than RETENTION_DAYS are removed. Each step may be killed: the next run finishes it.
# Not logrotate: it looks through the whole folder once for each file, which thousands of spaces times 366 days forbid.
set -euo pipefail
cd /var/log
today=$(date -u +%F)
mkdir -p kept

# A day that was set aside by an earlier run: rsyslog has closed its files since.
find kept -type f -name '*.log' -mmin +30 -exec gzip -q {} +

if [ ! -d "kept/$today" ]; then
  install -d -m 0750 kept/new
  for kind in machines spaces; do
    if [ -d "$kind" ] && [ ! -d "kept/new/$kind" ]; then mv -T "$kind" "kept/new/$kind"; fi
    install -d -m 0750 -g adm "$kind"
  done
  mv -T kept/new "kept/$today"
  systemctl kill -s HUP rsyslog.service
fi

oldest=$(date -u -d "$today - $RETENTION_DAYS days" +%F)
for folder in kept/????-??-??; do
  if [[ $folder < kept/$oldest ]]; then rm -rf "$folder"; fi
done

# Of bytes and of files, whichever is more.
used=$(df --output=pcent,ipcent . | tail -n 1 | tr -d % | awk '{ print ($1 > $2) ? $1 : $2 }')
if [ "$used" -ge 85 ]; then
  echo "/var/log is $used % full: logs of the last year must not be lost, so give logs-1 a larger type (framaspace:machines) before it is full" >&2
  exit 1
fi
