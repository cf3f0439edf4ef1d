<?php

// What all entry points of the stand-in share: the space's configuration, and proof that what it names works.

declare(strict_types=1);

require __DIR__ . '/version.php';

/** Reads config.php as Nextcloud does. */
function configuration(): array
{
    $file = (getenv('NEXTCLOUD_CONFIG_DIR') ?: __DIR__ . '/config') . '/config.php';
    if (PHP_SAPI === 'cli' && fileowner($file) !== posix_geteuid()) {
        fwrite(STDERR, "run as the owner of $file\n");
        exit(1);
    }
    require $file;
    return $CONFIG;
}

/** The name as the tenants file has it; the real Nextcloud keeps it in its database. */
function spaceName(): string
{
    $file = getenv('NEXTCLOUD_CONFIG_DIR') . '/space.json';
    return json_decode(file_get_contents($file), true, 16, JSON_THROW_ON_ERROR)['name'];
}

/** Asks the space's own database where it is and whether the connection is encrypted. */
function askDatabase(array $config): array
{
    $ssl = $config['pgsql_ssl'];
    $connection = new PDO(
        "pgsql:host={$config['dbhost']};port={$config['dbport']};dbname={$config['dbname']};"
            . "sslmode={$ssl['mode']};sslrootcert={$ssl['rootcert']}",
        $config['dbuser'],
        $config['dbpassword'],
        [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION],
    );
    return $connection->query(
        'SELECT current_database() AS database, current_user AS role, ssl AS encrypted, version AS tls
           FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
    )->fetch(PDO::FETCH_ASSOC);
}

/** Counts in Redis, under the space's own prefix. */
function countVisit(array $config): int
{
    $redis = new Redis();
    $redis->connect($config['redis']['host'], $config['redis']['port'], $config['redis']['timeout']);
    $redis->auth([$config['redis']['user'], $config['redis']['password']]);
    $redis->select($config['redis']['dbindex']);
    return $redis->incr("{$config['memcache_customprefix']}visits");
}
