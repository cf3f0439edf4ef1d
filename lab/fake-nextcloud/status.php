<?php

// Like Nextcloud's status.php, but reports "installed" only if the space's database and Redis answer.

declare(strict_types=1);

require __DIR__ . '/space.php';

header('Content-Type: application/json');
header('Cache-Control: no-store');
$status = ['installed' => false];
try {
    $config = configuration();
    connect($config)->query('SELECT FROM oc_users LIMIT 1');
    countVisit($config);
    $status = ['installed' => true, 'maintenance' => false, 'needsDbUpgrade' => needsUpgrade($config)];
} catch (Throwable $problem) {
    error_log($problem->getMessage());
    http_response_code(503);
}
echo json_encode($status + [
    'version' => codeVersion(),
    'versionstring' => $OC_VersionString,
    'productname' => 'Nextcloud (fake)',
]), "\n";
