<?php

// What the host says of itself in each space: on the login page, on pages of shared links, in mails. install-releases
// puts this into each release as Nextcloud's theme "default". Nextcloud uses that theme as long as no other is chosen,
// and its page "Theming" goes on working. A space's own name, slogan and legal notice stand above the host's line.

declare(strict_types=1);

use OCP\Defaults;
use OCP\L10N\IFactory;
use OCP\Server;

class OC_Theme {
    private readonly array $host;

    public function __construct() {
        $platform = file_get_contents('/etc/framaspace/platform.json');
        $this->host = json_decode($platform, true, 16, JSON_THROW_ON_ERROR)['host'];
    }

    public function getBaseUrl(): string {
        return $this->host['url'];
    }

    public function getSlogan(?string $language = null): string {
        return $this->host['slogan'];
    }

    public function getLongFooter(): string {
        $text = static fn (string $app, string $english): string => Server::get(IFactory::class)->get($app)->t($english);
        $links = [
            [$this->host['name'], $this->host['url']],
            [$text('theming', 'Legal notice'), $this->host['legalNotice']],
            [$text('theming', 'Privacy policy'), $this->host['privacy']],
            [$text('files_sharing', 'Terms of service'), $this->host['terms']],
        ];
        $line = array_map(static fn (array $link): string => sprintf(
            '<a href="%s" class="legal" target="_blank" rel="noreferrer noopener">%s</a>',
            htmlspecialchars($link[1]),
            htmlspecialchars($link[0]),
        ), $links);
        return Server::get(Defaults::class)->getShortFooter()
            . '<br><span class="footer__legal-links">' . implode(' · ', $line) . '</span>';
    }
}
