# shellcheck shell=bash
# Office suites from their makers' repositories. For each repository apt trusts one pinned key, and only there.

install_packages

# trust SUITE URL FINGERPRINT: stores the key with this fingerprint, and no other key of the file at URL.
trust() {
  local suite=$1 url=$2 fingerprint=$3 keyring=/etc/apt/keyrings/$1.gpg home
  gpg --batch --show-keys --with-colons "$keyring" 2>/dev/null | grep -q "^fpr:.*:$fingerprint:" && return
  home=$(mktemp -d)
  curl -fsSL --retry 3 --connect-timeout 20 "$url" | gpg --homedir "$home" --batch --quiet --import ||
    fail "could not read the key of $suite at $url"
  gpg --homedir "$home" --batch --export "$fingerprint" >"$home/key"
  [ -s "$home/key" ] ||
    fail "$url holds no key $fingerprint; nothing was installed. If $suite has announced a new one, write its fingerprint in infra/office/office.ts."
  file "$keyring" 0644 root:root <"$home/key"
  rm -r "$home"
}

for index in "${!SUITES[@]}"; do
  suite=${SUITES[index]}
  trust "$suite" "${KEYS[index]}" "${FINGERPRINTS[index]}"
  file "/etc/apt/sources.list.d/$suite.sources" 0644 root:root <<<"Types: deb
${SOURCES[index]}Signed-By: /etc/apt/keyrings/$suite.gpg"
done

# shellcheck disable=SC2034 # install_packages reads it.
PACKAGES=("${SUITE_PACKAGES[@]}")
install_packages
install_files

restart_collabora() { systemctl daemon-reload && systemctl restart coolwsd; }
on_change '/etc/systemd/system/coolwsd*' restart_collabora
enable coolwsd.service

finish
