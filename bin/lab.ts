// `npm run lab`: the platform on this machine. Only reads the command line; what it does is in lab/.
import { Command, InvalidArgumentError, Option } from "commander";
import { execa } from "execa";
import { removeUnused } from "../lab/image.ts";
import { openLab, type Lab } from "../lab/lab.ts";
import { exists, lockLab, takeDown } from "../lab/lifecycle.ts";
import { mails } from "../lab/mail.ts";
import { consoleLog, insideMachine, isRunning } from "../lab/machine.ts";
import { configurationFile, findPulumi, handToPulumi, isEveryday } from "../lab/pulumi-engine.ts";
import { sshTo } from "../lab/ssh.ts";
import { status } from "../lab/status.ts";
import { closeTunnel, openTunnel } from "../lab/tunnel.ts";
import { up, type UpOptions } from "../lab/up.ts";
import { UserError } from "../validation/user-error.ts";

const program = new Command("npm run lab --").description("The platform on this machine, as root.");
program.option("--name <name>", "the lab's name; several can exist side by side", "lab");

const wholeNumber = (least: number, most: number) => (text: string) => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most)
    throw new InvalidArgumentError(`write a number from ${least} to ${most}.`);
  return value;
};

const storageSite = (flags: string, description: string) =>
  new Option(flags, description).choices(["primary", "replica"]);

program
  .command("up", { isDefault: true })
  .description("bring the lab up; what is there already is left as it is")
  .addOption(
    new Option("--engine <engine>", "pulumi (default where installed) or the applier").choices([
      "pulumi",
      "applier",
    ]),
  )
  .option("--port <port>", "port on this machine's loopback", wholeNumber(1, 65535), 8443)
  .option("--nextcloud <path...>", "Nextcloud releases, archives or folders, instead of the fake")
  .option("--minio <path>", "the minio server's binary")
  .option("--mc <path>", "MinIO's client, where it is neither beside the server nor on PATH")
  .option("--imaginary <path>", "the imaginary binary")
  .option("--storage-nodes <n>", "storage servers in the first pool of a site", wholeNumber(1, 5), 1)
  .option("--storage-second-pool <n>", "storage servers in a second pool of a site", wholeNumber(0, 5), 0)
  .option("--storage-sites <n>", "sites with storage servers", wholeNumber(1, 2), 1)
  .addOption(storageSite("--storage-serving <site>", "the site that spaces use").default("primary"))
  .addOption(storageSite("--storage-unreachable <site>", "a site that is out of reach, to be left alone"))
  .action((options: UpOptions) => run((lab) => up(lab, options)));

program
  .command("status")
  .description("what runs, and where to find it")
  .action(() => run(async (lab) => console.log(await status(lab))));

program
  .command("down")
  .description("remove every process, mount, namespace and file of the lab; keeps the base image")
  .option("--image", "remove cached base images too, where no lab stands on them")
  .action(({ image }: { image?: true }) =>
    run(async (lab) => {
      const lock = await lockLab(lab);
      const found = await exists(lab);
      await takeDown(lab);
      lock.close();
      console.log(found ? `Lab "${lab.name}" is gone.` : `There is no lab "${lab.name}".`);
      if (image) console.log(`Removed: ${(await removeUnused()).join(", ") || "no image"}`);
      else if (found)
        console.log(
          "The base image stays in /var/cache/framaspace-lab for the next one (down --image removes it).",
        );
    }),
  );

program
  .command("logs <machine> [options...]")
  .description("a machine's journal; options are journalctl's, such as -f or -u nginx")
  .allowUnknownOption()
  .action((machine: string, options: string[]) =>
    run(async (lab) => {
      if (!isRunning(lab, machine))
        throw new UserError(
          `${machine} does not run; its console's last output is in ${consoleLog(lab, machine)}`,
        );
      const words = options.length > 0 ? options : ["--lines=200"];
      await handOver([...(await insideMachine(lab, machine)), "journalctl", "--no-pager", ...words]);
    }),
  );

program
  .command("mail")
  .description("what the spaces have written: invitations and the like, oldest first")
  .action(() =>
    run(async (lab) => {
      if (!(await exists(lab)))
        throw new UserError(`there is no lab "${lab.name}"; bring it up with: npm run lab`);
      const all = await mails(lab);
      console.log(all.length === 0 ? "No mails." : all.join(`\n${"─".repeat(80)}\n`));
    }),
  );

program
  .command("ssh <machine> [command...]")
  .description("SSH to a machine, as the engine does: through ops-1, with the deploy key")
  .allowUnknownOption()
  .action((machine: string, command: string[]) =>
    run(async (lab) => {
      if (!(await exists(lab)))
        throw new UserError(`there is no lab "${lab.name}"; bring it up with: npm run lab`);
      await handOver([...(await sshTo(lab, machine)), ...command]);
    }),
  );

program
  .command("pulumi [arguments...]")
  .description("`npm run pulumi` on the lab's stacks, such as: pulumi refresh --stack lab-platform")
  .helpOption(false)
  .allowUnknownOption()
  .action((words: string[]) =>
    run(async (lab) => {
      // Of which stack, and so whether MinIO's provider is needed, the CLI itself will see.
      const found = await findPulumi({ storage: false });
      if ("missing" in found) throw new UserError(`${found.missing}; ${found.remedy}.`);
      if (!(await exists(lab)))
        throw new UserError(`there is no lab "${lab.name}"; bring it up with: npm run lab`);
      const rest = isEveryday(words) ? [...words, "--config-file", configurationFile(lab)] : words;
      // The platform's needs none, and ops-1 may be what it is to build.
      if (words.some((word) => /-spaces-\d{3}$/.test(word))) await openTunnel(lab);
      try {
        process.exitCode = await handToPulumi(lab, found.cli, rest);
      } finally {
        await closeTunnel(lab);
      }
    }),
  );

/** Gives the terminal to another program, and its exit status to whoever called. */
async function handOver(words: string[]): Promise<void> {
  const { exitCode } = await execa(`${words[0]}`, words.slice(1), { stdio: "inherit", reject: false });
  process.exitCode = exitCode ?? 1;
}

async function run(act: (lab: Lab) => Promise<void>): Promise<void> {
  if (process.getuid?.() !== 0) return becomeRoot();
  try {
    await act(openLab(program.opts<{ name: string }>().name));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    console.error(`\n${error.message}`);
    process.exitCode = 1;
  }
}

/** The same command by sudo, which asks for the password where it needs one. */
async function becomeRoot(): Promise<void> {
  const command = ["env", `PATH=${process.env.PATH}`, process.execPath, ...process.argv.slice(1)];
  console.error("The lab makes namespaces and mounts, so it needs root. Asking sudo.");
  const { exitCode, failed } = await execa("sudo", command, { stdio: "inherit", reject: false });
  if (failed && exitCode === undefined)
    console.error(`There is no sudo here. As root: ${command.slice(2).join(" ")}`);
  process.exitCode = exitCode ?? 1;
}

await program.parseAsync();
