//! The journal is looked into from outside, also while the program runs.

use std::fs;
use std::path::Path;

use mailtrail_tests::{Flags, Looked, Program, look_into, root};
use serde_json::{Value, json};

/// Where a frame's payload begins in a segment of one record: behind two
/// headers and the frame's own head.
const FIRST_PAYLOAD_AT: usize = 64 + 24;

fn start(data_dir: &Path) -> Program {
    Flags::new(root().join("examples/manifests"), data_dir).start()
}

/// Rewrites a mail with one link and clicks it.
fn click(program: &Program, message: &str) {
    let mail = json!({
        "domain": "demo/links", "message_id": message, "recipient": "ada",
        "html": "<p><a href=\"https://shop.example/offer\">Look</a></p>",
    });
    let url = program.rewrite(&mail)["report"]["links"][0]["url"].clone();
    let url = url.as_str().expect("a tracked link");
    assert_eq!(program.follow(url).status, 302);
}

fn of_journal<'a>(looked: &'a Looked, journal: &str) -> Vec<&'a Value> {
    let lines = looked.lines.iter();
    lines.filter(|line| line["journal"] == journal).collect()
}

#[test]
fn a_journal_in_use_is_checked_listed_and_exported() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = start(folder.path());
    click(&program, "m-1");
    program.until("the click is listed", |p| {
        !p.events("demo/links").is_empty()
    });

    let checked = look_into("check", folder.path());
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let journal = of_journal(&checked, "journal")[0];
    assert_eq!(
        (
            &journal["events"],
            &journal["messages"],
            &journal["damaged"]
        ),
        (&json!(1), &json!(1), &json!(0))
    );
    let listed = look_into("list", folder.path());
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert_eq!(of_journal(&listed, "journal").len(), 1, "{listed:?}");

    let exported = look_into("export", folder.path());
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let event = exported.lines.iter().find(|line| line["record"] == "event");
    let event = event.expect("the click");
    assert_eq!(
        (&event["message_id"], &event["recipient"]),
        (&json!("m-1"), &json!("ada"))
    );
    // The program was not disturbed.
    click(&program, "m-2");
    assert!(program.stop().success());
}

#[test]
fn a_damaged_journal_is_told_by_count_and_exit_code_and_the_rest_is_exported() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = start(folder.path());
    click(&program, "m-1");
    program.until("the click is listed", |p| {
        !p.events("demo/links").is_empty()
    });
    assert!(program.stop().success());
    let segment = folder.path().join("journal/0000000001.journal");
    let mut bytes = fs::read(&segment).expect("a segment");
    // The first record is the message record of the rewrite.
    bytes[FIRST_PAYLOAD_AT] ^= 1;
    fs::write(&segment, bytes).expect("written");

    let checked = look_into("check", folder.path());
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let journal = of_journal(&checked, "journal")[0];
    assert_eq!(
        (
            &journal["damaged"],
            &journal["messages"],
            &journal["events"]
        ),
        (&json!(1), &json!(0), &json!(1))
    );
    let exported = look_into("export", folder.path());
    assert_eq!(exported.code, Some(0), "{exported:?}");
    assert!(exported.lines.iter().any(|line| line["record"] == "event"));
}

#[test]
fn a_folder_without_a_journal_is_named_and_not_called_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    for command in ["check", "list", "export"] {
        let looked = look_into(command, folder.path());
        assert_eq!(looked.code, Some(2), "{command}: {looked:?}");
        assert!(
            looked.said.contains("there is no journal in it")
                && looked.said.contains(folder.path().to_str().expect("text")),
            "{command}: {looked:?}"
        );
    }
    assert_eq!(
        fs::read_dir(folder.path()).expect("a folder").count(),
        0,
        "looking made something"
    );
}

#[test]
fn a_segment_missing_in_the_middle_is_told_by_its_numbers_by_a_check_and_at_start() {
    let folder = tempfile::tempdir().expect("a folder");
    // Each run leaves a segment: a message record and an event with its mark.
    for message in ["m-1", "m-2", "m-3"] {
        let program = start(folder.path());
        let before = program.events("demo/links").len();
        click(&program, message);
        program.events_once_settled("demo/links", before + 1);
        assert!(program.stop().success());
    }
    let listed = look_into("list", folder.path());
    let segments = of_journal(&listed, "journal");
    assert_eq!(segments.len(), 3, "{listed:?}");
    let lost = json!([{
        "first": segments[1]["first_seq"].clone(), "last": segments[1]["last_seq"].clone(),
    }]);
    assert_eq!(look_into("check", folder.path()).code, Some(0));

    let segment = folder.path().join("journal/0000000002.journal");
    fs::remove_file(segment).expect("removed");
    let checked = look_into("check", folder.path());
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert_eq!(of_journal(&checked, "journal")[0]["missing"], lost);
    let program = start(folder.path());
    let log = program.log();
    let said = log.lines().find(|line| line.contains("missing"));
    let said: Value = serde_json::from_str(said.expect("a warning")).expect("a line of JSON");
    assert_eq!(
        (&said["level"], &said["first"], &said["last"]),
        (&json!("WARN"), &lost[0]["first"], &lost[0]["last"]),
        "{said}"
    );
}
