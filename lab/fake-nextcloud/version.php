<?php

// A fake for a Nextcloud release, for labs where no real one can be had. It reads the same configuration, uses the
// same database and cache, and does nothing with them. Unpacked as any version, it is that version.
$OC_VersionString = basename(__DIR__);
$OC_Version = array_map('intval', [...explode('.', $OC_VersionString), '1']);
$vendor = 'fake';
