<?php

// The capabilities of a space: the fake has none, so nobody asks it for more than files.

declare(strict_types=1);

header('Content-Type: application/json');
echo '{"ocs":{"meta":{"status":"ok","statuscode":200},"data":{"capabilities":{}}}}';
