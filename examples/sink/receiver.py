#!/usr/bin/env python3
"""A receiver of webhooks on http://127.0.0.1:9000: prints the events that come,
once it has checked their signature (Standard Webhooks). Its one argument is the
file with the secret; it needs nothing but Python."""

import base64
import hashlib
import hmac
import http.server
import sys
import time

SECRET = base64.b64decode(open(sys.argv[1]).read().strip().removeprefix("whsec_"))
SKEW_MAX_SECONDS = 300


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        status = 204 if self.is_signed(body) else 401
        if status == 204:
            print(self.headers["webhook-id"], body.decode(), flush=True)
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def is_signed(self, body):
        sent = self.headers.get("webhook-timestamp", "0")
        said = f"{self.headers.get('webhook-id')}.{sent}.".encode() + body
        ours = base64.b64encode(hmac.digest(SECRET, said, hashlib.sha256)).decode()
        signatures = self.headers.get("webhook-signature", "").split()
        fresh = sent.isdigit() and abs(time.time() - int(sent)) <= SKEW_MAX_SECONDS
        return fresh and any(hmac.compare_digest(s, f"v1,{ours}") for s in signatures)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", 9000), Receiver).serve_forever()
