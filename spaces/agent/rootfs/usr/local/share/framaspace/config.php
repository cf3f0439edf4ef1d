<?php

// Nextcloud's configuration, the same for all spaces. Each space's own config.php calls this with its directory. There,
// space.json has what differs from one space to another. /etc/framaspace/platform.json says where the services are.
// Nextcloud writes to none of these files.

declare(strict_types=1);

return static function (string $directory): array {
    $read = static fn (string $file): array => json_decode(file_get_contents($file), true, 16, JSON_THROW_ON_ERROR);
    $platform = $read('/etc/framaspace/platform.json');
    $space = $read("$directory/space.json");
    $home = dirname($directory);
    $address = $space['host'] . (isset($platform['port']) ? ":{$platform['port']}" : '');

    // Every storage node serves every bucket. Each space starts with a node of its own choice, which spreads the load.
    // A node that takes no connection is skipped. The result is remembered for 5 seconds, in a file of the space.
    $reachable = static function (array $hosts, int $port, string $id) use ($home): string {
        $first = crc32($id) % count($hosts);
        $ordered = [...array_slice($hosts, $first), ...array_slice($hosts, 0, $first)];
        foreach ($ordered as $host) {
            $file = "$home/tmp/storage-$host";
            $known = is_file($file) && filemtime($file) > time() - 5 ? file_get_contents($file) : '';
            if ($known === '') {
                $socket = @fsockopen($host, $port, $code, $message, 0.5);
                $known = $socket ? 'up' : 'down';
                if ($socket) {
                    fclose($socket);
                }
                @file_put_contents($file, $known);
            }
            if ($known === 'up') {
                return $host;
            }
        }
        return $ordered[0];
    };
    // While ops-1 works on a space, the sessions of its database are read-only by default, and libpq here refuses such
    // a session. Behind the maintenance, a web server lets in only ops-1, which looks whether the space would serve.
    $behind = PHP_SAPI !== 'cli' && isset($_SERVER['HTTP_X_BEHIND_MAINTENANCE']) && is_file("$home/maintenance");
    $writes = $behind ? " options='-c default_transaction_read_only=off'" : '';
    // A connection that is kept must not wait long for a database server that vanished: 20 s at most.
    $keepalives = ' keepalives_idle=10 keepalives_interval=5 keepalives_count=2 tcp_user_timeout=20000';
    [$fromUser, $fromDomain] = explode('@', $platform['mail']['from']);

    // Only the space's own user of Redis reaches its sessions. PHP forgets this setting after the request.
    if (PHP_SAPI !== 'cli' && session_status() === PHP_SESSION_NONE) {
        ini_set('session.save_path', "tcp://{$platform['redis']['host']}:{$platform['redis']['port']}?" . http_build_query([
            'auth' => ['user' => $space['redis']['user'], 'pass' => $space['redis']['password']],
            'database' => $space['redis']['database'],
            'prefix' => "{$space['redis']['prefix']}session:",
            'timeout' => 2,
            'read_timeout' => 5,
        ]));
    }

    // Nextcloud bounds previews by a semaphore of the machine, so one space could keep all others from making any. PHP
    // may not call sem_get here (infra/web/rootfs/etc/php/8.4/fpm/conf.d/90-framaspace.ini), and Nextcloud does without if this fails.
    // What bounds a space's previews is the number of its workers.
    if (!function_exists('sem_get')) {
        function sem_get(): bool {
            return false;
        }
    }

    $config = [
        'instanceid' => $space['nextcloud']['instanceId'],
        'passwordsalt' => $space['nextcloud']['passwordSalt'],
        'secret' => $space['nextcloud']['secret'],
        'installed' => true,
        'version' => $space['version'],
        // A new value tells sync clients that the space was put back to an earlier state: they keep what they have that
        // is newer, instead of deleting it.
        'data-fingerprint' => $space['dataFingerprint'] ?? '',
        'config_is_read_only' => true,

        'trusted_domains' => [$space['host']],
        'overwritehost' => $address,
        'overwriteprotocol' => 'https',
        'overwrite.cli.url' => "https://$address",
        'htaccess.RewriteBase' => '/',
        'trusted_proxies' => [$platform['gateways']],
        'forwarded_for_headers' => ['HTTP_X_FORWARDED_FOR'],

        // libpq finds the primary in the list by itself (PGTARGETSESSIONATTRS in PHP's environment), and takes the port
        // for all of the list. Nextcloud reads a port here only.
        'dbtype' => 'pgsql',
        'dbhost' => "{$platform['database']['hosts']}:{$platform['database']['port']}",
        'dbname' => $space['database']['name'],
        'dbuser' => $space['database']['user'],
        'dbpassword' => $space['database']['password'],
        'dbtableprefix' => 'oc_',
        // A worker keeps its connection for its next request: a new one costs a fifth of a short request. Only in the
        // space's own pool, whose workers ops-1 ends before it works on the database (spaces/agent/programs/close-space.ts).
        'dbpersistent' => is_file("$home/own-user"),
        // Nextcloud writes these into libpq's connection string as they are. After an empty value, libpq takes what
        // follows for the value, so an empty one is written in libpq's quotes.
        'pgsql_ssl' => ['mode' => 'verify-full', 'rootcert' => $platform['ca'], 'cert' => "''", 'key' => "''", 'crl' => "''$keepalives$writes"],

        // Files are in the bucket; this directory stays empty.
        'datadirectory' => "$home/data",
        'tempdirectory' => "$home/tmp",
        'check_data_directory_permissions' => false,
        'skeletondirectory' => '',

        // Not APCu, whose memory all spaces of a web server would share: what Nextcloud keeps there, it runs.
        'memcache.local' => '\OC\Memcache\Redis',
        'memcache.distributed' => '\OC\Memcache\Redis',
        'memcache.locking' => '\OC\Memcache\Redis',
        // Nobody frees the locks of a web server that died. A file that it was writing takes no other write for this
        // time; with Nextcloud's hour, people would see "locked" all that time. An upload that holds a lock longer
        // loses it. Then two people who write one file at the same time both succeed, and the later one stays.
        'filelocking.ttl' => 300,
        // Used from 33.0.1 on. Older releases derive a prefix from the instance id.
        'memcache_customprefix' => $space['redis']['prefix'],
        'redis' => [
            'host' => $platform['redis']['host'],
            'port' => $platform['redis']['port'],
            'user' => $space['redis']['user'],
            'password' => $space['redis']['password'],
            'dbindex' => $space['redis']['database'],
            'timeout' => 1.5,
            'read_timeout' => 3.0,
        ],

        // Code comes only with the release: no administrator of a space can bring in other code.
        'appstoreenabled' => false,
        // With true, the default, Nextcloud answers its page of apps with 500.
        'apps_paths' => [['path' => \OC::$SERVERROOT . '/apps', 'url' => '/apps', 'writable' => false]],
        'upgrade.disable-web' => true,
        'updatechecker' => false,
        'files_external_allow_create_new_local' => false,

        'log_type' => 'syslog',
        'syslog_tag' => $space['id'],
        'loglevel' => 2,

        'default_language' => 'fr',
        'default_locale' => 'fr_FR',
        'default_phone_region' => 'FR',
        'simpleSignUpLink.shown' => false,
        // Nextcloud keeps this here, where the page "Security" cannot write it.
        'twofactor_enforced' => isset($space['twoFactor']) ? 'true' : 'false',
        'one-click-instance' => true,
        'one-click-instance.user-limit' => $space['limits']['accounts'],

        'mail_smtpmode' => 'smtp',
        'mail_smtphost' => $platform['mail']['host'],
        'mail_smtpport' => $platform['mail']['port'],
        'mail_smtpsecure' => $platform['mail']['port'] === 465 ? 'ssl' : '',
        'mail_smtpauth' => isset($platform['mail']['user']),
        'mail_smtpname' => $platform['mail']['user'] ?? '',
        'mail_smtppassword' => $platform['mail']['password'] ?? '',
        'mail_from_address' => $fromUser,
        'mail_domain' => $fromDomain,

        // Bulk upload puts a hundred files in one request, and gateways keep a request until all of it came. The
        // desktop client of Debian 12 gave up ("Network error: 99") on 500 files with the names that people give.
        // Without it, it uploads one by one.
        'bulkupload.enabled' => false,
        'backgroundjobs_mode' => 'cron',
        'maintenance_window_start' => 1,
        // Distinguishes ids that several machines give out at the same time: web-1 is 1, worker-1 is 101.
        'serverid' => preg_match('/^(web|worker)-(\d+)$/', gethostname(), $match) ? (int) $match[2] + ($match[1] === 'worker' ? 100 : 0) : 0,
    ];

    if (isset($platform['imaginary'])) {
        $config['preview_imaginary_url'] = $platform['imaginary']['url'];
        $config['enabledPreviewProviders'] = [
            'OC\Preview\Imaginary',
            'OC\Preview\ImaginaryPDF',
            'OC\Preview\MarkDown',
            'OC\Preview\TXT',
        ];
    }

    if (isset($platform['s3'], $space['s3'])) {
        $config['objectstore'] = [
            'class' => '\OC\Files\ObjectStore\S3',
            'arguments' => [
                'bucket' => $space['s3']['bucket'],
                'hostname' => $reachable($platform['s3']['hosts'], $platform['s3']['port'], $space['id']),
                'port' => $platform['s3']['port'],
                'key' => $space['s3']['user'],
                'secret' => $space['s3']['secret'],
                'use_ssl' => true,
                'use_path_style' => true,
                'autocreate' => false,
                'verify_bucket_exists' => false,
                'region' => 'us-east-1',
                // An upload of 100 MB and more goes there in parts. Each waits in the space's `tmp`: by default five, of
                // 500 MB each, before the first is sent.
                'uploadPartSize' => 50 * 1024 * 1024,
                'concurrency' => 3,
                // Since January 2025, the AWS SDK adds checksums of its own to each request, also in trailers without a
                // signature. The nginx before MinIO refuses those (infra/storage/s3-proxy.ts). Nextcloud 33 and 34 say
                // the same by default, earlier ones do not.
                'request_checksum_calculation' => 'when_required',
                'response_checksum_validation' => 'when_required',
            ],
        ];
    }

    return $config;
};
