// `npm run lab -- status`: shows what is there, and changes nothing.
import { loadFleet } from "../spaces/fleet/load-fleet.ts";
import { ENVIRONMENT, ROOT } from "./configuration.ts";
import { isPopulated, type Lab } from "./lab.ts";
import { readSettings } from "./settings.ts";
import { probeSpaces, summary } from "./summary.ts";
import { UserError } from "../validation/user-error.ts";

/** What `up` prints at its end, with the current state. */
export async function status(lab: Lab): Promise<string> {
  const settings = readSettings(lab);
  if (!settings) throw new UserError(`there is no lab "${lab.name}"; bring it up with: npm run lab`);
  if (!isPopulated(lab, "daemon"))
    throw new UserError(`lab "${lab.name}" does not run; bring it back with: npm run lab`);
  const { tenantsFiles } = loadFleet(ROOT, ENVIRONMENT);
  return summary(lab, await probeSpaces(lab, settings, tenantsFiles, 0));
}
