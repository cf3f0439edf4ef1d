// The Unix user of a space, and the PHP-FPM pool that runs as that user. Both come from the space's number, which is that
// of its database in Redis (spaces/agent/programs/redis-users.ts).

/**
 * How many spaces a platform can have: each number has a pool on every web server, so that a new space needs no reload.
 * Each pool costs PHP-FPM's master two file descriptors and 5 kB, and each worker that starts about 10 µs, because it
 * closes what belongs to the others: 17 ms with 1,000 pools, 40 ms with 4,000, 150 ms with 16,000.
 */
export const MOST_SPACES = 2000;

/**
 * The users have no entry in /etc/passwd. Their numbers lie above those that Debian gives to accounts (up to 65535) and,
 * as a rule, to their subordinate ids (65,536 for each, from 100000 on), and below those of systemd's containers (from
 * 524288 on): https://systemd.io/UIDS-GIDS
 */
const FIRST = 300_000;

/** Number of the user, and of its only group. */
export const userOf = (number: number): number => FIRST + number;

/** Where the space's pool listens on web servers. */
export const socketOf = (number: number): string => `/run/php-spaces/space-${number}.sock`;
