<?php

// Background jobs: there is one, which counts how often it ran.

declare(strict_types=1);

require __DIR__ . '/space.php';

$database = connect(configuration());
sleep((int) appValue($database, 'stand-in', 'slow-cron'));
setAppValue($database, 'stand-in', 'cron', (string) (1 + (int) appValue($database, 'stand-in', 'cron')));
