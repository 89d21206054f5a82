# The processes the demo starts, and their end. Sourced by run.sh.
# shellcheck shell=bash

declare -A children=()

# start NAME COMMAND…: runs in the background, logs to a file, ends with the demo.
start() {
    local name=$1
    shift
    suffix=' &' typed "$@"
    "$@" > "$home/log/$name.log" 2>&1 9>&- &
    children[$name]=$!
}

# Fails when a child has ended that should run.
children_run() {
    local name
    for name in "${!children[@]}"; do
        if ! kill -0 "${children[$name]}" 2>/dev/null; then
            indent < <(tail -n 20 "$home/log/$name.log") >&2
            fail "$name has ended by itself"
        fi
    done
}

start_etcd() {
    # etcd cannot be given port 0; the ports are free now, and loopback on a demo machine is quiet.
    local ports
    ports=$(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))')
    etcd_url="http://127.0.0.1:${ports% *}"
    local peer="http://127.0.0.1:${ports#* }"
    start etcd etcd --name demo --data-dir "$home/etcd" --listen-client-urls "$etcd_url" \
        --advertise-client-urls "$etcd_url" --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
        --initial-cluster "demo=$peer" --auto-compaction-retention=1h --log-level warn
    wait_until "etcd answers" 30 env ETCDCTL_API=3 etcdctl --endpoints "$etcd_url" endpoint health
}

# Ends every child: asks first, insists after ten seconds.
stop_children() {
    trap - EXIT
    trap '' HUP INT TERM
    local name end=$((SECONDS + 10))
    for name in "${!children[@]}"; do kill -TERM "${children[$name]}" 2>/dev/null || :; done
    for name in "${!children[@]}"; do
        while kill -0 "${children[$name]}" 2>/dev/null && [ $SECONDS -lt $end ]; do read -rt 0.1 <> <(:) || :; done
        kill -KILL "${children[$name]}" 2>/dev/null || :
        wait "${children[$name]}" 2>/dev/null || :
    done
}
trap 'status=$?; stop_children; exit $status' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

keep_running() {
    printf '\n   %sRunning until Ctrl-C.%s\n' "$bold" "$plain"
    while :; do
        children_run
        read -rt 1 <> <(:) || :
    done
}
