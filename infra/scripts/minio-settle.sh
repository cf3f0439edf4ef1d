# shellcheck shell=bash source-path=SCRIPTDIR source=lib.sh
# What concerns the storage clusters as a whole, done once from ops-1: wait until they serve, pair the two sites, give
# the policy of the spaces. $SITES holds the address of the primary site, then that of the replica where there is one.

install_packages
download "$MC_URL" "$MC_SHA256" /usr/local/bin/mc 0755
# mc finds its aliases `primary` and `replica` in /root/.mc, whatever HOME is.
export MC_CONFIG_DIR=/root/.mc
install_files

serves() { curl -fsS -m 5 "$1/minio/health/cluster"; }
for site in "${SITES[@]}"; do
  (wait_until 300 "$site serves" serves "$site") ||
    fail "look at the nodes of that site: journalctl -u minio -n 50 on each says what it waits for. Once mended, run up again."
done

# reply COMMAND…: an mc command's JSON; on failure what MinIO says.
reply() {
  local answer
  answer=$(mc --json "$@") || fail "mc $*: $(jq -r '.error | if type == "object" then .cause.message? // .message else . end' <<<"$answer" 2>/dev/null || echo "$answer")"
  echo "$answer"
}

if [ "${#SITES[@]}" -eq 2 ]; then
  paired() { reply admin replicate info "$1" | jq -r 'if .enabled then [.sites[].name] | sort | join(" ") else "" end'; }
  state="$(paired primary)/$(paired replica)"
  case $state in
    'primary replica/primary replica') ;;
    /)
      (reply admin replicate add primary replica >/dev/null) ||
        fail "where both sites hold data, decide which one is right, empty the other (\`mc rb --force replica/BUCKET\` for each line of \`mc ls replica\`), then run up again."
      note "sites primary and replica paired"
      ;;
    *) fail "site replication is half made: primary says \"${state%/*}\", replica says \"${state#*/}\". Run \`mc admin replicate rm primary --all --force\` and the same for replica, then run up again." ;;
  esac
fi

declared=$(jq -S . "/etc/framaspace/minio/$POLICY.json")
found=$(mc --json admin policy info primary "$POLICY" 2>/dev/null | jq -S '.policyInfo.Policy' || true)
if [ "$declared" != "$found" ]; then
  reply admin policy create primary "$POLICY" "/etc/framaspace/minio/$POLICY.json" >/dev/null
  note "policy $POLICY"
fi

finish
