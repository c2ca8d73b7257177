//! A data folder is copied and put back, as the page on operating says of one
//! machine: links lead home, and what the copy has is as it was.

use std::fs;
use std::path::Path;
use std::process::Command;

use mailtrail_tests::{Flags, Program, root};
use serde_json::{Value, json};

const DOMAIN: &str = "demo/links";

fn start(data_dir: &Path) -> Program {
    Flags::new(root().join("examples/manifests"), data_dir).start()
}

/// The links of a mail.
fn mail(program: &Program, message: &str, recipient: &str) -> Vec<String> {
    let html: String = (0..4)
        .map(|n| format!("<a href=\"https://shop.example/{n}\">{n}</a>"))
        .collect();
    let mail =
        json!({"domain": DOMAIN, "message_id": message, "recipient": recipient, "html": html});
    let report = program.rewrite(&mail)["report"].clone();
    let links = report["links"].as_array().expect("links").iter();
    links
        .map(|link| link["url"].as_str().expect("tracked").to_owned())
        .collect()
}

fn click(program: &Program, url: &str) {
    assert_eq!(program.follow(url).status, 302);
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.is_ok_and(|status| status.success()));
}

fn page(program: &Program, after: &str) -> (u16, Value) {
    let path = format!("/v1/domains/{DOMAIN}/events?limit=1000{after}");
    let answer = program.get(program.api(), &path);
    (answer.status, answer.json())
}

fn cursor(program: &Program) -> String {
    let next = page(program, "").1["next"].clone();
    format!("&after={}", next.as_str().expect("a cursor"))
}

#[test]
fn a_data_folder_that_is_put_back_has_what_the_copy_had_and_goes_on() {
    let place = tempfile::tempdir().expect("a folder");
    let (folder, backup) = (place.path().join("data"), place.path().join("backup"));
    let program = start(&folder);
    let links = mail(&program, "m-1", "ada");
    let of_bob = mail(&program, "m-1", "bob");
    let withdraw = format!("/v1/domains/{DOMAIN}/recipients/withdraw");
    assert_eq!(
        program.post(&withdraw, &json!({"recipient": "bob"})).status,
        200
    );
    click(&program, &links[0]);
    let before = program.events_once_settled(DOMAIN, 1);
    let known = cursor(&program);
    assert!(program.stop().success());
    copy(&folder, &backup);

    // What comes after the copy is lost with the folder; its links are not.
    let program = start(&folder);
    let later = mail(&program, "m-2", "ada");
    for link in [&links[1], &links[2], &later[0]] {
        click(&program, link);
    }
    program.events_once_settled(DOMAIN, 4);
    let ahead = cursor(&program);
    drop(program);
    fs::remove_dir_all(&folder).expect("removed");
    copy(&backup, &folder);

    let program = start(&folder);
    assert_eq!(program.events(DOMAIN), before);
    assert_eq!(page(&program, &ahead).0, 410);
    for link in links.iter().chain(&later).chain(&of_bob) {
        click(&program, link);
    }
    // Who had withdrawn before the copy is not recorded.
    let after = program.events_once_settled(DOMAIN, 1 + links.len() + later.len());
    assert_eq!(after[..1], before);
    assert!(after.iter().all(|event| event["recipient"] == "ada"));
    let following = page(&program, &known).1["events"].clone();
    assert_eq!(following.as_array().expect("a list")[..], after[1..]);
}
