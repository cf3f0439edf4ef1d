# shellcheck shell=bash source=space-lib.sh
# Uses a space as a member does, by a throw-away account: what try-space and an upgrade's trial share. Sourced after
# space-lib.sh, with the space read and locked.

# Members see the name for the seconds that this takes. It is always the same, so that a killed run leaves one at most,
# and the next run takes it away. converge-space does not count it as an account.
MEMBER=framaspace-try
# On this machine's memory: for each space, the passwords, what is uploaded, and what web servers answer.
MEMBER_FILES=/run/framaspace/members

# make_member CONFIG RELEASE: makes the account. The space may have all accounts of its plan already: $SCRATCH's
# configuration does not limit them. Prints why the account could not be made, and returns false then.
make_member() {
  local said password
  rm -rf "${MEMBER_FILES:?}/$ID"
  install -d -m 0700 "$MEMBER_FILES/$ID"
  password=$(openssl rand -base64 24)
  keep_password password "$password"
  occ "$1" "$2" user:delete "$MEMBER" >/dev/null 2>&1 || true
  # An app password, as sync clients have: with the account's own, each request of WebDAV takes 0.3 s longer.
  if said=$(OC_PASS=$password occ "$1" "$2" user:add --password-from-env "$MEMBER" 2>&1) &&
    said=$(occ "$1" "$2" user:auth-tokens:add "$MEMBER" 2>&1); then
    keep_password app-password "${said##*$'\n'}"
  else
    echo "an account cannot be made: $(grep -v '^ *$' <<<"$said" | tail -n 1 | cut -c 1-200)"
    return 1
  fi
}

# keep_password NAME PASSWORD: in a file for curl, not in the list of processes.
keep_password() { printf 'user = "%s:%s"\n' "$MEMBER" "$2" >"$MEMBER_FILES/$ID/$1"; }

# drop_member CONFIG RELEASE: deletes the account with its files.
drop_member() {
  rm -rf "${MEMBER_FILES:?}/$ID"
  occ "$1" "$2" user:delete "$MEMBER" >/dev/null 2>&1
}

# make_upload BYTES…: makes the file that is uploaded, in parts of these sizes, which are multiples of 4.
make_upload() {
  local bytes part=0
  for bytes; do
    part=$((part + 1))
    head -c $((bytes * 3 / 4)) /dev/urandom | base64 -w 0 >"$MEMBER_FILES/$ID/part$part"
  done
  cat "$MEMBER_FILES/$ID"/part? >"$MEMBER_FILES/$ID/file"
}

# ask WEB PATH WORDS…: asks the web server, and prints the status. The answer is in $MEMBER_FILES/$ID/WEB.
ask() {
  curl -s -o "$MEMBER_FILES/$ID/$1" -w '%{http_code}' --connect-timeout 5 --max-time 60 -H "Host: $HOST" \
    "${@:3}" "http://$1/$2" || true
}

# as_member WEB METHOD PATH WORDS…: asks for WebDAV, as a sync client does.
as_member() { ask "$1" "remote.php/dav/$3" -K "$MEMBER_FILES/$ID/app-password" -X "$2" "${@:4}"; }

# expect WEB STATUSES WHAT STATUS: prints what is wrong with another status. Returns false then.
expect() {
  [[ " $2 " != *" $4 "* ]] || return 0
  echo "$1 answers $3 with $4: $(tr -d '\n' <"$MEMBER_FILES/$ID/$1" 2>/dev/null | cut -c 1-200)"
  return 1
}

# compare WEB WHAT: what the web server answered must be what was uploaded, every byte. This and what follows print what
# is wrong, and return false then.
compare() {
  cmp -s "$MEMBER_FILES/$ID/file" "$MEMBER_FILES/$ID/$1" || {
    echo "$1 $2 $(stat -c %s "$MEMBER_FILES/$ID/$1") of $(stat -c %s "$MEMBER_FILES/$ID/file") bytes, or others"
    return 1
  }
}

# read_back WEB NAME WORDS…: reads a file that was uploaded.
read_back() {
  expect "$1" 200 "reading $2" "$(as_member "$1" GET "files/$MEMBER/$2" "${@:3}")" || return 1
  compare "$1" "acknowledged $2, and gives back"
}

# try_whole WEB NAME WORDS…: uploads the file in one piece. WORDS go with every request.
try_whole() {
  local web=$1 name=$2
  shift 2
  expect "$web" "201 204" "an upload" "$(as_member "$web" PUT "files/$MEMBER/$name" -T "$MEMBER_FILES/$ID/file" "$@")" || return 1
  read_back "$web" "$name" "$@"
}

# try_chunks WEB NAME old|new LENGTH WORDS…: uploads its parts. Old clients say where the file goes only when they put it
# together, new ones with each request: Nextcloud has code for each, and 34.0.1 refuses the chunks of old ones. LENGTH
# goes with the request that puts them together, and may be empty.
try_chunks() {
  local web=$1 name=$2 client=$3 length=$4 folder=uploads/$MEMBER/$2 part
  shift 4
  local goes=(-H "Destination: /remote.php/dav/files/$MEMBER/$name")
  local to=("$@")
  [ "$client" = old ] || to+=("${goes[@]}")
  expect "$web" 201 "the begin of an upload in chunks by $client clients" "$(as_member "$web" MKCOL "$folder" "${to[@]}")" || return 1
  for part in "$MEMBER_FILES/$ID"/part?; do
    expect "$web" "200 201 204" "chunk ${part: -1} of $client clients" "$(as_member "$web" PUT "$folder/${part: -1}" -T "$part" "${to[@]}")" || return 1
  done
  expect "$web" "201 204" "the end of an upload in chunks by $client clients" "$(as_member "$web" MOVE "$folder/.file" "${goes[@]}" "$@" \
    -H "OC-Total-Length: $(stat -c %s "$MEMBER_FILES/$ID/file")" ${length:+-H "$length"})" || return 1
  read_back "$web" "$name" "$@"
}

# try_delete WEB NAME WORDS…: deletes a file. One that was refused is not there.
try_delete() {
  expect "$1" "204 404" "a deletion" "$(as_member "$1" DELETE "files/$MEMBER/$2" "${@:3}")" || true
}
