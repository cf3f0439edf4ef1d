// Versions of the plug-ins that the program uses.
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import * as z from "zod";

/** Package → version of its plug-in, which equals its SDK's: `postgresql` → `3.18.1`. */
export function pluginVersions(root: string): Map<string, string> {
  const { dependencies } = z
    .object({ dependencies: z.record(z.string(), z.string()) })
    .parse(JSON.parse(readFileSync(join(root, "package.json"), "utf8")));
  return new Map(
    Object.entries(dependencies).flatMap(([name, version]) =>
      name.startsWith("@pulumi/") ? [[basename(name), version] as const] : [],
    ),
  );
}
