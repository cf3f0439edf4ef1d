// Guesses whether a name or a mail address is a person's. What is in git stays there, so names of persons must not get
// there. A guess may be wrong in both directions: the moderator looks at what is left.
import { wordsOf } from "./propose-id.ts";

/** Providers whose mailboxes people open for themselves. An association may have one too. */
const PRIVATE_PROVIDERS =
  /^(?:aliceadsl|aol|bbox|club-internet|free|gmail|googlemail|gmx|hotmail|icloud|laposte|live|mac|mail|mailo|me|msn|neuf|numericable|orange|outlook|pm|posteo|proton|protonmail|sfr|tuta|tutanota|tutamail|wanadoo|yahoo|ymail|zaclys)(?:\.[a-z]{2,3}){1,2}$/;

/** Words of addresses that groups have, in French and English. */
const GROUP_WORDS = new Set(
  (
    "accueil adherents admin administration adhesion ag amap ami amicale amies amis animation antenne asso assoc " +
    "association assos asbl atelier benevoles board bureau ca cafe centre chorale cie club co coll collectif " +
    "collective comite communication compagnie compta conseil contact coop cooperative coordination council culture " +
    "direction ecole ensemble equipe espace federation fete fetes foyer friends gestion group groupe hello info " +
    "informatique infos inscription jeunes les librairie ligue local locale mail mairie maison media mjc office " +
    "orga organisation paroisse parents president presidence radio secretaire secretariat secretary section " +
    "service solidarite sport syndicat team theatre tresorerie tresorier treasurer ud ul union village webmaster"
  ).split(" "),
);

/**
 * Whether a mailbox looks like a person's. "yes" for first.last at a provider for private persons: two or three words of
 * letters, none of them a group's word or in the group's name. "perhaps" for first.last at a domain of its own, and for
 * one word at such a provider that has nothing of a group in it.
 */
export function contactLooksPersonal(contact: string, groupName: string): "yes" | "perhaps" | "no" {
  const [mailbox = "", domain = ""] = contact.toLowerCase().split("@");
  const parts = mailbox.replace(/\+.*$/, "").replace(/\d+$/, "").split(/[._-]/);
  if (parts.length > 3 || !parts.every((part) => /^[a-z]+$/.test(part))) return "no";
  const isPrivate = PRIVATE_PROVIDERS.test(domain);
  const own = [...wordsOf(groupName), ...(isPrivate ? [] : wordsOf(domain))];
  const words = [...GROUP_WORDS, ...own.filter((word) => word.length > 1)];
  if (parts.length === 1)
    return isPrivate &&
      !words.some((word) => word.length > 3 && mailbox.includes(word)) &&
      !GROUP_WORDS.has(mailbox)
      ? "perhaps"
      : "no";
  if (parts.some((part) => words.includes(part))) return "no";
  return isPrivate ? "yes" : "perhaps";
}

const TITLE = /^(?:m\.|(?:mr|mrs|ms|mme|mlle|monsieur|madame|mademoiselle)\.?\s)\s*\p{L}/iu;
// Ten digits as France writes them, or a number with a country before it.
const TELEPHONE = /(?<!\d)(?:\+|00)\d(?:[ .-]?\d){7,}|(?<!\d)0\d(?:[ .-]?\d{2}){4}(?!\d)/;
const STREET =
  /\d+(?:\s?(?:bis|ter))?,?\s+(?:rue|avenue|av\.|boulevard|bd|place|chemin|impasse|all[ée]e|quai|route)\b/iu;

/** Whether a group's name holds a person's title, a telephone number, a mail address or a street with a number. */
export function nameLooksPersonal(name: string): boolean {
  return TITLE.test(name) || TELEPHONE.test(name) || STREET.test(name) || /\S@\S/.test(name);
}
