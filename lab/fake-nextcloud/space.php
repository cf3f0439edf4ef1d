<?php

// What all entry points of the fake share: the configuration of the space, its database, and a check that what the
// configuration names works.

declare(strict_types=1);

require __DIR__ . '/version.php';

/** What configurations use of Nextcloud's own classes. */
class OC
{
    public static string $SERVERROOT = __DIR__;
}

function configurationDirectory(): string
{
    return getenv('NEXTCLOUD_CONFIG_DIR') ?: __DIR__ . '/config';
}

/** Reads config.php as Nextcloud does. */
function configuration(): array
{
    $file = configurationDirectory() . '/config.php';
    if (PHP_SAPI === 'cli' && fileowner($file) !== posix_geteuid()) {
        fwrite(STDERR, "run as the owner of $file\n");
        exit(1);
    }
    require $file;
    return $CONFIG;
}

/** The release's own version, with its four parts. */
function codeVersion(): string
{
    return implode('.', $GLOBALS['OC_Version']);
}

/** Whether the configuration names an older version than the code. */
function needsUpgrade(array $config): bool
{
    return version_compare(codeVersion(), $config['version'], '>');
}

/** Connects to the space's own database, as the configuration names it. */
function connect(array $config): PDO
{
    $ssl = $config['pgsql_ssl'];
    // As Nextcloud reads it (OC\DB\ConnectionFactory).
    [$hosts, $port] = explode(':', $config['dbhost']);
    return new PDO(
        "pgsql:host=$hosts;port=$port;dbname={$config['dbname']};"
            . "sslmode={$ssl['mode']};sslrootcert={$ssl['rootcert']};sslcrl={$ssl['crl']}",
        $config['dbuser'],
        $config['dbpassword'] === '' ? null : $config['dbpassword'],
        [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_ASSOC],
    );
}

function query(PDO $database, string $sql, mixed ...$values): PDOStatement
{
    $statement = $database->prepare($sql);
    $statement->execute($values);
    return $statement;
}

/** A setting of an app, stored as Nextcloud stores it. */
function appValue(PDO $database, string $app, string $key): ?string
{
    $sql = 'SELECT configvalue FROM oc_appconfig WHERE appid = ? AND configkey = ?';
    return query($database, $sql, $app, $key)->fetchColumn() ?: null;
}

function setAppValue(PDO $database, string $app, string $key, string $value): void
{
    query(
        $database,
        'INSERT INTO oc_appconfig (appid, configkey, configvalue) VALUES (?, ?, ?)
             ON CONFLICT (appid, configkey) DO UPDATE SET configvalue = excluded.configvalue',
        $app,
        $key,
        $value,
    );
}

/** Which database and role the connection uses, and whether it is encrypted. */
function askDatabase(PDO $database): array
{
    return $database->query(
        'SELECT current_database() AS database, current_user AS role, ssl AS encrypted, version AS tls
           FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
    )->fetch();
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
