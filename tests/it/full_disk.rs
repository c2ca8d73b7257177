//! A full disk stops the recording and nothing else, and says what it cost.

use std::fs::{self, File};

use mailtrail_tests::{Flags, Program, SmallDisk, fill, root};
use serde_json::json;

use crate::load::click_often;

/// Size of a file system with room for a few segments' beginnings.
const SMALL: &str = "12m";
/// Size of one with room for the index beside those of several starts.
const ROOMY: &str = "64m";
/// Readers that click at the same time.
const READERS: usize = 8;
/// Clicks on the full disk: more than fit into what was filled ahead.
const CLICKS: usize = 12_000;

fn not_kept(program: &Program) -> usize {
    let metrics = program.get(program.admin(), "/metrics").text();
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix("mailtrail_events_not_kept_total "));
    value.expect("counted").parse().expect("a number")
}

#[test]
fn on_a_full_disk_links_and_pixels_go_on_what_is_lost_is_counted_and_recording_resumes() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = SmallDisk::mount(folder.path(), SMALL) else {
        println!("skipped: a file system cannot be mounted here");
        return;
    };
    let data = folder.path().join("data");
    let program = Flags::new(root().join("examples/manifests"), &data).start();
    let mail = json!({
        "domain": "demo/links", "message_id": "m",
        "html": "<p><a href=\"https://shop.example/offer\">Look</a></p>",
    });
    let report = program.rewrite(&mail)["report"].clone();
    let link = report["links"][0]["url"].as_str().expect("a link");
    let pixel = report["pixel"]["url"].as_str().expect("a pixel");
    click_often(&program, link, READERS, READERS);

    let ballast = folder.path().join("ballast");
    fill(&ballast);
    click_often(&program, link, CLICKS, READERS);
    assert!(not_kept(&program) > 0, "the disk was not full");
    assert_eq!(program.follow(pixel).status, 200);
    assert_eq!(program.get(program.admin(), "/live").status, 200);

    fs::remove_file(&ballast).expect("removed");
    let mut clicks = READERS + CLICKS + 1;
    // It tries again within a second.
    program.until("recording goes on", |program| {
        let before = not_kept(program);
        click_often(program, link, READERS, READERS);
        clicks += READERS;
        not_kept(program) == before
    });
    program.until("every hit is listed or counted as lost", |program| {
        program.events("demo/links").len() + not_kept(program) == clicks
    });
    assert!(program.stop().success());
    drop(disk);
}

#[test]
fn a_start_on_a_full_disk_without_an_index_reads_settles_stops_and_goes_on_with_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = SmallDisk::mount(folder.path(), ROOMY) else {
        println!("skipped: a file system cannot be mounted here");
        return;
    };
    let data = folder.path().join("data");
    let flags = Flags::new(root().join("examples/manifests"), &data);
    let mail = json!({
        "domain": "demo/links", "message_id": "m",
        "html": "<p><a href=\"https://shop.example/offer\">Look</a></p>",
    });
    let program = flags.start();
    let report = program.rewrite(&mail)["report"].clone();
    let link = report["links"][0]["url"].as_str().expect("a link");
    click_often(&program, link, READERS, READERS);
    assert!(program.stop().success());

    fs::remove_dir_all(data.join("index")).expect("removed");
    let ballast = folder.path().join("ballast");
    fill(&ballast);
    let full = fs::metadata(&ballast).expect("filled").len();
    let some = File::options().write(true).open(&ballast).expect("opened");
    some.set_len(full - 16 * 1024).expect("a little room");
    // Held open it would keep the disk full.
    drop(some);
    for _ in 0..2 {
        let program = flags.start();
        assert_eq!(program.follow(link).status, 302);
        // They are answered, whatever has been settled by then.
        assert!(program.events("demo/links").len() <= READERS);
        assert!(program.stop().success());
    }

    let program = flags.start();
    fs::remove_file(&ballast).expect("removed");
    let before = program.events("demo/links").len();
    program.until("recording goes on", |program| {
        click_often(program, link, READERS, READERS);
        program.events("demo/links").len() > before
    });
    assert!(program.stop().success());
    drop(disk);
}
