use super::*;
use crate::store::fixtures::event;

const BATCH: Option<Batch> = Some(Batch {
    max_events: 3,
    max_delay_seconds: 2,
});

fn place(seq: u64) -> Place {
    Place {
        seq,
        ..Place::default()
    }
}

/// A page of events with these numbers.
fn page(seqs: &[u64], seen: u64, more: bool) -> Page {
    let events = seqs
        .iter()
        .map(|seq| (place(*seq), event("shop/links", "m")));
    Page {
        events: events.collect(),
        seen: place(seen),
        more,
        lost: false,
    }
}

fn numbers(events: Option<Vec<(Place, Event)>>) -> Vec<u64> {
    let events = events.unwrap_or_default();
    events.iter().map(|(place, _)| place.seq).collect()
}

#[test]
fn the_position_moves_over_what_is_concluded_and_over_what_nobody_asked_for() {
    let mut line = Line::settling(place(10));
    assert!(line.is_hungry(None));
    line.take(page(&[12, 15], 20, false), 0);
    assert_eq!(line.position, place(10));
    assert_eq!(numbers(line.next(None, 0)), [12]);
    line.conclude(1, 0);
    assert_eq!(line.position, place(12));
    line.conclude(1, 0);
    assert_eq!(line.position, place(20));
    line.more = true;
    line.take(page(&[], 30, false), 0);
    assert_eq!(line.position, place(30));
    assert!(line.next(None, 0).is_none());
}

#[test]
fn what_is_not_concluded_is_read_again() {
    let mut line = Line::settling(place(0));
    line.take(page(&[1, 2, 3], 3, false), 0);
    line.conclude(1, 0);
    line.rewind();
    assert_eq!((line.position, line.read), (place(1), place(1)));
    assert!(line.is_hungry(None) && line.next(None, 0).is_none());
}

#[test]
fn that_something_waits_is_known_for_longer_than_it_is_held() {
    let mut line = Line::settling(place(0));
    assert!(line.is_unknown(false) && line.oldest_ms().is_none());
    line.take(page(&[], 4, true), 0);
    assert!(line.is_unknown(false));
    line.take(page(&[5, 6], 9, true), 0);
    let oldest = line.oldest_ms();
    assert!(oldest.is_some());
    line.rewind();
    assert_eq!((line.position, line.oldest_ms()), (place(4), oldest));
    // Not read again before long, and then believed.
    assert!(!line.is_unknown(false) && line.is_unknown(true));
    line.take(page(&[], 9, false), 0);
    assert_eq!((line.position, line.oldest_ms()), (place(9), None));
    assert!(!line.is_unknown(true), "nothing new has settled");
    line.more = true;
    line.take(page(&[10], 10, false), 0);
    line.renew();
    assert!(line.is_unknown(false) && line.oldest_ms().is_none());
}

#[test]
fn a_batch_is_full_or_its_first_event_has_waited() {
    let mut line = Line::settling(place(0));
    line.take(page(&[1, 2], 2, false), 1000);
    assert!(line.next(BATCH, 2999).is_none());
    assert_eq!(line.ready_ms(BATCH), Some(3000));
    assert_eq!(numbers(line.next(BATCH, 3000)), [1, 2]);
    line.more = true;
    assert!(line.is_hungry(BATCH));
    line.take(page(&[3, 4], 4, false), 1500);
    assert_eq!(numbers(line.next(BATCH, 1500)), [1, 2, 3]);
    line.conclude(3, 1500);
    assert_eq!(line.ready_ms(BATCH), Some(3500));
    assert_eq!(line.position, place(3));
}

#[test]
fn a_replay_waits_for_nobody_and_ends() {
    let mut line = Line::of(Replay {
        since_ms: 0,
        until_ms: 1,
        position: place(0),
        last: 5,
    });
    assert!(!line.is_done());
    line.take(page(&[2, 4], 5, false), 0);
    assert_eq!(numbers(line.next(BATCH, 0)), [2, 4]);
    assert!(!line.is_done());
    line.conclude(2, 0);
    assert!(line.is_done());
}
