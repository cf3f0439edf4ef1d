// Quoting for shells. Everything that a script gets is built here and nowhere else.

export type Setting = string | number | boolean | readonly string[];

/** A POSIX single-quoted word. */
export function quote(value: string): string {
  if (value.includes("\0")) throw new Error("a shell word cannot hold a NUL byte");
  return `'${value.replaceAll("'", String.raw`'\''`)}'`;
}

/** Shell assignments for a script's settings; a list becomes a bash array, a boolean `true` or `false`. */
export function assignments(settings: Readonly<Record<string, Setting>>): string {
  return Object.entries(settings)
    .map(([name, value]) => {
      if (!/^[A-Z][A-Z0-9_]*$/.test(name))
        throw new Error(`"${name}" is not a valid name for a setting: write upper case, digits and _`);
      return typeof value === "object"
        ? `${name}=(${value.map(quote).join(" ")})`
        : `${name}=${quote(String(value))}`;
    })
    .join("\n");
}

/** A here-document that feeds `content` to `command` unchanged. The content must end with a newline. */
export function hereDocument(command: string, content: string): string {
  if (!content.endsWith("\n")) throw new Error(`${command}: content must end with a newline`);
  let delimiter = "END_OF_FILE";
  while (content.split("\n").includes(delimiter)) delimiter += "_";
  return `${command} <<'${delimiter}'\n${content}${delimiter}`;
}
