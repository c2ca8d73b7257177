//! How far a sink's deliveries are: what is kept of it, and what follows from
//! each outcome. Pure; nothing personal is in it.
//!
//! # Why nothing is lost
//!
//! Events are named by their place in what is settled and never copied. All up
//! to `position` are delivered, not asked for, or stand in `retries` or `dead`;
//! these four change together and are kept together ([`super::Outbox::save`]).
//! So whatever is not in a kept state is found again behind its position, and
//! delivered once more at most. An event that is erased is not found any more.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::schedule;

/// The version that states are written in.
pub const STATE_VERSION: u32 = 1;
/// Most deliveries of a sink that wait for another attempt. With more, first
/// attempts wait: their events are kept as it is, and not listed twice.
pub const RETRIES_MAX: usize = 1000;
/// Most dead letters of a sink; the oldest go. Some 1 MB.
pub const DEAD_MAX: usize = 10_000;
/// Most replays of a sink that are under way.
pub const REPLAYS_MAX: usize = 8;

/// The place of a settled event. Numbers rise as events settle; the rest helps
/// to find it and says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its number.
    pub seq: u64,
    /// Where it was found last.
    pub segment: u64,
    /// Where in that.
    pub at: u32,
}

/// What is kept of a sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Version of this document, [`STATE_VERSION`].
    pub version: u32,
    /// What the receiver is, hashed; another one begins without what was found
    /// of this.
    pub receiver: String,
    /// All events up to here have had their first attempt.
    pub position: Place,
    /// What failed and is tried again.
    pub retries: Vec<Delivery>,
    /// What is not tried any more, oldest first.
    pub dead: VecDeque<Dead>,
    /// Ranges of time that are delivered once more.
    pub replays: Vec<Replay>,
    /// Since when nothing has succeeded.
    pub failing_since_ms: Option<u64>,
    /// Why nothing is tried.
    pub suspended: Option<Suspended>,
    /// Until when the receiver wants to be left alone.
    pub hold_until_ms: u64,
    /// Since when there is no such sink.
    pub gone_since_ms: Option<u64>,
}

/// Some events that one request brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// What receivers know it by; the same at every attempt.
    pub id: String,
    /// Its events.
    pub places: Vec<Place>,
    /// How many attempts there were.
    pub attempts: u32,
    /// When the first was.
    pub first_ms: u64,
    /// When the last was.
    pub last_ms: u64,
    /// When the next is.
    pub due_ms: u64,
    /// How the last ended.
    pub failure: Failure,
}

/// What was given up and is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dead {
    /// What receivers know it by.
    pub id: String,
    /// Its events.
    pub places: Vec<Place>,
    /// How many attempts there were.
    pub attempts: u32,
    /// When the first was.
    pub first_ms: u64,
    /// When the last was.
    pub last_ms: u64,
    /// How the last ended.
    pub failure: Failure,
}

/// A range of time whose events are delivered once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Not before.
    pub since_ms: u64,
    /// Before.
    pub until_ms: u64,
    /// All up to here have had their attempt.
    pub position: Place,
    /// The last that was settled when it was asked for.
    pub last: u64,
}

/// Nothing is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspended {
    /// Why.
    pub why: Why,
    /// Since when.
    pub since_ms: u64,
}

/// Why nothing is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Nothing succeeded for days. One delivery is tried now and then.
    Failing,
    /// The receiver said 410: it wants nothing any more.
    Gone,
}

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The address may not be connected to.
    Refused,
    /// Over the internet it must be https.
    PlainHttp,
    /// The host has no address.
    Unresolved,
    /// Nobody is there.
    Unreachable,
    /// The certificate is not valid, or TLS is not spoken.
    Tls,
    /// No answer in time.
    Timeout,
    /// What was answered is no HTTP, or the connection was cut.
    Broken,
    /// This status.
    Status(u16),
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With a status of success.
    Delivered,
    /// Otherwise; with how long the receiver wants to be left alone.
    Failed(Failure, Option<Duration>),
    /// With 410.
    Gone,
}

/// The rules of an engine.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Waits before the second and each later attempt.
    pub waits: Vec<Duration>,
    /// After so long without a success the sink is suspended.
    pub suspend_after: Duration,
    /// How often a suspended sink is tried.
    pub probe_every: Duration,
}

/// Four days: longer than all attempts of the first delivery take, within which
/// somebody comes back from a long weekend.
pub const SUSPEND_AFTER: Duration = Duration::from_secs(4 * 24 * 60 * 60);
/// How often a sink that is suspended for failing is tried.
pub const PROBE_EVERY: Duration = Duration::from_secs(60 * 60);

impl Default for Rules {
    fn default() -> Self {
        Self {
            waits: schedule::WAITS.to_vec(),
            suspend_after: SUSPEND_AFTER,
            probe_every: PROBE_EVERY,
        }
    }
}

/// When and by whose chance something happens.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Milliseconds since 1970.
    pub ms: u64,
    /// From 0 to 1.
    pub chance: f64,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// Delivered.
    Delivered,
    /// Waiting for another attempt.
    Retried,
    /// A dead letter.
    Dead,
}

// === State ===

impl State {
    /// Of a sink that is new: all that settles from here on is its.
    pub fn new(receiver: String, position: Place) -> Self {
        Self {
            version: STATE_VERSION,
            receiver,
            position,
            ..Self::default()
        }
    }

    /// A receiver that is another one by now is tried at once: neither what it
    /// said nor how long it failed holds any more.
    pub fn meet(&mut self, receiver: &str, now_ms: u64) {
        self.gone_since_ms = None;
        if self.receiver != receiver {
            receiver.clone_into(&mut self.receiver);
            self.resume(now_ms);
        }
    }

    /// Goes on at once, as somebody asked: what waits is due.
    pub fn resume(&mut self, now_ms: u64) {
        self.suspended = None;
        self.failing_since_ms = None;
        self.hold_until_ms = 0;
        for delivery in &mut self.retries {
            delivery.due_ms = now_ms;
        }
    }

    /// Takes how an attempt ended. `of` is the delivery as it was before it: one
    /// of `retries` is taken out of them, or changed.
    pub fn conclude(&mut self, of: &Delivery, outcome: Outcome, rules: &Rules, now: Now) -> Became {
        let at = self
            .retries
            .iter()
            .position(|delivery| delivery.id == of.id);
        let became = match outcome {
            Outcome::Delivered => {
                self.succeeded(now.ms);
                None
            }
            Outcome::Gone => {
                self.suspend(Why::Gone, now.ms);
                // Nothing of it is lost: who resumes the sink gets it.
                Some(Delivery {
                    due_ms: now.ms,
                    failure: Failure::Status(410),
                    ..tried(of, now.ms)
                })
            }
            Outcome::Failed(failure, leave_alone) => {
                self.failed(leave_alone, rules, now.ms);
                self.again(of, failure, rules, now)
            }
        };
        match (at, became) {
            (Some(at), Some(delivery)) => self.retries[at] = delivery,
            (None, Some(delivery)) => self.retries.push(delivery),
            (Some(at), None) => {
                self.retries.remove(at);
            }
            (None, None) => {}
        }
        match outcome {
            Outcome::Delivered => Became::Delivered,
            _ if self.retries.iter().any(|delivery| delivery.id == of.id) => Became::Retried,
            _ => Became::Dead,
        }
    }

    /// A delivery that failed, as it is tried again; otherwise it is dead.
    fn again(
        &mut self,
        of: &Delivery,
        failure: Failure,
        rules: &Rules,
        now: Now,
    ) -> Option<Delivery> {
        let delivery = tried(of, now.ms);
        match schedule::wait(&rules.waits, delivery.attempts, now.chance) {
            Some(wait) => Some(Delivery {
                due_ms: (now.ms + ms(wait)).max(self.hold_until_ms),
                failure,
                ..delivery
            }),
            None => {
                self.bury(delivery, failure);
                None
            }
        }
    }

    fn bury(&mut self, delivery: Delivery, failure: Failure) {
        let Delivery {
            id,
            places,
            attempts,
            first_ms,
            last_ms,
            due_ms: _,
            failure: _,
        } = delivery;
        if self.dead.len() >= DEAD_MAX {
            self.dead.pop_front();
        }
        self.dead.push_back(Dead {
            id,
            places,
            attempts,
            first_ms,
            last_ms,
            failure,
        });
    }

    fn succeeded(&mut self, now_ms: u64) {
        if self.suspended.take().is_some() {
            // The receiver is back: what waited for hours need not any longer.
            self.resume(now_ms);
        }
        self.failing_since_ms = None;
    }

    fn failed(&mut self, leave_alone: Option<Duration>, rules: &Rules, now_ms: u64) {
        if let Some(time) = leave_alone {
            let until = now_ms + ms(time.min(schedule::RETRY_AFTER_MAX));
            self.hold_until_ms = self.hold_until_ms.max(until);
        }
        let since = *self.failing_since_ms.get_or_insert(now_ms);
        if now_ms.saturating_sub(since) >= ms(rules.suspend_after) && self.suspended.is_none() {
            self.suspend(Why::Failing, now_ms);
        }
    }

    fn suspend(&mut self, why: Why, since_ms: u64) {
        self.suspended = Some(Suspended { why, since_ms });
    }

    /// What is due, in the order in which it became so, none where nothing may
    /// be tried.
    pub fn due(&self, now_ms: u64, rules: &Rules) -> impl Iterator<Item = &Delivery> {
        let may = self.may_try_from(rules).is_some_and(|from| from <= now_ms);
        let most = match self.suspended {
            Some(_) => 1,
            None => usize::MAX,
        };
        let probing = self.suspended.is_some();
        let mut due: Vec<_> = self
            .retries
            .iter()
            .filter(|d| probing || d.due_ms <= now_ms)
            .collect();
        due.sort_by_key(|delivery| delivery.due_ms);
        due.into_iter().filter(move |_| may).take(most)
    }

    /// From when on anything may be tried: never for a receiver that wants
    /// nothing any more, now and then for one that fails.
    pub fn may_try_from(&self, rules: &Rules) -> Option<u64> {
        match self.suspended {
            Some(Suspended { why: Why::Gone, .. }) => None,
            Some(Suspended {
                why: Why::Failing,
                since_ms,
            }) => {
                let last = self.retries.iter().map(|d| d.last_ms).max().unwrap_or(0);
                Some(last.max(since_ms) + ms(rules.probe_every))
            }
            None => Some(self.hold_until_ms),
        }
    }

    /// Whether first attempts may be made; while suspended only where nothing
    /// else is there to try the receiver with.
    pub fn takes_first(&self, now_ms: u64, rules: &Rules) -> bool {
        let may = self.may_try_from(rules).is_some_and(|from| from <= now_ms);
        may && self.has_room() && (self.suspended.is_none() || self.retries.is_empty())
    }

    /// Whether another delivery may wait.
    pub fn has_room(&self) -> bool {
        self.retries.len() < RETRIES_MAX
    }

    /// Dead letters become deliveries that are due, as far as there is room;
    /// says how many, and how many are left.
    pub fn replay_dead(&mut self, now_ms: u64) -> (usize, usize) {
        let mut moved = 0;
        while self.has_room()
            && let Some(dead) = self.dead.pop_front()
        {
            let Dead {
                id,
                places,
                attempts: _,
                first_ms: _,
                last_ms,
                failure,
            } = dead;
            self.retries.push(Delivery {
                id,
                places,
                attempts: 0,
                first_ms: now_ms,
                last_ms,
                due_ms: now_ms,
                failure,
            });
            moved += 1;
        }
        (moved, self.dead.len())
    }

    /// When the first attempt of the oldest that waits was.
    pub fn oldest_ms(&self) -> Option<u64> {
        self.retries.iter().map(|delivery| delivery.first_ms).min()
    }
}

impl Delivery {
    /// One that was never tried.
    pub fn first(id: String, places: Vec<Place>, now_ms: u64) -> Self {
        Self {
            id,
            places,
            attempts: 0,
            first_ms: now_ms,
            last_ms: 0,
            due_ms: now_ms,
            failure: Failure::Timeout,
        }
    }
}

fn tried(of: &Delivery, now_ms: u64) -> Delivery {
    Delivery {
        attempts: of.attempts.saturating_add(1),
        last_ms: now_ms,
        ..of.clone()
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests;
