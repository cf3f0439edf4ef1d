// What visitors get where no space answers, or where there are too many of them: a sentence for programs, and a page in
// French and English for people with a browser. Gateways and web servers have the same pages. A page is one file: it
// needs no script, and nothing from elsewhere.
/** Who runs the platform. */
export interface Host {
  readonly name: string;
  /** Its site. */
  readonly url: string;
}

interface Words {
  title: string;
  happened: string;
  /** `HOST` becomes a link to the host's site. */
  advice: string;
}

interface Answer {
  /** Without it, nginx's own: 502 and the like, and nginx's own text. */
  own?: {
    status: number;
    /** For programs: sync clients show it. */
    text: string;
    /** When to ask again. Such an answer is kept in no cache. */
    retrySeconds?: number;
  };
  /** Seconds after which the page loads itself again. */
  reloadSeconds?: number;
  /** Drawn in a square of 24, without fill. */
  icon: string;
  fr: Words;
  en: Words;
}

const CROWD = "M5 18v-5M12 18V6M19 18v-9";

const ANSWERS = {
  unknown: {
    own: { status: 404, text: "No space lives at this address." },
    icon: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5 21 21",
    fr: {
      title: "Aucun espace à cette adresse",
      happened: "L’adresse contient peut-être une faute de frappe, ou cet espace n’existe plus.",
      advice:
        "Comparez-la, lettre par lettre, avec celle de votre courriel d’invitation, ou demandez-la à une personne de votre association. Si elle est juste, écrivez à HOST.",
    },
    en: {
      title: "No space at this address",
      happened: "There may be a typing error in the address, or this space no longer exists.",
      advice:
        "Compare it, letter by letter, with the one in the mail that invited you, or ask somebody of your association. If it is right, write to HOST.",
    },
  },
  archived: {
    own: { status: 410, text: "This space has been closed." },
    icon: "M3 4h18v5H3zM5 9v11h14V9M10 13h4",
    fr: {
      title: "Cet espace est fermé",
      happened: "Il a été fermé, et personne ne peut plus y entrer.",
      advice: "S’il vous manque des fichiers, écrivez vite à HOST\u00a0: ils ne sont gardés qu’un temps.",
    },
    en: {
      title: "This space is closed",
      happened: "It was closed, and nobody can enter it any more.",
      advice: "If you miss files, write to HOST soon: they are kept for a limited time only.",
    },
  },
  suspended: {
    own: { status: 503, text: "This space is suspended. Its files are kept.", retrySeconds: 3600 },
    icon: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM10 9v6M14 9v6",
    fr: {
      title: "Cet espace est suspendu",
      happened: "Personne ne peut y entrer pour le moment. Ses fichiers sont conservés.",
      advice: "Adressez-vous à l’association. Qui administre cet espace peut en demander la raison à HOST.",
    },
    en: {
      title: "This space is suspended",
      happened: "Nobody can enter it for now. Its files are kept.",
      advice: "Ask the association. Whoever administers this space may ask HOST why.",
    },
  },
  maintenance: {
    own: {
      status: 503,
      text: "This space is under maintenance. Try again in a minute.",
      retrySeconds: 60,
    },
    reloadSeconds: 60,
    icon: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3.5 2",
    fr: {
      title: "Cet espace est en maintenance",
      happened: "Nous le mettons à jour. D’ordinaire, cela dure quelques minutes.",
      advice:
        "Patientez\u00a0: cette page se recharge d’elle-même chaque minute. Si cela dure plus d’une heure, écrivez à HOST.",
    },
    en: {
      title: "This space is under maintenance",
      happened: "We are updating it. As a rule this takes a few minutes.",
      advice:
        "Please wait: this page reloads by itself every minute. If it takes more than an hour, write to HOST.",
    },
  },
  /** More at once than a space, or its web server, may have. */
  busy: {
    own: {
      status: 429,
      text: "Too many requests at once. Try again in a few seconds.",
      retrySeconds: 10,
    },
    reloadSeconds: 10,
    icon: CROWD,
    fr: {
      title: "Trop de demandes à la fois",
      happened: "Beaucoup de personnes, ou de programmes, utilisent cet espace ou ses voisins en ce moment.",
      advice:
        "Patientez\u00a0: cette page se recharge d’elle-même dans dix secondes. Si cela arrive souvent, écrivez à HOST.",
    },
    en: {
      title: "Too many requests at once",
      happened: "Many people, or programs, are using this space, or its neighbours, just now.",
      advice:
        "Please wait: this page reloads by itself in ten seconds. If this happens often, write to HOST.",
    },
  },
  /** More at once than an address may have. */
  crowded: {
    own: {
      status: 429,
      text: "Too many requests at once from your address. Try again in a few seconds.",
      retrySeconds: 10,
    },
    reloadSeconds: 10,
    icon: CROWD,
    fr: {
      title: "Trop de demandes à la fois",
      happened:
        "Elles viennent de votre connexion à Internet, que vous partagez peut-être avec d’autres personnes.",
      advice:
        "Patientez\u00a0: cette page se recharge d’elle-même dans dix secondes. Si cela arrive souvent, écrivez à HOST.",
    },
    en: {
      title: "Too many requests at once",
      happened: "They come from your internet connection, which you may share with others.",
      advice:
        "Please wait: this page reloads by itself in ten seconds. If this happens often, write to HOST.",
    },
  },
  unavailable: {
    reloadSeconds: 60,
    icon: "M12 4 2.5 20h19zM12 10v4.5M12 17.2v.3",
    fr: {
      title: "Cet espace ne répond pas",
      happened: "La panne est de notre côté\u00a0: ni vous ni votre appareil n’y êtes pour rien.",
      advice:
        "Patientez\u00a0: cette page se recharge d’elle-même chaque minute. Si cela dure plus d’une heure, écrivez à HOST.",
    },
    en: {
      title: "This space does not answer",
      happened: "The fault is on our side: neither you nor your device caused it.",
      advice:
        "Please wait: this page reloads by itself every minute. If it takes more than an hour, write to HOST.",
    },
  },
} satisfies Record<string, Answer>;

export type AnswerName = keyof typeof ANSWERS;
const answers: Readonly<Record<AnswerName, Answer>> = ANSWERS;

const FOLDER = "/usr/local/share/framaspace/pages";

/** The pages, as files for gateways and web servers. */
export function pageFiles(host: Host): { path: string; content: string }[] {
  return Object.entries(answers).map(([name, answer]) => ({
    path: `${FOLDER}/${name}.html`,
    content: renderPage(answer, host),
  }));
}

/**
 * The map that tells people from programs, for `http`: `$as_page` is empty, or ends the name of a page's location. A
 * browser that opens an address asks for text/html. What answers below remote.php and the like, programs read, and some
 * of them ask for text/html too (Java).
 */
export function renderPageMap(): string {
  return String.raw`map "$request_method $request_uri $http_accept" $as_page {
    default "";
    "~^GET /+(?:index\.php/+)?(?:(?:remote|public|status|cron)\.php|ocs)(?:[/?]| )" "";
    "~^GET \S+ .*text/html" _page;
  }`;
}

/**
 * Locations for `server`: `@suspended` for programs, `@suspended_page` for people. `error_page` leads to them with
 * `@suspended$as_page`. `unavailable` gets its own `error_page` lines.
 * @param names The answers that this server gives.
 * @param headers Headers of all pages, besides those that every page has.
 */
export function renderAnswers(
  names: readonly AnswerName[],
  headers: Readonly<Record<string, string>> = {},
): string {
  return names
    .flatMap((name) => {
      const { own } = answers[name];
      if (own) return [renderText(name, own), renderPageLocation(name, name, own, headers)];
      // An error_page that names no status keeps the first one. `return` needs it written.
      return [502, 503, 504].flatMap((status) => [
        `    error_page ${status} @${name}_${status}$as_page;`,
        `    location @${name}_${status} {
      recursive_error_pages off;
      return ${status};
    }`,
        renderPageLocation(`${name}_${status}`, name, { status }, headers),
      ]);
    })
    .join("\n");
}

function renderText(name: string, { status, text, retrySeconds }: NonNullable<Answer["own"]>): string {
  return `    location @${name} {
      default_type text/plain;
${retrySeconds === undefined ? "" : addHeaders({ "Retry-After": String(retrySeconds), "Cache-Control": "no-store" })}      return ${status} "${text}\\n";
    }`;
}

function renderPageLocation(
  location: string,
  file: string,
  { status, retrySeconds }: { status: number; retrySeconds?: number },
  headers: Readonly<Record<string, string>>,
): string {
  const all = {
    ...(retrySeconds !== undefined && { "Retry-After": String(retrySeconds) }),
    "Cache-Control": "no-store",
    "Content-Security-Policy":
      "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    ...headers,
  };
  return `    location @${location}_page {
      root ${FOLDER};
      types { text/html html; }
${addHeaders(all)}      try_files /${file}.html =${status};
    }`;
}

function addHeaders(headers: Readonly<Record<string, string>>): string {
  return Object.entries(headers)
    .map(([name, value]) => `      add_header ${name} "${value}" always;\n`)
    .join("");
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
}

function renderPage({ reloadSeconds, icon, fr, en }: Answer, host: Host): string {
  const site = `<a href="${escapeHtml(host.url)}">${escapeHtml(new URL(host.url).host)}</a>`;
  const link = `<a href="${escapeHtml(host.url)}">${escapeHtml(host.name)}</a>`;
  const words = ({ title, happened, advice }: Words, heading: string) => `<${heading}>${title}</${heading}>
<p>${happened}</p>
<p>${advice.replace("HOST", () => link)}</p>`;
  return `<!doctype html>
<html lang="fr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
${reloadSeconds === undefined ? "" : `<meta http-equiv="refresh" content="${reloadSeconds}">\n`}<title>${fr.title} · ${escapeHtml(host.name)}</title>
<link rel="icon" href="data:,">
<style>
${STYLE}</style>
</head>
<body>
<main>
<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${icon}"/></svg>
${words(fr, "h1")}
<section lang="en">
${words(en, "h2")}
</section>
</main>
<footer>${escapeHtml(host.name)} · ${site}</footer>
</body>
</html>
`;
}

const STYLE = `:root { --back: #f3f1ec; --card: #fff; --text: #23272e; --quiet: #565e69; --line: #e2ded5; --accent: #4a3fa3; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14161a; --card: #1d2026; --text: #e9eaed; --quiet: #a8afb9; --line: #333841; --accent: #b9b0ff; }
}
* { box-sizing: border-box; }
body {
  margin: 0; min-height: 100vh; padding: 1.25rem; display: flex; flex-direction: column; align-items: center;
  justify-content: center; background: var(--back); color: var(--text); font: 1.0625rem/1.6 system-ui, sans-serif;
}
main {
  width: 100%; max-width: 36rem; padding: 2.25rem 2rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 1rem;
}
svg {
  display: block; width: 2.75rem; height: 2.75rem; margin: 0 0 1rem -.3rem; fill: none; stroke: var(--accent);
  stroke-width: 1.6; stroke-linecap: round; stroke-linejoin: round;
}
h1, h2 { text-wrap: balance; }
h1 { margin: 0 0 .75rem; font-size: 1.625rem; line-height: 1.25; }
p { margin: 0 0 .75rem; }
p:last-child { margin-bottom: 0; }
section { margin-top: 1.75rem; padding-top: 1.5rem; border-top: 1px solid var(--line); color: var(--quiet); font-size: 1rem; }
h2 { margin: 0 0 .5rem; font-size: 1.125rem; line-height: 1.3; color: var(--text); }
a { color: var(--accent); text-underline-offset: .15em; }
footer { margin-top: 1.25rem; color: var(--quiet); font-size: .9375rem; }
@media (max-width: 30rem) { main { padding: 1.75rem 1.375rem; } }
`;
