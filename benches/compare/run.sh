#!/usr/bin/env bash
# CPU per request of this data plane beside a bare Pingora proxy, nginx and haproxy: one machine, one run, one worker each.
#
#   CONNECTIONS="64 1000"  SECONDS_EACH=15  PROFILE=bench|dev  PROXIES="lgsp bare-pingora nginx haproxy"
#
# CPU is user and system time of the proxy's process tree, from /proc, divided by the requests answered with 200. Ours
# verifies a fresh signature per request, checks permission and writes a record; the others only pass requests on. A run
# with a single error has no result. `make bench` calls this; the figures mean little on a machine that does other work.
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly profile=${PROFILE:-bench} each=${SECONDS_EACH:-15} here=benches/compare
connections=${CONNECTIONS:-64 1000} proxies=${PROXIES:-lgsp bare-pingora nginx haproxy}
export PATH="$PATH:/usr/sbin:/sbin" no_proxy='*' NO_PROXY='*'
ulimit -n "$(ulimit -Hn)"

cargo build --locked --profile "$profile" -p lgsp-dataplane -p lgsp-controlplane -p lgsp-loadtest -p lgsp-benches --bins
case $profile in dev) built=debug ;; bench) built=release ;; *) built=$profile ;; esac
readonly bin="${CARGO_TARGET_DIR:-target}/$built"
mkdir -p .local
home=$(mktemp -d .local/compare.XXXXXX)
pids=()
finish() {
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || :; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || :; done
    rm -rf "$home"
}
trap finish EXIT
trap 'exit 130' INT TERM

wait_until() {
    local end=$((SECONDS + 30))
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { echo "not within 30 s: $*" >&2; exit 1; }
        read -rt 0.1 <> <(:) || :
    done
}

free_port() {
    python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])'
}

# The process and all its descendants, in ticks of the clock.
cpu_ticks() {
    local pid=$1 total child
    # After the name in brackets, which may hold anything: fields 14 and 15 are user and system time.
    total=$(sed 's/.*) //' "/proc/$pid/stat" | awk '{print $12 + $13}')
    for child in $(cat "/proc/$pid/task/"*/children 2>/dev/null); do
        total=$((total + $(cpu_ticks "$child")))
    done
    echo "$total"
}

start_target() {
    "$bin/lgsp-loadtest" echo --address-file "$home/target" > "$home/target.log" 2>&1 &
    pids+=($!)
    wait_until test -s "$home/target"
    target=$(cat "$home/target")
}

from_template() {
    sed -e "s|@LISTEN@|$address|" -e "s|@TARGET@|$target|" -e "s|@DIR@|$PWD/$home|" "$here/$1.in" > "$home/$1"
}

# Each starts one proxy, and sets `address`, `pid` and `signing`.
start_bare-pingora() {
    address=127.0.0.1:$(free_port)
    "$bin/bare_pingora" "$address" "$target" > "$home/bare-pingora.log" 2>&1 &
}
start_nginx() {
    address=127.0.0.1:$(free_port)
    from_template nginx.conf
    nginx -c "$PWD/$home/nginx.conf" > "$home/nginx.log" 2>&1 &
}
start_haproxy() {
    address=127.0.0.1:$(free_port)
    from_template haproxy.cfg
    haproxy -db -f "$home/haproxy.cfg" > "$home/haproxy.log" 2>&1 &
}

# A control plane writes the bundle once; only the node is measured.
start_lgsp() {
    local control ctl
    umask 077
    mkdir -p "$home/node"
    "$bin/lgsp-controlplane" init-key "$home/seal.key" >/dev/null
    printf 'listen: 127.0.0.1:0\ndatabase: %s/c.db\nkey_file: %s/seal.key\npublish: {bundle: %s/bundle.json}\n' \
        "$home" "$home" "$home" > "$home/controlplane.yaml"
    "$bin/lgsp-controlplane" --config "$home/controlplane.yaml" --address-file "$home/control" \
        --token-file "$home/token" > "$home/controlplane.log" 2>&1 &
    control=$!
    pids+=("$control")
    wait_until test -s "$home/control" -a -s "$home/token"
    ctl=("$bin/lgspctl" --server "http://$(cat "$home/control")" --token-file "$home/token")
    wait_until "${ctl[@]}" history
    sed "s|@TARGET@|$target|" "$here/resources.yaml.in" > "$home/resources.yaml"
    "${ctl[@]}" apply -f "$home/resources.yaml" -m compare >/dev/null
    "${ctl[@]}" credential issue source --save "$home/source.key" >/dev/null
    "${ctl[@]}" credential issue target --save "$home/target.key" >/dev/null
    wait_until grep -q Credential "$home/bundle.json"
    kill "$control"
    cat > "$home/dataplane.yaml" <<YAML
node: compare
listeners: [{address: "127.0.0.1:0"}]
admin: {address: "127.0.0.1:0"}
source: {bundle: {file: $home/bundle.json}}
key_file: $home/seal.key
state_dir: $home/node
records: {to: {file: $home/node/records.jsonl}}
limits: {connections_per_address_max: 4000}
threads: {workers: 1, work_stealing: false}
YAML
    "$bin/lgsp-dataplane" --config "$home/dataplane.yaml" --address-file "$home/dataplane.json" > "$home/dataplane.log" 2>&1 &
    local node=$!
    wait_until test -s "$home/dataplane.json"
    address=$(jq -r '.listeners[0]' "$home/dataplane.json")
    wait_until curl -sf "http://$(jq -r .admin "$home/dataplane.json")/readyz"
    . "$home/source.key"
    signing=("$LGSP_ACCESS_KEY" "$LGSP_SECRET_KEY")
    started=$node
}

measure() {
    local proxy=$1 count=$2 before after result requests errors ticks
    ticks=$(getconf CLK_TCK)
    # The first seconds fill pools and caches.
    "$bin/closed_loop" "$address" "$count" 2 /bytes/1024 "${signing[@]}" > /dev/null
    before=$(cpu_ticks "$pid")
    result=$("$bin/closed_loop" "$address" "$count" "$each" /bytes/1024 "${signing[@]}")
    after=$(cpu_ticks "$pid")
    requests=$(jq .requests <<< "$result")
    errors=$(jq .errors <<< "$result")
    if [ "$errors" -ne 0 ] || [ "$requests" -eq 0 ]; then
        printf '%-14s %6s  no result: %s errors\n' "$proxy" "$count" "$errors"
        failed=1
        return
    fi
    awk -v name="$proxy" -v count="$count" -v ticks=$((after - before)) -v hz="$ticks" -v n="$requests" -v rest="$result" \
        -v rate="$(jq '.requests / .seconds | round' <<< "$result")" -v p50="$(jq .p50_micros <<< "$result")" \
        -v p99="$(jq .p99_micros <<< "$result")" \
        'BEGIN { printf "%-14s %6d %12.1f %12d %10d %10d\n", name, count, ticks / hz * 1e6 / n, rate, p50, p99 }'
}

start_target
failed=0
printf '%-14s %6s %12s %12s %10s %10s\n' PROXY CONNS 'CPU µs/req' 'requests/s' 'p50 µs' 'p99 µs'
for proxy in $proxies; do
    signing=() started=''
    "start_$proxy"
    pid=${started:-$!}
    pids+=("$pid")
    wait_until python3 -c "import socket; socket.create_connection(('127.0.0.1', ${address##*:}), 1)"
    for count in $connections; do measure "$proxy" "$count"; done
    # Not TERM: Pingora and nginx would first wait for their connections, bare Pingora for five minutes.
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || :
done
exit "$failed"
