//! Answers of any length: events downloaded, a recipient exported; and what
//! becomes of one who is withdrawn.

use serde_json::{Value, json};

use crate::client::{Answer, get, post};
use crate::lists::events;
use crate::messages::rewrite;
use crate::world::{Server, World, click, open};

const DOWNLOAD: &str = "/v1/domains/shop/links/events/download";
const RECIPIENTS: &str = "/v1/domains/shop/links/recipients";
/// More than the store gives in one page.
const MANY: usize = 1_205;

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let line = |line| serde_json::from_str(line).expect("JSON on each line");
    answer.text().lines().map(line).collect()
}

fn keep_many(server: &Server) {
    for number in 0..MANY {
        server.keep_settled(&click("shop/links", &format!("m-{number}")));
    }
    server.keep(&click("toys/links", "m-0"));
}

#[test]
fn all_events_are_downloaded_whatever_their_number_each_once_in_order() {
    let server = World::open().start();
    keep_many(&server);
    let downloaded = lines(&get(DOWNLOAD).send(server.address));
    let ids: Vec<_> = downloaded.iter().map(|e| e["message_id"].clone()).collect();
    let kept: Vec<_> = (0..MANY).map(|n| json!(format!("m-{n}"))).collect();
    assert_eq!(ids, kept);
    // Each as a list has it.
    let listed = get("/v1/domains/shop/links/events?limit=1").send(server.address);
    assert_eq!(downloaded[0], listed.json()["events"][0]);
}

#[test]
fn a_download_is_filtered_as_a_list_is_and_pages_are_none_of_its_business() {
    let server = World::open().start();
    server.keep(&open("shop/links", "m-1"));
    server.keep(&click("shop/links", "m-2"));
    let downloaded = lines(&get(&format!("{DOWNLOAD}?type=clicked")).send(server.address));
    assert_eq!(downloaded.len(), 1);
    assert_eq!(downloaded[0]["message_id"], "m-2");
    assert!(lines(&get(&format!("{DOWNLOAD}?message_id=none")).send(server.address)).is_empty());
    for (query, fault) in [
        ("format=xml", "format"),
        ("limit=3", "limit"),
        ("after=x", "after"),
        ("recipient=a", "recipient"),
        ("since=x", "since"),
    ] {
        let refused = get(&format!("{DOWNLOAD}?{query}")).send(server.address);
        assert_eq!(refused.faults(), [fault]);
    }
}

#[test]
fn csv_has_a_head_and_is_read_back_by_a_reader_of_csv() {
    let server = World::open().start();
    let mut odd = click("shop/links", "m-\"1\", and");
    odd.client.user_agent = Some("=HYPERLINK(\"x\")".to_owned());
    server.keep(&odd);
    server.keep(&open("shop/links", "m-2"));
    let answer = get(&format!("{DOWNLOAD}?format=csv")).send(server.address);
    let kind = answer.header("content-type").expect("a type");
    assert!(kind.starts_with("text/csv"), "{kind}");
    assert!(
        answer
            .header("content-disposition")
            .expect("one")
            .contains("events.csv")
    );
    let mut reader = csv::Reader::from_reader(answer.text().as_bytes());
    let head = reader.headers().expect("a head").clone();
    let rows: Vec<_> = reader.records().map(|row| row.expect("a row")).collect();
    let cell = |row: usize, name: &str| {
        let column = head
            .iter()
            .position(|column| column == name)
            .expect("a column");
        rows[row][column].to_owned()
    };
    assert_eq!(rows.len(), 2);
    assert_eq!(cell(0, "message_id"), "m-\"1\", and");
    assert_eq!(cell(0, "type"), "clicked");
    assert_eq!(cell(0, "recipient"), "ada@example.org");
    assert_eq!(cell(0, "verdict"), "unknown");
    assert_eq!(
        cell(0, "link_target"),
        odd.link.expect("a link").target.to_string()
    );
    // No spreadsheet reckons with what a reader's program calls itself.
    assert_eq!(cell(0, "user_agent"), "'=HYPERLINK(\"x\")");
    assert_eq!(
        (cell(1, "type"), cell(1, "link_target")),
        ("opened".into(), String::new())
    );
}

#[test]
fn an_export_has_all_of_one_reader_and_nothing_of_others() {
    let server = World::open().start();
    rewrite(&server, "m-1", |_| {});
    rewrite(&server, "m-2", |mail| {
        mail["recipient"] = json!("eve@example.org")
    });
    keep_many(&server);
    server.keep(&open("shop/links", "m-9"));
    let body = json!({"recipient": "ada@example.org"});
    let export = || lines(&post(&format!("{RECIPIENTS}/export"), &body).send(server.address));
    let held = export();
    assert_eq!(held[0], json!({"withdrawn": false}));
    assert_eq!(held[1]["message"]["message_id"], "m-1");
    let rest = &held[2..];
    assert_eq!(rest.len(), MANY, "clicks are hers, the open is nobody's");
    assert!(
        rest.iter()
            .all(|line| line["event"]["recipient"] == "ada@example.org")
    );
    let erase = post(&format!("{RECIPIENTS}/erase"), &body).send(server.address);
    assert_eq!(erase.status, 200);
    assert_eq!(export(), [json!({"withdrawn": true})]);
}

#[test]
fn of_who_is_withdrawn_nothing_more_is_recorded_and_the_rest_stays() {
    let server = World::open().start();
    rewrite(&server, "m-1", |_| {});
    server.keep(&click("shop/links", "m-1"));
    let body = json!({"recipient": "ada@example.org"});
    let withdraw = || post(&format!("{RECIPIENTS}/withdraw"), &body).send(server.address);
    for _ in 0..2 {
        assert_eq!(withdraw().json(), json!({"withdrawn": true}));
    }
    rewrite(&server, "m-2", |_| {});
    server.keep_hit(&click("shop/links", "m-1"));
    // Of others all is recorded, and so is all of hers elsewhere.
    server.keep(&open("shop/links", "m-3"));
    server.keep(&click("toys/links", "m-4"));
    assert_eq!(events(&server, "").0, ["clicked m-1", "opened m-3"]);
    let export = post(&format!("{RECIPIENTS}/export"), &body).send(server.address);
    let held = lines(&export);
    assert_eq!(held[0], json!({"withdrawn": true}));
    assert_eq!(held.len(), 3, "{held:?}");
}

#[test]
fn a_recipient_is_needed_and_is_a_name() {
    let server = World::open().start();
    for operation in ["export", "withdraw"] {
        let path = format!("{RECIPIENTS}/{operation}");
        for body in [json!({}), json!({"recipient": ""}), json!({"recipient": 7})] {
            let refused = post(&path, &body).send(server.address);
            assert_eq!(refused.faults(), ["recipient"], "{operation} {body}");
        }
        let refused = post(&path, &json!({"recipient": "a", "all": true})).send(server.address);
        assert_eq!(refused.faults(), ["all"], "{operation}");
    }
}
