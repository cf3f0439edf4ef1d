-- Bytes of all accounts and of Nextcloud itself, with trash and versions: the sum of the roots of their storages.
-- Folders that others share from elsewhere (shared::…) and external storages take no room here. Nextcloud stores the
-- digest of a storage's id that is longer than 64 characters (OC\Files\Cache\Storage::adjustStorageId), so of long
-- accounts' names.
SELECT coalesce(sum(greatest(size, 0)), 0) FROM oc_storages JOIN oc_filecache ON storage = numeric_id AND path_hash = md5('')
 WHERE id LIKE 'object::%' OR id LIKE 'home::%' OR id LIKE 'local::%'
    OR id IN (SELECT md5('object::user:' || uid) FROM oc_users UNION SELECT md5('home::' || uid) FROM oc_users)
