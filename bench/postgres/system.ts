// The container in which PostgreSQL is measured.
import { execa, type Options } from "execa";
import { cp, realpath, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { mirrors, provideImage } from "../../lab/image.ts";
import { UserError } from "../../validation/user-error.ts";
import type { Result, Task } from "./measurements.ts";

const PACKAGES = ["postgresql-17", "pgbouncer", "php8.4-cli", "php8.4-pgsql"];

/** A copy of the lab's image with what is measured. A copy, because an image that no lab uses may be removed. */
export async function makeSystem(folder: string, options: Options): Promise<string> {
  const system = join(folder, "system");
  await execa(
    "cp",
    ["-a", await provideImage((step) => console.error(`base image: ${step}`)), system],
    options,
  );
  await cp("/etc/resolv.conf", join(system, "etc/resolv.conf"), { dereference: true, force: true });
  await writeFile(join(system, "usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  const { proxy } = await mirrors();
  const apt = await execa(
    "chroot",
    [system, ..."apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 install".split(" "), ...PACKAGES],
    {
      ...options,
      all: true,
      reject: false,
      env: { DEBIAN_FRONTEND: "noninteractive", ...(proxy === "" ? {} : { http_proxy: proxy }) },
    },
  );
  if (apt.failed)
    throw new UserError(`apt could not install ${PACKAGES.join(" ")}:\n${String(apt.all).slice(-2000)}`);
  return system;
}

/** Runs container.ts in a container. The container ends with this process, even if this process is killed. */
export async function runInside(system: string, task: Task, options: Options): Promise<Result> {
  const node = await realpath(process.execPath);
  const container = execa(
    "setpriv",
    [
      ..."--pdeathsig KILL systemd-nspawn -q --register=no --keep-unit --as-pid2 --pipe --private-network".split(
        " ",
      ),
      `--directory=${system}`,
      `--bind-ro=${node}:/usr/local/bin/node`,
      `--bind-ro=${import.meta.dirname}:/bench`,
      "node",
      "/bench/container.ts",
    ],
    {
      ...options,
      input: JSON.stringify(task),
      env: { SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: "1" },
      stderr: "pipe",
      reject: false,
    },
  );
  for await (const line of container.iterable({ from: "stderr" })) console.error(line);
  const { failed, stdout, shortMessage } = await container;
  if (failed) throw new UserError(shortMessage);
  const result: Result = JSON.parse(String(stdout));
  return result;
}
