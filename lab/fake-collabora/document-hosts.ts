// Which documents a Collabora with these options opens, and which of them are the same document. The rules are those
// of Collabora's wsd/HostUtil.cpp, and of Poco::URI, by which it reads addresses.

/** The options of coolwsd's command line: `--o:NAME=VALUE`. */
export type Options = Readonly<Record<string, string>>;

/** Reads a command line; words that are no options are left out. */
export function readOptions(words: readonly string[]): Options {
  return Object.fromEntries(
    words.flatMap((word) => {
      const [, name, value] = /^--o:([^=]+)=(.*)$/s.exec(word) ?? [];
      return name === undefined || value === undefined ? [] : [[name, value]];
    }),
  );
}

export interface Address {
  scheme: string;
  /** In lower case. */
  host: string;
  port: number;
  /** As Poco has it: with what stands before `@`, without a port that the scheme implies. */
  authority: string;
  path: string;
  query: string;
}

const WELL_KNOWN: Readonly<Record<string, number>> = { http: 80, https: 443 };

/** Undefined if the text is no address with a host. */
export function readAddress(text: string): Address | undefined {
  const [, scheme = "", all = "", path = "", query = ""] =
    /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)([^?#]*)\??([^#]*)/i.exec(text) ?? [];
  const [, before = "", name = "", digits = ""] = /^(?:(.*)@)?([^:]+)(?::(\d+))?$/.exec(all) ?? [];
  if (name === "") return undefined;
  const lower = scheme.toLowerCase();
  const implied = WELL_KNOWN[lower] ?? 0;
  const port = digits === "" ? implied : Number(digits);
  const host = name.toLowerCase();
  const authority = `${before === "" ? "" : `${before}@`}${host}${port === implied ? "" : `:${port}`}`;
  return { scheme: lower, host, port, authority, path, query };
}

/** Whether one of the regular expressions matches the whole text (common/RegexUtil.cpp). */
function matches(patterns: ReadonlySet<string>, text: string): boolean {
  return patterns.has(text) || [...patterns].some((one) => new RegExp(`^(?:${one})$`, "i").test(text));
}

/** Documents' hosts as `storage.wopi` allows them. Aliases of a host are not read: the platform declares none. */
export class DocumentHosts {
  readonly #enabled: boolean;
  readonly #mode: string;
  readonly #hosts = new Set<string>();
  readonly #authorities = new Set<string>();
  /** In mode `first`, the first host that somebody asks for is the only one. */
  #first: string | undefined;

  constructor(options: Options) {
    this.#enabled = options["storage.wopi[@allow]"] === "true";
    this.#mode = options["storage.wopi.alias_groups[@mode]"] ?? "first";
    if (this.#mode !== "groups") return;
    for (let index = 0; ; index++) {
      const name = `storage.wopi.alias_groups.group[${index}].host`;
      const declared = options[name];
      if (declared === undefined) break;
      const address = readAddress(declared);
      if (!address) continue;
      if (options[`${name}[@allow]`] === "true") this.#hosts.add(address.host);
      this.#authorities.add(address.authority);
    }
  }

  allows({ host, authority }: Address): boolean {
    if (!this.#enabled) return false;
    if (this.#authorities.size > 0)
      return matches(this.#hosts, host) && matches(this.#authorities, authority);
    if (this.#mode === "compat") return matches(this.#hosts, host);
    this.#first ??= authority;
    return this.#first === authority;
  }

  /** Two addresses with one key are one document, which all of their visitors see. */
  keyOf({ scheme, host, port, path }: Address): string {
    return this.#mode === "compat" ? path : `${scheme}://${host}:${port}${path}`;
  }
}
