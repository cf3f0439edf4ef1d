// How long machines that serve hold on to a connection whose other end is gone without a word: power, cable, a kernel
// that stands still. docs/decisions/machines-that-vanish.md.
import type { RemoteFile } from "./remote.ts";

/**
 * Linux repeats what is not confirmed for 15 minutes, and waits two hours before it asks whether the other end of a
 * silent connection is there (tcp(7)): until then nginx keeps handing requests to the dead, and a PHP worker waits for
 * its database. Here after 13 s (five repetitions, from 0.2 s on, doubled each time) and 30 s. The other ends are all in
 * the platform's own network.
 */
export const DEAD_PEERS: RemoteFile = {
  path: "/etc/sysctl.d/60-framaspace-connections.conf",
  content: `net.ipv4.tcp_retries2 = 5
net.ipv4.tcp_keepalive_time = 15
net.ipv4.tcp_keepalive_intvl = 5
net.ipv4.tcp_keepalive_probes = 3
`,
};
