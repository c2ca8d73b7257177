#!/usr/bin/env bash
# Resident memory of the data plane with many domains: memory.sh [DOMAINS].
# Prints VmRSS once it is ready, and again after every domain was asked once.
set -euo pipefail
cd "$(dirname "$0")/../.."
domains=${1:-10000}
# PROGRAM names a binary that is built already.
program=${PROGRAM:-target/release/mailtrail-dataplane}
[ -n "${PROGRAM:-}" ] || cargo build --quiet --release --package mailtrail-dataplane
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir "$work/manifests"
for ((n = 0; n < domains; n++)); do
  printf -- '---\napiVersion: mailtrail.dev/v1alpha1\nkind: TrackingDomain\nmetadata: {name: links-%d, namespace: shop-%d}\nspec:\n  host: links-%d.shop.example\n  opens: {enabled: true}\n  clicks: {enabled: true}\n' \
    "$n" $((n % 100)) "$n" >> "$work/manifests/$((n / 500)).yaml"
done
# Ports are the system's choice; the log says which.
"$program" --manifests "$work/manifests" --data-dir "$work/data" --log-format json \
  --public 127.0.0.1:0 --api 127.0.0.1:0 --admin 127.0.0.1:0 2> "$work/log" &
pid=$!
for _ in $(seq 600); do
  grep -q 'admin address' "$work/log" && break
  kill -0 "$pid" || { cat "$work/log"; exit 1; }
  sleep 0.1
done
address() { sed -nE "s/.*\"address\":\"([^\"]+)\".*$1.*/\1/p; s/.*$1.*\"address\":\"([^\"]+)\".*/\1/p" "$work/log" | head -1; }
public=$(address 'public address') admin=$(address 'admin address')
for _ in $(seq 600); do
  [ "$(curl --silent --output /dev/null --write-out '%{http_code}' "http://$admin/ready")" = 200 ] && break
  sleep 0.1
done
rss() { awk '/VmRSS/ {printf "%.1f MiB", $2 / 1024}' "/proc/$pid/status"; }
echo "resident memory, $domains domains, ready: $(rss)"
# One connection; each domain's host is asked for a pixel that does not open.
for ((n = 0; n < domains; n++)); do
  printf 'url = "http://%s/o/0000"\nheader = "Host: links-%d.shop.example"\noutput = "/dev/null"\nnext\n' "$public" "$n"
done | head -n -1 > "$work/curl"
curl --silent --config "$work/curl"
echo "resident memory, $domains domains, each asked once: $(rss)"
