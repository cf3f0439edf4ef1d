// `npm run pulumi`: the Pulumi CLI with what this project needs, which is in spaces/gated-pulumi/.
import { readStackConfiguration } from "../evaluate/stack-configuration.ts";
import { runPulumi } from "../spaces/gated-pulumi/gated-pulumi.ts";
import { runMain } from "../validation/user-error.ts";

await runMain(async () => {
  process.exitCode = await runPulumi(process.argv.slice(2), readStackConfiguration);
});
