-- A small part of Nextcloud's schema, with the rows of a group of a few people: what most requests read and write.
CREATE TABLE oc_appconfig (appid varchar(32), configkey varchar(64), configvalue text, PRIMARY KEY (appid, configkey));
CREATE TABLE oc_users (uid varchar(64) PRIMARY KEY, displayname varchar(64), password varchar(255));
CREATE TABLE oc_preferences (userid varchar(64), appid varchar(32), configkey varchar(64), configvalue text,
  PRIMARY KEY (userid, appid, configkey));
CREATE TABLE oc_authtoken (id bigserial PRIMARY KEY, uid varchar(64), token varchar(200) UNIQUE, last_activity integer);
CREATE INDEX ON oc_authtoken (last_activity);
CREATE TABLE oc_storages (numeric_id bigserial PRIMARY KEY, id varchar(64) UNIQUE);
CREATE TABLE oc_mounts (id bigserial PRIMARY KEY, storage_id bigint, root_id bigint, user_id varchar(64));
CREATE INDEX ON oc_mounts (user_id, root_id);
CREATE TABLE oc_filecache (fileid bigserial PRIMARY KEY, storage bigint, path varchar(4000), path_hash varchar(32),
  parent bigint, name varchar(250), mimetype bigint, size bigint, mtime bigint, etag varchar(40));
CREATE UNIQUE INDEX ON oc_filecache (storage, path_hash);
CREATE INDEX ON oc_filecache (parent, name);
CREATE INDEX ON oc_filecache (storage, mimetype);
CREATE TABLE oc_share (id bigserial PRIMARY KEY, share_type smallint, share_with varchar(255), file_source bigint);
CREATE INDEX ON oc_share (share_with, share_type);
CREATE TABLE oc_jobs (id bigserial PRIMARY KEY, class varchar(255), last_run integer, reserved_at integer);
CREATE INDEX ON oc_jobs (reserved_at, last_run);
CREATE TABLE oc_activity (activity_id bigserial PRIMARY KEY, timestamp integer, affecteduser varchar(64), subject text);
CREATE INDEX ON oc_activity (affecteduser, timestamp);

INSERT INTO oc_appconfig SELECT 'app' || a, 'key' || k, md5(a || ' ' || k)
  FROM generate_series(1, 40) a, generate_series(1, 10) k;
INSERT INTO oc_users SELECT 'user' || u, 'User ' || u, repeat('x', 97) FROM generate_series(0, 9) u;
INSERT INTO oc_preferences SELECT 'user' || u, 'app' || a, 'key', 'value'
  FROM generate_series(0, 9) u, generate_series(1, 20) a;
INSERT INTO oc_authtoken (uid, token, last_activity) SELECT 'user' || u, 'token' || u, 0 FROM generate_series(0, 9) u;
INSERT INTO oc_storages (id) SELECT 'object::user:user' || u FROM generate_series(0, 9) u;
INSERT INTO oc_mounts (storage_id, root_id, user_id) SELECT u + 1, u + 1, 'user' || u FROM generate_series(0, 9) u;
INSERT INTO oc_filecache (storage, path, path_hash, parent, name, mimetype, size, mtime, etag)
  SELECT f % 10 + 1, 'files/' || f, md5('files/' || f), f / 20, 'file ' || f, f % 7, f * 1000, 0, md5(f::text)
  FROM generate_series(1, 1000) f;
INSERT INTO oc_share (share_type, share_with, file_source) SELECT 0, 'user' || s % 10, s FROM generate_series(1, 50) s;
INSERT INTO oc_jobs (class, last_run, reserved_at) SELECT 'OCA\Job' || j, 0, 0 FROM generate_series(1, 40) j;
