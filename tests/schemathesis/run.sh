#!/usr/bin/env bash
# Sends what the OpenAPI document allows, and what it does not, to a running
# data plane: run.sh [SECONDS]. Every answer must be one that the document
# describes; nothing may be answered 500. The seed is fixed. Without SECONDS so
# many examples of each kind are sent, whatever the machine: the same each time.
set -euo pipefail
examples=30
if [ -n "${1:-}" ]; then bound=(--max-time "$1"); else bound=(--max-examples "$examples"); fi
cd "$(dirname "$0")/../.."
here=tests/schemathesis
tools=$(tests/tools/python-tool.sh schemathesis $here/requirements.txt)
program=${CARGO_TARGET_DIR:-target}/debug/mailtrail-dataplane
[ -x "$program" ] || { echo "$program is missing: make build" >&2; exit 1; }

work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || { kill "$pid"; wait "$pid" || true; }; rm -rf "$work"' EXIT
mkdir "$work/manifests"
cat > "$work/manifests/domain.yaml" <<'Y'
apiVersion: mailtrail.dev/v1alpha1
kind: TrackingDomain
metadata: {name: links, namespace: shop}
spec:
  host: links.shop.example
  opens: {enabled: true}
  clicks: {enabled: true}
---
apiVersion: mailtrail.dev/v1alpha1
kind: EventSink
metadata: {name: links, namespace: shop}
spec:
  url: https://receiver.invalid/
  secretRefs: [{name: none}]
Y
token=schemathesis-0123456789
echo "$token" > "$work/tokens"
"$program" --manifests "$work/manifests" --data-dir "$work/data" --api-tokens "$work/tokens" \
  --public 127.0.0.1:0 --api 127.0.0.1:0 --admin 127.0.0.1:0 --log-format json 2> "$work/log" &
pid=$!
address() { # the one that the log tells of: address WHAT
  sed -nE "s/.*\"message\":\"$1: .*\"address\":\"([^\"]+)\".*/\1/p" "$work/log" | head -1
}
ready=
for _ in $(seq 300); do
  api=$(address "API address") admin=$(address "admin address")
  if [ -n "$admin" ] && curl --silent --fail --output /dev/null "http://$admin/ready"; then
    ready=yes
    break
  fi
  kill -0 "$pid" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
  sleep 0.1
done
[ -n "$ready" ] || { echo "the data plane is not ready:" >&2; cat "$work/log" >&2; exit 1; }
# Something to be found, and a tracking URL.
MAILTRAIL_URL=$(curl --silent --fail "http://$api/v1/rewrite" --header "Authorization: Bearer $token" --json '{
  "domain": "shop/links", "message_id": "m-1", "recipient": "ada@example.org", "tags": {"kind": "news"},
  "html": "<p><a href=\"https://shop.example/\">Shop</a></p>"}' | sed -nE 's/.*"url":"([^"]*\/c\/[^"]*)".*/\1/p')
[ -n "$MAILTRAIL_URL" ] || { echo "no mail could be rewritten" >&2; exit 1; }
export MAILTRAIL_URL

status=0
"$tools/schemathesis" --config-file $here/schemathesis.toml run "http://$api/openapi.json" \
  --header "Authorization: Bearer $token" --seed 20261126 "${bound[@]}" \
  --generation-database none --no-color || status=$?
kill -0 "$pid" || { echo "the data plane ended meanwhile" >&2; status=1; }
if [ "$status" != 0 ]; then
  grep -E '"level":"(ERROR|WARN)"' "$work/log" | tail -20 >&2 || true
fi
exit "$status"
