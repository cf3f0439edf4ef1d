// Files that a worker was writing when it was killed: nobody removes them but these.
import type { RemoteFile } from "./remote.ts";

/**
 * Has systemd-tmpfiles remove what nobody has written to, or read, for two hours: twice what PHP-FPM gives a request
 * (php-fpm.conf, request_terminate_timeout). Hourly, in place of its daily.
 * @param folder May hold wildcards; it stays itself.
 */
export function clearLeftovers(folder: string): RemoteFile[] {
  return [
    { path: "/etc/tmpfiles.d/framaspace-leftovers.conf", content: `e ${folder} - - - am:2h\n` },
    {
      path: "/etc/systemd/system/systemd-tmpfiles-clean.timer.d/framaspace.conf",
      content: "[Timer]\nOnUnitActiveSec=1h\n",
    },
  ];
}
