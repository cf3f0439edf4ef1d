<?php

// PHP workers that make requests of spaces as PHP-FPM's do. Each request opens a connection to its space's database,
// runs the queries of a Nextcloud request, and closes the connection. Reads the task as JSON from standard input and
// prints what it cost.

declare(strict_types=1);

$task = json_decode(stream_get_contents(STDIN), true, 8, JSON_THROW_ON_ERROR);

// As in PHP-FPM's pool (infra/web/rootfs/etc/php/8.4/fpm/php-fpm.conf).
putenv('PGTARGETSESSIONATTRS=read-write');
putenv('PGCONNECT_TIMEOUT=2');
putenv('PGCHANNELBINDING=disable');

/** Makes one request. Returns the milliseconds until it was connected, and the total without its own pauses. */
function request(array $task, int $space): array
{
    $name = "space-$space";
    $start = hrtime(true);
    $pdo = new PDO(
        "pgsql:host=localhost;port={$task['port']};dbname=$name;sslmode=verify-full;sslrootcert={$task['ca']}",
        $name,
        hash_hmac('sha256', $name, $task['seed']),
        // Nextcloud's Doctrine sets it too. It leaves no prepared statement in the session.
        [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::PGSQL_ATTR_DISABLE_PREPARES => true],
    );
    $connected = hrtime(true);
    $ask = static function (string $sql, array $values) use ($pdo): void {
        $statement = $pdo->prepare($sql);
        $statement->execute($values);
        $statement->fetchAll(PDO::FETCH_ASSOC);
    };
    $number = random_int(0, 9);
    $user = "user$number";
    $ask('SELECT appid, configkey, configvalue FROM oc_appconfig', []);
    $ask('SELECT id, uid, last_activity FROM oc_authtoken WHERE token = ?', ["token$number"]);
    $ask('SELECT uid, displayname, password FROM oc_users WHERE uid = ?', [$user]);
    $ask('SELECT appid, configkey, configvalue FROM oc_preferences WHERE userid = ?', [$user]);
    $ask('SELECT storage_id, root_id FROM oc_mounts WHERE user_id = ?', [$user]);
    $paused = 0;
    if ($task['holdMs'] > 0) {
        $before = hrtime(true);
        usleep($task['holdMs'] * 1000);
        $paused = hrtime(true) - $before;
    }
    $ask('SELECT * FROM oc_filecache WHERE storage = ? AND path_hash = ?', [$number + 1, md5("files/$number")]);
    $ask('SELECT * FROM oc_filecache WHERE parent = ? ORDER BY name', [$number]);
    $ask('SELECT * FROM oc_share WHERE share_type = 0 AND share_with = ?', [$user]);
    $pdo->beginTransaction();
    $ask('UPDATE oc_authtoken SET last_activity = ? WHERE token = ?', [time(), "token$number"]);
    $ask('INSERT INTO oc_activity (timestamp, affecteduser, subject) VALUES (?, ?, ?)', [time(), $user, 'file_changed']);
    $pdo->commit();
    $pdo = null;
    return [($connected - $start) / 1e6, (hrtime(true) - $start - $paused) / 1e6];
}

/** One worker's requests: until the time is over or, with `each`, one for each space of its share. A line for each. */
function work(array $task, int $worker, string $file): void
{
    mt_srand($task['round'] * 10_000 + $worker);
    $lines = [];
    $end = $task['start'] + $task['seconds'];
    // All workers start at the same time, each with a random delay.
    usleep((int) max(0, ($task['start'] - microtime(true)) * 1e6) + mt_rand(0, 1000) * max(1, $task['holdMs']));
    for ($next = $worker; $task['each'] ? $next < $task['spaces'] : microtime(true) < $end; $next += $task['workers']) {
        // A page, or a client that looks for changes, makes several requests to one space.
        $space = $task['each'] ? $next : mt_rand(0, $task['spaces'] - 1);
        for ($visit = $task['each'] ? 1 : mt_rand(1, $task['visit'] * 2 - 1); $visit > 0; $visit--) {
            try {
                $lines[] = implode(' ', request($task, $space));
            } catch (PDOException $problem) {
                $lines[] = 'refused ' . preg_replace('/space-\d+|\s+/', ' ', $problem->getMessage());
                // A user who sees an error page waits too.
                usleep(200_000);
            }
            if (!$task['each'] && microtime(true) >= $end) {
                break;
            }
        }
    }
    file_put_contents($file, implode("\n", $lines) . "\n");
}

$folder = $task['folder'];
$task['start'] = microtime(true) + 0.2 + $task['workers'] / 400;
for ($worker = 0; $worker < $task['workers']; $worker++) {
    if (pcntl_fork() === 0) {
        work($task, $worker, "$folder/$worker");
        // Killed, so that PHP does not shut down: that would also end what belongs to the parent.
        posix_kill(posix_getpid(), SIGKILL);
    }
}
while (pcntl_wait($status) > 0);

$connects = $totals = $refusals = [];
for ($worker = 0; $worker < $task['workers']; $worker++) {
    foreach (file("$folder/$worker", FILE_IGNORE_NEW_LINES | FILE_SKIP_EMPTY_LINES) as $line) {
        [$first, $rest] = explode(' ', $line, 2);
        if ($first === 'refused') {
            $refusals[$rest] = ($refusals[$rest] ?? 0) + 1;
        } else {
            $connects[] = (float) $first;
            $totals[] = (float) $rest;
        }
    }
    unlink("$folder/$worker");
}
$percentile = static function (array $figures, float $share): float {
    sort($figures);
    return $figures === [] ? 0.0 : $figures[(int) min(count($figures) - 1, floor(count($figures) * $share))];
};
echo json_encode([
    'requests' => count($totals),
    'seconds' => microtime(true) - $task['start'],
    'connect50' => $percentile($connects, 0.5),
    'total50' => $percentile($totals, 0.5),
    'total99' => $percentile($totals, 0.99),
    'refused' => array_sum($refusals),
    'refusals' => (object) $refusals,
], JSON_THROW_ON_ERROR), "\n";
