// The lab's relay, over TCP as spaces use it: each mail that it accepts becomes a file, and the file becomes text.
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { mails, takeMail } from "../../lab/mail.ts";

let lab: { directory: string };
let relay: Awaited<ReturnType<typeof takeMail>>;

beforeEach(async () => {
  lab = { directory: mkdtempSync(join(tmpdir(), "framaspace-mail-")) };
  relay = await takeMail(lab, "127.0.0.1", 0);
});
afterEach(async () => {
  await new Promise<void>((resolve) => relay.close(() => resolve()));
  rmSync(lab.directory, { recursive: true });
});

/** Sends the lines, each one after the answer to the one before. Returns the codes of the answers. */
async function say(...lines: string[]): Promise<string[]> {
  const { port } = relay.server.address() as AddressInfo;
  const socket = connect(port, "127.0.0.1").setEncoding("utf8");
  const codes: string[] = [];
  for (const line of [...lines, ""]) {
    let answer = "";
    // In an answer of several lines, all but the last have a dash after the code.
    while (!/^\d{3} .*\r\n$/m.test(answer)) answer += String(await once(socket, "data"));
    codes.push(answer.slice(0, 3));
    if (line !== "") socket.write(`${line}\r\n`);
  }
  socket.destroy();
  return codes;
}

const send = (mail: string) =>
  say("EHLO web-1", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "DATA", `${mail}\r\n.`, "QUIT");

test("a mail is taken, and read with its headers, its text and its whole links", async () => {
  const mail = [
    "From: Lotus <lotus@framaspace.localhost>",
    "To: bureau@lotus.example",
    "Subject: =?utf-8?Q?Votre_espace_est_pr=C3=AAt?=",
    'Content-Type: multipart/alternative; boundary="b"',
    "",
    "--b",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: quoted-printable",
    "",
    "Bienvenue =C3=A0 vous, choisissez un mot de passe : https://lotus.framaspac=",
    "e.localhost/lostpassword/set/abc=3D",
    "..et un point.",
    "--b",
    "Content-Type: text/html",
    "",
    "<p>autre chose</p>",
    "--b--",
  ].join("\r\n");
  expect(await send(mail)).toEqual(["220", "250", "250", "250", "354", "250", "221"]);
  expect(await mails(lab)).toEqual([
    "From: Lotus <lotus@framaspace.localhost>\nTo: bureau@lotus.example\nSubject: Votre espace est prêt\n\n" +
      "Bienvenue à vous, choisissez un mot de passe : https://lotus.framaspace.localhost/lostpassword/set/abc=\n" +
      ".et un point.\n",
  ]);
});

test("mails are read oldest first", async () => {
  for (const name of ["un", "deux", "trois"]) await send(`To: ${name}@d.example\r\n\r\n${name}`);
  expect((await mails(lab)).map((mail) => /^To: (\w+)@/m.exec(mail)?.[1])).toEqual(["un", "deux", "trois"]);
});

test("of a mail without plain text, the HTML's is read", async () => {
  await send("To: c@d.example\r\nContent-Type: text/html\r\n\r\n<p>Bonjour <b>vous</b></p>");
  expect((await mails(lab))[0]).toContain("Bonjour");
});

test("no recipient, no mail; and an address that is none is refused", async () => {
  const codes = await say("EHLO web-1", "MAIL FROM:<a@b.example>", "RCPT TO:<>", "DATA", "QUIT");
  expect(codes).toEqual(["220", "250", "250", "501", "503", "221"]);
  expect(await mails(lab)).toEqual([]);
});

test("there are no mails where none came", async () => {
  expect(await mails({ directory: join(lab.directory, "nowhere") })).toEqual([]);
});
