<?php

// Like Nextcloud's status.php, but it says "installed" only if the space's database and Redis answer.

declare(strict_types=1);

require __DIR__ . '/space.php';

header('Content-Type: application/json');
header('Cache-Control: no-store');
try {
    $config = configuration();
    askDatabase($config);
    countVisit($config);
    $status = ['installed' => true];
} catch (Throwable $problem) {
    error_log($problem->getMessage());
    http_response_code(503);
    $status = ['installed' => false];
}
echo json_encode($status + [
    'maintenance' => false,
    'needsDbUpgrade' => false,
    'version' => "$OC_VersionString.0",
    'versionstring' => $OC_VersionString,
    'productname' => 'Nextcloud (stand-in)',
]), "\n";
