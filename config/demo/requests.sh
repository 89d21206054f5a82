# The requests of the demo, what became of them, and what is verified. Sourced by run.sh.
# shellcheck shell=bash

declare -a outcomes=()
differences=0
readonly canary="canh-bao-$RANDOM-$RANDOM"

# ask WHAT STATUS CODE COMMAND…: shows a curl command, runs it, and enters what became of it.
ask() {
    local what=$1 wanted_status=$2 wanted_code=$3
    shift 3
    typed_curl "$@"
    answered "$@"
    enter "$what" "$wanted_status" "$wanted_code"
}

# Runs a command that runs curl; where the answer goes is in a curlrc, so that what is shown is what a person types.
answered() {
    rm -f "$home/answers/head" "$home/answers/body"
    printf '%s\n' silent show-error "dump-header = $home/answers/head" "output = $home/answers/body" > "$home/answers/.curlrc"
    CURL_HOME=$home/answers "$@" 2> "$home/answers/error" || :
}

# The keys are in variables when a person types this.
typed_curl() {
    typed "$@" | sed -e "s|$LGSP_ACCESS_KEY:$LGSP_SECRET_KEY|\$LGSP_ACCESS_KEY:\$LGSP_SECRET_KEY|" -e "s|$lgsp|\$lgsp|"
}

# Reads the answer that was kept, shows it, and compares it with what was wanted.
enter() {
    local what=$1 wanted_status=$2 wanted_code=$3 status code id verdict=$green
    [ -e "$home/answers/head" ] || : > "$home/answers/head"
    status=$(sed -nE 's|^HTTP/[0-9.]+ ([0-9]+).*|\1|p' "$home/answers/head" 2>/dev/null | tail -n 1)
    id=$(sed -nE 's|^lgsp-request-id: *([^[:space:]]+).*|\1|Ip' "$home/answers/head" 2>/dev/null | tail -n 1)
    code=-
    if grep -qi '^content-type: application/problem+json' "$home/answers/head" 2>/dev/null; then
        code=$(jq -r .code "$home/answers/body")
        jq -r '"\(.title)", "→ \(.next // .detail // "")"' "$home/answers/body" | indent
    elif [ -s "$home/answers/body" ]; then
        head -c 300 "$home/answers/body" | indent
        printf '\n'
    fi
    if [ "${status:-none}" != "$wanted_status" ] || [ "$code" != "$wanted_code" ]; then
        verdict=$red
        differences=$((differences + 1))
        cat "$home/answers/error" >&2 2>/dev/null || :
        printf '   %sexpected %s %s%s\n' "$red" "$wanted_status" "$wanted_code" "$plain"
    fi
    printf '   %s→ %s %s%s  %s\n' "$verdict" "${status:-no answer}" "$code" "$plain" "${id:--}"
    outcomes+=("$what|${status:-none}|$code|${id:--}")
}

# use_key FILE: the credential in the file, as a person would load it.
use_key() {
    printf '   %s$ . %s%s\n' "$dim" "$1" "$plain"
    . "$1"
    export LGSP_ACCESS_KEY LGSP_SECRET_KEY
}

send_everything() {
    title "Allowed: the one-stop shop looks a birth up, with plain curl"
    use_key "$home/keys/mot-cua"
    local sigv4=(curl --aws-sigv4 aws:amz:vn:s3 --user "$LGSP_ACCESS_KEY:$LGSP_SECRET_KEY")
    ask "birth looked up, curl SigV4" 200 - "${sigv4[@]}" "$lgsp/ho-tich/khai-sinh/2026-00123?headers=1"

    title "Allowed: the same with an HTTP message signature (RFC 9421)"
    sign GET "$lgsp/ho-tich/khai-sinh/2026-00124?headers=1"
    replay "birth looked up, RFC 9421" 200 -

    title "Refused: exactly that request a second time"
    replay "the same request again" 401 replayed

    title "Refused: nobody permitted the one-stop shop to look marriages up"
    ask "marriage looked up, no permission" 403 permission-missing "${sigv4[@]}" "$lgsp/ho-tich/ket-hon/2026-00077"

    title "Allowed: the justice department hands a 64 MiB scan over, with its digest"
    use_key "$home/keys/ho-tich"
    suffix=" > $home/scan.bin" typed head -c 64M /dev/urandom
    { printf '%s' "$canary"; head -c $((64 * 1024 * 1024 - ${#canary})) /dev/urandom; } > "$home/scan.bin"
    sign PUT "$lgsp/mot-cua/ho-so/2026-00123/quet.bin" --body-file "$home/scan.bin"
    replay "64 MiB handed over, digest verified" 200 -

    title "Refused: a key that was disabled a moment ago"
    use_key "$home/keys/mot-cua-2"
    sigv4=(curl --aws-sigv4 aws:amz:vn:s3 --user "$LGSP_ACCESS_KEY:$LGSP_SECRET_KEY")
    ask "second key of mot-cua, active" 200 - "${sigv4[@]}" "$lgsp/ho-tich/khai-sinh/2026-00125?headers=1"
    run lgspctl credential disable mot-cua-2
    local wanted
    wanted=$(lgspctl history -o json | jq '[.. | .revision? // empty] | max')
    wait_until "the node serves revision $wanted" 30 node_serves "$wanted"
    if [ "$store" = etcd ]; then run lgspctl nodes; else run curl -s --unix-socket "$home/node/admin.sock" http://node/v1/config; fi
    ask "second key of mot-cua, disabled" 403 key-disabled "${sigv4[@]}" "$lgsp/ho-tich/khai-sinh/2026-00125?headers=1"
}

# Whether the node decides by this revision or a later one. Through etcd it reports to the control plane; beside a bundle
# file it is asked itself.
node_serves() {
    if [ "$store" = etcd ]; then
        lgspctl nodes -o json | jq -e --argjson wanted "$1" '[.nodes[].active // 0] | length > 0 and min >= $wanted'
    else
        curl -sf --unix-socket "$home/node/admin.sock" http://node/v1/config | jq -e --argjson wanted "$1" '.revision >= $wanted'
    fi
}

# sign METHOD URL …: writes a signed curl command to a file.
sign() {
    suffix=" > $home/once.sh" typed lgspctl sign "$@" | sed "s|$lgsp|\$lgsp|"
    lgspctl sign "$@" > "$home/once.sh" || fail "the request could not be signed"
}

# Runs the signed command that `sign` wrote.
replay() {
    typed sh "$home/once.sh"
    answered sh "$home/once.sh"
    enter "$@"
}

summary() {
    title "What happened"
    {
        echo "REQUEST|STATUS|CODE|REQUEST ID"
        printf '%s\n' "${outcomes[@]}"
    } | column -t -s '|' 2>/dev/null | indent || printf '   %s\n' "${outcomes[@]}"
    printf '\n   Where to look next\n'
    say "records        tail -f $home/node/records.jsonl | jq ."
    say "the node       curl '$admin/readyz?verbose'; curl $admin/metrics"
    say "               curl --unix-socket $home/node/admin.sock http://node/v1/config"
    say "configuration  export LGSPCTL_SERVER=$LGSPCTL_SERVER LGSPCTL_TOKEN_FILE=$LGSPCTL_TOKEN_FILE"
    say "               lgspctl history; lgspctl get; lgspctl nodes      (in ${PATH%%:*})"
    say "API            $LGSPCTL_SERVER/openapi.json"
    say "targets        $home/log/seen-by-*.jsonl"
    say "logs           $home/log"
}

# Beyond the answers: what the targets and the node kept.
verify_traces() {
    title "Verified"
    local records="$home/node/records.jsonl" seen="$home/log" wanted got
    wait_until "${#outcomes[@]} records are written" 10 test_lines "$records" ${#outcomes[@]}
    expect "one record per exchange" "${#outcomes[@]}" "$(wc -l < "$records")"
    for outcome in "${outcomes[@]}"; do
        got=$(jq -r --arg id "${outcome##*|}" 'select(.request_id == $id) | .status' "$records")
        wanted=$(cut -d'|' -f2 <<< "$outcome")
        expect "the record of ${outcome##*|}" "$wanted" "$got"
    done
    expect "the target received the scan whole" "$(sha256sum < "$home/scan.bin" | cut -d' ' -f1)" \
        "$(jq -r 'select(.method == "PUT" and .complete and .verified) | .sha256' "$seen/seen-by-mot-cua.jsonl")"
    expect "the targets saw only what was allowed, signed by the platform" "3 1" \
        "$(jq -r 'select(.complete and .verified) | .path' "$seen/seen-by-ho-tich.jsonl" | wc -l) $(jq -r .path "$seen/seen-by-mot-cua.jsonl" | wc -l)"
    expect "nothing of the payload was kept" "" "$(grep -rlF "$canary" "$home" --exclude=scan.bin || :)"
    expect "no secret is in a log, a record or the configuration" "" "$(secrets_found)"
    curl -sf -o "$home/answers/metrics" "$admin/metrics" || :
    expect "metrics are served" lgsp "$(sed -n 's/^\(lgsp\)_.*/\1/p' "$home/answers/metrics" 2>/dev/null | sort -u)"
}

test_lines() {
    [ "$(wc -l < "$1")" -ge "$2" ]
}

secrets_found() {
    local file
    for file in "$home"/keys/*; do
        grep -rlF "$(sed -n 's/^LGSP_SECRET_KEY=//p' "$file")" "$home" --exclude-dir=keys --exclude-dir=answers || :
    done
}

expect() {
    if [ "$2" = "$3" ]; then
        printf '   %s✓%s %s\n' "$green" "$plain" "$1"
    else
        differences=$((differences + 1))
        printf '   %s✗ %s: expected `%s`, found `%s`%s\n' "$red" "$1" "$2" "$3" "$plain"
    fi
}

finish_check() {
    if [ "$differences" -gt 0 ]; then fail "$differences outcomes differ from what was expected"; fi
    printf '\n   %sEverything is as expected.%s\n' "$green" "$plain"
    exit 0
}
