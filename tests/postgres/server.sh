#!/usr/bin/env bash
# A throw-away PostgreSQL on loopback for tests: server.sh hold. Prints `PORT PID FOLDER` once ready and stays until its standard input ends; then the
# server ends and FOLDER goes, so whatever ends the caller, nothing is left. A line `start` on standard input starts it again where it was
# ended, on the same port; the answer is its new process id. FOLDER has ca.crt, password, log. It runs as nobody where this is root, since
# PostgreSQL refuses root. Its host connections need the password of the user mailtrail, with TLS or without. LISTEN names another address than that of
# loopback, for tests with a network of their own; PLACE another folder than the system's for FOLDER, as one on a small disk. STANDBY_OF, as `PORT FOLDER`
# of another such server, makes this one follow it.
set -euo pipefail
listen=${LISTEN:-127.0.0.1}
[ "${1:-}" = hold ] || { echo "usage: server.sh hold" >&2; exit 2; }
# In a session of its own: Ctrl-C in the caller's terminal must not reach the server before the caller has ended.
read -r _ _ _ _ _ session _ < "/proc/$$/stat"
[ "$session" = $$ ] || exec setsid --wait "$0" "$@"
BIN=$("$(dirname "$0")/programs.sh")
ST=$(mktemp -d "${PLACE:-${TMPDIR:-/tmp}}/mailtrail-postgres-XXXXXX")
server=
clear() { if [ -n "$server" ]; then kill -QUIT "$server" 2>/dev/null || :; wait "$server" 2>/dev/null || :; fi; cd /; rm -rf "$ST"; }
trap clear EXIT; trap 'exit 130' INT TERM HUP
cd "$ST"

as=()
if [ "$(id -u)" = 0 ]; then
  as=(setpriv --reuid nobody --regid nogroup --clear-groups --)
  chown nobody:nogroup "$ST"
fi
chmod 755 "$ST"

# --- certificates: an authority, and one of it for this server ---
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=tests \
  -addext basicConstraints=critical,CA:TRUE 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=postgres 2>/dev/null
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2 \
  -extfile <(echo subjectAltName=DNS:localhost,IP:$listen) 2>/dev/null
chmod 600 server.key
if [ ${#as[@]} -gt 0 ]; then chown nobody:nogroup server.key; fi

# --- the server ---
if [ -n "${STANDBY_OF:-}" ]; then
  read -r of_port of <<< "$STANDBY_OF"
  cp "$of/password" password
  "${as[@]}" "$BIN/pg_basebackup" --host "$of" --port "$of_port" --username mailtrail --pgdata data --write-recovery-conf --checkpoint fast \
    --no-sync > basebackup.log 2>&1 || { cat basebackup.log >&2; exit 1; }
else
  echo "geheim-$RANDOM$RANDOM" > password
  "${as[@]}" "$BIN/initdb" --pgdata data --username mailtrail --pwfile password --auth-local trust --auth-host scram-sha-256 \
    --encoding UTF8 --locale C.UTF-8 --no-sync > initdb.log 2>&1 || { cat initdb.log >&2; exit 1; }
fi
chmod 644 password
if [ "$listen" != 127.0.0.1 ]; then echo "host all all all scram-sha-256" >> data/pg_hba.conf; fi
listening() { cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v p="$(printf %04X "$1")" '$4 == "0A" && substr($2, length($2) - 3) == p {found = 1} END {exit !found}'; }
locks=${TMPDIR:-/tmp}/mailtrail-ports-$UID
mkdir -p "$locks"
port=
for _ in $(seq 200); do
  p=$((15000 + RANDOM % 5000))
  exec 8> "$locks/$p"
  if flock -n 8 && ! listening $p; then port=$p; break; fi
done
[ -n "$port" ] || { echo "no free port between 15000 and 20000" >&2; exit 1; }
# No machine ends here but processes: what the system holds is enough. Connections are told apart quickly from such as are gone.
start() {
  "${as[@]}" setpriv --pdeathsig KILL -- bash -c '[ "$PPID" = "$0" ] && exec "$@"' $$ "$BIN/postgres" -D data -p "$port" \
    -c listen_addresses="$listen" -c unix_socket_directories="$ST" -c fsync=off -c full_page_writes=off -c shared_buffers=64MB \
    -c max_connections=60 -c ssl=on -c ssl_cert_file="$ST/server.crt" -c ssl_key_file="$ST/server.key" \
    -c logging_collector=off -c log_min_messages=warning < /dev/null >> log 2>&1 &
  server=$!
  for _ in $(seq 300); do
    "$BIN/pg_isready" --quiet --host "$ST" --port "$port" --dbname postgres --username mailtrail && return
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  return 1
}
# What was ended a moment ago may still hold its memory; a line too many starts nothing.
again() { for _ in $(seq 20); do if kill -0 "$server" 2>/dev/null; then return; fi; start && return; sleep 0.2; done; echo "PostgreSQL did not start:" >&2; tail -5 log >&2; exit 1; }
again
echo "$port $server $ST"
while read -r command; do
  if [ "$command" = start ]; then again; echo "$server"; fi
done
