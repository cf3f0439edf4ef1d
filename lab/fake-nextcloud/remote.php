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
$method = $_SERVER['REQUEST_METHOD'];
if (in_array($method, ['MKCOL', 'MKCALENDAR', 'PROPFIND'], true)) {
    http_response_code($method === 'PROPFIND' ? 207 : 201);
    exit;
}
if ($method === 'DELETE') {
    query($database, "DELETE FROM oc_appconfig WHERE appid = 'uploads' AND configkey = ?", $path);
    http_response_code(204);
    exit;
}
if ($method === 'MOVE') {
    // The chunks of an upload become one file.
    $sql = "SELECT configvalue FROM oc_appconfig WHERE appid = 'uploads' AND configkey LIKE ? ORDER BY configkey";
    $chunks = query($database, $sql, dirname($path) . '/%')->fetchAll(PDO::FETCH_COLUMN);
    $to = substr(parse_url($_SERVER['HTTP_DESTINATION'], PHP_URL_PATH), strlen('/remote.php'));
    setAppValue($database, 'uploads', $to, implode('', $chunks));
    query($database, "DELETE FROM oc_appconfig WHERE appid = 'uploads' AND configkey LIKE ?", dirname($path) . '/%');
    http_response_code(201);
    exit;
}
$kept = appValue($database, 'uploads', $path);
if ($method !== 'PUT') {
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
