#!/usr/bin/env bash
# What PostgreSQL costs: postgres.sh [SECONDS OF LOAD [EVENTS]] (10 and 10,000,000; 0 leaves the second part out).
#
# 1. Shipping: clicks gather in the spool while the database is away; it comes back, and the time until all are there is set against a bare
#    COPY of the same rows, in binary, into the same table of the same server. Nobody settles meanwhile.
# 2. Questions: so many events of 100 domains over 30 days, made by the server itself, in the program's tables; what the API takes to answer a
#    mail's summary and a month of statistics, and the plans that the server carried out for it (auto_explain).
# The server syncs nothing (tests/postgres/server.sh): what is compared is work, not the disk.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-10} events=${2:-10000000}
program=${PROGRAM:-${CARGO_TARGET_DIR:-target}/release/mailtrail-dataplane}
[ -x "$program" ] || cargo build --quiet --release --package mailtrail-dataplane
command -v wrk > /dev/null || { { tests/tools/apt.sh update && tests/tools/apt.sh install --yes --no-install-recommends wrk; } > /dev/null; }

work=$(mktemp -d) ours=
coproc SERVER { exec tests/postgres/server.sh hold; }
server_pid=$SERVER_PID
read -r port postgres folder <&"${SERVER[0]}"
stop() {
  [ -z "$ours" ] || { kill "$ours" 2>/dev/null || :; wait "$ours" 2>/dev/null || :; }
  exec {SERVER[1]}>&- || :
  wait "$server_pid" 2>/dev/null || :
  rm -rf "$work"
}
trap stop EXIT
BIN=$(tests/postgres/programs.sh)
export PGHOST=$folder PGPORT=$port PGUSER=mailtrail PGDATABASE=bench
sql() { "$BIN/psql" --quiet --no-align --tuples-only --set ON_ERROR_STOP=1 "$@"; }
sql --dbname postgres --command 'CREATE DATABASE bench'

mkdir "$work/manifests"
cat > "$work/manifests/domain.yaml" <<'Y'
apiVersion: mailtrail.dev/v1alpha1
kind: TrackingDomain
metadata: {name: links, namespace: shop}
spec: {host: links.shop.example, verification: None, opens: {enabled: true}, clicks: {enabled: true}}
Y
address() { sed -nE "s/.*\"message\":\"$1: .*\"address\":\"([^\"]+)\".*/\1/p" "$work/log" | head -1; }
start() {
  "$program" --manifests "$work/manifests" --data-dir "$work/data" --public 127.0.0.1:0 --api 127.0.0.1:0 --admin 127.0.0.1:0 \
    --postgres "postgres://mailtrail@127.0.0.1:$port/bench" --postgres-password "$folder/password" --log-format json 2> "$work/log" &
  ours=$!
  until admin=$(address 'admin address') && [ -n "$admin" ] && curl --silent --fail --output /dev/null "http://$admin/ready"; do
    kill -0 "$ours" || { cat "$work/log" >&2; exit 1; }
    sleep 0.1
  done
}
start
metric() { curl --silent "http://$admin/metrics" | sed -nE "s/^mailtrail_postgres_$1 ([0-9.]+).*/\1/p"; }

# --- shipping ---
url=$(curl --silent --fail "http://$(address 'API address')/v1/rewrite" --json '{"domain": "shop/links", "message_id": "m-1",
  "html": "<p><a href=\"https://shop.example/sale?utm_source=news\">Shop</a></p>"}' | sed -nE 's/.*"url":"https:\/\/links.shop.example(\/c\/[^"]*)".*/\1/p')
[ -n "$url" ] || { echo "no mail could be rewritten" >&2; exit 1; }
kill -QUIT "$postgres"
wrk --threads 1 --connections 256 --duration "${seconds}s" --header 'Host: links.shop.example' \
  --header 'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0' \
  "http://$(address 'public address')$url" > "$work/wrk"
kept=$(metric lag_records)
kill -STOP "$ours"
echo start >&"${SERVER[1]}"
read -r postgres <&"${SERVER[0]}"
# Nobody else gets to settle.
mkfifo "$work/hold"
"$BIN/psql" --quiet < "$work/hold" > /dev/null & 
exec 5> "$work/hold"
echo 'SELECT pg_advisory_lock(120346903314434);' >&5
until [ "$(sql --command "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")" -ge 1 ]; do sleep 0.1; done
kill -CONT "$ours"
until [ "$(metric connected)" = 1 ]; do sleep 0.05; done
begun=$(date +%s%N) first=$(metric lag_records)
until [ "$(metric lag_records)" = 0 ]; do sleep 0.02; done
took=$(($(date +%s%N) - begun))
hits=$(sql --command 'SELECT count(*) FROM mailtrail.hits')
echo "waited $kept, of which $first were left when it was first looked; in the table $hits"
sql --command "COPY mailtrail.hits TO STDOUT BINARY" > "$work/rows"
sql --command 'TRUNCATE mailtrail.hits'
begun=$(date +%s%N)
sql --command 'COPY mailtrail.hits FROM STDIN BINARY' < "$work/rows"
bare=$(($(date +%s%N) - begun))
exec 5>&-
awk -v n="$first" -v all="$hits" -v a="$took" -v b="$bare" 'BEGIN {
  ours = n / a * 1e9; copy = all / b * 1e9
  printf "shipping %.0f records/s, bare COPY %.0f records/s, ratio %.2f\n", ours, copy, ours / copy }'
[ "$events" != 0 ] || exit 0

# --- questions ---
kill "$ours"; wait "$ours" || :; ours=
echo "making $events events ..."
first_day=$(($(date +%s) / 86400 - 30))
for day in $(seq $first_day $((first_day + 31))); do
  bound() { printf '%012x' $(($1 * 86400000)) | sed -E 's/(.{8})(.{4})/\1-\2-0000-0000-000000000000/'; }
  sql --command "CREATE TABLE IF NOT EXISTS mailtrail.events_$day PARTITION OF mailtrail.events
    FOR VALUES FROM ('$(bound "$day")') TO ('$(bound $((day + 1)))')"
done
# A hundred domains; a mail of a domain has a hundred events.
sql --command "SELECT setseed(0.5)" --command "INSERT INTO mailtrail.events
  SELECT (lpad(to_hex(t), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0') || '8' || lpad(to_hex(n), 15, '0'))::uuid, n,
    CASE n % 3 WHEN 0 THEN 'clicked' ELSE 'opened' END, to_timestamp(t / 1000.0), 'shop/d' || n % 100, 'd' || n % 100 || '.shop.example',
    'm-' || n / 10000, 'r-' || n / 100 % 50, CASE n % 3 WHEN 0 THEN 'https://shop.example/' || n % 7 END,
    CASE n % 3 WHEN 0 THEN n % 7 + 1 END, NULL, 'human', ARRAY['browser'], n % 5 = 0, false, 'Firefox', 'Linux', 'desktop', NULL, NULL, NULL,
    to_timestamp(t / 1000.0)
  FROM (SELECT n, ((extract(epoch FROM now()) - 30 * 86400) * 1000 + n * (29.0 * 86400000 / $events))::bigint AS t FROM generate_series(1, $events) n) made"
sql --command "INSERT INTO mailtrail.hit_counts SELECT domain, (extract(epoch FROM time) / 3600)::int AS hour, count(*), 0, 0, 0, 0, 0, 0, 0
  FROM mailtrail.events WHERE domain LIKE 'shop/d%' GROUP BY 1, 2" --command "ANALYZE mailtrail.events" --command "ANALYZE mailtrail.hit_counts" \
  --command "UPDATE mailtrail.settling SET number = greatest(number, $events)"
cat > "$work/manifests/domain.yaml" <<'Y'
apiVersion: mailtrail.dev/v1alpha1
kind: TrackingDomain
metadata: {name: d7, namespace: shop}
spec: {host: d7.shop.example, verification: None, opens: {enabled: true}, clicks: {enabled: true}}
Y
start
middle=$((events / 20000))
# The mail's record, as of a rewrite.
curl --silent --fail --output /dev/null "http://$(address 'API address')/v1/rewrite" --json '{"domain": "shop/d7", "message_id": "m-'$middle'", "recipient": "r-1",
  "html": "<p><a href=\"https://shop.example/1\">Shop</a></p>"}'
until [ "$(metric lag_records)" = 0 ]; do sleep 0.05; done
summary="messages/m-$middle"
day() { date --utc --date "@$(($(date +%s) / 86400 * 86400 + $1 * 86400))" +%Y-%m-%dT00:00:00Z; }
month="stats?by=day&since=$(day -30)&until=$(day 0)"
url() { echo "http://$(address 'API address')/v1/domains/shop/d7/$1"; }
timed() {
  for _ in $(seq 22); do curl --silent --fail --output "$work/answer" --write-out '%{time_total}\n' "$(url "$2")"; done | tail -n +2 |
    sort -n | awk -v what="$1" '{t[NR] = $1 * 1000} END {printf "%s: median of 21 %.1f ms, longest %.1f ms; answered\n", what, t[11], t[NR]}'
  head -c 300 "$work/answer"; echo ...
}
timed "a mail's summary, 100 events" "$summary"
timed "a month of one domain by day" "$month"
# The server writes each plan that is carried out into its log: after what is timed, for that takes longer than the queries.
sql --command "ALTER DATABASE bench SET session_preload_libraries = 'auto_explain'" --command "ALTER DATABASE bench SET auto_explain.log_min_duration = 0" \
  --command "ALTER DATABASE bench SET auto_explain.log_analyze = on" --command "ALTER DATABASE bench SET auto_explain.log_timing = off"
kill "$ours"; wait "$ours" || :
start
for what in "$summary" "$month"; do
  curl --silent --fail --output /dev/null "$(url "$what")"
  : > "$folder/log"
  curl --silent --fail --output /dev/null "$(url "$what")"
  # Each plan, cut after some partitions.
  awk '/duration: .* plan:$/ {took = $(NF - 2); next}
    /Query Text: SELECT (record|id, type|hour)/ {print took " ms on the server:"; lines = 14}
    lines > 0 {print; lines--}' "$folder/log"
done
