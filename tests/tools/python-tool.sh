#!/usr/bin/env bash
# Installs pinned packages of PyPI into the user's cache and prints the folder
# of their programs: python-tool.sh NAME REQUIREMENTS. Keyed by what is pinned
# and by Python's version, so that a clean clone finds it and a new pin builds
# anew.
set -euo pipefail
name=$1 requirements=$2
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  echo "$name needs python3 with venv (Debian: apt-get install python3-venv)" >&2
  exit 1
fi
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mailtrail/tools
key=$( (python3 --version; cat "$requirements") | sha256sum | cut -c1-16)
root=$cache/$name-$key
if [ ! -e "$root/whole" ]; then
  echo "installing $name, once for this machine (some seconds) ..." >&2
  # A venv knows its own path, so it is made in place; it is whole when the
  # file says so, and what was cut short is made anew.
  mkdir -p "$cache"
  exec 9> "$cache/$name.lock"
  flock 9
fi
if [ ! -e "$root/whole" ]; then
  rm -rf "$root"
  python3 -m venv "$root" >&2
  "$root/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$requirements" >&2
  touch "$root/whole"
fi
echo "$root/bin"
