"""Reads deliveries as receivers would, with the published libraries; they stand
on standard input, each with format, headers, body, and secrets. What is wrong
ends it with an error."""

import json
import sys

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

count = 0
for delivery in json.load(sys.stdin):
    headers, body = delivery["headers"], delivery["body"]
    if delivery["format"] == "Resend":
        continue
    for secret in delivery["secrets"]:
        Webhook(secret).verify(body, headers)
        try:
            Webhook(secret).verify(body + " ", headers)
        except WebhookVerificationError:
            pass
        else:
            sys.exit("a changed body is taken")
    if delivery["format"] != "CloudEvents":
        continue
    media_type = headers["content-type"].split(";")[0]
    if media_type == "application/cloudevents-batch+json":
        # The library reads events one by one.
        events = [json.dumps(event).encode() for event in json.loads(body)]
        assert events, "a batch is empty"
    else:
        assert media_type == "application/cloudevents+json", media_type
        events = [body.encode()]
    for text in events:
        message = HTTPMessage(headers={"content-type": "application/cloudevents+json"}, body=text)
        event = from_http_event(message)
        assert event.get_specversion() == "1.0", event.get_specversion()
        assert event.get_type().startswith("dev.mailtrail.message."), event.get_type()
        assert event.get_source() == "//mailtrail.dev/trackingdomains/shop/links"
        assert event.get_id() == event.get_data()["id"]
        assert event.get_time().isoformat(timespec="milliseconds").startswith(event.get_data()["time"][:23])
        count += 1
print(count)
