<?php

// What OPcache counted, on one line, for opcache-hits. PHP-FPM runs it in a pool of its own: no pool of a space may ask.

declare(strict_types=1);

$status = opcache_get_status(false);
$counted = $status['opcache_statistics'];
$memory = $status['memory_usage'];
$used = $memory['used_memory'] + $memory['wasted_memory'];
$megabytes = static fn (int|float $bytes): int => (int) round($bytes / 1024 ** 2);

echo implode(' ', [
    'opcache',
    max($counted['start_time'], $counted['last_restart_time']),
    $counted['hits'],
    $counted['misses'],
    (int) $status['cache_full'],
    $megabytes($used),
    $megabytes($used + $memory['free_memory']),
]);
