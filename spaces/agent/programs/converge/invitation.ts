// The first administrator, and the mail with a link to choose a password.
import { occ, ownConfig } from "../nextcloud-command.ts";
import { succeeds } from "../../../../infra/machine/programs/run-command.ts";
import { execute, remember } from "../space-database.ts";
import { failure, held, say } from "../space-work.ts";
import type { Converging } from "./converging.ts";

/**
 * Makes the first administrator, with a password that nobody ever sees, and sends a mail with a link to choose one.
 * Nextcloud says nothing if it cannot send a mail, so the relay is asked first.
 */
export async function invite(work: Converging): Promise<void> {
  work.invited = true;
  if (await isInvited(work)) return;
  const relay = await relayAnswers(work);
  const { admin = "" } = work.facts;
  const said = await (admin === "" ? makeAdministrator(work, relay) : inviteAgain(work, relay));
  work.invited = relay && said.sent;
  if (work.invited) {
    await execute(
      work,
      "INSERT INTO framaspace VALUES ('administrator', current_date) ON CONFLICT DO NOTHING",
    );
    await remember(work, "contact", work.wanted.contact);
    work.changed.push("invitation");
    return;
  }
  const { host, port } = work.space.platform.mail;
  const problem = `the invitation to ${work.wanted.contact} could not be sent (relay: ${host}:${port})`;
  work.left.push(problem);
  say(
    work,
    `${problem}; it is tried again until it is (finish-spaces). ${reasonIn(said.text).slice(0, 500)}`,
  );
}

/** Whether Nextcloud sent the mail, and what it said. */
interface Said {
  sent: boolean;
  text: string;
}

/**
 * Whether nobody is to be invited (again). A changed contact gets an invitation of its own as long as the first
 * administrator has never logged in. After that the account is somebody's, and no entry may open it.
 */
async function isInvited(work: Converging): Promise<boolean> {
  const { facts, wanted } = work;
  if (!facts.administrator) return false;
  if (facts.contact === wanted.contact) return true;
  if (facts.contact) {
    if (facts.admin && !facts["logged-in"]) return false;
    work.changed.push("contact");
    say(
      work,
      `its contact is now ${wanted.contact}. The space has an administrator who has logged in, so nobody was invited and no account was changed; see docs/runbooks/no-administrator-left.md`,
    );
  }
  await remember(work, "contact", wanted.contact).catch(() => {
    throw failure(work, "its contact could not be written into its database; run up again");
  });
  return true;
}

function relayAnswers(work: Converging): Promise<boolean> {
  const { host, port } = work.space.platform.mail;
  const address = `${port === 465 ? "smtps" : "smtp"}://${host}:${port}`;
  const bounds = ["--connect-timeout", "5", "--max-time", "10"];
  return succeeds("curl", ["-s", "-o", "/dev/null", ...bounds, address], held(work));
}

// occ then prints what Nextcloud logs of a mail.
const LOGGED = { env: { NC_log_type: "errorlog" } };

async function makeAdministrator(work: Converging, relay: boolean): Promise<Said> {
  const own = { config: ownConfig(work), release: work.wanted.release };
  const words = ["user:add", "--generate-password", "--display-name=Administration", "--group=admin"];
  const mail = relay ? [`--email=${work.wanted.contact}`] : [];
  const { output } = await occ(work, own, [...words, ...mail, "admin"], { ...LOGGED, errors: "with-output" });
  const text = output.trimEnd();
  if (!text.includes("was created successfully"))
    throw failure(work, `its first administrator could not be made: ${text.slice(0, 500)}. Run up again`);
  work.changed.push("administrator");
  return { sent: !wasRefused(text), text };
}

/** For an earlier run that only made the account, or invited an earlier contact. */
async function inviteAgain(work: Converging, relay: boolean): Promise<Said> {
  const own = { config: ownConfig(work), release: work.wanted.release };
  const said: Said = { sent: relay, text: "" };
  const commands = [
    ["group:adduser", "admin", "admin"],
    ["user:setting", "admin", "settings", "email", work.wanted.contact],
    ["user:welcome", "--reset-password", "admin"],
  ];
  for (const words of relay ? commands : []) {
    const errors = words[0] === "user:welcome" ? "with-output" : "inherit";
    const { status, output } = await occ(work, own, words, { ...LOGGED, errors });
    said.text += output;
    said.sent = status === 0 && !wasRefused(said.text);
    if (status !== 0) break;
  }
  return { ...said, text: said.text.trimEnd() };
}

/** If the relay refuses the mail, Nextcloud only logs it (OC\Mail\Mailer::send). */
const wasRefused = (text: string) => /Sending mail to [^]*failed/.test(text);

/** If an exception was logged, only what the relay said. */
function reasonIn(text: string): string {
  const begin = String.raw`\"Message\":\"`;
  if (!text.includes(begin)) return text;
  const message = text.slice(text.indexOf(begin) + begin.length);
  const [reason = ""] = message.split(String.raw`\",\"Code\"`);
  return reason.replaceAll("\\", "");
}
