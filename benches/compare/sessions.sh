#!/usr/bin/env bash
# How many sessions a node opens, and how many verifications it answers, per second of its CPU; beside look-ups with and
# without a session. One node with one worker, real HTTP, signed by the worked client in Python.
#
#   COUNT=20000  PROFILE=bench|release|dev  BIN=a directory of programs, to build none
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly profile=${PROFILE:-bench} count=${COUNT:-20000} here=benches/compare
export PATH="$PATH:/usr/sbin:/sbin" no_proxy='*' NO_PROXY='*'
bin=${BIN:-$(PROFILE=$profile config/programs.sh -p lgsp-dataplane -p lgsp-controlplane -p lgsp-loadtest)}
readonly bin
mkdir -p .local
home=$(mktemp -d .local/sessions.XXXXXX)
. "$here/processes.sh"
trap finish EXIT
trap 'exit 130' INT TERM

start_target
publish_bundle
settings node "$bundle"
start_node node
pids+=("$started")
. "$home/target.key"
export TARGET_ACCESS_KEY=$LGSP_ACCESS_KEY TARGET_SECRET_KEY=$LGSP_SECRET_KEY
export LGSP_ACCESS_KEY=${signing[0]} LGSP_SECRET_KEY=${signing[1]}
python3 "$here/sessions.py" "$address" "$started" "$count"
