# shellcheck shell=bash
# nginx in front of the web servers. Its configuration names machines, never spaces, so that only a change of the
# platform reloads it.

install_packages
install_files
on_change '/etc/systemd/system/*' systemctl daemon-reload
on_change '/etc/sysctl.d/*' set_kernel

# While nginx restarts, the load balancer gives this gateway's requests to others: it has to notice first.
restart_nginx() {
  nginx -q -t
  if [ "$GATEWAYS" -gt 1 ] && nginx_serves; then
    trap 'rm -f /run/framaspace-leaving; systemctl start nginx' EXIT
    touch /run/framaspace-leaving
    sleep "$NOTICED_SECONDS"
    end_nginx 40
    rm /run/framaspace-leaving
    systemctl start nginx
    # Before the next gateway leaves.
    sleep "$NOTICED_SECONDS"
  else
    systemctl restart nginx
  fi
}
on_change '/etc/systemd/system/nginx*' restart_nginx
on_change '/etc/nginx/*' reload_nginx
enable nginx.service

finish
