// `npm run lab`: runs the platform on this machine. The code of the commands is in lab/.
import { Command, InvalidArgumentError, Option } from "commander";
import * as commands from "../lab/commands.ts";
import type { Lab } from "../lab/lab.ts";
import { status } from "../lab/status.ts";
import { FLEET_COMMANDS } from "../lab/pulumi-engine.ts";
import { up, type UpOptions } from "../lab/up.ts";

const program = new Command("npm run lab --").description("The platform on this machine, as root.");
program.option("--name <name>", "the lab's name; several can exist side by side", "lab");

const run = (act: (lab: Lab) => Promise<void>) =>
  commands.runOnLab(program.opts<{ name: string }>().name, act);

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
  .option("--stand-ins", "fetch nothing: stand-ins for all parts that no option names")
  .option("--nextcloud <path...>", "Nextcloud releases: archives or folders")
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
  .action((options: { image?: true }) => run((lab) => commands.down(lab, options)));

program
  .command("logs <machine> [options...]")
  .description(
    "a machine's journal; options are journalctl's, such as -f or -u nginx. Of lb, the load balancer, its log",
  )
  .allowUnknownOption()
  .action((machine: string, options: string[]) => run((lab) => commands.logs(lab, machine, options)));

program
  .command("mail")
  .description("what the spaces have written: invitations and the like, oldest first")
  .action(() => run(commands.mail));

program
  .command("ssh <machine> [command...]")
  .description("SSH to a machine, as the engine does: through ops-1, with the deploy key")
  .allowUnknownOption()
  .action((machine: string, command: string[]) => run((lab) => commands.ssh(lab, machine, command)));

program
  .command("pulumi [arguments...]")
  .description("`npm run pulumi` on the lab's stacks, such as: pulumi refresh --stack lab-platform")
  .helpOption(false)
  .allowUnknownOption()
  .action((words: string[]) => run((lab) => commands.pulumi(lab, words)));

for (const command of FLEET_COMMANDS)
  program
    .command(`${command} [options...]`)
    .description(`\`npm run ${command}\` on the lab's stacks`)
    .helpOption(false)
    .allowUnknownOption()
    .action((options: string[]) => run((lab) => commands.runOnFleet(lab, command, options)));

await program.parseAsync();
