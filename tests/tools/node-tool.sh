#!/usr/bin/env bash
# Installs pinned packages of npm into the user's cache and prints the folder
# that node finds them in: node-tool.sh NAME FOLDER, where FOLDER has the
# package.json and package-lock.json. Keyed by what is pinned and by node's
# version, so that a clean clone finds it and a new pin builds anew.
set -euo pipefail
name=$1 folder=$2
if ! command -v npm > /dev/null; then
  echo "$name needs node with npm (Debian: apt-get install npm)" >&2
  exit 1
fi
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mailtrail/tools
key=$( (node --version; cat "$folder/package-lock.json") | sha256sum | cut -c1-16)
root=$cache/$name-$key
if [ ! -e "$root" ]; then
  echo "installing $name, once for this machine (some seconds) ..." >&2
  mkdir -p "$cache"
  # Made beside and moved into place: what was cut short looks like nothing.
  work=$(mktemp -d "$cache/.installing-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mkdir "$work/root"
  cp "$folder/package.json" "$folder/package-lock.json" "$work/root"
  npm ci --prefix "$work/root" --ignore-scripts --no-audit --no-fund --silent >&2
  mv -T "$work/root" "$root" 2>/dev/null || [ -e "$root" ]
fi
echo "$root"
