// What the log may hold of a request. Some addresses open things: a shared folder, a document, a call, an account whose
// password is forgotten. Whoever reads the logs must not get them. So a line holds the words with which an address
// begins, and nothing from the first token on. It holds no query.

/**
 * A word of an address, such as `apps`, `v2.php` and `files_sharing`, or a number. Nextcloud makes tokens of letters and
 * digits in any order, so nearly none looks like this.
 */
const WORD = String.raw`(?:[a-z][a-z_.-]{0,23}[0-9]{0,2}(?:\.php)?|[0-9]{1,12})`;

/**
 * Words that tokens follow, also those that somebody chose (`/s/summer`). The routes of Nextcloud 34.0.1 and of
 * its apps have them (`{token}` in appinfo/routes.php, and in attributes of controllers).
 */
const BEFORE_TOKEN = [
  // Shared links of Files, Forms, Tables, Collectives and Calendar; files shared by WebDAV.
  String.raw`s|d|e|p|embed|public\.php|[a-z_-]*(?:public|share|preview)[a-z_-]*`,
  // Accounts: a forgotten password, an invitation, logging in with an app, a request for an account.
  "lostpassword|[a-z_-]*(?:token|invit|secret)[a-z_-]*|flow|grant|verify|register",
  // A single file, its downloads, or another server's word on it; an appointment, and the answer to it.
  "direct|openlocaleditor|files_downloadlimit|async|remote|appointment|accept|decline",
  // Talk: the link to a call, and everything that its API calls by a token.
  "call|(?<=/spreed/api/v[0-9]/)[a-z-]+",
].join("|");

/** Where a word ends. */
const END = "(?=[/?]|$)";
const WORDS = `(?:/{1,2}(?!(?:${BEFORE_TOKEN})${END})${WORD}${END}){0,12}`;
/** WebDAV of one's own files: nobody opens these addresses without a password. The law asks who wrote what. */
const OWN_FILES = String.raw`/remote\.php/(?:webdav|dav/(?:files|uploads|bulk|calendars|addressbooks|principals|trashbin|versions))/`;
/** The rest of a path. `..` could lead elsewhere. */
const REST = String.raw`(?!\.\.|[^?]*/\.\.)[^?]{0,360}`;

/**
 * The maps for `http` that a log's format uses instead of nginx's own variables: `$logged_uri`, `$logged_host`,
 * `$logged_method` and `$logged_agent`. `***` stands for what is left out. Each has at most 400 bytes, because a visitor
 * may send 16 kB in each, and rsyslog cuts lines of more than 8 kB (maxMessageSize): logs-1 would not find their space.
 */
export function renderLogMaps(): string {
  const bounded = (source: string, to: string, bytes: number) => `  map ${source} $${to} {
    default "";
    "~^(?<bounded_${to}>.{0,${bytes}})" $bounded_${to};
  }`;
  return [
    `  map $request_uri $logged_uri {
    default "";
    "~^(?<log_own>${OWN_FILES}${REST})" $log_own;
    "~^(?<log_shared>/public\\.php/dav/files)/[^/?]+(?<log_file>/${REST})" "$log_shared/***$log_file";
    "~^(?<log_all>${WORDS}(?:/{1,2}(?:${BEFORE_TOKEN}))?/?)(?:$|\\?)" $log_all;
    "~^(?<log_words>${WORDS}(?:/{1,2}(?:${BEFORE_TOKEN})${END})?)" "$log_words/***";
  }`,
    bounded("$host", "logged_host", 253),
    bounded("$request_method", "logged_method", 32),
    bounded("$http_user_agent", "logged_agent", 256),
  ].join("\n");
}
