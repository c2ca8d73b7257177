#!/usr/bin/env bash
# Installs a pinned tool of crates.io into the user's cache and prints its
# folder: cargo-tool.sh NAME VERSION. Keyed by name, version and compiler, so
# that a clean clone finds it and a new pin builds anew.
set -euo pipefail
name=$1 version=$2
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mailtrail/tools
root=$cache/$name-$version-$(rustc --version | cut -d' ' -f2)
if [ ! -x "$root/bin/$name" ]; then
  mkdir -p "$cache"
  echo "building $name $version, once for this machine (some minutes) ..." >&2
  # Built beside and moved into place: a build that was cut short leaves nothing that looks done.
  work=$(mktemp -d "$cache/.building-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  cargo install --quiet --locked --root "$work/root" --target-dir "$work/target" \
    --version "=$version" "$name" >&2
  mv -T "$work/root" "$root" 2>/dev/null || [ -x "$root/bin/$name" ]
fi
echo "$root/bin"
