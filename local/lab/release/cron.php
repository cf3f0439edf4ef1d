<?php

// Background jobs: there are none, but the database they would come from must answer.

declare(strict_types=1);

require __DIR__ . '/space.php';

askDatabase(configuration());
