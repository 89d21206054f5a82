#!/usr/bin/env bash
# Builds the programs and prints the folder they are in, wherever CARGO_TARGET_DIR, CARGO_BUILD_TARGET and cargo's own
# settings put them: only cargo knows. PROFILE chooses the profile; `-p PACKAGE…` other packages than the demo and the tests
# use. What is built already is not built again.
set -euo pipefail
cd "$(dirname "$0")/.."
# The test kit has no program; naming it turns on the same features of dependencies as the tests have, so that neither
# `make demo` nor `make test` builds again what the other has built.
[ $# -gt 0 ] || set -- -p lgsp-dataplane -p lgsp-controlplane -p lgsp-loadtest -p lgsp-testkit
program=$(cargo build --locked --profile "${PROFILE:-dev}" --bins "$@" --message-format=json-render-diagnostics |
    jq -rs 'map(select(.reason == "compiler-artifact" and .target.name == "lgsp-dataplane" and .executable) | .executable) | last')
if [ ! -x "$program" ]; then
    echo "cargo has built no \`lgsp-dataplane\`: see above" >&2
    exit 1
fi
dirname "$program"
