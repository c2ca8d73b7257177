//! Where withdrawals are lost, nobody who is named is recorded until somebody
//! says how to go on.

use std::fs;
use std::path::Path;

use mailtrail_tests::{Flags, Program, look_into, root};
use serde_json::json;

fn start(data_dir: &Path) -> Program {
    Flags::new(root().join("examples/manifests"), data_dir).start()
}

/// Rewrites a mail with one link for somebody, or nobody, and clicks it.
fn click(program: &Program, recipient: Option<&str>) {
    let mail = json!({
        "domain": "demo/links", "message_id": "m-1", "recipient": recipient,
        "html": "<p><a href=\"https://shop.example/offer\">Look</a></p>",
    });
    let url = program.rewrite(&mail)["report"]["links"][0]["url"].clone();
    let url = url.as_str().expect("a tracked link");
    assert_eq!(program.follow(url).status, 302);
}

fn metric(program: &Program, line: &str) -> bool {
    let metrics = program.get(program.admin(), "/metrics").text();
    metrics.lines().any(|found| found == line)
}

/// The recipients of all events.
fn readers(program: &Program, count: usize) -> Vec<Option<String>> {
    let events = program.events_once_settled("demo/links", count);
    let recipient = |event: &serde_json::Value| event["recipient"].as_str().map(str::to_owned);
    events.iter().map(recipient).collect()
}

#[test]
fn lost_withdrawals_stop_the_recording_of_the_named_until_somebody_decides() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = start(folder.path());
    let erase = "/v1/domains/demo/links/recipients/erase";
    assert_eq!(
        program.post(erase, &json!({"recipient": "ada"})).status,
        200
    );
    assert!(program.stop().success());
    let check = |expected: (Option<i32>, &str)| {
        let looked = look_into("check", folder.path());
        let lines = looked.lines.iter();
        let of_them = lines.filter(|line| line["journal"] == "withdrawals");
        let counted: Vec<_> = of_them.map(|line| line["counted"].as_str()).collect();
        assert_eq!(
            (looked.code, &counted[..]),
            (expected.0, &[Some(expected.1)][..])
        );
    };
    check((Some(0), "all"));
    fs::remove_dir_all(folder.path().join("withdrawals")).expect("removed");
    check((Some(1), "fewer"));

    let program = start(folder.path());
    for named in [Some("ada"), Some("bob"), None] {
        click(&program, named);
    }
    assert_eq!(readers(&program, 1), [None]);
    for line in [
        "mailtrail_withdrawals_incomplete 1",
        "mailtrail_hits_total{route=\"click\",outcome=\"withdrawals_incomplete\"} 2",
    ] {
        assert!(metric(&program, line), "{line}");
    }
    let log = program.log();
    let said: Vec<_> = log
        .lines()
        .filter(|l| l.contains("withdrawals are lost"))
        .collect();
    assert!(
        said.len() == 1 && said[0].contains("ERROR") && said[0].contains("withdrawals.count"),
        "{log}"
    );
    assert!(program.stop().success());
    check((Some(1), "fewer"));

    fs::remove_file(folder.path().join("withdrawals.count")).expect("removed");
    let program = start(folder.path());
    click(&program, Some("bob"));
    assert_eq!(readers(&program, 2), [None, Some("bob".to_owned())]);
    assert!(metric(&program, "mailtrail_withdrawals_incomplete 0"));
    check((Some(0), "never"));
}
