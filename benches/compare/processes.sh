# The processes of a comparison: how they are waited for, measured and ended. Sourced by the scripts beside it, which set
# `bin` (the programs) and `home` (their directory).
# shellcheck shell=bash

pids=()
finish() {
    for pid in "${pids[@]}"; do stop "$pid"; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || :; done
    rm -rf "$home"
} 2>/dev/null # bash would tell of each process that it was killed

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

# Resident memory of the process and all its descendants, in KiB.
resident() {
    local pid=$1 total child
    total=$(awk '/^VmRSS/ {print $2}' "/proc/$pid/status")
    for child in $(cat "/proc/$pid/task/"*/children 2>/dev/null); do
        total=$((total + $(resident "$child")))
    done
    echo "$total"
}

# The process and its children, which nginx's workers would survive. Not TERM: Pingora and nginx would first wait for their
# connections, bare Pingora for five minutes.
stop() {
    # shellcheck disable=SC2046
    kill -KILL "$1" $(cat "/proc/$1/task/"*/children 2>/dev/null) 2>/dev/null || :
}

start_target() {
    "$bin/lgsp-loadtest" echo --address-file "$home/target" > "$home/target.log" 2>&1 &
    pids+=($!)
    wait_until test -s "$home/target"
    target=$(cat "$home/target")
}

# A control plane publishes the resources of the comparison (and those given) once, to `$1`, and is ended when `$2` says
# that they are there: only nodes are measured. Leaves the keys of source and target in their files.
publish() {
    local to=$1 is_published=$2 control ctl
    shift 2
    umask 077
    "$bin/lgsp-controlplane" init-key "$home/seal.key" >/dev/null
    printf 'listen: 127.0.0.1:0\ndatabase: %s/c.db\nkey_file: %s/seal.key\nsystems_need_approval: false\npublish: {%s}\n' \
        "$home" "$home" "$to" > "$home/controlplane.yaml"
    "$bin/lgsp-controlplane" --config "$home/controlplane.yaml" --address-file "$home/control" \
        --token-file "$home/token" > "$home/controlplane.log" 2>&1 &
    control=$!
    pids+=("$control")
    wait_until test -s "$home/control" -a -s "$home/token"
    ctl=("$bin/lgspctl" --server "http://$(cat "$home/control")" --token-file "$home/token")
    wait_until "${ctl[@]}" history
    sed "s|@TARGET@|$target|" "$here/resources.yaml.in" | cat - "$@" > "$home/resources.yaml"
    "${ctl[@]}" apply -f "$home/resources.yaml" -m compare > "$home/apply.log" 2>&1 || { cat "$home/apply.log" >&2; exit 1; }
    "${ctl[@]}" credential issue source --save "$home/source.key" >/dev/null
    "${ctl[@]}" credential issue target --save "$home/target.key" >/dev/null
    wait_until "$is_published"
    kill "$control"
    wait "$control" 2>/dev/null || :
}

# The same to a file, for one node; leaves how a node gets it in `bundle`.
publish_bundle() {
    bundle="bundle: {file: $home/bundle.json}"
    publish "bundle: $home/bundle.json" is_in_bundle
}
is_in_bundle() { grep -q Credential "$home/bundle.json"; }

# Writes the settings of a node with one worker, called `$1`, whose configuration comes from `$2`.
settings() {
    mkdir -p "$home/$1.d"
    cat > "$home/$1.yaml" <<YAML
node: $1
listeners: [{address: "127.0.0.1:0"}]
admin: {address: "127.0.0.1:0"}
source: {$2}
key_file: $home/seal.key
state_dir: $home/$1.d
records: {to: {file: $home/$1.d/records.jsonl}}
targets: {allow: [loopback]}
limits: {connections_max: 16000, connections_per_address_max: 16000}
threads: {workers: 1, work_stealing: false}
YAML
}

# Starts the node whose settings are `$1.yaml`; leaves its address in `address` and its process in `started`.
start_node() {
    local name=$1 node
    rm -f "$home/$name.json"
    "$bin/lgsp-dataplane" --config "$home/$name.yaml" --address-file "$home/$name.json" > "$home/$name.log" 2>&1 &
    node=$!
    wait_until test -s "$home/$name.json"
    address=$(jq -r '.listeners[0]' "$home/$name.json")
    wait_until curl -sf "http://$(jq -r .admin "$home/$name.json")/readyz"
    . "$home/source.key"
    signing=("$LGSP_ACCESS_KEY" "$LGSP_SECRET_KEY")
    started=$node
}
