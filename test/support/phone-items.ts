// Events, tasks and cards as phones keep them, and the files that hold them (RFC 5545, RFC 6350).
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Phone } from "./real-clients.ts";

/** Nobody looks at it. */
const PHOTO = randomBytes(3000).toString("base64");
/**
 * What phones keep, as lines that are not folded yet. The server keeps other lines of a card than a phone has sent only
 * if the card is of version 4, which it gives to vdirsyncer as version 3.
 */
export const ITEMS = {
  "event-ag": [
    "BEGIN:VCALENDAR",
    "VERSION:2.0",
    "PRODID:-//Framaspace//Lab//FR",
    "BEGIN:VTIMEZONE",
    "TZID:Europe/Paris",
    "BEGIN:DAYLIGHT",
    "DTSTART:19700329T020000",
    "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU",
    "TZOFFSETFROM:+0100",
    "TZOFFSETTO:+0200",
    "END:DAYLIGHT",
    "BEGIN:STANDARD",
    "DTSTART:19701025T030000",
    "RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU",
    "TZOFFSETFROM:+0200",
    "TZOFFSETTO:+0100",
    "END:STANDARD",
    "END:VTIMEZONE",
    "BEGIN:VEVENT",
    "UID:event-ag",
    "DTSTAMP:20261101T090000Z",
    "DTSTART;TZID=Europe/Paris:20270512T183000",
    "DURATION:PT2H",
    "RRULE:FREQ=MONTHLY;BYDAY=2WE;COUNT=6",
    "SUMMARY:Assemblée générale 🌻\\, à l'école",
    `DESCRIPTION:${"Ordre du jour : élection\\; budget\\, été. ".repeat(20)}`,
    "BEGIN:VALARM",
    "ACTION:DISPLAY",
    "DESCRIPTION:Rappel",
    "TRIGGER:-PT30M",
    "END:VALARM",
    "END:VEVENT",
    "END:VCALENDAR",
  ],
  "event-fete": [
    "BEGIN:VCALENDAR",
    "VERSION:2.0",
    "PRODID:-//Framaspace//Lab//FR",
    "BEGIN:VEVENT",
    "UID:event-fete",
    "DTSTAMP:20261101T090000Z",
    "DTSTART;VALUE=DATE:20270621",
    "DTEND;VALUE=DATE:20270622",
    "SUMMARY:Fête de la musique",
    "END:VEVENT",
    "END:VCALENDAR",
  ],
  "event-todo": [
    "BEGIN:VCALENDAR",
    "VERSION:2.0",
    "PRODID:-//Framaspace//Lab//FR",
    "BEGIN:VTODO",
    "UID:event-todo",
    "DTSTAMP:20261101T090000Z",
    "SUMMARY:Réserver la salle",
    "STATUS:NEEDS-ACTION",
    "END:VTODO",
    "END:VCALENDAR",
  ],
  "card-mairie": [
    "BEGIN:VCARD",
    "VERSION:3.0",
    "PRODID:-//Framaspace//Lab//FR",
    "UID:card-mairie",
    "FN:Mairie de l'Île-d'Été (accueil)",
    "N:Mairie;;;;",
    "ORG:Mairie;Accueil",
    "TEL;TYPE=WORK,VOICE:+33 1 23 45 67 89",
    "EMAIL;TYPE=WORK:accueil@mairie.example",
    "ADR;TYPE=WORK:;;1\\, place de l'Église;Île-d'Été;;12345;France",
    `NOTE:${"Ouverte le lundi 🌻 et le jeudi\\, de 9 h à 12 h. ".repeat(12)}`,
    "END:VCARD",
  ],
  "card-photo": [
    "BEGIN:VCARD",
    "VERSION:3.0",
    "PRODID:-//Framaspace//Lab//FR",
    "UID:card-photo",
    "FN:Collectif Lotus",
    "N:Lotus;;;;",
    `PHOTO;ENCODING=b;TYPE=JPEG:${PHOTO}`,
    "END:VCARD",
  ],
} as const satisfies Record<string, readonly string[]>;

/** The file of an event or a card in the folder of a phone's calendar or address book. */
export const fileOf = (phone: Phone, collection: string, uid: string) =>
  uid.startsWith("card")
    ? join(phone.contacts, collection, `${uid}.vcf`)
    : join(phone.calendars, collection, `${uid}.ics`);

/** Lines as the standards write them: 75 octets at most, then a new line that begins with a space. */
export const foldLines = (lines: readonly string[]) =>
  lines
    .map((line) => {
      let folded = "";
      let octets = 0;
      for (const letter of line) {
        const more = Buffer.byteLength(letter);
        if (octets + more > 75) {
          folded += "\r\n ";
          octets = 1;
        }
        folded += letter;
        octets += more;
      }
      return `${folded}\r\n`;
    })
    .join("");
/** The lines of a file, unfolded. */
export const unfoldLines = (text: string) =>
  text
    .replaceAll(/\r?\n[ \t]/g, "")
    .split(/\r?\n/)
    .filter((line) => line !== "");
