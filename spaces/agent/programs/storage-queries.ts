// SQL on a space's storages.

/**
 * The storages by their numbers and names. Nextcloud keeps the digest of a name that is longer than 64 characters
 * (OC\Files\Cache\Storage::adjustStorageId), so of long accounts' storages.
 */
export const STORAGES = `(SELECT numeric_id, coalesce(
    (SELECT kind || uid FROM oc_users, (SELECT 'object::user:' AS kind UNION SELECT 'home::') kinds WHERE md5(kind || uid) = id),
    id) AS id FROM oc_storages)`;

/**
 * Bytes of all accounts and of Nextcloud itself, with trash and versions: the sum of the roots of their storages. Folders
 * that others share from elsewhere (shared::…) and external storages take no room here.
 */
export const USED_STORAGE = `SELECT coalesce(sum(greatest(size, 0)), 0) FROM ${STORAGES} s
  JOIN oc_filecache ON storage = numeric_id AND path_hash = md5('')
 WHERE id LIKE 'object::%' OR id LIKE 'home::%' OR id LIKE 'local::%'`;
