// What the host's theme shows in a space. PHP runs the real file, with a fake of the classes of Nextcloud that it asks.
import { execaSync } from "execa";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { onPath } from "../../support/fakes.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "theme-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const NEXTCLOUD = `
namespace OCP\\L10N { interface IFactory {} }
namespace OCP { class Defaults {} }
namespace OCP {
  class Server {
    static function get(string $class): object {
      return new class {
        function get(string $app): object { return $this; }
        function t(string $english): string { return ["Legal notice" => "Mentions légales"][$english] ?? $english; }
        function getShortFooter(): string { return "Les Amis du Lotus"; }
      };
    }
  }
}
namespace {
  require $argv[1];
  $theme = new OC_Theme();
  echo json_encode([$theme->getSlogan("fr"), $theme->getBaseUrl(), $theme->getLongFooter()]);
}`;

function theme(host: object): string[] {
  const file = join(root, "platform.json");
  writeFileSync(file, JSON.stringify({ host }));
  const source = readFileSync(
    join(import.meta.dirname, "../../../spaces/agent/rootfs/usr/local/share/framaspace/theme.php"),
    "utf8",
  );
  writeFileSync(join(root, "theme.php"), source.replace("/etc/framaspace/platform.json", file));
  const { stdout } = execaSync("php", ["-r", NEXTCLOUD, join(root, "theme.php")]);
  return JSON.parse(stdout) as string[];
}

describe.skipIf(!onPath("php"))("theme.php (php on PATH)", () => {
  it("shows the host's pages below what the space shows of itself, and escapes them", () => {
    const [slogan, url, footer = ""] = theme({
      name: "Framaspace & co",
      url: "https://host.example.org",
      slogan: "un espace",
      legalNotice: "https://host.example.org/legal?a=1&b=2",
      privacy: "https://host.example.org/privacy",
      terms: "https://host.example.org/terms",
    });
    expect([slogan, url]).toEqual(["un espace", "https://host.example.org"]);
    expect(footer).toMatch(/^Les Amis du Lotus<br>/);
    expect(
      [...footer.matchAll(/<a href="([^"]*)"[^>]*>([^<]*)<\/a>/g)].map(([, to, text]) => [to, text]),
    ).toEqual([
      ["https://host.example.org", "Framaspace &amp; co"],
      ["https://host.example.org/legal?a=1&amp;b=2", "Mentions légales"],
      ["https://host.example.org/privacy", "Privacy policy"],
      ["https://host.example.org/terms", "Terms of service"],
    ]);
  });
});
