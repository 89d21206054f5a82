#!/usr/bin/env bash
# What it costs that a nonce is good once in the whole cluster: CPU and latency of one node and of three, with and without
# `cluster`. Real processes, a real etcd, mutually authenticated TLS between the nodes; one worker each, one machine.
#
#   SECONDS_EACH=8  CONNECTIONS=48  RATE=900  PROFILE=bench|release|dev
#   SETUPS="one one-clustered three three-clustered"  BIN=a directory of programs, to build none
#
# Every setup gets the same signed look-ups of 1 KiB, first as fast as they are answered, then at RATE a second, for
# latency that is not that of a full machine. CPU is that of the nodes, divided by the exchanges; ASKED is the share of
# exchanges for which another node was asked. Beside `three`, which splits the load alike and asks nobody, `three-clustered`
# shows what a question costs: that is the last line. A run with a single error has no result.
#
# Two settings differ from what a node has by default: the clock window is short, so that the nodes have forgotten how they
# joined when the measurement begins (until then former owners are asked too), and owners have a second to answer, because
# on a full machine 10 ms would measure the scheduler.
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly profile=${PROFILE:-bench} each=${SECONDS_EACH:-8} connections=${CONNECTIONS:-48} rate=${RATE:-900}
readonly here=benches/compare clock_window_secs=5
setups=${SETUPS:-one one-clustered three three-clustered}
export PATH="$PATH:/usr/sbin:/sbin" no_proxy='*' NO_PROXY='*'
ulimit -n "$(ulimit -Hn)"

bin=${BIN:-$(PROFILE=$profile config/programs.sh -p lgsp-dataplane -p lgsp-controlplane -p lgsp-loadtest -p lgsp-benches)}
readonly bin
mkdir -p .local
home=$(mktemp -d .local/cluster.XXXXXX)
. "$here/processes.sh"
trap finish EXIT
trap 'exit 130' INT TERM

start_etcd() {
    local peer
    etcd_url=http://127.0.0.1:$(free_port)
    peer=http://127.0.0.1:$(free_port)
    etcd --name bench --data-dir "$home/etcd" --listen-client-urls "$etcd_url" --advertise-client-urls "$etcd_url" \
        --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "bench=$peer" \
        --log-level warn > "$home/etcd.log" 2>&1 &
    pids+=($!)
    wait_until env ETCDCTL_API=3 etcdctl --endpoints "$etcd_url" endpoint health
}
is_in_etcd() {
    ETCDCTL_API=3 etcdctl --endpoints "$etcd_url" get --prefix '' | grep -aq '"Credential"'
}

# An authority, and for each node a certificate in its name.
certify() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj '/CN=bench' \
        -keyout "$home/ca.key" -out "$home/ca.pem" 2>/dev/null
    local name
    for name in node-1 node-2 node-3; do
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
            -keyout "$home/$name.key" -out "$home/$name.csr" 2>/dev/null
        openssl x509 -req -in "$home/$name.csr" -CA "$home/ca.pem" -CAkey "$home/ca.key" -days 1 \
            -extfile <(printf 'subjectAltName=DNS:%s' "$name") -out "$home/$name.pem" 2>/dev/null
    done
}

# What makes the node `$1` one of the cluster.
join_cluster() {
    cat >> "$home/$1.yaml" <<YAML
cluster:
  listen: 127.0.0.1:0
  certificate: $home/$1.pem
  key: $home/$1.key
  authority: $home/ca.pem
  ask_deadline_ms: 1000
YAML
}

metric() {
    curl -sf "http://$(jq -r .admin "$home/$1.json")/metrics" | awk -v name="$2" '
        index($1, name "{") == 1 || $1 == name { total += $2 } END { print total + 0 }'
}
total() {
    local name sum=0
    for name in "${names[@]}"; do sum=$((sum + $(metric "$name" "$1"))); done
    echo "$sum"
}
know_each_other() {
    [ "$(total lgsp_cluster_nodes)" -eq $((${#names[@]} * ${#names[@]})) ] &&
        [ "$(total lgsp_cluster_connections)" -eq $((${#names[@]} * (${#names[@]} - 1))) ]
}
all_ticks() {
    local pid sum=0
    for pid in "${nodes[@]}"; do sum=$((sum + $(cpu_ticks "$pid"))); done
    echo "$sum"
}

start_setup() {
    local clustered=no name
    names=(node-1) nodes=() addresses=''
    case $1 in three*) names=(node-1 node-2 node-3) ;; one*) ;; *) echo "no setup is called $1" >&2; exit 2 ;; esac
    case $1 in *-clustered) clustered=yes ;; esac
    for name in "${names[@]}"; do
        settings "$name" "etcd: {endpoints: [\"$etcd_url\"]}"
        [ "$clustered" = no ] || join_cluster "$name"
        start_node "$name"
        nodes+=("$started")
        pids+=("$started")
        addresses+=${addresses:+,}$address
    done
    if [ "$clustered" = yes ]; then
        wait_until know_each_other
        # For a clock window, and as long before it, a request could have been taken under the list before.
        sleep $((2 * clock_window_secs + 1))
    fi
}
stop_setup() {
    local pid
    for pid in "${nodes[@]}"; do stop "$pid"; wait "$pid" 2>/dev/null || :; done
    # Their leases run out: the next setup must not find them.
    wait_until nobody_is_registered
}
nobody_is_registered() {
    [ -z "$(ETCDCTL_API=3 etcdctl --endpoints "$etcd_url" lease list | tail -n +2)" ]
}

row() { printf '%-16s %-10s %12s %12s %10s %10s %8s\n' "$@"; }

# measure SETUP LOAD [--rate …]
measure() {
    local setup=$1 load=$2 before asked result requests errors cpu
    shift 2
    "$bin/closed_loop" "$addresses" "$connections" 1 /bytes/1024 "$@" "${signing[@]}" > /dev/null
    before=$(all_ticks) asked=$(total lgsp_replay_questions_total)
    result=$("$bin/closed_loop" "$addresses" "$connections" "$each" /bytes/1024 "$@" "${signing[@]}")
    cpu=$(($(all_ticks) - before)) asked=$(($(total lgsp_replay_questions_total) - asked))
    requests=$(jq .requests <<< "$result")
    errors=$(jq .errors <<< "$result")
    if [ "$errors" -ne 0 ] || [ "$requests" -eq 0 ]; then
        row "$setup" "$load" "$errors errors" - - - -
        failed=1
        return
    fi
    micros[$setup $load]=$(awk "BEGIN { print $cpu / $(getconf CLK_TCK) * 1e6 / $requests }")
    share[$setup $load]=$(awk "BEGIN { print $asked / $requests }")
    row "$setup" "$load" "$(printf '%.1f' "${micros[$setup $load]}")" "$(jq '.requests / .seconds | round' <<< "$result")" \
        "$(jq .p50_micros <<< "$result")" "$(jq .p99_micros <<< "$result")" \
        "$(printf '%.0f%%' "$(awk "BEGIN { print 100 * ${share[$setup $load]} }")")"
}

declare -A micros=() share=()
failed=0
start_target
start_etcd
certify
printf -- '---\nkind: Defaults\nname: default\nspec: {clock_window_secs: %d}\n' "$clock_window_secs" > "$home/defaults.yaml"
publish "etcd: {endpoints: [\"$etcd_url\"]}" is_in_etcd "$home/defaults.yaml"
row SETUP LOAD 'CPU µs' requests/s 'p50 µs' 'p99 µs' ASKED
for setup in $setups; do
    start_setup "$setup"
    measure "$setup" full
    measure "$setup" "$rate/s" --rate "$rate"
    stop_setup
done
for load in full "$rate/s"; do
    [ -n "${micros[three $load]:-}" ] && [ -n "${micros[three-clustered $load]:-}" ] || continue
    awk -v with="${micros[three-clustered $load]}" -v without="${micros[three $load]}" \
        -v share="${share[three-clustered $load]}" -v load="$load" 'BEGIN {
            if (share > 0) printf "a question costs both nodes together %.1f µs (%s)\n", (with - without) / share, load }'
done
exit "$failed"
