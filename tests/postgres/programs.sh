#!/usr/bin/env bash
# Prints the folder of PostgreSQL's programs (15 or later). Where there are none and this is root on Debian, installs them, without a server of
# Debian's own.
set -euo pipefail
find_them() {
  local bin version
  for bin in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -n -r); do
    version=$(basename "$(dirname "$bin")")
    if [ "$version" -ge 15 ] 2>/dev/null && [ -x "$bin/postgres" ] && [ -x "$bin/initdb" ]; then echo "$bin"; return; fi
  done
  return 1
}
find_them && exit
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  echo "installing PostgreSQL from Debian, once for this machine ..." >&2
  mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
  "$(dirname "$0")/../tools/apt.sh" install --yes --no-install-recommends postgresql >&2
  find_them && exit
fi
echo "PostgreSQL 15 or later is needed (Debian: apt-get install postgresql)" >&2
exit 1
