//! What is a settled event's verdict, and is it the first?

use std::collections::HashMap;

use aws_lc_rs::hmac;
use mailtrail_core::event::{EventKind, Verdict};
use mailtrail_core::id::LinkPosition;
use mailtrail_core::target::Target;

use super::super::firsts::{Asked, Firsts};
use super::super::judging::Judging;
use super::*;
use crate::judge::{LiveRules, Rules};
use crate::store::fixtures::message;
use crate::store::index::KeyHasher;
use crate::store::record::{EventKey, event_facts};
use crate::store::simulated::Fault;

fn hasher() -> KeyHasher {
    KeyHasher::new(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]))
}

fn judging() -> Option<Judging> {
    Some(Judging {
        rules: Arc::new(LiveRules::new(Rules::shipped())),
        hasher: hasher(),
        index: None,
    })
}

fn bench(disk: &SimulatedDisk) -> Bench {
    let clock = TestClock::default();
    clock.wall_ms.store(BEGIN_MS, Ordering::SeqCst);
    Bench::judged(disk, disk, clock, judging()).expect("opens")
}

/// A browser's click on the link at a position, `after_ms` after the begin.
fn click(position: u32, after_ms: u64) -> Unsettled {
    let mut hit = numbered(position, BEGIN_MS + after_ms);
    hit.event.id = Uuid::now_v7();
    hit.event.message_id = "m-1".parse().expect("an id");
    hit.event.recipient = Some("ada".parse().expect("a recipient"));
    let link = hit.event.link.as_mut().expect("a link");
    link.position = LinkPosition(position);
    link.target = Target::parse(&format!("https://e.com/{position}")).expect("a target");
    hit.signs = vec!["browser".into()];
    hit
}

fn open(signs: &[&str], after_ms: u64) -> Unsettled {
    let mut hit = click(0, after_ms);
    hit.event.kind = EventKind::Opened;
    hit.event.link = None;
    hit.signs = signs.iter().map(|&sign| sign.to_owned()).collect();
    hit
}

impl Bench {
    fn keep_hit(&self, hit: &Unsettled) -> bool {
        let time_ms = hit.event.time.as_millisecond() as u64;
        let payload = record::encode_hit(hit);
        let kept = self.hits.append(&self.hub, record::HIT, time_ms, &payload);
        kept.wait().is_ok()
    }

    /// Settles these; gives the verdict of each, and whether it was the first.
    fn judge_all(&mut self, hits: &[Unsettled]) -> Vec<(Verdict, bool)> {
        for hit in hits {
            assert!(self.keep_hit(hit));
        }
        self.settle_all();
        let events = self.events();
        let verdict_of = |hit: &Unsettled| {
            let event = events.iter().find(|event| event.id == hit.event.id);
            event.map(|event| (event.client.verdict, event.first))
        };
        hits.iter().filter_map(verdict_of).collect()
    }
}

#[test]
fn case_92_all_of_a_burst_are_a_scanners_the_pixel_too_and_none_is_the_first() {
    let hits = [
        open(&["browser"], 0),
        click(1, 100),
        click(2, 200),
        click(3, 300),
    ];
    let judged = bench(&SimulatedDisk::new(0)).judge_all(&hits);
    assert_eq!(judged, [(Verdict::Scanner, false); 4]);
}

#[test]
fn a_persons_first_hit_of_a_link_is_told_from_those_that_follow() {
    let hits = [
        click(1, 0),
        click(1, 100),
        click(2, 200),
        open(&["browser"], 300),
        open(&["image_proxy"], 400),
        open(&["library"], 500),
    ];
    let judged = bench(&SimulatedDisk::new(0)).judge_all(&hits);
    let expected = [
        (Verdict::Human, true),
        (Verdict::Human, false),
        (Verdict::Human, true),
        (Verdict::Human, true),
        (Verdict::Proxy, false),
        (Verdict::Scanner, false),
    ];
    assert_eq!(judged, expected);
}

#[test]
fn a_persons_hit_after_a_machines_is_the_first() {
    let hits = [open(&["library"], 0), open(&["browser"], 500)];
    let judged = bench(&SimulatedDisk::new(0)).judge_all(&hits);
    assert_eq!(judged, [(Verdict::Scanner, false), (Verdict::Human, true)]);
}

#[test]
fn case_96_a_test_mails_hit_is_never_the_first() {
    let mut test = click(1, 0);
    test.event.test = true;
    let judged = bench(&SimulatedDisk::new(0)).judge_all(&[test, click(1, 100)]);
    assert_eq!(judged, [(Verdict::Human, false), (Verdict::Human, true)]);
}

#[test]
fn case_88_a_bare_mozilla_is_a_prefetch_only_soon_after_a_known_sending() {
    let check = |all_sent_before_ms: &[Option<u64>], expected| {
        let mut bench = bench(&SimulatedDisk::new(0));
        for sent_before_ms in all_sent_before_ms {
            let mut sent = message("shop/links", "m-1", Some("ada"), "x");
            sent.rewritten_at = Timestamp::from_millisecond(BEGIN_MS as i64).expect("a time");
            sent.sent_at = sent_before_ms.map(|before_ms| {
                Timestamp::from_millisecond((BEGIN_MS - before_ms) as i64).expect("a time")
            });
            let payload = record::encode_message(&sent, false).expect("a payload");
            let hub = bench.journal.hub();
            let kept = bench
                .journal
                .append(&hub, record::MESSAGE, BEGIN_MS, &payload);
            kept.wait().expect("kept");
        }
        let judged = bench.judge_all(&[open(&["bare_mozilla"], 0)]);
        assert_eq!(judged[0].0, expected, "{all_sent_before_ms:?}");
    };
    check(&[Some(5_000)], Verdict::Prefetch);
    check(&[Some(600_000)], Verdict::Proxy);
    check(&[None], Verdict::Proxy);
    // Of a mail that was rewritten again, the last says.
    check(&[Some(600_000), Some(5_000)], Verdict::Prefetch);
    check(&[Some(5_000), Some(600_000)], Verdict::Proxy);
    check(&[Some(5_000), None], Verdict::Proxy);
}

#[test]
fn a_hit_after_a_restart_is_not_the_first_again() {
    let disk = SimulatedDisk::new(0);
    assert_eq!(
        bench(&disk).judge_all(&[click(1, 0)]),
        [(Verdict::Human, true)]
    );
    assert_eq!(
        bench(&disk).judge_all(&[click(1, 60_000), click(2, 60_001)]),
        [(Verdict::Human, false), (Verdict::Human, true)]
    );
}

/// Checks that among the events of people each key has exactly one first, and
/// that it is the earliest.
fn assert_firsts(events: &[Event], context: &str) {
    let mut firsts: HashMap<(u32, String), Vec<bool>> = HashMap::new();
    for event in events.iter().filter(|e| e.client.verdict.is_person()) {
        let position = event.link.as_ref().map_or(0, |link| link.position.0);
        let key = (position, event.message_id.as_str().to_owned());
        firsts.entry(key).or_default().push(event.first);
    }
    assert!(!firsts.is_empty(), "{context}");
    for (key, firsts) in firsts {
        let expected: Vec<_> = (0..firsts.len()).map(|n| n == 0).collect();
        assert_eq!(firsts, expected, "{context}: {key:?}");
    }
}

#[test]
fn first_is_right_after_a_power_cut_at_every_call() {
    // Twenty hits of six keys, so that most come again.
    let go = |bench: &mut Bench| {
        for n in 0..20_u32 {
            let mut hit = click(1 + n % 2, u64::from(n) * 11_000);
            hit.event.message_id = format!("m-{}", n % 3).parse().expect("an id");
            let _ = bench.keep_hit(&hit);
            bench.clock.pass(Duration::from_secs(11));
            let _ = bench.settler.look();
        }
    };
    let open = |disk: &SimulatedDisk| {
        let clock = TestClock::default();
        clock.wall_ms.store(BEGIN_MS, Ordering::SeqCst);
        Bench::judged(disk, disk, clock, judging())
    };
    let whole = SimulatedDisk::new(0);
    go(&mut open(&whole).expect("opens"));
    assert!(whole.calls() > 60, "{}", whole.calls());
    for call in 0..whole.calls() {
        let disk = SimulatedDisk::new(call as u64);
        disk.fail_at(call, Fault::PowerCut);
        if let Ok(mut bench) = open(&disk) {
            go(&mut bench);
        }
        let mut again = open(&disk.after_power_cut()).expect("opens");
        go(&mut again);
        again.settle_all();
        assert_firsts(&again.events(), &format!("call {call}"));
    }
}

#[test]
fn keys_that_are_held_no_more_are_asked_of_the_journal() {
    let disk = SimulatedDisk::new(0);
    let mut bench = bench(&disk);
    let hits: Vec<_> = (1..61).map(|n| click(n, u64::from(n) * 11_000)).collect();
    // A batch is not cut in two: some batches make some segments.
    for hits in hits.chunks(5) {
        bench.judge_all(hits);
    }
    let journal = bench.journal.reader();
    assert!(journal.parts().count() > 3);
    let mut firsts = Firsts::load_bounded(hasher(), &journal, 4).expect("reads");
    for event in bench.events() {
        let payload = record::encode_event(&event);
        let facts = event_facts(&payload).expect("facts");
        let asked = |key, position, sent_ms| Asked {
            key,
            position,
            sent_ms,
        };
        let known = asked(facts.key, facts.position, 0);
        assert!(!firsts.take(known, &journal, None).expect("reads"));
        // Nothing of a mail that was sent after all segments is in them.
        let later = EventKey {
            message_id: "m-later",
            ..facts.key
        };
        let new = asked(later, facts.position, u64::MAX);
        assert!(firsts.take(new, &journal, None).expect("reads"));
        assert!(!firsts.take(new, &journal, None).expect("reads"));
    }
}
