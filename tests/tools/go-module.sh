#!/usr/bin/env bash
# Prints the folder of a pinned Go module's files: go-module.sh MODULE@VERSION.
# Go keeps them, verified against its checksum database; a clean clone finds them.
set -euo pipefail
command -v go > /dev/null || { echo "Go 1.26 or later is needed" >&2; exit 1; }
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
go mod download -json "$1" | sed -nE 's/^\t"Dir": "(.*)",$/\1/p'
