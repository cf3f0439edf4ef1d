# shellcheck shell=bash
# Redis. Its data survives restarts, so a changed setting may restart it at any time. redis-users on ops-1 creates the
# users of spaces; this script only keeps them.

install_packages

# The rest is for the system, and for a second copy of the data that changes while the append-only file is rewritten.
MEMORY_MB=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
LIMIT=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
if [ "$LIMIT" != max ] && [ $((LIMIT >> 20)) -lt "$MEMORY_MB" ]; then MEMORY_MB=$((LIMIT >> 20)); fi
# In steps of 64 MB, so that a new kernel with a few MB more or less changes nothing.
file /etc/redis/memory.conf 0640 redis:redis <<END
# Written by infra/redis/install.sh: 60 % of this machine's memory.
maxmemory $((MEMORY_MB * 60 / 100 / 64 * 64 + 64))mb
END

install_files
on_change '/etc/sysctl.d/*' set_kernel
on_change '/etc/systemd/system/*' systemctl daemon-reload
# The platform's users first, then all others.
write_users() {
  local users=/etc/redis/users.acl
  { cat /etc/redis/platform.acl; grep -Ev '^user (default|admin) ' $users 2>/dev/null || true; } >$users.new
  chown redis:redis $users.new
  chmod 0640 $users.new
  mv $users.new $users
}
[ -s /etc/redis/users.acl ] || mark /etc/redis/platform.acl
on_change '/etc/redis/platform.acl' write_users
on_change '/etc/redis/* /etc/systemd/system/redis-server*' systemctl restart redis-server
enable redis-server.service

# At the address that the spaces use. This also waits until the data is loaded.
answers() { [ "$(REDISCLI_AUTH=$PASSWORD redis-cli -h "$ADDRESS" --user admin ping)" = PONG ]; }
wait_until 120 "Redis answers on $ADDRESS with its password" answers

finish
