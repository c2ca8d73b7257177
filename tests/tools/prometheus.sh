#!/usr/bin/env bash
# Prints the folder of prometheus and promtool: those on the PATH, or Debian's
# package, unpacked into the user's cache; nothing is installed or started, and
# no root is needed.
set -euo pipefail
if command -v prometheus > /dev/null && command -v promtool > /dev/null; then
  dirname "$(command -v promtool)"
  exit
fi
apt=$(cd "$(dirname "$0")" && pwd)/apt.sh
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mailtrail/tools
root=$cache/prometheus-debian
if [ ! -x "$root/usr/bin/promtool" ]; then
  if ! command -v apt-get > /dev/null; then
    echo "prometheus and promtool are needed on the PATH" >&2
    exit 1
  fi
  echo "unpacking Debian's prometheus, once for this machine (some seconds) ..." >&2
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/.unpacking-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  [ "$(id -u)" != 0 ] || "$apt" update --quiet --quiet >&2
  "$apt" download --quiet --quiet prometheus >&2
  dpkg --extract prometheus_*.deb root
  mv -T root "$root" 2> /dev/null || [ -x "$root/usr/bin/promtool" ]
fi
echo "$root/usr/bin"
