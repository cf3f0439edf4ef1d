// A worker for the programs of ops-1, in the same folder: run-as-space itself, with fakes of what reaches it and of its
// sandbox. Tests fake `php`. What a command finds in the place of /srv/spaces/ID on a worker is in $WORKER_HOME.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fakeCommands, programIn } from "./fakes.ts";

/**
 * The folder `gone` has the workers that take no connection. The file `lost` has the name of a command that loses its
 * worker. The file `asked-worker` lists those that were asked,
 * `command-lines` what shows in lists of processes.
 */
const FAKES = {
  ssh: String.raw`[[ $* != *end-idle-php* ]] || exit 0
    echo "ssh $*" >>"$ROOT/command-lines"; while [[ $1 != worker-* ]]; do shift; done
    echo "$1" >>"$ROOT/asked-worker"; [ ! -e "$ROOT/gone/$1" ] || exit 255
    if [ -e "$ROOT/lost" ] && [[ " $* " == *" $(<"$ROOT/lost") "* ]]; then head -c "$6" >/dev/null; exit 255; fi
    shift; SSH_ORIGINAL_COMMAND=$* exec "$ROOT/bin/run-as-space"`,
  "systemd-run": String.raw`echo "systemd-run $*" >>"$ROOT/command-lines"; while [ "$1" != -- ]; do shift; done; shift
    WORKER_HOME=$(mktemp -d "$ROOT/home-on-worker.XXXXXX"); export WORKER_HOME; status=0
    "${"${@/#$ROOT\\/srv\\/spaces\\/*/$WORKER_HOME}"}" || status=$?
    rm -r "$WORKER_HOME"; exit "$status"`,
  setpriv: 'while [[ $1 = --* ]]; do shift; done; exec "$@"',
};

/** @param workers Their names. */
export function fakeWorker(root: string, workers: readonly string[] = ["worker-1"]): void {
  mkdirSync(join(root, "etc/framaspace"), { recursive: true });
  for (const folder of ["bin", "run", "run/framaspace"]) mkdirSync(join(root, folder), { recursive: true });
  fakeCommands(root, FAKES);
  writeFileSync(join(root, "bin/run-as-space"), programIn(root, "run-as-space"), { mode: 0o755 });
  writeFileSync(join(root, "etc/framaspace/workers"), workers.map((name) => `${name}\n`).join(""));
}
