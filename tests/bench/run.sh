#!/usr/bin/env bash
# `make bench`: every figure of docs/PERFORMANCE.md, each as a ratio against a
# peer that is started in the same run, or against a stated bound.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo bench --quiet --package mailtrail-dataplane --bench rewrite
tests/bench/pixel.sh
tests/bench/memory.sh
tests/bench/store.sh
tests/bench/postgres.sh
