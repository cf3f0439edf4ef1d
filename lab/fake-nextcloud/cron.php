<?php

// Background jobs. There is only one: it counts how often it ran.

declare(strict_types=1);

require __DIR__ . '/space.php';

$database = connect(configuration());
sleep((int) appValue($database, 'fake', 'slow-cron'));
setAppValue($database, 'fake', 'cron', (string) (1 + (int) appValue($database, 'fake', 'cron')));
