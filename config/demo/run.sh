#!/usr/bin/env bash
# The demo behind `make demo`: two agencies, a node, and real signed requests, with the commands an operator would type.
#
#   STORE=bundle|etcd   how the configuration travels to the node
#   CHECK=1             verify every outcome, stop, and fail if anything differs
#   PROFILE=dev         which build of the programs
#
# Everything listens on free loopback ports, lives under .local/demo, and ends with this script.
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly store=${STORE:-bundle} check=${CHECK:-0} home=.local/demo here=config/demo
case $store in bundle | etcd) ;; *) echo "STORE=$store is not known: use bundle or etcd" >&2; exit 2 ;; esac

built=$(PROFILE=${PROFILE:-dev} config/programs.sh)
export PATH="$built:$PATH"
# Requests go to loopback, whatever proxy the machine is configured for; nobody's ~/.curlrc changes what is shown.
export no_proxy='*' NO_PROXY='*' CURL_HOME=/nonexistent
unset ALL_PROXY all_proxy http_proxy
mkdir -p .local
exec 9>.local/demo.lock
flock -n 9 || { echo "another demo is running in this checkout; stop it with Ctrl-C first" >&2; exit 1; }
umask 077
rm -rf "$home"
mkdir -p "$home"/{keys,answers,log,node,resources}

. "$here/show.sh"
. "$here/children.sh"
. "$here/requests.sh"

title "The key that seals secrets, and the control plane"
run lgsp-controlplane init-key "$home/seal.key"
if [ "$store" = etcd ]; then
    start_etcd
    publish="etcd: {endpoints: [\"$etcd_url\"]}"
    source_of_node="etcd: {endpoints: [\"$etcd_url\"]}"
else
    publish="bundle: $home/bundle.json"
    source_of_node="bundle: {file: $home/bundle.json}"
fi
cat > "$home/controlplane.yaml" <<YAML
listen: 127.0.0.1:0
database: $home/controlplane.db
key_file: $home/seal.key
core_dumps: true   # so that \`lgsp-loadtest compliance\` may look at the files it has open without being root
publish:
  $publish
YAML
start controlplane lgsp-controlplane --config "$home/controlplane.yaml" \
    --address-file "$home/controlplane.address" --token-file "$home/operator.token"
wait_until "the control plane listens" 30 test -s "$home/controlplane.address" -a -s "$home/operator.token"
export LGSPCTL_SERVER="http://$(cat "$home/controlplane.address")" LGSPCTL_TOKEN_FILE="$home/operator.token"
shown_export LGSPCTL_SERVER LGSPCTL_TOKEN_FILE
wait_until "the control plane answers" 30 lgspctl history

title "Who takes part: two agencies and a system of each"
cp "$here"/resources/10-agencies.yaml "$home/resources/"
run lgspctl apply -f "$home/resources/10-agencies.yaml" -m "two agencies join"

title "No key exists before approval: an agency applies, its application is reviewed and approved"
run_expecting 3 lgspctl credential issue mot-cua
run lgspctl application submit -f "$here/application.yaml"
run lgspctl application review 1
run_quiet lgspctl application approve 1 --letter 12/STTTT-CNTT -m "fit to connect" --issue --save "$home/keys/mot-cua"
run lgspctl application show 1
run lgspctl system approve ho-tich --letter 13/STTTT-CNTT -m "offers the civil status service"

title "Each further key; the secret is shown once and stored only sealed"
run_quiet lgspctl credential issue ho-tich --name ho-tich-1 --save "$home/keys/ho-tich"
run_quiet lgspctl credential issue mot-cua --name mot-cua-2 --save "$home/keys/mot-cua-2"
run lgspctl credential list

title "The targets: each proves with its own secret that what it receives came through LGSP"
start target-ho-tich lgsp-loadtest echo --verify-secret-file "$home/keys/ho-tich" \
    --address-file "$home/target-ho-tich.address" --log "$home/log/seen-by-ho-tich.jsonl"
start target-mot-cua lgsp-loadtest echo --verify-secret-file "$home/keys/mot-cua" --verify-secret-file "$home/keys/mot-cua-2" \
    --address-file "$home/target-mot-cua.address" --log "$home/log/seen-by-mot-cua.jsonl"
for system in ho-tich mot-cua; do
    wait_until "the target of $system listens" 30 test -s "$home/target-$system.address"
done

title "Services, routes and permissions, as one change"
sed "s/127.0.0.1:9101/$(cat "$home/target-ho-tich.address")/" "$here/resources/20-ho-tich.yaml" > "$home/resources/20-ho-tich.yaml"
sed "s/127.0.0.1:9102/$(cat "$home/target-mot-cua.address")/" "$here/resources/30-mot-cua.yaml" > "$home/resources/30-mot-cua.yaml"
sed "s/127.0.0.1:9101/$(cat "$home/target-ho-tich.address")/" "$here/resources/40-do-tai.yaml" > "$home/resources/40-do-tai.yaml"
run lgspctl apply -f "$home/resources" -m "births may be looked up, case files handed over"

title "A node: it needs the sealing key and the published configuration, nothing else"
cat > "$home/dataplane.yaml" <<YAML
node: node-1
listeners: [{address: "127.0.0.1:0"}]
admin: {address: "127.0.0.1:0"}
source:
  $source_of_node
key_file: $home/seal.key
state_dir: $home/node
core_dumps: true   # as above
records: {to: {file: $home/node/records.jsonl}}
targets: {allow: [loopback]}                  # the targets run on this machine
limits: {connections_per_address_max: 2000}   # everything here comes from one address, a load test of 1000 connections too
YAML
start dataplane lgsp-dataplane --config "$home/dataplane.yaml" --address-file "$home/dataplane.json"
wait_until "the node listens" 30 test -s "$home/dataplane.json"
lgsp="http://$(jq -r '.listeners[0]' "$home/dataplane.json")"
admin="http://$(jq -r .admin "$home/dataplane.json")"
wait_until "the node is ready" 30 curl -sf -o /dev/null "$admin/readyz"
shown_export lgsp admin
run curl -s "$admin/readyz?verbose"
if [ "$store" = etcd ]; then
    wait_until "the node reports what it serves" 30 node_serves 5
    run lgspctl nodes
fi

send_everything
summary
[ "$check" != 1 ] || { verify_traces; finish_check; }
keep_running
