<?php

// A fake Nextcloud release, for labs without a real one. It reads the same configuration and uses the same database and
// cache, but does nothing with them. Its version is the name of the folder into which it is unpacked.
$OC_VersionString = basename(__DIR__);
$OC_Version = array_map('intval', [...explode('.', $OC_VersionString), '1']);
$vendor = 'fake';
