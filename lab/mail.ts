// The lab's mail relay. It accepts every mail, forwards none, and keeps each as a file, so that people can read what
// spaces send. Its clients use SMTP without TLS and without login.
import { createWriteStream } from "node:fs";
import { mkdir, readdir, readFile, rename } from "node:fs/promises";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { join } from "node:path";
import { callbackify } from "node:util";
import PostalMime, { type Address } from "postal-mime";
import { SMTPServer } from "smtp-server";
import type { Lab } from "./lab.ts";

/** Port of the relay, in the admin's namespace. */
export const MAIL_PORT = 25;

type Place = Pick<Lab, "directory">;
const folderOf = (lab: Place) => join(lab.directory, "mail");

/** Accepts mail until the server is closed. Rejects if the port is in use. */
export function takeMail(lab: Place, host: string, port: number): Promise<SMTPServer> {
  const server = new SMTPServer({
    banner: "the lab's relay",
    disabledCommands: ["AUTH", "STARTTLS"],
    // The lab has no DNS: each greeting would wait for an answer that never comes.
    disableReverseLookup: true,
    onData: (mail, _session, done) => callbackify(() => keep(lab, mail))(done),
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      // A client that disconnects ends its own connection, not the relay.
      server.on("error", (error) => console.error(error.message));
      resolve(server);
    });
  });
}

let count = 0;

async function keep(lab: Place, mail: Readable): Promise<void> {
  await mkdir(folderOf(lab), { recursive: true, mode: 0o700 });
  const path = join(folderOf(lab), `${Date.now()}-${String(count++).padStart(4, "0")}.eml`);
  await pipeline(mail, createWriteStream(`${path}.new`));
  await rename(`${path}.new`, path);
}

/** All mails, oldest first, as text for people. */
export async function mails(lab: Place): Promise<string[]> {
  const files = await readdir(folderOf(lab)).catch(() => []);
  const kept = files.filter((file) => file.endsWith(".eml")).sort();
  return Promise.all(kept.map(async (file) => readable(await readFile(join(folderOf(lab), file)))));
}

/** Sender, recipients, subject and plain text. A mail without plain text gives its HTML. */
async function readable(mail: Buffer): Promise<string> {
  const { from, to = [], subject = "", text, html = "" } = await PostalMime.parse(mail);
  const people = (list: Address[]) => list.map(person).join(", ");
  const head = [`From: ${people(from ? [from] : [])}`, `To: ${people(to)}`, `Subject: ${subject}`];
  return `${head.join("\n")}\n\n${(text ?? html).trim()}\n`;
}

function person({ name, address = "" }: Address): string {
  return name === "" ? address : `${name} <${address}>`;
}
