#!/usr/bin/env bash
# The store's figures: store.sh [EVENTS [SECONDS]] (10,000,000 and 5).
# Needs about 600 bytes of disk for each event while it runs (6 GB for ten
# million), in a folder under TMPDIR that is removed at the end, and some five
# minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
events=${1:-10000000}
seconds=${2:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
needed=$((events * 600 / 1024 / 1024 + 512))
free=$(df --output=avail -m "$work" | tail -1)
echo "store: $events events, up to $needed MiB in $work ($free MiB free)"
if [ "$free" -lt "$needed" ]; then
  echo "not enough room; TMPDIR names another place" >&2
  exit 1
fi
# Into the same target folder: what the program is made of is built once.
cargo build --quiet --release --manifest-path tests/bench-journal/Cargo.toml --target-dir target
bench=target/release/mailtrail-bench-journal
mkdir "$work/acks"
"$bench" acks "$work/acks" "$seconds"
"$bench" fill "$work/many" "$events"
# A process of its own: its memory is that of a start.
"$bench" open "$work/many" 2000
"$bench" load "$work/many" $((seconds * 4))
