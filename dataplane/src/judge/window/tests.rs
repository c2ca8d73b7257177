//! Bursts by their definition, in whatever order pushes and looks come.

use super::*;

const SETTLE: Duration = Duration::from_secs(10);
/// 2026-09-21T14:13:20Z.
const START: u64 = 1_790_000_000_000;

fn hit(seq: u64, ms: u64, mail: u64, target: Option<u64>) -> Waiting {
    Waiting {
        seq,
        time_ms: START + ms,
        mail: Some(mail),
        target,
    }
}

fn click(seq: u64, ms: u64, target: u64) -> Waiting {
    hit(seq, ms, 1, Some(target))
}

/// Whether each hit was in a burst, all pushed before the first is due.
fn bursts(hits: &[Waiting]) -> Vec<bool> {
    let mut window = Window::new(SETTLE);
    hits.iter().for_each(|hit| window.push(*hit));
    let due = drain(&mut window, u64::MAX / 2);
    assert_eq!(due.len(), hits.len());
    due.into_iter().map(|due| due.burst).collect()
}

fn drain(window: &mut Window, now_ms: u64) -> Vec<Due> {
    std::iter::from_fn(|| window.next_due(now_ms)).collect()
}

#[test]
fn case_92_three_targets_within_ten_seconds_are_a_burst_the_first_and_the_pixel_among_them() {
    let pixel = hit(1, 500, 1, None);
    let hits = [
        pixel,
        click(2, 1000, 1),
        click(3, 5000, 2),
        click(4, 9000, 3),
    ];
    assert_eq!(bursts(&hits), [true; 4]);
}

#[test]
fn case_92_a_single_links_clicks_and_two_links_are_none() {
    let again: Vec<_> = (0..50).map(|n| click(n, n * 10, 7)).collect();
    assert_eq!(bursts(&again), [false; 50]);
    let two: Vec<_> = (0..50).map(|n| click(n, n * 10, n % 2)).collect();
    assert_eq!(bursts(&two), [false; 50]);
}

#[test]
fn case_92_both_halves_of_an_mso_pair_are_one_target() {
    // Both halves have one position and one target, so one hash.
    let hits = [click(1, 0, 1), click(2, 100, 1), click(3, 200, 2)];
    assert_eq!(bursts(&hits), [false; 3]);
}

#[test]
fn case_92_mails_without_recipient_are_exempt() {
    let hits: Vec<_> = (0..9)
        .map(|n| Waiting {
            mail: None,
            ..click(n, n, n)
        })
        .collect();
    assert_eq!(bursts(&hits), [false; 9]);
}

#[test]
fn three_targets_of_three_mails_are_none() {
    let hits: Vec<_> = (0..3).map(|n| hit(n, n, n, Some(n))).collect();
    assert_eq!(bursts(&hits), [false; 3]);
}

#[test]
fn ten_seconds_apart_is_apart() {
    let near = [click(1, 0, 1), click(2, 1, 2), click(3, 9_999, 3)];
    assert_eq!(bursts(&near), [true; 3]);
    let apart = [click(1, 0, 1), click(2, 1, 2), click(3, 10_000, 3)];
    assert_eq!(bursts(&apart), [false; 3]);
}

#[test]
fn a_hit_before_or_long_after_a_burst_is_its_own() {
    let hits = [
        click(1, 0, 1),
        click(2, 20_000, 1),
        click(3, 20_100, 2),
        click(4, 20_200, 3),
        hit(5, 29_999, 1, None),
        hit(6, 30_000, 1, None),
    ];
    assert_eq!(bursts(&hits), [false, true, true, true, true, false]);
}

#[test]
fn nothing_is_due_before_it_has_settled_and_all_come_in_order() {
    let mut window = Window::new(SETTLE);
    // The second was stamped earlier on another core.
    window.push(click(4, 100, 1));
    window.push(click(9, 50, 2));
    assert_eq!(window.due_at_ms(), Some(START + 10_100));
    assert_eq!(drain(&mut window, START + 10_099), []);
    assert_eq!(window.len(), 2);
    let due = drain(&mut window, START + 10_100);
    assert_eq!(due.iter().map(|due| due.seq).collect::<Vec<_>>(), [4, 9]);
    assert!(window.is_empty());
}

#[test]
fn hits_settled_earlier_count_and_do_not_come_out_again() {
    let mut window = Window::new(SETTLE);
    window.push_settled(click(1, 0, 1));
    window.push_settled(click(2, 10, 2));
    window.push(click(3, 20, 3));
    window.push_settled(click(4, 30, 3));
    window.push(click(5, 40, 3));
    assert_eq!(window.len(), 2);
    let due = drain(&mut window, START + 60_000);
    let expected = [3, 5].map(|seq| Due { seq, burst: true });
    assert_eq!(due, expected);
}

#[test]
fn above_the_bound_the_oldest_are_due_at_once() {
    let mut window = Window::with_limit(SETTLE, 100);
    for n in 0..150 {
        window.push(click(n, n, 1));
    }
    let due = drain(&mut window, START + 150);
    assert_eq!(due.len(), 50);
    assert_eq!((due[0].seq, due[49].seq), (0, 49));
    assert_eq!((window.len(), window.hits.len()), (100, 100));
}

#[test]
fn a_clock_that_was_set_back_holds_nobody_up() {
    let mut window = Window::new(SETTLE);
    window.push(click(1, 3_600_000, 1));
    window.push(click(2, 0, 2));
    let due = drain(&mut window, START + 10_000);
    assert_eq!(due.iter().map(|due| due.seq).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn what_is_over_is_forgotten_and_memory_given_back() {
    let mut window = Window::new(SETTLE);
    for n in 0..100_000 {
        window.push(hit(n, n / 100, n / 3, Some(n)));
    }
    let held = window.hits.capacity();
    assert_eq!(drain(&mut window, START + 60_000).len(), 100_000);
    assert_eq!((window.hits.len(), window.newest.len()), (0, 0));
    assert!(window.hits.capacity() < held / 50, "{held}");
    assert!(window.newest.capacity() < 4 * KEPT_PLACES);
}

#[test]
fn a_hit_takes_48_bytes() {
    assert_eq!(size_of::<Held>(), 48);
}

// === By the definition ===

/// Marsaglia's xorshift: the same numbers on every run of a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Hits of a few mails with few targets, in the order of their times; then
/// stamped up to `disorder` milliseconds earlier.
fn some_hits(random: &mut Random, disorder: u64) -> Vec<Waiting> {
    let mut ms = 20_000;
    let step = [20, 2_000, 6_000][random.below(3) as usize];
    (0..60)
        .map(|seq| {
            ms += random.below(step);
            Waiting {
                seq,
                time_ms: START + ms - random.below(disorder + 1),
                mail: Some(random.below(4)).filter(|mail| *mail > 0),
                target: Some(random.below(5)).filter(|target| *target > 0),
            }
        })
        .collect()
}

/// The definition itself, over all threes.
fn in_burst(hit: &Waiting, all: &[Waiting], settle_ms: u64) -> bool {
    let near = |a: &Waiting, b: &Waiting| a.time_ms.abs_diff(b.time_ms) < BURST_MS;
    let clicks: Vec<_> = all
        .iter()
        .filter(|other| other.mail == hit.mail && other.target.is_some())
        .filter(|other| near(other, hit) && other.time_ms < hit.time_ms + settle_ms)
        .collect();
    let differ = |a: &Waiting, b: &Waiting| a.target != b.target;
    let three = |a: &&Waiting| {
        let others = clicks.iter().filter(|b| differ(a, b) && near(a, b));
        others.clone().any(|b| {
            let mut third = clicks.iter();
            third.any(|c| differ(a, c) && differ(b, c) && near(a, c) && near(b, c))
        })
    };
    hit.mail.is_some() && clicks.iter().any(three)
}

#[test]
fn a_burst_is_what_its_definition_says() {
    for (settle_s, seed) in [(10, 1), (3, 2), (30, 3)] {
        let settle = Duration::from_secs(settle_s);
        let mut random = Random(0x9e37_79b9_7f4a_7c15 + seed);
        let (mut yes, mut no) = (0, 0);
        for round in 0..400 {
            let hits = some_hits(&mut random, 0);
            let due = looked_at(&hits, settle, &mut random);
            for (hit, due) in hits.iter().zip(due) {
                let expected = in_burst(hit, &hits, settle_s * 1000);
                assert_eq!(due.burst, expected, "{settle:?} round {round}: {hit:?}");
                (yes, no) = (yes + u32::from(expected), no + u32::from(!expected));
            }
        }
        assert!(yes > 1000 && no > 1000, "{yes} {no}");
    }
}

#[test]
fn when_hits_are_pushed_and_when_looked_for_changes_no_answer() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for round in 0..600 {
        let settle = Duration::from_secs(1 + random.below(20));
        let hits = some_hits(&mut random, DISORDER_MS);
        let mut all_first = Window::new(settle);
        hits.iter().for_each(|hit| all_first.push(*hit));
        let expected = drain(&mut all_first, u64::MAX / 2);
        for _ in 0..3 {
            let due = looked_at(&hits, settle, &mut random);
            assert_eq!(due, expected, "round {round}, {settle:?}: {hits:?}");
        }
    }
}

/// Pushes all, looking now and then: never at a time that a later hit is before.
fn looked_at(hits: &[Waiting], settle: Duration, random: &mut Random) -> Vec<Due> {
    let mut window = Window::new(settle);
    let mut due = Vec::new();
    for (at, hit) in hits.iter().enumerate() {
        let now_max = hits[at..].iter().map(|hit| hit.time_ms).min();
        let now = now_max.expect("this hit") - random.below(500);
        match random.below(3) {
            0 => due.extend(window.next_due(now)),
            1 => due.extend(drain(&mut window, now)),
            _ => {}
        }
        window.push(*hit);
    }
    due.extend(drain(&mut window, u64::MAX / 2));
    due
}
