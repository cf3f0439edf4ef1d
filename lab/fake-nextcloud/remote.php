<?php

// Stores what is put at an address, and returns it. Like Nextcloud, it connects to the database before the body has
// arrived, however slow that is. If the connection was cut in the meantime, it connects again.

declare(strict_types=1);

require __DIR__ . '/space.php';

header('Cache-Control: no-store');
$config = configuration();
$path = $_SERVER['PATH_INFO'] ?? '';
if (needsUpgrade($config)) {
    http_response_code(503);
    exit;
}
$database = connect($config);
$kept = appValue($database, 'uploads', $path);
if ($_SERVER['REQUEST_METHOD'] !== 'PUT') {
    http_response_code($kept === null ? 404 : 200);
    exit($kept);
}
$body = file_get_contents('php://input');
try {
    $database->query('SELECT 1');
} catch (PDOException) {
    $database = connect($config);
}
setAppValue($database, 'uploads', $path, $body);
http_response_code(201);
