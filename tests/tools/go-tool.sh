#!/usr/bin/env bash
# Builds a pinned tool of Go modules into the user's cache and prints its
# folder: go-tool.sh NAME, for the go.mod (with a tool line) and go.sum in the
# folder NAME beside this file. Keyed by these and by the compiler, so that a
# clean clone finds it and a new pin builds anew.
set -euo pipefail
name=$1
cd "$(dirname "$0")/$name"
command -v go > /dev/null || { echo "$name needs Go 1.26 or later" >&2; exit 1; }
export CGO_ENABLED=0 GOFLAGS=-trimpath
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mailtrail/tools
root=$cache/$name-$( (go version; cat go.mod go.sum) | sha256sum | cut -c1-16)
if [ ! -x "$root/$name" ]; then
  echo "building $name, once for this machine (some minutes) ..." >&2
  mkdir -p "$root"
  # Moved into place: a build that was cut short leaves nothing that looks done.
  go build -ldflags '-s -w' -o "$root/$name.part" tool >&2
  mv "$root/$name.part" "$root/$name"
fi
echo "$root"
