// Reads a `map` of nginx as nginx does. The patterns that we use mean the same in JavaScript.

/** The function that `map "…" $variable { … }` of a configuration describes. Throws if there is no such map. */
export function nginxMap(configuration: string, variable: string): (key: string) => string {
  const body = new RegExp(String.raw`^ *map [^\n]* \$${variable} \{\n([^]*?)\n *\}`, "m").exec(
    configuration,
  )?.[1];
  if (body === undefined) throw new Error(`no map gives $${variable}`);
  const rules = [...body.matchAll(/^ *("[^"]*"|\S+) +("[^"]*"|\S+);/gm)].map(([, when = "", then = ""]) => ({
    when: when.replaceAll('"', ""),
    gives: then.replaceAll('"', ""),
  }));
  const fits = (pattern: string, key: string) =>
    pattern.startsWith("~*")
      ? new RegExp(pattern.slice(2), "i").test(key)
      : pattern.startsWith("~")
        ? new RegExp(pattern.slice(1)).test(key)
        : pattern === key;
  const otherwise = rules.find(({ when }) => when === "default")?.gives ?? "";
  return (key) => rules.find(({ when }) => when !== "default" && fits(when, key))?.gives ?? otherwise;
}
