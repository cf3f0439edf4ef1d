// Proposes an id for a group's name. A person looks at it before it is merged: it never changes afterwards.
import { appearance, ENTRY_LIMITS, refuseId } from "../fleet/ids.ts";

/** Letters that Unicode does not take apart into a letter and an accent. */
const LETTERS: Readonly<Record<string, string>> = {
  œ: "oe",
  æ: "ae",
  ß: "ss",
  ø: "o",
  ł: "l",
  đ: "d",
  ð: "d",
  þ: "th",
  ı: "i",
};
const SMALL = new Set("a au aux d de des du en et l la le les of pour the un une".split(" "));
/** Words that say nothing at the beginning of a name. */
const LEADING = new Set([...SMALL, "asso", "association"]);
/** No group needs more than a few; the loop has to end. */
const MOST_NUMBERS = 99;

/** The words of a text in lower-case letters and digits: `L'Œuvre d'Été, A.M.A.P.` is oeuvre, ete, amap. */
export function wordsOf(text: string): string[] {
  return (
    text
      .normalize("NFD")
      .replaceAll(/\p{M}/gu, "")
      .toLowerCase()
      .replaceAll(/[œæßøłđðþı]/g, (letter) => LETTERS[letter] ?? "")
      // A.M.A.P.
      .replaceAll(/\b([a-z])\.(?=[a-z]\b)/g, "$1")
      // L', d', qu': the word after it is the one that people look for.
      .replaceAll(/\b(?:[cdjlmnst]|qu)['’ʼ`´]/g, " ")
      .split(/[^a-z0-9]+/)
      .filter((word) => word !== "")
  );
}

/** A name for comparing: `Association Les Amis du Lotus` and `amis du lotus` are one group to people who read them. */
export function sameName(name: string): string {
  const words = withoutLeading(wordsOf(name)).filter((word) => !SMALL.has(word));
  return words.length === 0 ? name.normalize("NFKC").toLowerCase() : appearance(words.join(""));
}

function withoutLeading(words: readonly string[]): string[] {
  const start = words.findIndex((word) => !LEADING.has(word));
  return words.slice(Math.max(0, start));
}

export interface Proposal {
  /** Absent where the name holds too few Latin letters or digits. */
  id?: string;
  /** Why ids that one would expect were not taken, as words for a moderator. */
  passedOver: string[];
}

/**
 * The first id that is free and good: the wished one, the name without its article, with it, with `asso-`, with a number.
 * @param owners Id of the owner, by the appearance of each id that is taken.
 */
export function proposeId(
  { name, wished, domain }: { name: string; wished?: string; domain: string },
  owners: ReadonlyMap<string, string>,
): Proposal {
  const all = wordsOf(name);
  const short = withoutLeading(all);
  const candidates = [
    ...(wished === undefined ? [] : [wordsOf(withoutDomain(wished, domain)).join("-")]),
    ...(all.length === 0 ? [] : [fit(short), fit(all), fit(["asso", ...short])]),
  ];
  const passedOver: string[] = [];
  for (const id of new Set(candidates)) {
    const why = refuse(id, owners);
    if (why === undefined) return { id, passedOver };
    passedOver.push(`"${id}": ${why}`);
  }
  for (let number = 2; number <= MOST_NUMBERS && all.length > 0; number++) {
    const id = `${fit(short, ENTRY_LIMITS.idLongest - 3)}-${number}`;
    if (refuse(id, owners) === undefined) return { id, passedOver };
  }
  return { passedOver };
}

/** Of `https://lotus.example.org/`, only `lotus` was wished. */
function withoutDomain(wished: string, domain: string): string {
  const host = wished
    .toLowerCase()
    .replace(/^https?:\/\//, "")
    .replace(/\/.*$/, "");
  return host.endsWith(`.${domain}`) ? host.slice(0, -domain.length - 1) : host;
}

function refuse(id: string, owners: ReadonlyMap<string, string>): string | undefined {
  const owner = owners.get(appearance(id));
  if (owner !== undefined) return owner === id ? "it is taken" : `it looks like "${owner}", which is taken`;
  return refuseId(id);
}

/** As many of the words as fit into an id. Small words go first. */
function fit(words: readonly string[], longest: number = ENTRY_LIMITS.idLongest): string {
  const whole = words.join("-");
  if (whole.length <= longest) return whole;
  const [first = "", ...rest] = words.filter((word) => !SMALL.has(word));
  let id = first.slice(0, longest);
  for (const word of rest) {
    if (id.length + 1 + word.length > longest) break;
    id = `${id}-${word}`;
  }
  return id;
}
