#!/usr/bin/env bash
# A client of the LGSP gateway: opens a session, calls a service in it, verifies a call that reached a target directly.
#
# Needs curl, openssl, sed and awk. The access key and the secret come from LGSP_ACCESS_KEY and LGSP_SECRET_KEY.
#
#     lgsp.sh call PLATFORM SERVICE METHOD URL [BODY_FILE]   source: steps 1 to 3; URL is the platform's or the target's own
#     lgsp.sh verify PLATFORM SERVICE < REQUEST_HEAD         target: steps 4 to 6; prints who is calling and the digest of its body
#
# Exit status: 0 done, 1 refused (why and what to do is on standard error), 2 the answer is not the platform's.
set -euo pipefail

room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
answer_covers='("@status" "content-digest" "@method";req "@authority";req "@path";req "signature";req)'

# HMAC-SHA256 of standard input under a key given in hexadecimal. On a machine with other users prefer one of the
# clients in another language: arguments can be seen in the list of processes while a command runs.
mac() { openssl dgst -sha256 -mac HMAC -macopt "hexkey:$1" -binary; }
secret_hex=$(printf '%s' "$LGSP_SECRET_KEY" | od -An -v -tx1 | tr -d ' \n')
digest_of() { printf 'sha-256=:%s:' "$(openssl dgst -sha256 -binary "$1" | openssl base64 -A)"; }
# The text of one member of the platform's answers, which are flat.
member() { sed -n "s/.*\"$2\":\"\([^\"]*\)\".*/\1/p" "$1"; }

# send METHOD URL BODY_FILE: signs (RFC 9421) and sends; with `ticket` and `session_key` set, as part of that session.
# Leaves the status in $status, the answer in $room/answer and $room/headers, the request's signature in $signature.
send() {
    local method=$1 url=$2 body=$3 rest target query='' nonce params
    rest=${url#*://}
    authority=${rest%%/*}
    target=/${rest#*/}
    [ "$rest" != "$authority" ] || target=/
    path=${target%%\?*}
    case $target in *\?*) query=${target#*\?} ;; esac
    nonce=$(openssl rand -hex 16)
    local names='"@method" "@authority" "@path" "@query"' headers=()
    printf '"@method": %s\n"@authority": %s\n"@path": %s\n"@query": ?%s\n' "$method" "$authority" "$path" "$query" > "$room/base"
    cover() {
        names="$names \"$1\""
        printf '"%s": %s\n' "$1" "$2" >> "$room/base"
        headers+=(-H "$1: $2")
    }
    if [ -s "$body" ]; then
        cover content-digest "$(digest_of "$body")"
        headers+=(--data-binary "@$body" -H 'content-type: application/json')
    fi
    if [ -n "${ticket:-}" ]; then
        cover lgsp-session "$ticket"
        cover lgsp-session-proof "$(printf 'lgsp-session-proof:%s' "$nonce" | mac "$session_key" | od -An -v -tx1 | tr -d ' \n')"
    fi
    params="($names);created=$(date +%s);keyid=\"$LGSP_ACCESS_KEY\";alg=\"hmac-sha256\";nonce=\"$nonce\""
    printf '"@signature-params": %s' "$params" >> "$room/base"
    signature="sig1=:$(mac "$secret_hex" < "$room/base" | openssl base64 -A):"
    status=$(curl -q -sS --noproxy '*' --max-time 30 --path-as-is -X "$method" "${headers[@]}" \
        -H "signature-input: sig1=$params" -H "signature: $signature" \
        -D "$room/headers" -o "$room/answer" -w '%{http_code}' "$url")
    if [ "$status" -ge 400 ]; then
        cat "$room/answer" >&2
        exit 1
    fi
}

header() { sed -n "s/^$1: //Ip" "$room/headers" | tr -d '\r'; }

# ask PLATFORM PATH BODY_FILE: asks the platform itself, and goes on only once the answer is proved to be its own.
ask() {
    local input label params expected
    send POST "${1%/}$2" "$3"
    input=$(header signature-input)
    label=${input%%=*}
    params=${input#*=}
    expected="$label=:$({
        printf '"@status": %s\n"content-digest": %s\n' "$status" "$(digest_of "$room/answer")"
        printf '"@method";req: POST\n"@authority";req: %s\n"@path";req: %s\n' "$authority" "$path"
        printf '"signature";req: %s\n"@signature-params": %s' "$signature" "$params"
    } | mac "$secret_hex" | openssl base64 -A):"
    if [ "${params#"$answer_covers;"}" = "$params" ] || [ "$expected" != "$(header signature)" ]; then
        echo 'the answer is not signed by the platform for this request' >&2
        exit 2
    fi
}

# A request's head from standard input, as the JSON in which the platform wants it.
read_head() {
    tr -d '\r' | awk '
        function quoted(text) { gsub(/\\/, "\\\\", text); gsub(/"/, "\\\"", text); return "\"" text "\"" }
        NR == 1 {
            mark = index($2, "?")
            path = mark ? substr($2, 1, mark - 1) : $2
            printf "{\"method\":%s,\"path\":%s,", quoted($1), quoted(path)
            if (mark) printf "\"query\":%s,", quoted(substr($2, mark + 1))
            printf "\"headers\":["
            next
        }
        $0 == "" { exit }
        {
            colon = index($0, ":")
            name = substr($0, 1, colon - 1)
            value = substr($0, colon + 1)
            sub(/^[ \t]+/, "", value); sub(/[ \t]+$/, "", value)
            if (tolower(name) == "host") host = value
            printf "%s[%s,%s]", (NR > 2 ? "," : ""), quoted(name), quoted(value)
        }
        END { printf "],\"authority\":%s}", quoted(host) }'
}

case ${1:-} in
call)
    printf '{"service":"%s"}' "$3" > "$room/question"
    ask "$2" /lgsp/v1/sessions "$room/question"                    # steps 1 and 2
    ticket=$(member "$room/answer" ticket)
    session_key=$(member "$room/answer" session_key)
    send "$4" "$5" "${6:-/dev/null}"                               # step 3
    cat "$room/answer"
    ;;
verify)
    printf '{"service":"%s","request":%s}' "$3" "$(read_head)" > "$room/question"
    ask "$2" /lgsp/v1/verifications "$room/question"               # steps 4 and 5
    if [ "$(member "$room/answer" verdict)" != accepted ]; then    # step 6
        cat "$room/answer" >&2
        exit 1
    fi
    digest=$(member "$room/answer" content_digest)
    echo "accepted $(member "$room/answer" source) ${digest:-no-body}"
    ;;
*)
    echo 'usage: lgsp.sh call PLATFORM SERVICE METHOD URL [BODY_FILE] | verify PLATFORM SERVICE' >&2
    exit 1
    ;;
esac
