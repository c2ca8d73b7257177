//! How soon a settled event is delivered, with ten sinks of which one hangs.
//! `MAILTRAIL_SINK_RATE=5000 MAILTRAIL_SINK_SECONDS=20` measures for longer.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mailtrail_core::sink::Sink;

use crate::receiver::{Receiver, Reply};
use crate::world::{World, open, sink};

fn number(name: &str, otherwise: u32) -> u32 {
    let given = std::env::var(name).ok();
    given.map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn events_are_delivered_as_they_come_though_one_sink_hangs() {
    let rate = number("MAILTRAIL_SINK_RATE", 500);
    let seconds = number("MAILTRAIL_SINK_SECONDS", 2);
    let hanging = Receiver::answering(|_, _| Reply::Hang);
    let receivers: Vec<_> = (0..9).map(|_| Receiver::start()).collect();
    let urls = receivers.iter().chain([&hanging]).map(Receiver::url);
    let sinks: Vec<_> = urls
        .enumerate()
        .map(|(n, url)| Sink {
            domains: vec![format!("d{n}")],
            ..sink(&format!("s{n}"), &url)
        })
        .collect();
    let world = World::new(&sinks);
    // Ten at a time, one of each domain.
    let every = Duration::from_secs(10) / rate;
    let begun = Instant::now();
    let mut settled = HashMap::new();
    for round in 0..rate * seconds / 10 {
        let due = begun + every * round;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let events: Vec<_> = (0..10)
            .map(|n| open(&format!("shop/d{n}"), &format!("m-{round}")))
            .collect();
        world.settle_all(&events);
        let at = Instant::now();
        settled.extend(events.iter().map(|event| (event.id.to_string(), at)));
    }
    let took = begun.elapsed();
    let of_each = (rate * seconds / 10) as usize;
    let mut waits = Vec::new();
    for receiver in &receivers {
        for received in receiver.until(of_each) {
            let at = settled[received.id()];
            waits.push(received.at.saturating_duration_since(at));
        }
    }
    waits.sort();
    let part = |of: f64| waits[((waits.len() - 1) as f64 * of) as usize];
    let (median, p99, last) = (part(0.5), part(0.99), part(1.0));
    eprintln!(
        "{} events in {took:.1?}: delivered within {median:.0?} (median), {p99:.0?} (p99), {last:.0?} (all)",
        settled.len()
    );
    // Against the load's own length: a busy machine draws out both.
    assert!(p99 * 2 <= took, "{p99:?} of {took:?}");
}
