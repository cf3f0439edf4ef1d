// Tells administrators what is new and what is over: the log at once, and by mail, once a day at least while anything is
// open.
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { read, run } from "../../machine/programs/run-command.ts";
import { writeWhole } from "../../machine/programs/whole-file.ts";
import { linesIn, type LookedAt } from "./looked-at.ts";
import { readIfThere } from "../../machine/programs/texts.ts";

const DAY_SECONDS = 86_400;

/** What the log calls this program. */
const TAG = "platform-health";

/** @param now A line for each problem, `name: details`. The name identifies it from one run to the next. */
export async function reportAlarms(lookedAt: LookedAt, now: readonly string[]): Promise<void> {
  const folder = folderOf(lookedAt);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const known = new Set(linesIn(readIfThere(`${folder}/problems`)).map(nameOf));
  const open = new Set(now.map(nameOf));
  const fresh = now.filter((line) => !known.has(nameOf(line)));
  const over = [...known].filter((name) => !open.has(name)).sort();
  for (const line of fresh) await log("err", line);
  for (const name of over) await log("notice", `over: ${name}`);
  const isDue = now.length > 0 && !isRecent(`${folder}/mailed`);
  if (fresh.length > 0 || over.length > 0 || isDue) {
    const problem = await mail(lookedAt, now.length, mailText({ New: fresh, Over: over, "All open": now }));
    if (problem === undefined) writeFileSync(`${folder}/mailed`, "");
    else await log("err", `the mail to the administrators could not be sent: ${problem}`);
  }
  await writeWhole(
    `${folder}/problems`,
    now.map((line) => `${line}\n`),
  );
}

const nameOf = (line: string) => line.split(":")[0] ?? "";

const log = (priority: "err" | "notice", line: string) =>
  read("logger", ["-p", `user.${priority}`, "-t", TAG, "--", line]);

function isRecent(file: string): boolean {
  const found = statSync(file, { throwIfNoEntry: false });
  return found !== undefined && Date.now() - found.mtimeMs < DAY_SECONDS * 1000;
}

const mailText = (parts: Readonly<Record<string, readonly string[]>>) =>
  Object.entries(parts)
    .map(([title, lines]) => (lines.length > 0 ? `${title}:\n${lines.join("\n")}\n\n` : "\n"))
    .join("");

interface Mail {
  host: string;
  port: number;
  from: string;
  user?: string;
  password?: string;
}

/** Sends a mail to the administrators. Resolves to what is wrong, if it could not be sent. */
async function mail(lookedAt: LookedAt, count: number, body: string): Promise<string | undefined> {
  const { root, settings } = lookedAt;
  const platform = `${root}/etc/framaspace/platform.json`;
  let relay: Mail;
  try {
    relay = (JSON.parse(readFileSync(platform, "utf8")) as { mail: Mail }).mail;
  } catch (error) {
    // It comes with the software for spaces, at the end of the first up.
    return `${platform} cannot be read: ${String(error)}`;
  }
  const head = [
    `From: ${relay.from}`,
    `To: ${settings.mail}`,
    `Subject: [framaspace] ${count} alarms`,
    `Date: ${new Date().toUTCString().replace("GMT", "+0000")}`,
  ];
  const message = `${folderOf(lookedAt)}/mail`;
  writeFileSync(message, `${head.join("\n")}\n\n${body}`, { mode: 0o600 });
  const words = ["-sS", "-m", "60", "--ssl", "--cacert", "/etc/ssl/certs/ca-certificates.crt"];
  const url = `smtp://${relay.host}:${relay.port}`;
  const envelope = ["--mail-from", relay.from, "--mail-rcpt", settings.mail, "-T", message];
  // The login goes in on standard input: every process sees a command line.
  const login = relay.user === undefined ? "" : `user = ${quoted(`${relay.user}:${relay.password}`)}\n`;
  const { status, output } = await run("curl", [...words, "--config", "-", "--url", url, ...envelope], {
    input: login,
    errors: "with-output",
  });
  return status === 0 ? undefined : output.replaceAll("\n", " ").trim();
}

const folderOf = ({ root }: LookedAt) => `${root}/var/lib/framaspace/health`;

/** A word in curl's configuration file ("--config" in its manual). */
const quoted = (text: string) => `"${text.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
