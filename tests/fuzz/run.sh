#!/usr/bin/env bash
# Fuzzes each target for so many seconds (60). What fails is kept as a
# regression, which `make test` replays.
set -euo pipefail

seconds=${1:-60}
version=0.13.2
here=$(cd "$(dirname "$0")" && pwd)
tools=${XDG_CACHE_HOME:-$HOME/.cache}/mailtrail/tools
fuzz=$tools/cargo-fuzz-$version/bin/cargo-fuzz

if [ ! -x "$fuzz" ]; then
  cargo install --locked --root "$tools/cargo-fuzz-$version" "cargo-fuzz@$version"
fi

# The pinned stable compiler, with the sanitizer's and coverage's flags unlocked.
export RUSTC_BOOTSTRAP=1
cd "$here"
failed=0
for target in token rewrite target_url request segment; do
  mkdir -p "corpus/$target"
  seeds=()
  max=65536
  # Long mails take long, and say little more.
  if [ "$target" = rewrite ]; then max=8192 seeds=(../corpus/made ../corpus/populated); fi
  if ! "$fuzz" fuzz run --fuzz-dir "$here" "$target" "corpus/$target" "${seeds[@]}" -- \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len="$max"; then
    failed=1
    mkdir -p "regressions/$target"
    cp "artifacts/$target/"* "regressions/$target/" 2>/dev/null || true
    echo "$target failed; its inputs are in tests/fuzz/regressions/$target" >&2
  fi
done
exit "$failed"
