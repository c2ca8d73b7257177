//! What a domain does not record is told of nobody and stands nowhere.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use mailtrail_tests::{Program, Receiver};
use serde_json::{Value, json};

use crate::sinks::Folder;

/// As long as a hit may stay in the data folder, and a while for a busy machine.
const GONE_WITHIN: Duration = Duration::from_secs(150);

/// A domain of the shop: what it records of opens and of clicks.
fn declare(folder: &Folder, name: &str, opens: &str, clicks: &str) {
    let text = format!(
        "apiVersion: mailtrail.dev/v1alpha1\nkind: TrackingDomain\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  host: {name}.shop.example\n  verification: None\n  opens: {{enabled: true, record: {opens}}}\n  clicks: {{enabled: true, record: {clicks}}}\n"
    );
    let file = folder.path("manifests").join(format!("{name}.yaml"));
    fs::write(file, text).expect("written");
}

/// What a mail of a domain holds that stands nowhere else.
fn words(name: &str) -> [String; 4] {
    ["message", "reader", "target", "tag"].map(|what| format!("{what}-of-{name}-q7x"))
}

/// Rewrites the mail of a domain; gives its link and its pixel.
fn mail(program: &Program, name: &str) -> [String; 2] {
    let [message, reader, target, tag] = words(name);
    let report = program.rewrite(&json!({
        "domain": format!("shop/{name}"), "message_id": message, "recipient": reader,
        "tags": {"kind": tag}, "subject": format!("Dear {reader}"), "to": reader,
        "html": format!("<p><a href=\"https://shop.example/{target}\">Look</a></p>"),
    }))["report"]
        .clone();
    let text = |url: &Value| url.as_str().expect("a URL").to_owned();
    [
        text(&report["links"][0]["url"]),
        text(&report["pixel"]["url"]),
    ]
}

fn total(program: &Program, name: &str) -> Value {
    let path = format!("/v1/domains/shop/{name}/stats");
    program.get(program.api(), &path).json()["total"].clone()
}

/// Waits until so many opens and clicks are counted, by whomever.
fn counted(program: &Program, name: &str, opens: u64, clicks: u64) -> Value {
    let mut said = Value::Null;
    program.until(&format!("{opens} and {clicks} of {name}"), |program| {
        said = total(program, name);
        said["opened"]["total"] == opens && said["clicked"]["total"] == clicks
    });
    said
}

fn kinds(program: &Program, name: &str) -> Vec<String> {
    let events = program.events(&format!("shop/{name}"));
    let kind = |event: &Value| event["type"].as_str().expect("a type").to_owned();
    events.iter().map(kind).collect()
}

fn bytes_below(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => all.extend(bytes_below(&path)),
            // One may be removed meanwhile.
            false => all.extend(fs::read(&path).unwrap_or_default()),
        }
    }
    all
}

fn holds(folder: &Folder, word: &str) -> bool {
    let bytes = bytes_below(&folder.path("data"));
    bytes
        .windows(word.len())
        .any(|window| window == word.as_bytes())
}

/// Of the mail of `neither`, and of its reader, nothing is told either.
fn nothing_is_told_of_the_mail(program: &Program) {
    let [message, reader, ..] = words("neither");
    let base = "/v1/domains/shop/neither";
    let summary = program.get(program.api(), &format!("{base}/messages/{message}"));
    assert_eq!(summary.status, 404, "{}", summary.text());
    let messages = program.get(program.api(), &format!("{base}/messages"));
    assert_eq!(messages.json()["messages"], json!([]));
    for list in ["events", "messages"] {
        let asked = json!({"recipient": reader});
        let found = program.post(&format!("{base}/{list}/query"), &asked).json();
        assert_eq!(found[list], json!([]), "{found}");
    }
}

/// Waits until no word of `neither` is in the data folder.
fn until_gone(folder: &Folder) {
    let begun = Instant::now();
    while words("neither").iter().any(|word| holds(folder, word)) {
        assert!(begun.elapsed() < GONE_WITHIN, "it is still there");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// One by one as by the hour.
fn sent_once_however_it_is_counted(program: &Program, name: &str) {
    for more in ["", "?group_by=link", "?time_zone=Asia/Kolkata"] {
        let path = format!("/v1/domains/shop/{name}/stats{more}");
        let counted = program.get(program.api(), &path).json()["total"].clone();
        assert_eq!(counted["sent"], 1, "{name}, {more}: {counted}");
    }
}

#[test]
fn hits_are_recorded_as_their_toggle_says_and_what_is_anonymous_stands_nowhere() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    fs::remove_file(folder.path("manifests/domain.yaml")).expect("removed");
    let domains = [
        ("neither", "Anonymous", "Anonymous"),
        ("clicks", "Anonymous", "Identified"),
        ("opens", "Identified", "Anonymous"),
        ("both", "Identified", "Identified"),
    ];
    for (name, opens, clicks) in domains {
        declare(&folder, name, opens, clicks);
    }
    folder.sink("all", &receiver.url(), "");
    let program = folder.start();
    for (name, ..) in domains {
        let [link, pixel] = mail(&program, name);
        assert_eq!(program.follow(&link).status, 302);
        assert_eq!(program.follow(&pixel).status, 200);
        // Once more: a mail is sent once.
        mail(&program, name);
    }
    // Until it is settled and its segment is gone, it is there.
    let [_, reader, ..] = words("neither");
    assert!(holds(&folder, &reader));
    let provisional = "/v1/domains/shop/neither/events?provisional=true";
    let listed = program.get(program.api(), provisional).json();
    assert_eq!(listed["events"], json!([]), "{listed}");
    for (name, expected) in [
        ("neither", &[][..]),
        ("clicks", &["clicked"]),
        ("opens", &["opened"]),
        ("both", &["clicked", "opened"]),
    ] {
        let said = counted(&program, name, 1, 1);
        assert_eq!(said["sent"], 1, "{name}: {said}");
        sent_once_however_it_is_counted(&program, name);
        let is_anonymous = |kind: &str| u64::from(!expected.contains(&kind));
        for kind in ["opened", "clicked"] {
            let anonymous = said[kind]["anonymous"].as_u64().unwrap_or(0);
            assert_eq!(anonymous, is_anonymous(kind), "{name}: {said}");
        }
        assert_eq!(kinds(&program, name), expected, "{name}");
    }
    nothing_is_told_of_the_mail(&program);
    let received = receiver.until(4);
    let told = received.iter().map(|of| of.json()["data"].to_string());
    for told in told {
        assert!(!told.contains("of-neither"), "{told}");
    }
    until_gone(&folder);
    assert_eq!(receiver.count(), 4);
    for word in words("neither") {
        assert!(!program.log().contains(&word), "{word} is in the log");
    }
    // After a start, with the index made anew, the numbers are the same.
    let before: Vec<_> = domains.map(|(name, ..)| total(&program, name)).into();
    assert!(program.stop().success());
    fs::remove_dir_all(folder.path("data/index")).expect("removed");
    let program = folder.start();
    let after: Vec<_> = domains.map(|(name, ..)| total(&program, name)).into();
    assert_eq!(before, after);
}

#[test]
fn a_mode_counts_for_hits_that_follow_also_of_mails_sent_before() {
    let folder = Folder::new();
    fs::remove_file(folder.path("manifests/domain.yaml")).expect("removed");
    declare(&folder, "links", "Identified", "Identified");
    let program = folder.start();
    let [link, _] = mail(&program, "links");
    let recorded = |program: &Program, mode: &str| {
        let domain = program.get(program.api(), "/v1/domains/shop/links").json();
        domain["clicks"]["record"] == mode
    };
    let click = |program: &Program| assert_eq!(program.follow(&link).status, 302);
    click(&program);
    assert_eq!(counted(&program, "links", 0, 1)["clicked"]["first"], 1);
    declare(&folder, "links", "Identified", "Anonymous");
    program.until("it is anonymous", |program| recorded(program, "anonymous"));
    click(&program);
    let said = counted(&program, "links", 0, 2);
    let clicked = &said["clicked"];
    assert_eq!(clicked["anonymous"], 1, "{said}");
    assert_eq!(said["click_to_open"], Value::Null, "{said}");
    assert_eq!(kinds(&program, "links"), ["clicked"]);
    // And back: what was counted stays so.
    declare(&folder, "links", "Identified", "Identified");
    program.until("it is identified", |program| {
        recorded(program, "identified")
    });
    click(&program);
    assert_eq!(counted(&program, "links", 0, 3)["clicked"]["anonymous"], 1);
    assert_eq!(kinds(&program, "links"), ["clicked", "clicked"]);
    let events = program.events("shop/links");
    let firsts: Vec<_> = events.iter().map(|event| event["first"].clone()).collect();
    assert!(firsts[1] != true, "{firsts:?}");
}

#[test]
fn who_withdrew_is_not_counted_either() {
    let folder = Folder::new();
    fs::remove_file(folder.path("manifests/domain.yaml")).expect("removed");
    declare(&folder, "links", "Anonymous", "Anonymous");
    let program = folder.start();
    let [link, _] = mail(&program, "links");
    assert_eq!(program.follow(&link).status, 302);
    counted(&program, "links", 0, 1);
    let [_, reader, ..] = words("links");
    let path = "/v1/domains/shop/links/recipients/erase";
    let erased = program.post(path, &json!({"recipient": reader}));
    assert_eq!(erased.status, 200, "{}", erased.text());
    // A number names nobody, so it stays.
    assert_eq!(program.follow(&link).status, 302);
    let report = program.rewrite(&json!({
        "domain": "shop/links", "message_id": "other", "html": "<p><a href=\"https://e.com/\">x</a></p>",
    }))["report"]
        .clone();
    let other = report["links"][0]["url"].as_str().expect("a URL");
    assert_eq!(program.follow(other).status, 302);
    counted(&program, "links", 0, 2);
}

/// What is exported of a reader of `links`, but for mails.
fn exported(program: &Program, reader: &str) -> Vec<Value> {
    let path = "/v1/domains/shop/links/recipients/export";
    let lines = program.post(path, &json!({"recipient": reader})).text();
    let held = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    held.filter(|held: &Value| held["message"].is_null())
        .collect()
}

#[test]
fn of_the_last_date_the_day_is_told_and_no_event() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    fs::remove_file(folder.path("manifests/domain.yaml")).expect("removed");
    declare(&folder, "links", "LastDate", "Anonymous");
    folder.sink("all", &receiver.url(), "");
    let program = folder.start();
    let [link, pixel] = mail(&program, "links");
    let today = || {
        let said = std::process::Command::new("date")
            .args(["-u", "+%F"])
            .output();
        let said = said.expect("date runs").stdout;
        String::from_utf8_lossy(&said).trim().to_owned()
    };
    let before = today();
    // As the image proxy of a person's mail client asks.
    let agent =
        "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)";
    let fetched = std::process::Command::new("curl")
        .args(["--silent", "--output", "/dev/null", "--user-agent", agent])
        .args(["--header", "Host: links.shop.example"])
        .arg(format!("http://{}/{}", program.public(), path_of(&pixel)))
        .status();
    assert!(fetched.expect("curl runs").success());
    assert_eq!(program.follow(&link).status, 302);
    let said = counted(&program, "links", 1, 1);
    assert_eq!(
        (
            &said["opened"]["people"],
            &said["opened"]["anonymous"],
            &said["opened"]["first"]
        ),
        (&json!(1), &json!(1), &Value::Null),
        "{said}"
    );
    assert_eq!(kinds(&program, "links"), [""; 0]);
    let [message, reader, ..] = words("links");
    let path = format!("/v1/domains/shop/links/messages/{message}");
    let summary = program.get(program.api(), &path).json();
    let of = &summary["recipients"][0];
    assert_eq!(of["recipient"], reader, "{summary}");
    assert_eq!(of.get("clicked_on"), None, "{summary}");
    assert_eq!(summary["opens"]["total"], 0, "{summary}");
    assert_eq!(summary["message"].get("subject"), None, "{summary}");
    let days = [before, today()];
    let day = of["opened_on"].as_str().expect("a day").to_owned();
    assert!(days.contains(&day), "{day}");
    assert_eq!(
        exported(&program, &reader),
        [
            json!({"withdrawn": false}),
            json!({"last_date": {"message_id": message, "type": "opened", "day": day}}),
        ]
    );
    let erase = "/v1/domains/shop/links/recipients/erase";
    let erased = program.post(erase, &json!({"recipient": reader}));
    assert_eq!(erased.status, 200, "{}", erased.text());
    assert_eq!(exported(&program, &reader), [json!({"withdrawn": true})]);
    assert!(!holds(&folder, &reader));
    assert_eq!(counted(&program, "links", 1, 1)["sent"], 0);
    assert_eq!(receiver.count(), 0);
}

/// What follows the host of a URL.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split_once('/').map_or("", |(_, path)| path)
}
