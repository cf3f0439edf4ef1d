# shellcheck shell=bash
# Redis. Its data survives restarts, so a changed setting may restart it at any time. The users of spaces are made by
# redis-users on ops-1; here they only survive.

install_packages

# Room for a second copy of what is written while the append-only file is rewritten, and for the system.
MEMORY_MB=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
LIMIT=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
if [ "$LIMIT" != max ] && [ $((LIMIT >> 20)) -lt "$MEMORY_MB" ]; then MEMORY_MB=$((LIMIT >> 20)); fi
# In steps, so that a new kernel's few MB more change nothing.
file /etc/redis/memory.conf 0640 redis:redis <<END
# Written by infra/redis/install.sh: 60 % of this machine's memory.
maxmemory $((MEMORY_MB * 60 / 100 / 64 * 64 + 64))mb
END

install_files
on_change '/etc/sysctl.d/*' set_kernel
on_change '/etc/systemd/system/*' systemctl daemon-reload
# Ours first, then whoever else is there.
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

# Over the address that the spaces use; it also waits until the data is loaded.
answers() { [ "$(REDISCLI_AUTH=$PASSWORD redis-cli -h "$ADDRESS" --user admin ping)" = PONG ]; }
wait_until 120 "Redis answers on $ADDRESS with its password" answers

finish
