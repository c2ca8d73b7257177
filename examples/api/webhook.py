"""webhook.py PORT SECRET_FILE: a receiver of an event sink, which prints the
events that come. It needs the package standardwebhooks."""

import http.server
import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

port, secret_file = sys.argv[1:]
webhook = Webhook(open(secret_file).read().strip())


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        # The bytes as they came: JSON that was read and written again has another signature.
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        try:
            event = webhook.verify(body, dict(self.headers.items()))
        except WebhookVerificationError:
            self.send_response(401)
        else:
            # An event may come twice: it has the same id then.
            print(json.dumps(event), flush=True)
            self.send_response(204)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Receiver).serve_forever()
