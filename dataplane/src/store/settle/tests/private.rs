//! What becomes of hits that are told of nobody?

use mailtrail_core::config::{Domain, Recorded, Snapshot};
use mailtrail_core::event::{EventKind, Verdict};
use mailtrail_core::keyring::Keyring;
use mailtrail_core::token::Keys;

use super::*;
use crate::config::Live;
use crate::store::counts::Split;
use crate::store::disk::Disk;
use crate::store::simulated::Fault;
use crate::store::{hour_of, record::Counted};

/// Milliseconds of an hour.
const HOUR_MS: u64 = 60 * 60 * 1000;
/// Hits of a run.
const SENT: u32 = 40;

/// A hit that is known again by its hour, which no other is of.
fn of_its_hour(n: u32, recorded: Recorded) -> Unsettled {
    let mut hit = numbered(n, BEGIN_MS - u64::from(n + 1) * HOUR_MS);
    hit.event.recipient = Some(format!("reader-{n}").parse().expect("a recipient"));
    hit.event.client.verdict = Verdict::Human;
    hit.recorded = recorded;
    hit
}

/// Every second one is to be told of nobody.
fn mixed(n: u32) -> Unsettled {
    let modes = [Recorded::Identified, Recorded::Anonymous];
    of_its_hour(n, modes[n as usize % 2])
}

/// The domain of all hits records nothing but numbers.
fn anonymous() -> Modes {
    let modes = Modes::default();
    make_anonymous(&modes);
    modes
}

/// From now on it says so.
fn make_anonymous(modes: &Modes) {
    let hit = hit("shop/links", "m");
    let mut domain = Domain::new(hit.event.domain, hit.event.host);
    domain.privacy.record = Recorded::Anonymous;
    let snapshot = Snapshot::new([domain]).expect("a domain");
    let mut random = [7; 35];
    random[3] = 8;
    let keys = Keys::new(Keyring::generate(random).expect("a good key"));
    modes.follow(Arc::new(Live::new(snapshot, keys)));
}

fn bench(disk: &SimulatedDisk, modes: Modes) -> std::io::Result<Bench> {
    let clock = TestClock::default();
    clock.wall_ms.store(BEGIN_MS, Ordering::SeqCst);
    Bench::under(disk, disk, clock, (None, modes))
}

impl Bench {
    /// Appends these, all before the first is awaited; gives which are kept.
    fn keep_all(&self, hits: impl IntoIterator<Item = Unsettled>) -> Vec<u32> {
        let append = |hit: Unsettled| {
            let time_ms = hit.event.time.as_millisecond() as u64;
            let payload = record::encode_hit(&hit);
            let pending = self.hits.append(&self.hub, record::HIT, time_ms, &payload);
            (hit.event.id.as_u128() as u32, pending)
        };
        let pending: Vec<_> = hits.into_iter().map(append).collect();
        let kept = pending.into_iter();
        kept.filter_map(|(n, pending)| pending.wait().is_ok().then_some(n))
            .collect()
    }

    /// The rest of the segment's time: it is ended, and removed a while later.
    fn let_go(&mut self) {
        for _ in 0..16 {
            self.clock.pass(Duration::from_secs(5));
            self.settler.look().expect("looks");
            while !self.hits.is_idle() {
                std::thread::yield_now();
            }
        }
    }

    fn counted(&self, mut each: impl FnMut(Counted<'_>)) {
        let read = self.journal.reader().each_after(0, |head, payload| {
            if head.kind == record::COUNTED {
                let counted = record::decode_counted(payload).expect("what was counted");
                assert_eq!(head.time_ms, u64::from(counted.hour) * HOUR_MS);
                each(counted);
            }
            ControlFlow::Continue(())
        });
        read.expect("reads");
    }

    /// Each hit that is told or counted, by its number; and how often.
    fn told_and_counted(&self) -> Vec<u32> {
        let mut found = self.settled();
        let begin = hour_of(BEGIN_MS as i64);
        self.counted(|counted| {
            assert_eq!(counted.opened, Split::default());
            let number = begin - counted.hour - 1;
            found.extend((0..counted.clicked.total()).map(|_| number));
        });
        found
    }
}

/// Hits one by one and many at once, with looks in between; gives which were
/// acknowledged.
fn run(bench: &mut Bench) -> Vec<u32> {
    let mut kept = Vec::new();
    for n in 0..12 {
        kept.extend(bench.keep_all([mixed(n)]));
        if n % 3 == 0 {
            let _ = bench.settler.look();
        }
    }
    kept.extend(bench.keep_all((12..30).map(mixed)));
    let _ = bench.settler.look();
    bench.clock.pass(SETTLE);
    let _ = bench.settler.look();
    kept.extend(bench.keep_all((30..SENT).map(mixed)));
    kept
}

/// All bytes of a disk.
fn bytes_of(disk: &SimulatedDisk) -> Vec<u8> {
    let mut all = Vec::new();
    for dir in ["/hits", "/journal"] {
        for name in disk.list(Path::new(dir)).expect("names") {
            let file = disk.open(&Path::new(dir).join(name)).expect("a file");
            let mut bytes = vec![0; 1 << 20];
            let read = file.read_at(&mut bytes, 0).expect("reads");
            all.extend_from_slice(&bytes[..read]);
        }
    }
    all
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    memchr::memmem::find(bytes, wanted).is_some()
}

#[test]
fn what_is_told_of_nobody_is_counted_and_in_no_file_a_minute_and_a_half_later() {
    let disk = SimulatedDisk::new(0);
    let mut bench = bench(&disk, Modes::default()).expect("opens");
    let mut hit = hit("shop/links", "message-of-one");
    hit.recorded = Recorded::Anonymous;
    hit.event.time = Timestamp::from_millisecond(BEGIN_MS as i64).expect("a time");
    hit.event.recipient = Some("reader-of-one".parse().expect("a recipient"));
    hit.event.client.family = Some("Family".into());
    hit.event.client.verdict = Verdict::Proxy;
    let id = hit.event.id;
    bench.keep_all([hit.clone()]);
    assert!(holds(&bytes_of(&disk), b"reader-of-one"));
    bench.settle_all();
    bench.let_go();
    let bytes = bytes_of(&disk);
    let link = hit.event.link.expect("a link");
    for wanted in [
        b"reader-of-one".as_slice(),
        b"message-of-one",
        b"Family",
        link.target.as_str().as_bytes(),
        id.as_bytes(),
        &BEGIN_MS.to_le_bytes(),
    ] {
        let text = String::from_utf8_lossy(wanted);
        assert!(!holds(&bytes, wanted), "{text} is there");
    }
    let mut numbers = Vec::new();
    bench.counted(|counted| numbers.push((counted.hour, counted.clicked)));
    let mut split = Split::default();
    split.count(Verdict::Proxy);
    assert_eq!(numbers, [(hour_of(BEGIN_MS as i64), split)]);
}

#[test]
fn nothing_settles_before_domains_say_what_is_recorded_of_it() {
    let modes = Modes::awaited();
    let mut bench = bench(&SimulatedDisk::new(0), modes.clone()).expect("opens");
    bench.keep_all((0..3).map(|n| of_its_hour(n, Recorded::Identified)));
    bench.clock.pass(SETTLE * 3);
    bench.settler.look().expect("looks");
    assert!(bench.told_and_counted().is_empty());
    // One became stricter since the hits.
    make_anonymous(&modes);
    bench.settle_all();
    assert!(bench.settled().is_empty(), "each is told of nobody");
    assert_eq!(bench.told_and_counted().len(), 3);
}

#[test]
fn test_mails_count_no_more_than_elsewhere() {
    let mut bench = bench(&SimulatedDisk::new(0), anonymous()).expect("opens");
    let mut hit = of_its_hour(0, Recorded::Identified);
    hit.event.test = true;
    bench.keep_all([hit, of_its_hour(1, Recorded::Identified)]);
    bench.settle_all();
    assert_eq!(bench.told_and_counted(), [1]);
}

#[test]
fn opens_and_clicks_are_counted_apart() {
    let mut bench = bench(&SimulatedDisk::new(0), anonymous()).expect("opens");
    let mut open = numbered(1, BEGIN_MS);
    (open.event.kind, open.event.link) = (EventKind::Opened, None);
    bench.keep_all([open, numbered(2, BEGIN_MS), numbered(3, BEGIN_MS)]);
    bench.settle_all();
    let mut totals = (0, 0);
    bench.counted(|counted| {
        totals.0 += counted.opened.unknown;
        totals.1 += counted.clicked.unknown;
    });
    assert_eq!(totals, (1, 2));
}

#[test]
fn a_power_cut_at_every_call_loses_none_and_counts_none_twice_whatever_is_recorded_then() {
    let whole = SimulatedDisk::new(0);
    let mut first = bench(&whole, Modes::default()).expect("opens");
    assert_eq!(run(&mut first).len(), SENT as usize);
    drop(first);
    let calls = whole.calls();
    assert!(calls > 60, "{calls}");
    for (call, seed) in (0..2 * calls).flat_map(|call| [(call, 0), (call, 1)]) {
        let disk = SimulatedDisk::new(seed);
        disk.fail_at(call, Fault::PowerCut);
        let kept = bench(&disk, Modes::default()).map_or(vec![], |mut bench| run(&mut bench));
        let after = disk.after_power_cut();
        // Meanwhile the domain was told to record less, or was not.
        let modes = [Modes::default(), anonymous()][call % 2].clone();
        let reopened = || {
            let mut bench = bench(&after, modes.clone()).expect("opens");
            bench.settle_all();
            bench.told_and_counted()
        };
        let context = format!("call {call}, seed {seed}");
        let found = reopened();
        assert_settled(&found, &kept, SENT, &context);
        assert_eq!(reopened(), found, "{context}: a second start");
    }
}

#[test]
fn a_journal_that_takes_nothing_for_a_while_counts_once() {
    let disk = SimulatedDisk::new(0);
    let mut bench = bench(&disk, Modes::default()).expect("opens");
    bench.keep_all((0..20).map(mixed));
    disk.set_full(true);
    bench.clock.pass(SETTLE);
    for _ in 0..5 {
        let _ = bench.settler.look();
        bench.clock.pass(SETTLE);
    }
    disk.set_full(false);
    // The writer finds out by itself, within a second.
    while bench.settler.look().is_err() {
        std::thread::yield_now();
    }
    bench.settle_all();
    let found = bench.told_and_counted();
    assert_eq!(found.len(), 20, "{found:?}");
    assert_settled(
        &found,
        &(0..20).collect::<Vec<_>>(),
        20,
        "after it was full",
    );
}

#[test]
fn of_the_last_date_its_day_is_there_and_nothing_else_of_its_hit() {
    let disk = SimulatedDisk::new(0);
    let mut bench = bench(&disk, Modes::default()).expect("opens");
    let by = |reader: &str, verdict, day: u64| {
        let mut hit = numbered(1, BEGIN_MS + day * 24 * HOUR_MS);
        hit.event.id = Uuid::now_v7();
        hit.event.recipient = Some(reader.parse().expect("a recipient"));
        hit.event.client.verdict = verdict;
        hit.recorded = Recorded::LastDate;
        hit
    };
    let first = by("ada", Verdict::Human, 0);
    bench.keep_all([
        first.clone(),
        by("ada", Verdict::Human, 0),
        by("ada", Verdict::Proxy, 1),
        by("eve", Verdict::Scanner, 1),
        by("bob", Verdict::Unknown, 1),
    ]);
    bench.settle_all();
    assert_eq!(bench.events().len(), 0);
    let mut days = Vec::new();
    let read = bench.journal.reader().each_after(0, |head, payload| {
        if head.kind == record::LAST {
            let last = record::decode_last(payload).expect("a day");
            let begin = u64::from(last.day) * 24 * HOUR_MS;
            assert_eq!(head.time_ms, begin);
            days.push((last.key.recipient.map(str::to_owned), last.day));
        }
        ControlFlow::Continue(())
    });
    read.expect("reads");
    let day = u32::try_from(BEGIN_MS / (24 * HOUR_MS)).expect("a day");
    let ada = || Some("ada".to_owned());
    assert_eq!(days, [(ada(), day), (ada(), day + 1)]);
    let mut total = 0;
    bench.counted(|counted| total += counted.clicked.total());
    assert_eq!(total, 5);
    bench.let_go();
    let bytes = bytes_of(&disk);
    assert!(holds(&bytes, b"ada") && !holds(&bytes, b"eve") && !holds(&bytes, b"bob"));
    let link = first.event.link.expect("a link");
    for wanted in [
        link.target.as_str().as_bytes(),
        first.event.id.as_bytes(),
        &BEGIN_MS.to_le_bytes(),
    ] {
        assert!(!holds(&bytes, wanted));
    }
}
