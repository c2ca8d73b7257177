//! The examples of the OpenAPI document. A test sends those that are requests.

use serde_json::{Value, json};

/// HTML as a shop sends it.
pub(super) const NEWSLETTER_HTML: &str = "<!doctype html>\n<html><body>\n<p>Hello Ada, three new teas have come in.</p>\n<p><a href=\"https://shop.example/teas?sort=new\" data-link-name=\"teas\">See them</a></p>\n<p><a href=\"https://shop.example/unsubscribe?u=7\">Unsubscribe</a></p>\n</body></html>\n";

const MESSAGE_ID: &str = "0198c3f2-7c1e-7d5a-9b1f-3c2a5e8f6d01";
const PIXEL: &str =
    "https://links.shop.example/o/2g0fq9j8c4r6s1t3v5k7m9p0d2a4e6f8g0h1i3j5k7l9m1n3o5p7q9r1";
const LINK: &str =
    "https://links.shop.example/c/2i0fq9jtb4n8m2k6h0c4r8v2p6s0d4f8g2j6l0q4t8a2e6i0m4o8u2n6r0t4a8e2";

pub(super) fn shipped() -> Value {
    json!({
        "domain": "shop/links",
        "message_id": MESSAGE_ID,
        "recipient": "ada@example.org",
        "tags": {"kind": "shipping", "order": "4711"},
        "html": "<!doctype html><html><body><p>Your order is on its way. <a href=\"https://shop.example/orders/4711\" data-link-name=\"order\">Follow it</a>, or call <a href=\"tel:+493012345\">us</a>.</p></body></html>",
        "text": "Your order is on its way: https://shop.example/orders/4711\n",
        "from": "Tea Shop <shop@shop.example>",
        "to": "Ada <ada@example.org>",
        "subject": "Your order is on its way",
        "sent_at": "2026-11-23T18:00:00Z",
        "unsubscribe_urls": ["https://shop.example/unsubscribe?u=7", "mailto:unsubscribe@shop.example"]
    })
}

pub(super) fn narrowed() -> Value {
    json!({
        "domain": "links.shop.example",
        "message_id": "invoice-2026-1107",
        "html": "<p>Your invoice: <a href=\"https://shop.example/invoices/1107\">open it</a></p>",
        "tracking": {"opens": false},
        "dry_run": true,
        "test": true
    })
}

pub(super) fn least() -> Value {
    json!({
        "domain": "shop/links",
        "message_id": "m-1",
        "html": "<p><a href=\"https://shop.example/\">Shop</a></p>"
    })
}

pub(super) fn rewritten() -> Value {
    json!({
        "html": format!("<!doctype html><html><body><p>Your order is on its way. <a href=\"{LINK}\">Follow it</a>, or call <a href=\"tel:+493012345\">us</a>.</p><img src=\"{PIXEL}\" width=\"1\" height=\"1\" alt=\"\"></body></html>"),
        "text": "Your order is on its way: https://shop.example/orders/4711\n",
        "report": {
            "links": [
                {"position": 1, "part": "html", "element": "a", "target": "https://shop.example/orders/4711", "tracked": true, "url": LINK, "reason": null, "name": "order"},
                {"position": 2, "part": "html", "element": "a", "target": "tel:+493012345", "tracked": false, "url": null, "reason": "other_scheme", "name": null},
                {"position": 3, "part": "text", "element": null, "target": "https://shop.example/orders/4711", "tracked": false, "url": null, "reason": "clicks_off", "name": null}
            ],
            "pixel": {"placed": true, "url": PIXEL, "reason": null},
            "warnings": []
        }
    })
}

pub(super) fn domain() -> Value {
    json!({
        "domain": "shop/links",
        "host": "links.shop.example",
        "other_hosts": ["go.shop.example"],
        "state": "active",
        "verified": true,
        "opens": {"enabled": true, "pixel": "auto", "record": "identified"},
        "clicks": {"enabled": true, "plain_text": false, "url_text": "leave", "sensitive": "leave", "never_track_hosts": ["*.bank.example"], "links_max": 10000, "record": "identified"},
        "privacy": {"address": "omit", "user_agent": "omit"},
        "retention_days": 45,
        "generation": 3
    })
}

pub(super) fn domains() -> Value {
    json!({"domains": [domain()], "next": null})
}

pub(super) fn clicked() -> Value {
    json!({
        "id": "0198c3f4-11a2-7b33-8c44-d5e6f7a8b901",
        "type": "clicked",
        "time": "2026-11-23T18:04:05.120Z",
        "domain": "shop/links",
        "host": "links.shop.example",
        "message_id": MESSAGE_ID,
        "recipient": "ada@example.org",
        "tags": {"kind": "shipping", "order": "4711"},
        "link": {"target": "https://shop.example/orders/4711", "position": 1, "name": "order"},
        "client": {"verdict": "human", "family": "Firefox", "os": "Linux", "device": "desktop"}
    })
}

pub(super) fn events() -> Value {
    let opened = json!({
        "id": "0198c3f3-90b1-7a22-9d10-a1b2c3d4e5f6",
        "type": "opened",
        "time": "2026-11-23T18:04:01.007Z",
        "domain": "shop/links",
        "host": "links.shop.example",
        "message_id": MESSAGE_ID,
        "recipient": "ada@example.org",
        "client": {"verdict": "proxy", "rules": ["google_image_proxy"]}
    });
    json!({"events": [opened, clicked()], "next": "AQAAAAAAAAACfJ2qBzE4", "more": false})
}

pub(super) fn events_query() -> Value {
    json!({"recipient": "ada@example.org", "verdict": ["people"], "since": "2026-11-23T00:00:00Z"})
}

pub(super) fn message() -> Value {
    json!({
        "message_id": MESSAGE_ID,
        "recipient": "ada@example.org",
        "rewritten_at": "2026-11-23T18:00:00.000Z",
        "sent_at": "2026-11-23T18:00:00.000Z",
        "subject": "Your order is on its way",
        "tags": {"kind": "shipping", "order": "4711"},
        "links": 1,
        "pixel": true
    })
}

pub(super) fn messages() -> Value {
    json!({"messages": [message()], "next": null})
}

pub(super) fn messages_query() -> Value {
    json!({"recipient": "ada@example.org", "tags": {"kind": "shipping"}})
}

pub(super) fn to_recipient() -> Value {
    json!({"recipient": "ada@example.org"})
}

pub(super) fn summary() -> Value {
    json!({
        "message_id": MESSAGE_ID,
        "message": message(),
        "opens": {"total": 3, "people": 1, "machines": 2, "unknown": 0, "first": 1, "unique": 1, "first_at": "2026-11-23T18:04:01.007Z", "last_at": "2026-11-23T18:04:01.007Z"},
        "derived_opens": 0,
        "clicks": {"total": 4, "people": 1, "machines": 3, "unknown": 0, "first": 1, "unique": 1, "first_at": "2026-11-23T18:04:05.120Z", "last_at": "2026-11-23T18:04:05.120Z"},
        "links": [{
            "position": 1,
            "target": "https://shop.example/orders/4711",
            "name": "order",
            "clicks": {"total": 4, "people": 1, "machines": 3, "unknown": 0, "first": 1, "unique": 1, "first_at": "2026-11-23T18:04:05.120Z", "last_at": "2026-11-23T18:04:05.120Z"}
        }],
        "recipients": [{
            "recipient": "ada@example.org",
            "opens": {"total": 3, "people": 1, "machines": 2, "unknown": 0, "first": 1},
            "clicks": {"total": 4, "people": 1, "machines": 3, "unknown": 0, "first": 1},
            "derived_open": false,
            "first_at": "2026-11-23T18:04:01.007Z",
            "last_at": "2026-11-23T18:04:05.120Z"
        }],
        "more_recipients": false,
        "test_hits": 0,
        "complete": true
    })
}

pub(super) fn erased() -> Value {
    json!({"events": 14, "messages": 3})
}

pub(super) fn stats() -> Value {
    let opened = json!({"total": 812, "people": 407, "machines": 398, "unknown": 7, "first": 389});
    let clicked = json!({"total": 96, "people": 51, "machines": 45, "unknown": 0, "first": 40});
    json!({
        "since": "2026-11-23T18:00:00Z",
        "until": "2026-11-23T20:00:00Z",
        "time_zone": "UTC",
        "by": "hour",
        "total": {"sent": 1000, "opened": opened, "clicked": clicked, "click_to_open": 0.103},
        "stretches": [{"start": "2026-11-23T18:00:00Z", "sent": 1000, "opened": opened, "clicked": clicked, "click_to_open": 0.103}]
    })
}

pub(super) fn resolve() -> Value {
    json!({"url": LINK})
}

pub(super) fn resolved() -> Value {
    json!({
        "kind": "click",
        "message_id": MESSAGE_ID,
        "recipient": "ada@example.org",
        "position": 1,
        "target": "https://shop.example/orders/4711",
        "sent_hour": "2026-11-23T18:00:00Z",
        "test": false
    })
}

pub(super) fn sink() -> Value {
    json!({
        "sink": "shop/orders",
        "receiver": "https://hooks.shop.example",
        "format": "standard_webhooks",
        "suspend": false,
        "suspended": null,
        "failing_since": "2026-11-23T18:04:02.500Z",
        "secret_missing": null,
        "oldest_undelivered": "2026-11-23T18:04:01.007Z",
        "retries_waiting": 3,
        "dead_letters": 1,
        "replays": 0,
        "generation": 4
    })
}

pub(super) fn dead_letters() -> Value {
    json!({
        "dead_letters": [{
            "id": "0198c3f3-9d21-7c4e-8f1a-6b2d3e4f5a6b",
            "attempts": 10,
            "first_attempt": "2026-11-20T09:04:02.500Z",
            "last_attempt": "2026-11-23T14:41:10.100Z",
            "reason": "status",
            "status": 500,
            "events": [clicked()]
        }],
        "more": false
    })
}

pub(super) fn replay_range() -> Value {
    json!({"since": "2026-11-23T00:00:00Z", "until": "2026-11-23T18:00:00Z"})
}

pub(super) fn replay_dead() -> Value {
    json!({"dead_letters": true})
}

pub(super) fn replayed() -> Value {
    json!({"begun": null, "dead_letters": 1, "dead_letters_left": 0})
}

pub(super) fn replay_begun() -> Value {
    json!({
        "begun": {"since": "2026-11-23T00:00:00.000Z", "until": "2026-11-23T18:00:00.000Z"},
        "dead_letters": 0,
        "dead_letters_left": 1
    })
}

pub(super) fn nothing() -> Value {
    json!({})
}

pub(super) fn tested() -> Value {
    json!({"outcome": "failed", "reason": "status", "status": 404, "secret_missing": null, "took_ms": 87})
}

pub(super) fn problem() -> Value {
    json!({
        "type": "https://mailtrail.dev/problems/invalid",
        "title": "Fields of the request broke rules",
        "status": 422,
        "errors": [
            {"field": "message_id", "rule": "is required"},
            {"field": "tracking.opens", "rule": "must be true or false"}
        ]
    })
}

pub(super) fn withdrawn() -> Value {
    json!({"withdrawn": true})
}
