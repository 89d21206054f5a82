# How the demo talks: titles, commands as they are typed, their output indented. Sourced by run.sh.
# shellcheck shell=bash

if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'; else bold='' dim='' green='' red='' plain=''; fi
step=0

title() {
    step=$((step + 1))
    printf '\n%s%d. %s%s\n' "$bold" "$step" "$1" "$plain"
}

say() {
    printf '   %s\n' "$*"
}

indent() {
    sed 's/^/   /'
}

# A command as a person would type it: words are quoted only when they must be. `suffix` follows it, such as ` &`.
typed() {
    local word line=''
    for word in "$@"; do
        if [[ $word =~ ^[A-Za-z0-9_./:=@%,+?\&-]+$ && ! $word =~ [?\&] ]]; then line+=" $word"; else line+=" \"$word\""; fi
    done
    printf '   %s$%s%s%s\n' "$dim" "$line" "${suffix:-}" "$plain"
}

# Shows a command, runs it, and stops the demo when it fails.
run() {
    run_expecting 0 "$@"
}

run_expecting() {
    local wanted=$1 got=0
    shift
    typed "$@"
    "$@" > "$home/answers/last" 2>&1 || got=$?
    indent < "$home/answers/last"
    if [ "$got" -ne "$wanted" ]; then fail "\`$1\` ended with $got, expected $wanted"; fi
}

# For commands whose output holds a secret: it is in a file, and not on the screen of a demo.
run_quiet() {
    typed "$@"
    "$@" > "$home/answers/last" 2>&1 || { indent < "$home/answers/last"; fail "\`$1\` failed"; }
}

shown_export() {
    local name
    for name in "$@"; do
        printf '   %s$ export %s=%s%s\n' "$dim" "$name" "${!name}" "$plain"
    done
}

fail() {
    printf '\n%s%s%s\n' "$red" "$1" "$plain" >&2
    printf 'hint: the logs are in %s/log\n' "$home" >&2
    exit 1
}

# wait_until WHAT SECONDS COMMAND…: polls until the command succeeds, and says what was awaited when it never does.
wait_until() {
    local what=$1 end=$((SECONDS + $2))
    shift 2
    until "$@" >/dev/null 2>&1; do
        children_run
        [ $SECONDS -lt $end ] || fail "not within the time allowed: $what"
        read -rt 0.1 <> <(:) || :
    done
}
