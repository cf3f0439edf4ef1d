# shellcheck shell=bash
# A node of object storage: drives, MinIO, and nginx in front of it for clients that need only S3. This script never
# overwrites a drive that holds something: it formats only drives that have no signature of any kind and begin with
# zeros.

install_packages

# The label says to which server and place a drive belongs, in XFS' 12 characters: minio-a1-4.
label() { echo "minio-${MACHINE#storage-}-$1"; }
probe() { blkid -p -o value -s "$2" "$1" 2>/dev/null || true; }

# Describes for people what is on a drive that isn't blank.
contents() {
  local found
  found=$(wipefs --noheadings --output TYPE,LABEL "$1" | tr -s ' \n' ' ')
  found=${found% }
  echo "${found:-data without a signature}"
}

# drive_state DEVICE LABEL: blank, ours, unfinished (our mkfs was killed), or foreign.
drive_state() {
  if [ "$(probe "$1" TYPE)" = xfs ] && [ "$(probe "$1" LABEL)" = "$2" ]; then
    case $(xfs_db -r -c 'sb 0' -c 'print inprogress' "$1" 2>/dev/null) in
      'inprogress = 0') echo ours ;;
      'inprogress = 1') echo unfinished ;;
      *) echo foreign ;; # damaged: people must check it
    esac
    return
  fi
  # Its start must be zeros, too: a damaged file system may have lost its signature and still be repairable.
  if [ -z "$(wipefs --noheadings "$1")" ] && ! blkid -p "$1" >/dev/null 2>&1 && cmp -s -n 1048576 "$1" /dev/zero; then
    echo blank
  else
    echo foreign
  fi
}

# Drives that have served here. If such a drive is missing or unreadable, MinIO works without it until somebody replaces
# it, and this script continues.
SERVED=/var/lib/framaspace/drives
mkdir -p "$SERVED"

# Checks all drives before it changes any.
PROBLEMS=()
STATES=()
for index in "${!DRIVES[@]}"; do
  id=${DRIVES[index]} device=/dev/disk/by-id/${DRIVES[index]} number=$((index + 1)) state=missing
  if [ -b "$(readlink -f "$device")" ]; then state=$(drive_state "$device" "$(label $number)"); fi
  case $state in
    missing | foreign)
      if [ -e "$SERVED/$id" ]; then
        echo "$MACHINE: drive $number ($id) is lost: $state. MinIO works without it. Replace it: docs/runbooks/replace-a-drive.md" >&2
        state=lost
      elif [ "$state" = missing ]; then
        PROBLEMS+=("drive $number ($id) is not there; this machine has: $(find /dev/disk/by-id/ -mindepth 1 ! -name '*-part*' -printf '%f ' 2>/dev/null)")
      else
        PROBLEMS+=("drive $number ($id, $(readlink -f "$device")) is not empty: found $(contents "$device"). If nothing on it is needed, run \`wipefs --all $device && dd if=/dev/zero of=$device bs=1M count=1\` on $MACHINE, then run up again.")
      fi ;;
  esac
  STATES+=("$state")
done
[ "${#PROBLEMS[@]}" -eq 0 ] || fail "no drive was formatted:$(printf '\n  %s' "${PROBLEMS[@]}")"

if ! getent passwd minio >/dev/null; then
  useradd --system --user-group --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin minio
  note "user minio"
fi
id -nG minio | grep -qw framaspace-tls || { usermod -aG framaspace-tls minio; note "minio in framaspace-tls"; }

install_files
on_change '/etc/systemd/system/*' systemctl daemon-reload
systemctl -q is-enabled nginx.service || { systemctl -q enable nginx.service; note "nginx.service enabled"; }

# release DIRECTORY DEVICE STATE: unmounts a drive that no longer belongs there, because it was pulled out or replaced
# under its name. Lazily, because MinIO may still have files of the dead drive open.
release() {
  local directory=$1 device=$2 state=$3 mounted
  mounted=$(findmnt --noheadings --output SOURCE --mountpoint "$directory") || return 0
  if [ "$state" = lost ] || [ "$mounted" != "$(readlink -f "$device")" ] || [ "$state" = blank ]; then
    umount --lazy "$directory"
    note "$mounted off $directory"
  fi
}

for index in "${!DRIVES[@]}"; do
  id=${DRIVES[index]} number=$((index + 1)) directory=/srv/minio/drive-$((index + 1))
  device=/dev/disk/by-id/$id state=${STATES[index]}
  release "$directory" "$device" "$state"
  case $state in
    lost) continue ;;
    # Without -f, mkfs.xfs itself refuses a drive that holds something.
    blank) mkfs.xfs -q -L "$(label $number)" "$device" || fail "drive $number ($id): mkfs.xfs failed"
      note "drive $number formatted" ;;
    unfinished) mkfs.xfs -q -f -L "$(label $number)" "$device"
      note "drive $number formatted, which an earlier run had begun" ;;
  esac
  if ! mountpoint -q "$directory"; then
    # Nobody may write here while no drive is mounted: the data would land on the system's disk, and the mount would
    # hide it.
    [ "$(stat -c %a:%U "$directory" 2>/dev/null)" = 0:root ] || install -d -m 0000 "$directory"
    chattr +i "$directory" 2>/dev/null || true # not on every file system
  fi
  enable "srv-minio-drive\\x2d$number.mount"
  [ "$(stat -c %a:%U:%G "$directory")" = 700:minio:minio ] || { chown minio:minio "$directory"; chmod 0700 "$directory"; note "$directory"; }
  : >"$SERVED/$id"
done

# MinIO reads them again every minute (minio/pkg/certs/manager.go).
ln -sfT /etc/framaspace/tls/cert.pem /etc/minio/certs/public.crt
ln -sfT /etc/framaspace/tls/key.pem /etc/minio/certs/private.key

on_change '/etc/sysctl.d/*' set_kernel

download "$MINIO_URL" "$MINIO_SHA256" /usr/local/bin/minio 0755

# MinIO starts when enough nodes of its site start, so this script does not wait for that. If the site serves, its nodes
# restart one after the other, and only while all of them are online. A node whose binary, pools or settings differ from
# the others' starts only when two of those have the same ones (cmd/bootstrap-peer-server.go: half of the others). So of
# five nodes, the first two wait for the third, and the site does not serve only while the third starts.
health() { curl -sS -m 5 "https://$1:9000/minio/health/$2" "${@:3}"; }
status() { health "$1" "$2" -o /dev/null -w '%{http_code}' 2>/dev/null || true; }
serves() { [ "$(status "$1" cluster)" = 200 ]; }
site_serves() { local node; for node in "${NODES[@]}"; do serves "$node" && return; done; false; }
# MinIO runs there, but takes no requests yet.
is_waiting() { health "$1" live -D - -o /dev/null 2>/dev/null | grep -qi '^x-minio-server-status: *offline'; }
all_live() { local node; for node in "${NODES[@]}"; do [ "$(status "$node" live)" = 200 ] || return; done; }
nobody_waits() { local node; for node in "${NODES[@]}"; do ! is_waiting "$node" || return; done; }
# The site serves without this node: MinIO does not count the drives of the node that answers. A single node has no
# others.
can_restart() { [ "${#NODES[@]}" -eq 1 ] || [ "$(status "$MACHINE" 'cluster?maintenance=true')" = 200 ]; }
nothing_heals() { ! health "$MACHINE" cluster -D - -o /dev/null 2>/dev/null | grep -qi '^x-minio-healing-drives: *[1-9]'; }
differs() { journalctl --quiet --unit minio.service "_SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID minio.service)" --grep 'has incorrect configuration' >/dev/null 2>&1; }
serves_or_waits() { serves "$MACHINE" || differs; }

wait_until_can_restart() {
  (wait_until 120 "every node of the site runs" all_live) ||
    fail "nothing was restarted: another node is down. \`mc admin info\` on ops-1 says which; fix that one, then run up again."
  nobody_waits || return 0
  (wait_until 120 "the site can serve without $MACHINE" can_restart) ||
    fail "nothing was restarted: drives of other nodes are missing. \`mc admin info\` on ops-1 says which; fix those, then run up again."
  (wait_until 3600 "no drive is being filled" nothing_heals) ||
    fail "nothing was restarted: a replaced drive is still being filled. Run up again when \`mc admin heal\` on ops-1 says that it is done."
}

restart_minio() {
  local served=false
  # The site already serves without a new or replaced server, and does not serve one of a new pool yet.
  if systemctl -q is-active minio.service && site_serves; then
    served=true
    wait_until_can_restart
  fi
  systemctl daemon-reload
  systemctl stop minio.service
  systemctl start --no-block minio.service
  if $served; then
    wait_until 120 "MinIO serves again, or waits for others with the same settings" serves_or_waits
    wait_until 120 "the site serves again" site_serves
    # While MinIO waits for other nodes, no request reaches it, so the script goes on. Otherwise it waits until this
    # node takes requests, before the next node restarts.
    differs || wait_until 1200 "MinIO knows its buckets (journalctl -u nginx)" systemctl -q is-active nginx.service
  fi
}
# One restart for all changes: of binary, unit, environment, or authorities, which MinIO reads only when it starts.
file /var/lib/framaspace/minio-started-with 0600 root:root < <(
  { echo "$MINIO_SHA256"; cat /etc/systemd/system/minio.service /etc/framaspace/minio/environment /etc/minio/certs/CAs/framaspace.crt; } | sha256sum
)
on_change '/var/lib/framaspace/minio-started-with' restart_minio
systemctl -q is-enabled minio.service || { systemctl -q enable minio.service; note "minio.service enabled"; }
case $(systemctl is-active minio.service || true) in
  active | activating) ;;
  *) systemctl start --no-block minio.service; note "minio.service started" ;;
esac

# nginx opens after MinIO, which may wait for other nodes, so this script waits for neither. The nginx that Debian
# starts during the installation holds port 80 and does not wait for MinIO: it must stop.
apply_nginx() {
  nginx -q -t
  if systemctl -q is-active nginx.service && [ -z "$(ss -Hltn 'src 0.0.0.0:80')" ]; then systemctl reload nginx.service
  else systemctl stop nginx.service; fi
}
on_change '/etc/nginx/*' apply_nginx
case $(systemctl is-active nginx.service || true) in
  active | activating) ;;
  *) systemctl start --no-block nginx.service; note "nginx.service started" ;;
esac

finish
