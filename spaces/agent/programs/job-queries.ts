// SQL on a space's background jobs.

/**
 * Drops a background job that needs a shell, which PHP does not have here. Each run would fail, and log a page. The job
 * comes back with a new release, or if the app is turned off and on.
 */
export const DROP_JOBS = String.raw`DELETE FROM oc_jobs WHERE class = 'OCA\Talk\BackgroundJob\CheckMatterbridges'`;

/**
 * Takes back two settings with which a space's administrator would stop the space: without a module for encryption, all
 * files answer 503; with no mode, no background job runs. nginx refuses both (infra/web/web.ts). But Nextcloud also takes
 * a setting's name from a JSON body, in place of the name in the address.
 */
export const RESET_SETTINGS = `DELETE FROM oc_appconfig WHERE appid = 'core' AND configkey = 'encryption_enabled';
  UPDATE oc_appconfig SET configvalue = 'cron' WHERE appid = 'core' AND configkey = 'backgroundjobs_mode' AND configvalue <> 'cron'`;
