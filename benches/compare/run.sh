#!/usr/bin/env bash
# CPU, latency and memory of this data plane beside a bare Pingora proxy, nginx, nginx with Lua, and haproxy: one machine,
# one run, one worker each.
#
#   WORKLOADS="get-64 get-1000 post-64 down up rate-1000 idle-1000 idle-10000"  SECONDS_EACH=15  PROFILE=bench|dev
#   PROXIES="lgsp bare-pingora nginx nginx-lua haproxy"
#
# CPU is user and system time of the proxy's process tree, from /proc, divided by the requests answered with 200; for the
# streams of 100 MiB (four connections) by the bytes. Ours and nginx-lua verify a fresh signature per request; ours also
# checks permission, signs for the target and writes a record; the others only pass requests on. A run with a single error
# has no result. `make bench` calls this; the figures mean little on a machine that does other work.
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly profile=${PROFILE:-bench} each=${SECONDS_EACH:-15} here=benches/compare
workloads=${WORKLOADS:-get-64 get-1000 post-64 down up rate-1000 idle-1000 idle-10000}
proxies=${PROXIES:-lgsp bare-pingora nginx nginx-lua haproxy}
readonly stream_bytes=$((100 << 20))
export PATH="$PATH:/usr/sbin:/sbin" no_proxy='*' NO_PROXY='*'
ulimit -n "$(ulimit -Hn)"

cargo build --locked --profile "$profile" -p lgsp-dataplane -p lgsp-controlplane -p lgsp-loadtest -p lgsp-benches --bins
case $profile in dev) built=debug ;; bench) built=release ;; *) built=$profile ;; esac
readonly bin="${CARGO_TARGET_DIR:-target}/$built"
mkdir -p .local
home=$(mktemp -d .local/compare.XXXXXX)
. "$here/processes.sh"
trap finish EXIT
trap 'exit 130' INT TERM

from_template() {
    sed -e "s|@LISTEN@|$address|" -e "s|@TARGET@|$target|" -e "s|@DIR@|$PWD/$home|" -e "s|@HERE@|$PWD/$here|" \
        -e "s|@ACCESS_KEY@|${signing[0]:-}|" -e "s|@SECRET_KEY@|${signing[1]:-}|" "$here/$1.in" > "$home/$1"
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
start_nginx-lua() {
    address=127.0.0.1:$(free_port)
    signing=(COMPARE "$(openssl rand -hex 32)")
    from_template nginx-lua.conf
    nginx -c "$PWD/$home/nginx-lua.conf" > "$home/nginx-lua.log" 2>&1 &
}
start_haproxy() {
    address=127.0.0.1:$(free_port)
    from_template haproxy.cfg
    haproxy -db -f "$home/haproxy.cfg" > "$home/haproxy.log" 2>&1 &
}

is_published() { grep -q Credential "$home/bundle.json"; }
prepare_lgsp() {
    mkdir -p "$home/node"
    publish "bundle: $home/bundle.json"
    cat > "$home/dataplane.yaml" <<YAML
node: compare
listeners: [{address: "127.0.0.1:0"}]
admin: {address: "127.0.0.1:0"}
source: {bundle: {file: $home/bundle.json}}
key_file: $home/seal.key
state_dir: $home/node
records: {to: {file: $home/node/records.jsonl}}
limits: {connections_max: 16000, connections_per_address_max: 16000}
threads: {workers: 1, work_stealing: false}
YAML
}
start_lgsp() {
    [ -s "$home/dataplane.yaml" ] || prepare_lgsp
    start_node dataplane
}

# Connections, path and further arguments of a workload, for the load generator.
arguments_of() {
    case $1 in
    get-*) echo "${1#get-} /bytes/1024" ;;
    rate-*) echo "${1#rate-} /bytes/1024 --rate 3000" ;;
    post-*) echo "${1#post-} /sink --upload 65536" ;;
    down) echo "4 /bytes/$stream_bytes" ;;
    up) echo "4 /sink --upload $stream_bytes" ;;
    idle-*) echo "${1#idle-} /bytes/1024 --idle" ;;
    *) echo "no workload is called $1" >&2; exit 2 ;;
    esac
}

row() { printf '%-13s %-11s %12s %12s %10s %10s %10s\n' "$@"; }

no_result() {
    row "$1" "$2" "$3" - - - -
    failed=1
}

measure() {
    local proxy=$1 workload=$2 count path more before result requests errors
    read -r count path more <<< "$(arguments_of "$workload")"
    # shellcheck disable=SC2086
    set -- "$address" "$count" "$each" "$path" $more "${signing[@]}"
    # The first second fills pools and caches.
    "$bin/closed_loop" "$1" "$2" 1 "${@:4}" > /dev/null
    before=$(cpu_ticks "$pid")
    result=$("$bin/closed_loop" "$@")
    local ticks=$(($(cpu_ticks "$pid") - before))
    requests=$(jq .requests <<< "$result")
    errors=$(jq .errors <<< "$result")
    if [ "$errors" -ne 0 ] || [ "$requests" -eq 0 ]; then
        no_result "$proxy" "$workload" "$errors errors"
        return
    fi
    local per=$requests scale=1e6 unit=µs/req
    case $workload in down | up) per=$((requests * stream_bytes)) scale=1e12 unit=ms/GB ;; esac
    row "$proxy" "$workload" \
        "$(awk "BEGIN { printf \"%.1f\", $ticks / $(getconf CLK_TCK) * $scale / $per }") $unit" \
        "$(jq '.requests / .seconds | round' <<< "$result")" "$(jq .p50_micros <<< "$result")" \
        "$(jq .p99_micros <<< "$result")" "$(($(resident "$pid") / 1024))"
}

# What connections cost that have asked once and rest; on a proxy that has done nothing else.
measure_idle() {
    local proxy=$1 workload=$2 count path more before loader
    read -r count path more <<< "$(arguments_of "$workload")"
    before=$(resident "$pid")
    "$bin/closed_loop" "$address" "$count" 60 "$path" $more "${signing[@]}" > "$home/idle" &
    loader=$!
    wait_until grep -q ready "$home/idle"
    local grown=$(($(resident "$pid") - before))
    kill "$loader"
    wait "$loader" 2>/dev/null || :
    row "$proxy" "$workload" "$(awk "BEGIN { printf \"%.1f\", $grown / $count }") KiB/conn" - - - "$(($(resident "$pid") / 1024))"
}

start_target
failed=0
row PROXY WORKLOAD COST requests/s 'p50 µs' 'p99 µs' 'RSS MiB'
for proxy in $proxies; do
    for workload in $workloads; do
        # Lua hashes a body that is in memory whole, which one of 100 MiB is not.
        [ "$proxy $workload" != "nginx-lua up" ] || continue
        signing=() started=''
        "start_$proxy"
        pid=${started:-$!}
        pids+=("$pid")
        wait_until python3 -c "import socket; socket.create_connection(('127.0.0.1', ${address##*:}), 1)"
        case $workload in idle-*) measure_idle "$proxy" "$workload" ;; *) measure "$proxy" "$workload" ;; esac
        stop "$pid"
        wait "$pid" 2>/dev/null || :
    done
done
exit "$failed"
