#!/bin/bash
# Builds the lab's base image: Debian 13 as a cloud provider delivers it. It also holds the .deb files of every role's
# packages, because a machine of the lab has no network to download them. The packages of every machine are already
# installed, which saves each machine the same ten seconds.
#   image.sh DIRECTORY MIRROR SECURITY_MIRROR|- PACKAGE,PACKAGE… ROLE=PACKAGE,PACKAGE…  …
set -euo pipefail
root=$1 mirror=$2 security=$3
IFS=, read -ra base <<<"$4"
shift 4
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
umask 022

step() { echo "step $*"; }
in_image() { chroot "$root" /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }

step "Debian 13"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -f "$keyring" ] || { echo "$keyring is missing; apt-get install debian-archive-keyring" >&2; exit 1; }
debootstrap --variant=minbase --keyring="$keyring" \
  --include=systemd,systemd-sysv,dbus,openssh-server,iproute2,ca-certificates trixie "$root" "$mirror"

# debootstrap leaves this file to keep services from starting. It would do the same in machines.
rm -f "$root/usr/sbin/policy-rc.d"
# For speed: a lab's disks need not survive a power cut, and nobody reads manuals there.
cat >"$root/etc/dpkg/dpkg.cfg.d/lab" <<'DPKG'
force-unsafe-io
path-exclude=/usr/share/man/*
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/info/*
DPKG
cat >"$root/etc/apt/apt.conf.d/99lab" <<'APT'
APT::Keep-Downloaded-Packages "true";
Binary::apt::APT::Keep-Downloaded-Packages "true";
Acquire::Languages "none";
Acquire::Retries "0";
APT
{
  echo "deb $mirror trixie main"
  echo "deb $mirror trixie-updates main"
  [ "$security" = - ] || echo "deb $security trixie-security main"
} >"$root/etc/apt/sources.list"
# Only the build resolves names: machines find each other in /etc/hosts.
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
in_image apt-get -q update

step "cloud-init and what every machine has"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
in_image apt-get -q -y --no-install-recommends install cloud-init "${base[@]}"
rm "$root/usr/sbin/policy-rc.d"
mkdir -p "$root/etc/cloud/cloud.cfg.d"
cat >"$root/etc/cloud/cloud.cfg.d/99-lab.cfg" <<'CLOUD'
datasource_list: [NoCloud]
network: {config: disabled}
CLOUD
# The lab sets addresses from outside, as the cloud's DHCP would. Nothing inside may change them.
in_image systemctl -q disable systemd-networkd.service systemd-networkd-wait-online.service

for role in "$@"; do
  step "packages of ${role%%=*}"
  IFS=, read -ra packages <<<"${role#*=}"
  in_image apt-get -q -y --no-install-recommends --download-only install "${packages[@]}"
done

# The image has no identity: each machine creates its own, or receives it.
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/hostname" "$root/var/lib/dbus/machine-id"
: >"$root/etc/machine-id"
: >"$root/etc/resolv.conf"
