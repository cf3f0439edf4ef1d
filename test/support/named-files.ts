// Files of people: names as they are, random contents, and what a folder holds of them.
import { randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { pipeline } from "node:stream/promises";
import { sha256OfFile } from "../../spaces/agent/programs/files.ts";

/**
 * Names that people give to their files. Nextcloud does not accept `.htaccess`, and the desktop client does not upload
 * `~$…`.
 */
export const NAMES = [
  "Compte rendu de l'AG du 12 mai.odt", "Budget prévisionnel 2027 (v2) – final.ods", "Déjà vu.txt", "De\u0301ja\u0300 vu bis.txt",
  "100 % coton.jpg", "a+b=c.txt", "Facture #42.pdf", "R&D.md", "Qui? Quoi!.txt", 'Le "Lotus".txt', "12:30 réunion.txt",
  "étoile*.txt", "a|b.txt", "<brouillon>.txt", "[Important] à lire.txt", "{modèle}.docx", "chat@asso.vcf",
  "Photo 🌻 été.heic", "名簿.xlsx", "قائمة.txt", "Список.txt", "%20.txt", "%2F.txt", "..deux points.txt", ".caché", "sans extension",
  "deux  espaces.txt", "virgule, point-virgule; etc.csv", "`accent`.txt", "$prix.txt", "^chapeau.txt", "emoji 👩‍👩‍👧.txt",
  "données.json", "page.html", "index.php", "script.js", "config.php", `${"long ".repeat(46)}.txt`, "MAJUSCULES.TXT", "Dossier.d",
]; // prettier-ignore

/** Writes files with those names, from zero bytes to a few hundred kilobytes, and an empty folder. */
export async function fill(root: string, files = 500): Promise<void> {
  for (let n = 0; n < files; n++) {
    const name = NAMES[n % NAMES.length] ?? "";
    const round = Math.floor(n / NAMES.length);
    const path = join(root, round === 0 ? name : join(`Année ${2014 + round}`, `n° ${round}`, name));
    await mkdir(dirname(path), { recursive: true });
    const bytes = n % 17 === 0 ? 0 : n % 50 === 7 ? 300_000 : 1 + ((n * 7919) % 20_000);
    await writeFile(path, randomBytes(bytes));
  }
  await mkdir(join(root, "Dossier vide"));
}

/** Writes a file of any size without holding it in memory. */
export async function writeRandom(path: string, bytes: number): Promise<void> {
  const part = 1_000_000;
  const parts = function* () {
    for (let left = bytes; left > 0; left -= part) yield randomBytes(Math.min(part, left));
  };
  await pipeline(parts, createWriteStream(path));
}

/**
 * Path → SHA-256 of all files below a folder, and the folders. The clients' own files are left out. Throws if a folder
 * has a name twice.
 */
export async function tree(root: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    // Nextcloud returns the letters of macOS, which have separate accents, as single letters.
    const name = relative(root, path).normalize("NFC");
    if (/^\.(sync_|owncloudsync|_sync)/.test(entry.name)) continue;
    if (name in found) throw new Error(`${root} has ${name} twice, with accents of two kinds`);
    found[name] = entry.isDirectory() ? "folder" : await sha256OfFile(path);
  }
  return Object.fromEntries(Object.entries(found).sort(([one], [other]) => (one < other ? -1 : 1)));
}
