#!/usr/bin/env bash
# CPU time per request of the public listener against nginx, started in the
# same run: pixel.sh [SECONDS PER ROUND] [ROUNDS].
#
# Both servers run one worker on core 0 and are loaded in turn by wrk on core
# 1: 512 keep-alive connections with the headers that a browser sends with an
# image. Of each server the user and system time of its whole process is taken
# from /proc/<pid>/stat; the median over the rounds counts. Rows:
#   pixel_unknown  a pixel whose token does not open   vs empty_gif, no log
#   pixel_off      a pixel that opens, toggle off      vs empty_gif, no log
#   click_off      a link that opens, toggle off       vs return 302, no log
#   click_durable  a link, its event synced to disk    vs return 302, access_log buffer=64k
#   click_tls      click_off over TLS 1.3              vs the same of nginx
#   handshake_tls  the same, a connection each         vs the same of nginx
# And first, while both are fresh: resident memory per connection that rests
# after one request over TLS.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-5}
rounds=${2:-5}
rows=${ROWS:-pixel_unknown pixel_off pixel_durable click_off click_durable click_tls handshake_tls}
connections=512
resting=1000

[ "$(nproc)" -ge 2 ] || { echo "pixel.sh needs two cores" >&2; exit 1; }
need() { # COMMAND PACKAGE
  command -v "$1" > /dev/null && return
  echo "installing $2" >&2
  { tests/tools/apt.sh update && tests/tools/apt.sh install --yes --no-install-recommends "$2"; } > /dev/null
}
need nginx nginx-light
need wrk wrk
need taskset util-linux
need openssl openssl
cargo build --quiet --release --package mailtrail-dataplane --example serve_bench

work=$(mktemp -d)
ours= nginx=
stop() {
  exec 3>&- || true
  [ -z "$nginx" ] || kill "$nginx" 2> /dev/null || true
  wait 2> /dev/null || true
  rm -rf "$work"
}
trap stop EXIT

mkdir -p "$work/tls/one"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=bench -addext subjectAltName=DNS:off.example \
  -keyout "$work/tls/one/tls.key" -out "$work/tls/one/tls.crt" 2> /dev/null

# Ours: serves until its standard input, the pipe behind descriptor 3, ends.
mkfifo "$work/stdin"
taskset --cpu-list 0 "${CARGO_TARGET_DIR:-target}/release/examples/serve_bench" 1 "$work/data" "$work/tls" \
  < "$work/stdin" > "$work/ours" 2> "$work/metrics" &
ours=$!
exec 3> "$work/stdin"
until grep --quiet '^address=' "$work/ours"; do
  kill -0 "$ours" || { cat "$work/metrics" >&2; exit 1; }
  sleep 0.1
done
value() { sed --quiet "s/^$1=//p" "$work/ours"; }
our_address=$(value address)
our_tls_address=$(value tls_address)

# nginx: ports that were free a moment ago.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
tls_port=$(free_port)
cat > "$work/nginx.conf" << CONF
daemon off;
master_process off;
worker_rlimit_nofile 4096;
pid $work/nginx.pid;
error_log $work/error.log warn;
events { worker_connections 2048; }
http {
  keepalive_requests 1000000000;
  server {
    listen 127.0.0.1:$port backlog=1024;
    listen 127.0.0.1:$tls_port ssl backlog=1024;
    ssl_certificate $work/tls/one/tls.crt;
    ssl_certificate_key $work/tls/one/tls.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    access_log off;
    location /o/ { empty_gif; }
    location /c/ { return 302 https://www.shop.example/sale?utm_source=news&utm_medium=mail; }
    location /logged/ {
      access_log $work/access.log combined buffer=64k;
      return 302 https://www.shop.example/sale?utm_source=news&utm_medium=mail;
    }
  }
}
CONF
taskset --cpu-list 0 nginx -p "$work" -c "$work/nginx.conf" -e "$work/error.log" &
nginx=$!
until (exec 4<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do
  kill -0 "$nginx" || { cat "$work/error.log" >&2; exit 1; }
  sleep 0.1
done

ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }

# PID ORIGIN HOST PATH KEPT: microseconds of CPU time per request; KEPT is keep-alive or close.
measure() {
  local before after requests
  before=$(ticks "$1")
  requests=$(taskset --cpu-list 1 wrk --threads 1 --connections "$connections" --duration "${seconds}s" \
    --header "Host: $3" \
    --header 'User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36' \
    --header 'Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8' \
    --header 'Accept-Encoding: gzip, deflate, br, zstd' \
    --header 'Accept-Language: en-GB,en;q=0.9,de;q=0.8' \
    --header 'Referer: https://mail.example/' \
    --header "Connection: $5" \
    --header 'sec-ch-ua: "Google Chrome";v="141", "Not?A_Brand";v="8", "Chromium";v="141"' \
    --header 'sec-ch-ua-mobile: ?0' \
    --header 'sec-ch-ua-platform: "Windows"' \
    --header 'Sec-Fetch-Dest: image' \
    --header 'Sec-Fetch-Mode: no-cors' \
    --header 'Sec-Fetch-Site: cross-site' \
    "$2$4" | tee -a "$work/wrk" | awk '/requests in/ { print $1 }')
  after=$(ticks "$1")
  awk -v t=$((after - before)) -v hz="$(getconf CLK_TCK)" -v n="$requests" 'BEGIN { printf "%.3f\n", t / hz / n * 1e6 }'
}
median() { sort --numeric-sort | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

# PID PORT PATH: KiB of resident memory per resting connection.
rests() {
  python3 - "$@" "$resting" << 'PYTHON'
import asyncio, ssl, sys
pid, port, path, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def resident():
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

async def rest(context):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="off.example")
    writer.write(f"GET {path} HTTP/1.1\r\nHost: off.example\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    return writer

async def main():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    before, open_ = resident(), []
    while len(open_) < count:
        open_ += await asyncio.gather(*(rest(context) for _ in range(50)))
    await asyncio.sleep(1)
    print(f"{(resident() - before) / len(open_):.1f}")

asyncio.run(main())
PYTHON
}
ulimit -n 4096
click=$(value click_off)
printf 'KiB per resting connection over TLS: ours %s   nginx %s\n' \
  "$(rests "$ours" "${our_tls_address##*:}" "/${click#*/}")" "$(rests "$nginx" "$tls_port" /c/x)"

printf '%-16s %12s %12s %8s\n' row 'ours µs' 'nginx µs' ratio
for row in $rows; do
  here=http://$our_address there=http://127.0.0.1:$port kept=keep-alive target=$row
  case $row in
    pixel_*) peer=/o/x ;;
    click_off) peer=/c/x ;;
    *_tls) peer=/c/x here=https://$our_tls_address there=https://127.0.0.1:$tls_port target=click_off ;;
    *) peer=/logged/x ;;
  esac
  [ "$row" != handshake_tls ] || kept=close
  target=$(value "$target")
  # The same length of path for both.
  path=/${target#*/}
  peer=$peer$(printf '%*s' $((${#path} - ${#peer})) '' | tr ' ' x)
  : > "$work/a"; : > "$work/b"
  for ((round = 0; round < rounds; round++)); do
    measure "$ours" "$here" "${target%%/*}" "$path" "$kept" >> "$work/a"
    measure "$nginx" "$there" "${target%%/*}" "$peer" "$kept" >> "$work/b"
  done
  a=$(median < "$work/a") b=$(median < "$work/b")
  printf '%-16s %12.3f %12.3f %7.2fx   ours %s   nginx %s\n' "$row" "$a" "$b" \
    "$(awk -v a="$a" -v b="$b" 'BEGIN { print a / b }')" \
    "$(sort -n "$work/a" | paste -sd' ')" "$(sort -n "$work/b" | paste -sd' ')"
done

! grep --quiet 'Socket errors\|Non-2xx' "$work/wrk" || { grep 'Socket errors\|Non-2xx' "$work/wrk" | sort | uniq -c; }
nginx -v 2>&1
wrk -v 2>&1 | head -1 || true
