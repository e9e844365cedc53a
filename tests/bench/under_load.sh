#!/bin/bash
# Runs a command while others keep processors and disk busy: tests that wait for time, and not for conditions, fail then.
#   tests/bench/under_load.sh BUSY_LOOPS COMMAND...     such as 3 .venv/bin/pytest -q -n 2 --dist loadfile tests/e2e
set -u
loops=$1
shift
scratch=$(mktemp -d)
busy=()
for _ in $(seq "$loops"); do
  (while :; do :; done) &
  busy+=($!)
done
(while :; do dd if=/dev/zero of="$scratch/block" bs=1M count=200 conv=fsync 2>/dev/null; sleep 1; done) &
busy+=($!)
trap 'kill "${busy[@]}"; rm -rf "$scratch"' EXIT
"$@"
