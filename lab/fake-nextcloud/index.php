<?php

// One page. It shows which space this is, and that its own database, session and cache work.

declare(strict_types=1);

require __DIR__ . '/space.php';

$config = configuration();
if (needsUpgrade($config)) {
    http_response_code(503);
    exit("This space's database is on another release.\n");
}
$connection = connect($config);
$database = askDatabase($connection);
$name = appValue($connection, 'theming', 'name') ?? 'A space';
session_name($config['instanceid']);
session_start(['cookie_secure' => true, 'cookie_httponly' => true, 'cookie_samesite' => 'Lax']);
$_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
$facts = [
    'address' => $config['overwrite.cli.url'],
    'database' => $database['database'],
    'role' => $database['role'],
    'encrypted' => $database['encrypted'] ? $database['tls'] : 'no',
    'bucket' => $config['objectstore']['arguments']['bucket'] ?? 'none',
    'visits' => countVisit($config),
    'visits in this session' => $_SESSION['visits'],
    'web server' => gethostname(),
    'accounts' => query($connection, 'SELECT count(*) FROM oc_users')->fetchColumn(),
    'release' => "$OC_VersionString, a fake",
    'your address' => $_SERVER['HTTP_X_FORWARDED_FOR'] ?? '',
];
$text = static fn (mixed $value): string => htmlspecialchars((string) $value);
header('Cache-Control: no-store');
?>
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title><?= $text($name) ?></title>
<style>body { font: 1rem/1.5 sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem } th { text-align: left; padding-right: 1rem }</style>
<h1><?= $text($name) ?></h1>
<p>This space works. It runs a fake instead of Nextcloud.</p>
<table>
<?php foreach ($facts as $name => $value) { ?>
<tr><th><?= $text($name) ?></th><td><?= $text($value) ?></td></tr>
<?php } ?>
</table>
