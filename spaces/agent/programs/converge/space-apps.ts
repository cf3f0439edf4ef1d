// Which apps are on in a space, and those of their settings that are the platform's.
import { occ, ownConfig } from "../nextcloud-command.ts";
import { officeSettings } from "../office-settings.ts";
import { execute } from "../space-database.ts";
import { failure } from "../space-work.ts";
import { APPS_OF, type Converging, type WithData } from "./converging.ts";
import { words } from "./database-facts.ts";

/**
 * Turns off the apps whose code is not on the machines. This comes before an upgrade, which Nextcloud refuses as long as
 * an app of its own is on and not there.
 */
export async function turnOff(work: Converging): Promise<void> {
  for (const app of work.space.catalog.appsOff) {
    if (!work.facts.apps.includes(app)) continue;
    await execute(
      work,
      `UPDATE oc_appconfig SET configvalue = 'no' WHERE appid = '${app}' AND configkey = 'enabled'`,
    );
    forgetApp(work, app);
    work.changed.push(`disable ${app}`);
  }
}

function forgetApp(work: Converging, app: string): void {
  work.facts = { ...work.facts, apps: work.facts.apps.filter((one) => one !== app) };
}

/**
 * Deletes what the space's database knows of apps that no space may have, with the secrets that they keep there. It uses
 * SQL, because their code is gone and Nextcloud's own way may need it. If the space worked with such an office suite, it
 * gets the suite of its entry instead.
 */
export async function dropRefused(work: WithData): Promise<void> {
  const refused = words(work.facts.refused ?? "");
  const isOn = (app: string) => work.facts.apps.includes(app);
  const suite = APPS_OF.office(work);
  if (refused.some(isOn) && !APPS_OF.offices(work).some(isOn) && suite && work.prepared.apps.includes(suite))
    await changeApps(work, "enable", [suite]);
  for (const app of refused) {
    await execute(
      work,
      `DELETE FROM oc_appconfig WHERE appid = '${app}'`,
      `DELETE FROM oc_jobs WHERE starts_with(lower(class), 'oca\\${app}\\')`,
    );
    forgetApp(work, app);
    work.changed.push(`no ${app}`);
  }
}

/**
 * Somebody of the space lets each new account in. If a space never had approval, registration is on only because it was
 * once on in every space, so it is turned off.
 */
export async function matchRegistration(work: Converging): Promise<void> {
  const { apps, appsOptional } = work.space.catalog;
  const { approval = "" } = work.facts;
  if (![...apps, ...appsOptional].includes("registration")) return;
  if (["1", "yes", "true", "on"].includes(approval)) return;
  if (approval === "" && !apps.includes("registration") && work.facts.apps.includes("registration"))
    await changeApps(work, "disable", ["registration"]);
  const setting = ["registration", "admin_approval_required", "--value=yes", "--type=boolean"];
  if (!(await setApp(work, setting)))
    throw failure(work, "could not have its administrator approve those who register");
  work.changed.push("registration by approval");
}

/** Turns on the apps that the prepared release has on, and all others off, except those that are the space's choice. */
export async function matchApps(work: WithData): Promise<void> {
  const { prepared, facts } = work;
  const own = [APPS_OF.office(work), ...work.space.catalog.appsOptional];
  const only = (apps: readonly string[], others: readonly string[]) =>
    apps.filter((app) => !others.includes(app) && !own.includes(app));
  const [on, off] = [only(prepared.apps, facts.apps), only(facts.apps, prepared.apps)];
  if (on.length > 0) await changeApps(work, "enable", on);
  if (off.length > 0) await changeApps(work, "disable", off);
}

/**
 * Where the office suite is, and who may read documents for it, is the platform's to say: other values open nothing
 * else, but nobody could open a document.
 */
export async function matchOffice(work: WithData): Promise<void> {
  if (!work.prepared.apps.includes("richdocuments")) return;
  const found = words(work.facts.office ?? "");
  const different = officeSettings(work.space.platform).filter(
    ([key, value]) => !found.includes(`${key}=${value}`),
  );
  for (const [key, value] of different)
    if (!(await setApp(work, ["richdocuments", key, `--value=${value}`])))
      throw failure(work, `could not set ${key} of its office suite to ${value}`);
  if (different.length > 0) work.changed.push("office settings");
}

async function setApp(work: Converging, setting: readonly string[]): Promise<boolean> {
  const own = { config: ownConfig(work), release: work.wanted.release };
  return (await occ(work, own, ["config:app:set", ...setting])).status === 0;
}

async function changeApps(
  work: Converging,
  how: "enable" | "disable",
  apps: readonly string[],
): Promise<void> {
  const own = { config: ownConfig(work), release: work.wanted.release };
  const { status, output } = await occ(work, own, [`app:${how}`, ...apps], { errors: "with-output" });
  if (status !== 0)
    throw failure(work, `could not ${how} ${apps.join(" ")}: ${output.trimEnd().slice(0, 500)}`);
  work.changed.push(`${how} ${apps.join(" ")}`);
}
