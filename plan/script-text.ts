// Splits the script that a machine's bash reads (renderScript in infra/machine/remote.ts), so that a plan can name the
// file or setting that changes instead of showing one long text.

const SETTINGS_START = "\nMACHINE='";
const FILES_START = "\ninstall_files() {\n:\n";
const END = "\n} </dev/null\nexit\n";

const QUOTED = String.raw`'(?:[^']|'\\'')*'`;
const SETTING = new RegExp(String.raw`([A-Z][A-Z0-9_]*)=(\(.*?(?:${QUOTED} ?)*\)|${QUOTED})\n?`, "sy");
const FILE = new RegExp(String.raw`file (${QUOTED}) (\d+) (\S+) <<'(END_OF_FILE_*)'\n`, "y");

/** The parts by name, such as `setting PACKAGES` and `file /etc/hosts`. Undefined for a text in another form. */
export function scriptParts(text: string): Record<string, string> | undefined {
  const files = text.indexOf(FILES_START);
  const settings = text.lastIndexOf(SETTINGS_START, files);
  if (!text.startsWith("{\n") || !text.endsWith(END) || files < 0 || settings < 0) return undefined;
  const parts: Record<string, string> = { "script lib.sh": text.slice(2, settings) };
  for (const [, name, value] of text.slice(settings + 1, files + 1).matchAll(new RegExp(SETTING, "gsy")))
    parts[`setting ${name}`] = value ?? "";
  let position = files + FILES_START.length;
  for (;;) {
    FILE.lastIndex = position;
    const header = FILE.exec(text);
    if (!header) break;
    const [, quoted = "", mode, owner, delimiter] = header;
    const path = quoted.slice(1, -1).replaceAll(String.raw`'\''`, "'");
    const end = text.indexOf(`\n${delimiter}\n`, FILE.lastIndex - 1);
    if (end < 0) return undefined;
    parts[`file ${path}`] = text.slice(FILE.lastIndex, end + 1);
    parts[`mode and owner of ${path}`] = `${mode} ${owner}`;
    position = end + `\n${delimiter}\n`.length;
  }
  parts["script"] = text.slice(position, -END.length);
  return parts;
}
