//! What a rewrite gives, as JSON.

use mailtrail_core::config::{DomainState, Snapshot};
use serde_json::{Value, json};

use crate::client::{Answer, get, post};
use crate::world::{Server, World, domain};

const HTML: &str = "<html><body><p><a href=\"https://shop.example/a?x=1&amp;y=2\" data-link-name=\"first\">A</a> <a href=\"tel:1\">B</a></p></body></html>";

fn rewrite(server: &Server, mail: &Value) -> Value {
    let answer = post("/v1/rewrite", mail).send(server.address);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn resolve(server: &Server, domain: &str, url: &str) -> Answer {
    let path = format!("/v1/domains/{domain}/resolve");
    post(&path, &json!({"url": url})).send(server.address)
}

fn codes(answer: &Value) -> Vec<&str> {
    let list = answer["report"]["warnings"].as_array().expect("warnings");
    list.iter()
        .map(|w| w["code"].as_str().expect("a code"))
        .collect()
}

#[test]
fn a_mail_comes_back_with_its_links_wrapped_and_a_pixel() {
    let server = World::open().start();
    let mail = json!({"domain": "links.shop.example", "message_id": "m-1", "recipient": "ada@example.org", "html": HTML});
    let answer = rewrite(&server, &mail);
    let html = answer["html"].as_str().expect("html");
    let links = &answer["report"]["links"];
    let url = links[0]["url"].as_str().expect("a URL");
    assert!(url.starts_with("https://links.shop.example/c/"), "{url}");
    assert!(
        html.contains(&format!("<a href=\"{url}\">A</a> <a href=\"tel:1\">B</a>")),
        "{html}"
    );
    assert_eq!(links[0]["target"], "https://shop.example/a?x=1&y=2");
    assert_eq!(
        (&links[0]["tracked"], &links[0]["name"]),
        (&json!(true), &json!("first"))
    );
    assert_eq!(
        (&links[1]["tracked"], &links[1]["reason"]),
        (&json!(false), &json!("other_scheme"))
    );
    let pixel = &answer["report"]["pixel"];
    assert_eq!(pixel["placed"], true);
    assert!(html.contains(pixel["url"].as_str().expect("a URL")));
    assert_eq!((codes(&answer), &answer["text"]), (vec![], &Value::Null));
    // The same request within the hour gives the same bytes.
    assert_eq!(rewrite(&server, &mail), answer);
}

#[test]
fn what_a_tracking_url_says_can_be_asked() {
    let server = World::open().start();
    let mail = json!({"domain": "shop/links", "message_id": "m-1", "recipient": "ada@example.org", "html": HTML, "test": true});
    let report = rewrite(&server, &mail)["report"].clone();
    let url = report["links"][0]["url"].as_str().expect("a URL");
    let said = resolve(&server, "shop/links", url).json();
    assert_eq!(
        said,
        json!({"kind": "click", "message_id": "m-1", "recipient": "ada@example.org", "position": 1,
            "target": "https://shop.example/a?x=1&y=2", "sent_hour": "2026-11-23T18:00:00Z", "test": true})
    );
    let pixel = report["pixel"]["url"].as_str().expect("a URL");
    let said = resolve(&server, "shop/links", pixel).json();
    assert_eq!(
        (&said["kind"], &said["target"]),
        (&json!("open"), &Value::Null)
    );
    // As mail clients mangle it (case 86).
    assert_eq!(
        resolve(&server, "shop/links", &format!("{url}=)")).status,
        200
    );
}

#[test]
fn a_url_that_does_not_open_or_is_anothers_is_refused() {
    let server = World::open().start();
    let mail = json!({"domain": "shop/links", "message_id": "m-1", "html": HTML});
    let report = rewrite(&server, &mail)["report"].clone();
    let url = report["links"][0]["url"].as_str().expect("a URL");
    let (status, word, _) = resolve(&server, "toys/links", url).problem();
    assert_eq!((status, word.as_str()), (404, "other-domain"));
    let on_theirs = url.replace("links.shop.example", "links.toys.example");
    for broken in [
        on_theirs.as_str(),
        "https://links.toys.example/c/0000",
        "https://links.toys.example/robots.txt",
        "ftp://links.toys.example/c/x",
        "/c/x",
        "",
    ] {
        let faults = resolve(&server, "toys/links", broken).faults();
        assert_eq!(faults, ["url"], "{broken}");
    }
    let long = format!("https://links.toys.example/c/{}", "a".repeat(4096));
    assert_eq!(resolve(&server, "toys/links", &long).faults(), ["url"]);
}

#[test]
fn a_request_narrows_what_is_tracked() {
    let server = World::open().start();
    let ask = |tracking: Value| {
        rewrite(
            &server,
            &json!({"domain": "shop/links", "message_id": "m", "html": HTML, "tracking": tracking}),
        )
    };
    let answer = ask(json!({"opens": false}));
    let report = &answer["report"];
    assert_eq!(
        (&report["pixel"]["placed"], &report["pixel"]["reason"]),
        (&json!(false), &json!("opens_off"))
    );
    assert_eq!(report["links"][0]["tracked"], true);
    let answer = ask(json!({"clicks": false}));
    assert_eq!(answer["report"]["links"][0]["reason"], "clicks_off");
    assert_eq!(answer["report"]["pixel"]["placed"], true);
    let top = ask(json!({"pixel": "top"}));
    let html = top["html"].as_str().expect("html");
    assert!(html.find("<img") < html.find("<p>"), "{html}");
    assert!(codes(&top).is_empty());
}

#[test]
fn asking_for_more_than_the_domain_allows_is_ignored_with_a_warning() {
    let server = World::open().start();
    let all = json!({"opens": true, "clicks": true, "text": true});
    let mail = |domain: &str| json!({"domain": domain, "message_id": "m", "html": HTML, "text": "https://e.com/", "tracking": all});
    let answer = rewrite(&server, &mail("shop/quiet"));
    // Names of links are for us, and go.
    let html = HTML.replace(" data-link-name=\"first\"", "");
    assert_eq!(
        (codes(&answer), &answer["html"]),
        (vec!["tracking_narrowed"], &json!(html))
    );
    let detail = answer["report"]["warnings"][0]["detail"]
        .as_str()
        .expect("words");
    for name in ["tracking.opens", "tracking.clicks", "tracking.text"] {
        assert!(detail.contains(name), "{detail}");
    }
    let answer = rewrite(&server, &mail("shop/links"));
    assert_eq!(
        (codes(&answer), &answer["text"]),
        (vec!["tracking_narrowed"], &json!("https://e.com/"))
    );
    assert_eq!(codes(&rewrite(&server, &mail("shop/texts"))), [""; 0]);
}

#[test]
fn case_85_a_retired_domain_tracks_nothing_and_says_so() {
    let server = World::open().start();
    let mut retired = domain("shop/links", "links.shop.example");
    retired.state = DomainState::Retired;
    let snapshot = Snapshot::new([retired]).expect("domains");
    server.live.replace_snapshot(snapshot);
    let mail = json!({"domain": "shop/links", "message_id": "m", "html": "<a href='https://e.com/'>x</a>"});
    let answer = rewrite(&server, &mail);
    assert_eq!(codes(&answer), ["domain_retired"]);
    assert_eq!(answer["html"], mail["html"]);
}

#[test]
fn the_texts_links_are_numbered_behind_those_of_the_html() {
    let server = World::open().start();
    let mail = json!({"domain": "shop/texts", "message_id": "m", "html": HTML, "text": "See https://e.com/t."});
    let answer = rewrite(&server, &mail);
    let last = &answer["report"]["links"][2];
    assert_eq!(
        (&last["position"], &last["part"], &last["element"]),
        (&json!(3), &json!("text"), &Value::Null)
    );
    let url = last["url"].as_str().expect("a URL");
    assert_eq!(answer["text"], format!("See {url}."));
    assert_eq!(resolve(&server, "shop/texts", url).json()["position"], 3);
}

#[test]
fn case_77_a_text_alone_is_left_unless_the_domain_tracks_texts() {
    let server = World::open().start();
    let mail = json!({"domain": "shop/links", "message_id": "m", "text": "See https://e.com/t."});
    let answer = rewrite(&server, &mail);
    assert_eq!(
        (&answer["text"], &answer["html"]),
        (&json!("See https://e.com/t."), &Value::Null)
    );
    assert_eq!(answer["report"]["pixel"]["reason"], "no_html");
    assert_eq!(answer["report"]["links"][0]["reason"], "plain_text_off");
}

#[test]
fn case_51e_before_its_host_is_verified_a_mail_comes_back_unchanged() {
    let server = World::open().start();
    let mail = json!({"domain": "shop/fresh", "message_id": "m", "html": HTML});
    let answer = rewrite(&server, &mail);
    assert_eq!(answer["html"], HTML);
    assert_eq!(answer["report"]["links"][0]["reason"], "host_unverified");
    assert_eq!(answer["report"]["pixel"]["reason"], "host_unverified");
    assert_eq!(codes(&answer), ["host_unverified"]);
}

#[test]
fn a_dry_run_tells_and_gives_no_bodies() {
    let server = World::open().start();
    let mail = json!({"domain": "shop/links", "message_id": "m", "html": HTML, "text": "t", "dry_run": true});
    let answer = rewrite(&server, &mail);
    assert_eq!(
        (&answer["html"], &answer["text"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(answer["report"]["links"][0]["tracked"], true);
}

#[test]
fn case_104_nothing_of_a_withdrawn_recipient_is_recorded() {
    let server = World::open().start();
    server.withdraw("shop/links", "ada@example.org");
    let mail = |who: &str| json!({"domain": "shop/links", "message_id": "m", "recipient": who, "html": HTML});
    assert_eq!(
        codes(&rewrite(&server, &mail("ada@example.org"))),
        ["recipient_withdrawn"]
    );
    assert_eq!(codes(&rewrite(&server, &mail("bob@example.org"))), [""; 0]);
}

#[test]
fn a_mail_is_rewritten_although_the_store_is_away() {
    let server = World::open().start();
    server.close_store();
    let answer = rewrite(
        &server,
        &json!({"domain": "shop/links", "message_id": "m", "html": HTML}),
    );
    assert_eq!(codes(&answer), ["message_not_recorded"]);
    assert_eq!(answer["report"]["links"][0]["tracked"], true);
}

#[test]
fn a_large_mail_is_rewritten_too() {
    let server = World::open().start();
    let html = HTML.replace("<p>", &format!("<p>{}", "word \u{e9}".repeat(300_000)));
    let mail = json!({"domain": "shop/links", "message_id": "m", "html": html});
    let answer = rewrite(&server, &mail);
    assert_eq!(answer["report"]["links"][0]["tracked"], true);
    assert!(codes(&answer).contains(&"gmail_clips"));
    assert!(get("/v1/domains").send(server.address).status == 200);
}
