use super::*;

const HOUR: u64 = 60 * 60 * 1000;

fn state() -> State {
    State::new("https://a.example/".to_owned(), Place::default())
}

fn delivery(id: &str) -> Delivery {
    let place = Place {
        seq: 1,
        ..Place::default()
    };
    Delivery::first(id.to_owned(), vec![place], 0)
}

fn at(ms: u64) -> Now {
    Now { ms, chance: 0.0 }
}

const FAILED: Outcome = Outcome::Failed(Failure::Status(500), None);

/// Fails a delivery whenever it is due, until it is dead; gives when that was.
fn until_dead(state: &mut State, rules: &Rules, id: &str) -> u64 {
    let mut now = 0;
    let mut next = delivery(id);
    while state.conclude(&next, FAILED, rules, at(now)) == Became::Retried {
        next = state
            .retries
            .iter()
            .find(|d| d.id == id)
            .expect("it waits")
            .clone();
        now = next.due_ms;
    }
    now
}

#[test]
fn a_delivery_is_tried_for_75_hours_and_then_kept_as_a_dead_letter() {
    let mut state = state();
    let rules = Rules {
        suspend_after: Duration::from_secs(1_000_000),
        ..Rules::default()
    };
    let now = until_dead(&mut state, &rules, "a");
    assert!((75 * HOUR..76 * HOUR).contains(&now), "{now}");
    assert!(state.retries.is_empty());
    let dead = state.dead.front().expect("a dead letter");
    assert_eq!((dead.attempts, dead.failure), (10, Failure::Status(500)));
}

#[test]
fn dead_letters_are_tried_anew_from_the_beginning() {
    let mut state = state();
    let rules = Rules::default();
    until_dead(&mut state, &rules, "a");
    assert_eq!(state.replay_dead(5), (1, 0));
    let due: Vec<_> = state.due(5, &rules).cloned().collect();
    assert_eq!(
        (due.len(), due[0].attempts, due[0].id.as_str()),
        (1, 0, "a")
    );
    assert_eq!(
        state.conclude(&due[0], Outcome::Delivered, &rules, at(6)),
        Became::Delivered
    );
    assert_eq!((state.retries.len(), state.dead.len()), (0, 0));
}

#[test]
fn the_receivers_wish_to_be_left_alone_counts_within_bounds_for_all_deliveries() {
    let rules = Rules::default();
    let failed = |seconds| {
        let mut state = state();
        let outcome = Outcome::Failed(Failure::Status(429), Some(Duration::from_secs(seconds)));
        state.conclude(&delivery("a"), outcome, &rules, at(1000));
        state
    };
    let state = failed(60);
    assert!(!state.takes_first(60_999, &rules) && state.takes_first(61_000, &rules));
    assert_eq!(state.due(60_999, &rules).count(), 0);
    assert_eq!(state.due(61_000, &rules).count(), 1);
    // Neither for ever, nor earlier than it would have been.
    assert!(failed(u64::MAX / 2000).takes_first(1000 + HOUR, &rules));
    assert_eq!(failed(1).retries[0].due_ms, 6000);
}

#[test]
fn days_of_failure_suspend_and_a_success_resumes() {
    let mut state = state();
    let rules = Rules::default();
    let days = |count: u64| count * 24 * HOUR;
    state.conclude(&delivery("a"), FAILED, &rules, at(0));
    state.conclude(&delivery("b"), FAILED, &rules, at(days(4) - 1));
    assert_eq!(state.suspended, None);
    state.conclude(&delivery("c"), FAILED, &rules, at(days(4)));
    let why = state.suspended.map(|suspended| suspended.why);
    assert_eq!(why, Some(Why::Failing));
    assert!(!state.takes_first(days(5), &rules));
    // One is tried an hour later, and no other beside it.
    assert_eq!(state.due(days(4) + HOUR - 1, &rules).count(), 0);
    let probe: Vec<_> = state.due(days(4) + HOUR, &rules).cloned().collect();
    assert_eq!(probe.len(), 1);
    state.conclude(&probe[0], FAILED, &rules, at(days(4) + HOUR));
    assert_eq!(state.due(days(4) + 2 * HOUR - 1, &rules).count(), 0);
    let now = days(4) + 2 * HOUR;
    let probe = state.due(now, &rules).next().expect("another").clone();
    state.conclude(&probe, Outcome::Delivered, &rules, at(now));
    assert_eq!(state.suspended, None);
    assert!(state.takes_first(now, &rules));
    assert_eq!(state.due(now, &rules).count(), 2);
}

#[test]
fn a_sink_that_is_suspended_with_nothing_waiting_is_tried_with_what_comes() {
    let rules = Rules::default();
    let mut state = state();
    state.suspend(Why::Failing, 0);
    assert!(!state.takes_first(HOUR - 1, &rules) && state.takes_first(HOUR, &rules));
    state.conclude(&delivery("a"), FAILED, &rules, at(HOUR));
    assert!(!state.takes_first(2 * HOUR, &rules));
    assert_eq!(state.due(2 * HOUR, &rules).count(), 1);
}

#[test]
fn a_success_in_between_ends_the_days_of_failure() {
    let mut state = state();
    let rules = Rules::default();
    for day in 0..20 {
        state.conclude(&delivery("a"), FAILED, &rules, at(day * 48 * HOUR));
        state.conclude(
            &delivery("b"),
            Outcome::Delivered,
            &rules,
            at(day * 48 * HOUR + 1),
        );
    }
    assert_eq!(state.suspended, None);
}

#[test]
fn a_receiver_that_is_gone_is_not_tried_until_somebody_says_so() {
    let rules = Rules::default();
    let gone = || {
        let mut state = state();
        let became = state.conclude(&delivery("a"), Outcome::Gone, &rules, at(0));
        assert_eq!(became, Became::Retried);
        state
    };
    let mut state = gone();
    assert_eq!(state.due(1000 * HOUR, &rules).count(), 0);
    assert!(!state.takes_first(1000 * HOUR, &rules));
    state.resume(HOUR);
    assert_eq!(state.due(HOUR, &rules).count(), 1);
    // The same URL is the same receiver, another one is another.
    let mut state = gone();
    state.meet("https://a.example/", HOUR);
    assert_eq!(state.due(HOUR, &rules).count(), 0);
    state.meet("https://b.example/", HOUR);
    assert_eq!(state.due(HOUR, &rules).count(), 1);
}

#[test]
fn what_waits_is_bounded() {
    let mut state = state();
    let rules = Rules::default();
    for n in 0..RETRIES_MAX {
        assert!(state.takes_first(0, &rules), "{n}");
        state.conclude(&delivery(&n.to_string()), FAILED, &rules, at(0));
    }
    assert!(!state.takes_first(0, &rules));
    let first = state.retries[0].clone();
    state.conclude(&first, Outcome::Delivered, &rules, at(6000));
    assert!(state.takes_first(6000, &rules));
    for n in 0..DEAD_MAX + 5 {
        state.bury(delivery(&n.to_string()), Failure::Timeout);
    }
    assert_eq!(
        (state.dead.len(), state.dead[0].id.as_str()),
        (DEAD_MAX, "5")
    );
    assert_eq!(state.replay_dead(0), (1, DEAD_MAX - 1));
}

#[test]
fn a_state_reads_as_it_was_written() {
    let mut state = state();
    let rules = Rules::default();
    until_dead(&mut state, &rules, "a");
    state.conclude(&delivery("b"), FAILED, &rules, at(0));
    state.replays.push(Replay {
        since_ms: 1,
        until_ms: 2,
        position: Place::default(),
        last: 3,
    });
    let json = serde_json::to_string(&state).expect("json");
    assert_eq!(serde_json::from_str::<State>(&json).expect("read"), state);
}
