// The lab's mail relay: takes every mail, sends none on, and keeps each as a file, so that a person can read what
// spaces write. As much of SMTP (RFC 5321) as its clients speak here: no TLS, no login.
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import type { Lab } from "./lab.ts";

/** Port of the relay, in the admin's place. */
export const MAIL_PORT = 25;

const folderOf = (lab: Lab) => join(lab.directory, "mail");

/** Takes mail until the process ends. */
export function takeMail(lab: Lab, host: string, port: number): Promise<void> {
  const server = createServer((socket) => converse(lab, socket));
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
}

function converse(lab: Lab, socket: Socket): void {
  let pending = "";
  let mail: string[] | undefined;
  const say = (line: string) => socket.write(`${line}\r\n`);
  const hear = async (line: string): Promise<void> => {
    if (mail && line !== ".") mail.push(line.replace(/^\./, ""));
    else if (mail) {
      const text = mail.join("\n");
      mail = undefined;
      await keep(lab, text);
      say("250 kept");
    } else
      switch (line.slice(0, 4).toUpperCase()) {
        case "DATA":
          mail = [];
          say("354 end with a dot on a line of its own");
          break;
        case "QUIT":
          say("221 bye");
          socket.end();
          break;
        default:
          say("250 all right");
      }
  };
  let work = Promise.resolve();
  socket.on("error", () => socket.destroy());
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (pending + chunk).split("\r\n");
    pending = lines.pop() ?? "";
    for (const line of lines) work = work.then(() => hear(line));
  });
  say("220 the lab's relay");
}

let count = 0;

async function keep(lab: Lab, text: string): Promise<void> {
  await mkdir(folderOf(lab), { recursive: true, mode: 0o700 });
  const path = join(folderOf(lab), `${Date.now()}-${String(count++).padStart(4, "0")}.eml`);
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

/** All mails, oldest first, as a person reads them. */
export function mails(lab: Lab): string[] {
  let files: string[];
  try {
    files = readdirSync(folderOf(lab));
  } catch {
    return [];
  }
  return files
    .filter((file) => file.endsWith(".eml"))
    .sort()
    .map((file) => readable(readFileSync(join(folderOf(lab), file), "utf8")));
}

/** The headers that say whom it is from and to, and the plain text. */
function readable(mail: string): string {
  const [head = "", ...rest] = mail.split("\n\n");
  const headers = head.split(/\n(?! |\t)/).filter((line) => /^(from|to|subject):/i.test(line));
  return `${headers.map(decodeHeader).join("\n")}\n\n${plainText(head, rest.join("\n\n")).trim()}\n`;
}

function plainText(head: string, body: string): string {
  const boundary = /boundary="?([^"\n;]+)"?/i.exec(head)?.[1];
  if (boundary !== undefined)
    for (const part of body.split(`--${boundary}`)) {
      const [partHead = "", ...rest] = part.trimStart().split("\n\n");
      if (/multipart\/|text\/plain/i.test(partHead)) return plainText(partHead, rest.join("\n\n"));
    }
  if (/transfer-encoding: *base64/i.test(head)) return Buffer.from(body, "base64").toString();
  return /transfer-encoding: *quoted-printable/i.test(head) ? decodeQuoted(body.replaceAll("=\n", "")) : body;
}

function decodeQuoted(text: string): string {
  const bytes = text.replaceAll(/=([0-9A-F]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return /[^\0-\xff]/.test(bytes) ? bytes : Buffer.from(bytes, "latin1").toString();
}

/** RFC 2047: `=?utf-8?Q?…?=`. */
function decodeHeader(line: string): string {
  return line.replaceAll(/=\?utf-8\?([QB])\?(.*?)\?=(?:\s+(?==\?))?/gi, (_, kind: string, text: string) =>
    kind.toUpperCase() === "B"
      ? Buffer.from(text, "base64").toString()
      : decodeQuoted(text.replaceAll("_", " ")),
  );
}
