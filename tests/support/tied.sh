#!/usr/bin/env bash
# Runs a command until standard input ends, and says its process id: what a test starts ends with the test process, however that ends.
set -euo pipefail
# It dies with this shell, too; the parent is looked at in case that happened before the kernel was asked for it.
setpriv --pdeathsig KILL -- bash -c '[ "$PPID" = "$0" ] && exec "$@"' $$ "$@" < /dev/null >&2 &
child=$!
trap 'kill -KILL $child 2>/dev/null || :' EXIT
echo $child
while read -r _; do :; done
