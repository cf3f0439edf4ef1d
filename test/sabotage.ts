// Whether the tests would notice: each entry breaks the program in one place, in a copy of the tree, and runs the suite
// that has to fail. `npm run test:sabotage -- [--lab] [WORD…]`: --lab adds those that need a lab (minutes each, as root);
// with words, only entries that have one of them in their name. Ends with 1 where a suite passes all the same.
import { Command } from "commander";
import { execa } from "execa";
import { readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as z from "zod";
import { copyTree } from "./support/tree.ts";

interface Sabotage {
  name: string;
  file: string;
  from: string;
  to: string;
  /** Paths of the suites that have to fail. */
  suites: string[];
  /** Runs only the tests with that name. */
  test?: string;
  lab?: true;
}

const SABOTAGES: Sabotage[] = [
  {
    name: "spaces are not protected",
    file: "spaces/space.ts",
    from: "protect: !archived",
    to: "protect: false",
    suites: ["test/spaces", "test/policies"],
  },
  {
    name: "two spaces may have one id",
    file: "spaces/fleet/fleet-checks.ts",
    from: "id is already used in",
    to: "fine in",
    suites: ["test/spaces"],
  },
  {
    name: "a person's mailbox gets into git",
    file: "spaces/requests/judge-requests.ts",
    from: 'contactLooksPersonal(contact, name) === "yes"',
    to: 'contactLooksPersonal(contact, name) === "perhaps"',
    suites: ["test/spaces/requests"],
  },
  {
    name: "a merge takes one side where both changed an entry",
    file: "spaces/conflicts/three-way.ts",
    from: "if (here === there || there === before) return here;",
    to: "if (here !== before) return here;",
    suites: ["test/spaces/conflicts"],
  },
  {
    name: "new spaces use up a file's reserve",
    file: "spaces/fleet/edit.ts",
    from: "entries.length < addedUpTo",
    to: "entries.length < 100",
    suites: ["test/spaces/fleet/edit.test.ts"],
  },
  {
    name: "a fork's own words are shown as Markdown",
    file: "review/comment.ts",
    from: "const trusted = isOurs ||",
    to: "const trusted = head !== run ||",
    suites: ["test/review/comment.test.ts"],
  },
  {
    name: "a run comments on whatever pull request it names",
    file: "review/comment.ts",
    from: "if (!pull || !isOf(pull, event))",
    to: "if (!pull)",
    suites: ["test/review/comment.test.ts"],
  },
  {
    name: "a change's text passes for another part of the comment",
    file: "review/comment-text.ts",
    from: 'replaceAll("<!--", ',
    to: 'replaceAll("<!---", ',
    suites: ["test/review/comment-text.test.ts"],
  },
  {
    name: "Forgejo's writing job takes links",
    file: "review/tenants-change.ts",
    from: "isTenantsFile(path) && [PLAIN_FILE, NO_FILE].includes(mode)",
    to: "isTenantsFile(path) && mode.length > 0",
    suites: ["test/review/pipelines.test.ts"],
  },
  {
    name: "web servers reach MinIO itself",
    file: "infra/machine/firewall.ts",
    from: '["storage", "ops"], port: PORTS.minio',
    to: '["storage", "ops", "web"], port: PORTS.minio',
    suites: ["test/infra/machine/firewall.test.ts"],
  },
  {
    name: "a space's code goes on after the connection to its worker ended",
    file: "spaces/agent/rootfs-worker/usr/local/sbin/run-as-space",
    from: 'if [ "$ended" = "$connection" ]; then',
    to: 'if [ "$ended" = none ]; then',
    suites: ["test/spaces/agent/workers.test.ts"],
  },
  {
    name: "forged uploads pass nginx",
    file: "infra/storage/s3-proxy.ts",
    from: '"~*UNSIGNED-PAYLOAD-TRAILER" 1;',
    to: '"~*UNSIGNED-PAYLOAD-TRAILER" 0;',
    suites: ["test/infra/storage/s3-proxy.test.ts"],
  },
  {
    name: "gateways keep connections to web servers that may be gone",
    file: "infra/gateway/gateway.ts",
    from: "    zone web 256k;",
    to: "    zone web 256k;\n    keepalive 64;",
    suites: ["test/infra/gateway/gateway.test.ts"],
  },
  {
    name: "logs hold what opens a share or an account",
    file: "infra/gateway/gateway.ts",
    from: '"uri":"$logged_uri"',
    to: '"uri":"$request_uri"',
    suites: ["test/infra/gateway/gateway.test.ts"],
  },
  {
    name: "one client fills the logs with requests that are refused",
    file: "infra/gateway/gateway.ts",
    from: 'REJECTED "";',
    to: "REJECTED yes;",
    suites: ["test/infra/web/nginx.test.ts"],
  },
  {
    name: "one space fills the disk of a web server with large uploads",
    file: "infra/web/web.ts",
    from: "[a-z0-9-]+) [0-9]{10,}$",
    to: "[a-z0-9-]+) [0-9]{11,}$",
    suites: ["test/infra/web/nginx.test.ts"],
  },
  {
    name: "no alarm says that PHP compiles at each request",
    file: "infra/web/rootfs/usr/local/sbin/opcache-hits",
    from: '[ "$is_wrong$was_wrong" != 11 ]',
    to: '[ "$is_wrong$was_wrong" != 12 ]',
    suites: ["test/infra/web/opcache-hits.test.ts"],
  },
  {
    name: "PHP gets a length where there is no body",
    file: "infra/web/web.ts",
    from: `"~ 0*$" "";`,
    to: "",
    suites: ["test/infra/web/web.test.ts"],
  },
  {
    name: "a space's administrator stops the space by a switch",
    file: "infra/web/web.ts",
    from: "(?:encryption_enabled|backgroundjobs_mode)",
    to: "(?:backgroundjobs_mode)",
    suites: ["test/infra/web/web.test.ts"],
  },
  {
    name: "a space's administrator turns on an app that no space may have",
    file: "spaces/agent/agent.ts",
    from: "[...REFUSED_APPS.keys(), ...appsOff]",
    to: "[...REFUSED_APPS.keys()]",
    suites: ["test/spaces/agent/agent.test.ts"],
  },
  {
    name: "an app whose code is gone stays on, and no upgrade passes",
    file: "spaces/agent/programs/converge/converge.ts",
    from: "  await turnOff(work);\n",
    to: "",
    suites: ["test/spaces/agent/converge.test.ts"],
    test: "whose code is gone",
  },
  {
    name: "slow forms go straight through to PHP",
    file: "infra/machine/nginx/nginx.ts",
    from: "^PUT /(?:remote",
    to: "^[A-Z]+ /(?:remote",
    suites: ["test/infra/gateway/gateway.test.ts"],
  },
  {
    name: "files of a release keep the archive's times",
    file: "spaces/agent/rootfs/usr/local/sbin/install-releases",
    from: '  set_times "$new" "$sha256"',
    to: "",
    suites: ["test/spaces/agent/install-releases.test.ts"],
  },
  {
    name: "an app with another app's certificate is built in",
    file: "release/code-signing.ts",
    from: "if (name !== app)",
    to: "if (name === undefined)",
    suites: ["test/release/tampering.test.ts"],
  },
  {
    name: "a revoked certificate is good enough",
    file: "release/code-signing.ts",
    from: '"-crl_check", ',
    to: "",
    suites: ["test/release/tampering.test.ts"],
  },
  {
    name: "whoever signs for websites may sign apps",
    file: "release/code-signing.ts",
    from: '"-no-CApath",',
    to: "",
    suites: ["test/release/tampering.test.ts"],
  },
  {
    name: "an older Nextcloud passes for a newer one",
    file: "release/server-archive.ts",
    from: "if (found !== version)",
    to: "if (found === undefined)",
    suites: ["test/release/tampering.test.ts"],
  },
  {
    name: "an app may be older than in the release before",
    file: "release/build-release.ts",
    from: "semver.lt(version, before)",
    to: "version === nextcloud",
    suites: ["test/release/tampering.test.ts"],
  },
  {
    name: "archives differ by the moment of their making",
    file: "release/pack-archive.ts",
    from: "`--mtime=${FILE_TIME}`,",
    to: "",
    suites: ["test/release/build-release.test.ts"],
  },
  {
    name: "an older binary passes for a newer one",
    file: "release/minisign.ts",
    from: "name !== wanted",
    to: "name === wanted",
    suites: ["test/release/pin-artifact.test.ts"],
  },
  {
    name: "all secrets of an owner are equal",
    file: "infra/pki/secrets.ts",
    from: "/${owner}/${purpose}/",
    to: "/${owner}/",
    suites: ["test/infra/pki/secrets.test.ts"],
  },
  {
    name: "a generation of an unknown secret is accepted",
    file: "infra/inventory/environment-checks.ts",
    from: "if (known.includes(purpose)) return [];",
    to: "if (known.length > 0) return [];",
    suites: ["test/spaces/fleet/fleet.test.ts"],
  },
  {
    name: "a drive with data is formatted",
    file: "infra/storage/install.sh",
    from: "    echo foreign\n  fi",
    to: "    echo blank\n  fi",
    suites: ["test/infra/storage/drives.test.ts"],
  },
  {
    name: "nginx opens before a MinIO that keeps no versions",
    file: "infra/storage/rootfs/usr/local/sbin/minio-ready",
    from: 'if [ -z "$found" ]; then',
    to: "if true; then",
    suites: ["test/infra/storage/minio-ready.test.ts"],
  },
  {
    name: "a switchover that was cut off moves the writes back",
    file: "infra/postgres/programs/moves.ts",
    from: "if (await finishMove(cluster)) return;\n  const { from, to }",
    to: "const { from, to }",
    suites: ["test/infra/postgres/moves.test.ts"],
  },
  {
    name: "a standby that was promoted loses what it took",
    file: "infra/postgres/programs/moves.ts",
    from: 'if (target.data !== "primary" && ',
    to: "if (target.recovery !== false && ",
    suites: ["test/infra/postgres/moves.test.ts"],
  },
  {
    name: "a wrong clock is not reported",
    file: "infra/monitoring/programs/machine-problems.ts",
    from: "Math.abs(off) <= clockSeconds",
    to: "Math.abs(off) >= clockSeconds",
    suites: ["test/infra/monitoring/monitoring.test.ts"],
  },
  {
    name: "a failed upgrade is not put back",
    file: "spaces/agent/programs/converge/upgrade.ts",
    from: "if (!(await loadDatabase(work, dump)))",
    to: "if (dump === '')",
    suites: ["test/spaces/agent/converge.test.ts"],
  },
  {
    name: "an upgrade that was killed at its end is told nobody",
    file: "spaces/agent/programs/converge/converge.ts",
    from: "else if (work.facts.repair !== undefined) markUpgraded(work);",
    to: "",
    suites: ["test/spaces/agent/killed.test.ts"],
    test: "an upgrade",
  },
  {
    name: "an upgrade takes its dump while requests are under way",
    file: "spaces/agent/programs/close-space.ts",
    from: 'if (others === "0") return;',
    to: "return;",
    suites: ["test/spaces/agent/converge.test.ts"],
  },
  {
    name: "old versions of any space are destroyed",
    file: "spaces/agent/programs/object-storage.ts",
    from: 'if (state !== "archived") throw',
    to: 'if (state === "active") throw',
    suites: ["test/spaces/agent/cut-off.test.ts"],
  },
  {
    name: "an export is restored over a restore that was cut off",
    file: "spaces/agent/programs/restore/restore.ts",
    from: '    refuseCutOff(work, "restore-space");\n',
    to: "",
    suites: ["test/spaces/agent/cut-off.test.ts"],
  },
  {
    name: "the gate lets everything through",
    file: "spaces/gated-pulumi/gate.ts",
    from: "if (problems.flat().length > 0)",
    to: "if (problems.flat().length > 99)",
    suites: ["test/spaces/gated-pulumi/gate.test.ts"],
  },
  {
    name: "a refresh may lose a bucket that MinIO has",
    file: "spaces/gated-pulumi/refresh.ts",
    from: "if (wrong.length === 0)",
    to: "if (wrong.length < 99)",
    suites: ["test/spaces/gated-pulumi/refresh.test.ts"],
  },
  {
    name: "the gate stays open after the CLI",
    file: "spaces/gated-pulumi/gated-pulumi.ts",
    from: "    closeGate?.();\n",
    to: "",
    suites: ["test/spaces/gated-pulumi/gated-pulumi.test.ts"],
  },
  {
    name: "a policy that refuses nothing",
    file: "policies/rules.ts",
    from: "if (stateful && !archived && !opts.protect)",
    to: "if (stateful && archived && !opts.protect)",
    suites: ["test/policies"],
  },
  {
    name: "an export is not compared with its bucket",
    file: "spaces/agent/programs/export/verification.ts",
    from: "  if (wrong > 0)",
    to: "  if (wrong > 99)",
    suites: ["test/spaces/agent/export.test.ts"],
  },
  {
    name: "commits are confirmed by one node",
    file: "infra/postgres/rootfs/usr/local/sbin/postgres-node",
    from: '  [ "$1" = off ] || wanted',
    to: "  true || wanted",
    suites: ["test/lab/database.test.ts"],
    test: "switchover|is replaced as its page says",
    lab: true,
  },
  {
    name: "a web server restarts PHP-FPM under its visitors",
    file: "infra/web/install.sh",
    from: "  end_nginx 40\n",
    to: "",
    suites: ["test/infra/web/web-restart.test.ts"],
  },
  {
    name: "MinIO is not restarted for another authority",
    file: "infra/storage/install.sh",
    from: "/etc/framaspace/minio/environment /etc/minio/certs/CAs/framaspace.crt; }",
    to: "/etc/framaspace/minio/environment; }",
    suites: ["test/lab/rotation.test.ts"],
    test: "the authority",
    lab: true,
  },
  {
    name: "nginx passes forged writes to MinIO",
    file: "infra/storage/s3-proxy.ts",
    from: "if ($refused)",
    to: "if ($sts)",
    suites: ["test/lab/s3.test.ts"],
    lab: true,
  },
  {
    name: "the lab's recovery removes what the state knows",
    file: "lab/recovery.ts",
    from: "if (!known.has(String(id))",
    to: "if (known.has(String(id))",
    suites: ["test/lab-parts"],
  },
  {
    name: "the lab's router drops nothing that a firewall does not name",
    file: "lab/router-rules.ts",
    from: '${lines.join("")}    drop',
    to: '${lines.join("")}    accept',
    suites: ["test/lab-parts"],
  },
  {
    name: "the lab's cloud gives one private address to two",
    file: "lab/hcloud/server-kind.ts",
    from: "if (owner) throw",
    to: "if (false) throw",
    suites: ["test/lab-parts"],
  },
  {
    name: "the lab's load balancer tells nobody who asks",
    file: "lab/haproxy.ts",
    from: '"option forwardfor",',
    to: "",
    suites: ["test/lab-parts"],
  },
  {
    name: "the lab's relay forgets mails",
    file: "lab/mail.ts",
    from: "await rename(`${path}.new`, path);",
    to: "",
    suites: ["test/lab-parts"],
  },
];

const report = z.object({ numFailedTests: z.number(), numPassedTests: z.number() });

/** Counts the tests that fail and pass in the broken tree. */
async function failures({ file, from, to, suites, test, lab }: Sabotage): Promise<z.infer<typeof report>> {
  const tree = await copyTree("sabotage");
  try {
    // Suites of the lab list the files of the tree with git.
    await execa("git", ["init", "--quiet"], { cwd: tree });
    const before = await readFile(join(tree, file), "utf8");
    const after = before.replace(from, () => to);
    if (after === before) throw new Error(`${file} has no ${from}: fix the entry`);
    await writeFile(join(tree, file), after);
    const result = join(tree, "result.json");
    const words = [
      "run",
      "--project",
      lab ? "lab" : "program",
      ...suites,
      ...(test === undefined ? [] : ["-t", test]),
    ];
    await execa(
      process.execPath,
      ["node_modules/vitest/vitest.mjs", ...words, "--reporter=json", `--outputFile=${result}`],
      {
        cwd: tree,
        reject: false,
        stdin: "ignore",
        env: { PATH: `${dirname(process.execPath)}:${process.env.PATH}` },
      },
    );
    return report.parse(JSON.parse(await readFile(result, "utf8")));
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}

const program = new Command("npm run test:sabotage --")
  .description("Breaks the program in a copy, one place at a time, and looks whether the tests notice.")
  .option("--lab", "those that need a lab too: minutes each, as root")
  .argument("[words...]", "only entries that have one of these in their name")
  .parse();
const { lab } = program.opts<{ lab?: true }>();
for (const sabotage of SABOTAGES) {
  if (sabotage.lab && !lab) continue;
  if (program.args.length > 0 && !program.args.some((word) => sabotage.name.includes(word))) continue;
  const { numFailedTests, numPassedTests } = await failures(sabotage);
  const ran = numFailedTests + numPassedTests;
  if (ran === 0)
    throw new Error(`${sabotage.name}: no test ran; see what vitest says to ${sabotage.suites.join(" ")}`);
  const noticed = numFailedTests > 0;
  console.log(`${noticed ? "✔" : "✘"} ${sabotage.name}: ${numFailedTests} of ${ran} tests fail`);
  if (!noticed) process.exitCode = 1;
}
