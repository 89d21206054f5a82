#!/usr/bin/env bash
# What callers cost that send garbage, or next to nothing: CPU per refusal by kind, beside a request that is served; memory
# per byte of a body that comes byte by byte; and 1000 uploads that drip, with what another source sees meanwhile.
# One node with one worker, real HTTP.
#
#   COUNT=5000  DRIPPING=1000  PROFILE=bench|release|dev  BIN=a directory of programs, to build none
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly profile=${PROFILE:-bench} here=benches/compare
export COUNT=${COUNT:-5000} DRIPPING=${DRIPPING:-1000}
export PATH="$PATH:/usr/sbin:/sbin" no_proxy='*' NO_PROXY='*'
case $profile in dev) built=debug ;; bench) built=release ;; *) built=$profile ;; esac
[ -n "${BIN:-}" ] || cargo build --locked --profile "$profile" -p lgsp-dataplane -p lgsp-controlplane -p lgsp-loadtest --bins
readonly bin="${BIN:-${CARGO_TARGET_DIR:-target}/$built}"
mkdir -p .local
home=$(mktemp -d .local/abuse.XXXXXX)
. "$here/processes.sh"
trap finish EXIT
trap 'exit 130' INT TERM

start_target
publish_bundle
settings node "$bundle"
start_node node
pids+=("$started")
export LGSP_ACCESS_KEY=${signing[0]} LGSP_SECRET_KEY=${signing[1]}
python3 "$here/abuse.py" "$address" "$started"
