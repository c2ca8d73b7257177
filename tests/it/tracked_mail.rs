//! The main job, over the running program: a mail is rewritten, opened and
//! clicked, and the events say who did.

use std::fs;

use mailtrail_tests::{Flags, Program, root};
use serde_json::{Value, json};

fn start(folder: &tempfile::TempDir) -> Program {
    Flags::new(root().join("examples/manifests"), folder.path()).start()
}

fn mail() -> Value {
    let html = fs::read_to_string(root().join("examples/mail.html")).expect("the example mail");
    json!({"domain": "links.localhost", "message_id": "welcome-1", "recipient": "ada@example.org", "html": html})
}

fn first_tracked(report: &Value) -> &Value {
    let links = report["links"].as_array().expect("links");
    links
        .iter()
        .find(|link| link["tracked"] == true)
        .expect("a tracked link")
}

#[test]
fn a_mail_is_rewritten_opened_and_clicked_and_the_events_say_who_did() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = start(&folder);
    let rewritten = program.rewrite(&mail());
    let link = first_tracked(&rewritten["report"]);
    let url = link["url"].as_str().expect("a URL");
    let pixel = rewritten["report"]["pixel"]["url"]
        .as_str()
        .expect("a pixel");
    assert!(rewritten["html"].as_str().expect("html").contains(url));

    let opened = program.follow(pixel);
    assert_eq!(
        (opened.status, opened.header("content-type")),
        (200, Some("image/gif"))
    );
    let clicked = program.follow(url);
    assert_eq!(
        (clicked.status, clicked.header("location")),
        (302, link["target"].as_str())
    );

    let events = program.events_once_settled("demo/links", 2);
    let said: Vec<_> = events
        .iter()
        .map(|e| (e["type"].as_str(), e["recipient"].as_str()))
        .collect();
    assert_eq!(
        said,
        [
            (Some("opened"), Some("ada@example.org")),
            (Some("clicked"), Some("ada@example.org"))
        ]
    );
    assert_eq!(events[1]["link"]["target"], link["target"]);
    assert!(program.stop().success());
}

#[test]
fn what_was_answered_is_found_again_after_a_stop_and_after_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = start(&folder);
    let rewritten = program.rewrite(&mail());
    let url = first_tracked(&rewritten["report"])["url"]
        .as_str()
        .expect("a URL")
        .to_owned();
    assert_eq!(program.follow(&url).status, 302);
    assert!(program.stop().success());

    let program = start(&folder);
    // Another port, so the URL's authority differs; the token still opens.
    assert_eq!(program.follow(&url).status, 302);
    assert_eq!(program.events_once_settled("demo/links", 2).len(), 2);
    program.kill();

    let program = start(&folder);
    assert_eq!(program.events_once_settled("demo/links", 2).len(), 2);
}
