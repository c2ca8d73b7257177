//! Killed under load: every answered event is there afterwards, once, and the
//! first click of a mail stays the first.

use mailtrail_tests::{Flags, root};

use crate::load::{Link, assert_all_there_once, assert_enough, click_until, lasts, links, rounds};

#[test]
fn every_answered_event_survives_being_killed_and_is_there_once() {
    let folder = tempfile::tempdir().expect("a folder");
    // `make crash` asks for 200.
    let rounds = rounds("MAILTRAIL_CRASH_ROUNDS", 20);
    let mut expected: Vec<String> = Vec::new();
    // Links of earlier rounds that are clicked a second time after the kill.
    let mut again: Option<Link> = None;
    for round in 0..rounds {
        let program = Flags::new(root().join("examples/manifests"), folder.path()).start();
        assert_all_there_once(&program, &expected);
        if let Some((id, url)) = again.take() {
            assert_eq!(program.follow(&url).status, 302);
            expected.push(id);
            assert_all_there_once(&program, &expected);
        }
        let urls = links(&program, round);
        let answered = click_until(program.public(), &urls, lasts(round), || program.kill());
        let is_last = |link: &&Link| answered.last() == Some(&link.0);
        again = urls.iter().find(is_last).cloned();
        expected.extend(answered);
    }
    // Twice: what the first of them settles would be there again at the second.
    for _ in 0..2 {
        let program = Flags::new(root().join("examples/manifests"), folder.path()).start();
        assert_all_there_once(&program, &expected);
        assert!(program.stop().success());
    }
    assert_enough(&expected, rounds);
    println!(
        "{} answered clicks over {} kills, all there",
        expected.len(),
        rounds
    );
}
