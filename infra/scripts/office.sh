# shellcheck shell=bash source-path=SCRIPTDIR source=lib.sh
# Office suites from their makers' repositories; apt trusts each with one pinned key, for that repository only.

install_packages

# trust SUITE URL FINGERPRINT: keeps that one key of what URL serves.
trust() {
  local suite=$1 url=$2 fingerprint=$3 keyring=/etc/apt/keyrings/$1.gpg home
  gpg --batch --show-keys --with-colons "$keyring" 2>/dev/null | grep -q "^fpr:.*:$fingerprint:" && return
  home=$(mktemp -d)
  curl -fsSL --retry 3 --connect-timeout 20 "$url" | gpg --homedir "$home" --batch --quiet --import ||
    fail "could not read the key of $suite at $url"
  gpg --homedir "$home" --batch --export "$fingerprint" >"$home/key"
  [ -s "$home/key" ] ||
    fail "$url holds no key $fingerprint; nothing was installed. If $suite has announced a new one, write its fingerprint in infra/office.ts."
  file "$keyring" 0644 root:root <"$home/key"
  rm -r "$home"
}

for index in "${!SUITES[@]}"; do
  suite=${SUITES[index]}
  trust "$suite" "${KEYS[index]}" "${FINGERPRINTS[index]}"
  file "/etc/apt/sources.list.d/$suite.sources" 0644 root:root <<<"Types: deb
${SOURCES[index]}Signed-By: /etc/apt/keyrings/$suite.gpg"

  if [ "$suite" = onlyoffice ]; then
    # Its package fills the database as it is installed, and depends on fonts that Debian keeps in contrib.
    file /etc/apt/sources.list.d/contrib.sources 0644 root:root <<<"Types: deb
URIs: https://deb.debian.org/debian
Suites: trixie
Components: contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg"
    enable postgresql.service rabbitmq-server.service
    sql() { runuser -u postgres -- psql -qAtX -v ON_ERROR_STOP=1 -d postgres "$@"; }
    if [ -z "$(sql -c "SELECT 1 FROM pg_database WHERE datname = 'onlyoffice'")" ]; then
      sql -c "DROP ROLE IF EXISTS onlyoffice" -c "CREATE ROLE onlyoffice LOGIN"
      sql -c "CREATE DATABASE onlyoffice OWNER onlyoffice"
      note "database onlyoffice"
    fi
    sql <<<"ALTER ROLE onlyoffice PASSWORD '$ONLYOFFICE_DATABASE_PASSWORD'"
    debconf-set-selections <<<"onlyoffice-documentserver onlyoffice/ds-port select $ONLYOFFICE_PORT
onlyoffice-documentserver onlyoffice/db-host string localhost
onlyoffice-documentserver onlyoffice/db-user string onlyoffice
onlyoffice-documentserver onlyoffice/db-name string onlyoffice
onlyoffice-documentserver onlyoffice/db-pwd password $ONLYOFFICE_DATABASE_PASSWORD
onlyoffice-documentserver onlyoffice/jwt-enabled boolean true
ttf-mscorefonts-installer msttcorefonts/accepted-mscorefonts-eula boolean true"
  fi
done

# shellcheck disable=SC2034 # install_packages reads it.
PACKAGES=("${SUITE_PACKAGES[@]}")
install_packages
install_files

restart_collabora() { systemctl daemon-reload && systemctl restart coolwsd; }
restart_onlyoffice() { systemctl restart ds-docservice ds-converter; }
on_change '/etc/systemd/system/coolwsd*' restart_collabora
on_change '/etc/onlyoffice/*' restart_onlyoffice
for suite in "${SUITES[@]}"; do
  case $suite in
    collabora) enable coolwsd.service ;;
    onlyoffice) enable nginx.service ds-docservice.service ds-converter.service ;;
  esac
done

finish
