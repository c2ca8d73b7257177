//! Hits that wait for their verdict, and whether they came in a burst (case
//! 92). Pure: the time of day is an argument.
//!
//! # What a burst is
//!
//! At least [`BURST_TARGETS`] distinct targets of one mail and recipient are
//! hit within [`BURST_MS`] (less than that apart). In it are all hits of that
//! mail and recipient, pixels too, that lie in some stretch of that length
//! together with such targets: also the first hit, which is why hits wait.
//! Judged are the hits' own times, not when they are pushed.
//!
//! # Flow
//!
//! [`Window::push`] in the order of the hits' numbers, [`Window::next_due`]
//! until it says `None`. A hit is due once the settling time has gone by.
//!
//! # Guarantees
//!
//! - Hits come out strictly in the order they went in, each once.
//! - However pushes and calls of `next_due` alternate, a hit's answer is the
//!   same, as long as `now_ms` keeps to this: **no hit that is pushed later is
//!   older than it**. So it is the clock while nothing is left to be pushed, and
//!   the last pushed hit's time while a backlog is read. For that, hits that
//!   come after a hit's settling time never change its answer.
//! - Memory is bounded: above [`WAITING_MAX`] hits the oldest are due at once,
//!   whatever their time. A hit takes 48 bytes, and some 8 to be found by.
//! - A push or a `next_due` takes constant time on average; none waits or fails.
//!
//! # Caveats
//!
//! A hit whose time is more than [`DISORDER_MS`] earlier than that of one with
//! a lower number may find what belongs to it forgotten. A hit whose time lies
//! ahead by more than the settling time and twice that is due at once: the
//! clock was set back, and what waits behind it should not wait for it.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashTable;

/// Distinct targets that make a burst.
pub const BURST_TARGETS: usize = 3;
/// Within how many milliseconds.
pub const BURST_MS: u64 = 10_000;
/// How far hits may be out of order, in milliseconds: each core stamps its own,
/// and a journal's batch brings them together.
pub const DISORDER_MS: u64 = 1_000;
/// Most hits that are held, waiting or remembered: some 200,000 a second for
/// ten seconds, 110 MB.
pub const WAITING_MAX: usize = 1 << 21;
/// Below this many places nothing is given back to the system.
const KEPT_PLACES: usize = 1024;

/// A hit that waits for its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Its number; each is higher than the one before.
    pub seq: u64,
    /// Its own time, in milliseconds since 1970.
    pub time_ms: u64,
    /// A hash of domain, message and recipient, all its bits as good as random;
    /// none without recipient: such a mail has many readers, and is exempt.
    pub mail: Option<u64>,
    /// A hash of the target; none for a pixel.
    pub target: Option<u64>,
}

/// A hit whose time to be judged has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Its number.
    pub seq: u64,
    /// Whether it came in a burst.
    pub burst: bool,
}

/// Hits that wait for their verdict, in the order of their numbers, and those
/// of the last seconds that a burst may still begin with.
#[derive(Debug)]
pub struct Window {
    settle_ms: u64,
    /// Oldest first; the first `passed` have had their answer.
    hits: VecDeque<Held>,
    passed: usize,
    waiting: usize,
    /// Place of `hits[0]`; places count on and wrap.
    first: u32,
    /// The place of each mail's newest hit.
    newest: HashTable<u32>,
    limit: usize,
}

/// A hit as it is held. Places of other hits are those of the same mail.
#[derive(Debug, Clone, Copy)]
struct Held {
    seq: u64,
    time_ms: u64,
    mail: u64,
    target: u32,
    /// The hit before this one.
    before: u32,
    /// The newest hits of the three targets hit last, up to this hit, newest
    /// first.
    recent: [u32; BURST_TARGETS],
    has_mail: bool,
    settled: bool,
    burst: bool,
    /// How many of `recent` there are, and whether there is one before.
    recent_count: u8,
}

impl Window {
    /// Nothing waits yet. Hits are due after `settle`.
    pub fn new(settle: Duration) -> Self {
        Self::with_limit(settle, WAITING_MAX)
    }

    /// The same with another bound than [`WAITING_MAX`].
    pub fn with_limit(settle: Duration, limit: usize) -> Self {
        Self {
            settle_ms: u64::try_from(settle.as_millis()).unwrap_or(u64::MAX),
            hits: VecDeque::new(),
            passed: 0,
            waiting: 0,
            first: 0,
            newest: HashTable::new(),
            limit: limit.clamp(1, WAITING_MAX),
        }
    }

    /// Takes a hit that has no verdict yet.
    pub fn push(&mut self, hit: Waiting) {
        self.waiting += 1;
        self.take(hit, false);
    }

    /// Takes a hit that was judged before, such as in an earlier run: it never
    /// comes out, and counts for the burst that others may be in.
    pub fn push_settled(&mut self, hit: Waiting) {
        self.take(hit, true);
    }

    /// The next hit that is due, in the order of their numbers. Call it until
    /// there is none: that also keeps the window within its bound.
    pub fn next_due(&mut self, now_ms: u64) -> Option<Due> {
        while let Some(hit) = self.hits.get(self.passed).copied() {
            if !hit.settled && !self.is_due(hit.time_ms, now_ms) {
                break;
            }
            self.passed += 1;
            self.forget(now_ms);
            if !hit.settled {
                self.waiting -= 1;
                return Some(Due {
                    seq: hit.seq,
                    burst: hit.burst,
                });
            }
        }
        self.forget(now_ms);
        None
    }

    /// How many wait for their verdict.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// When the next hit is due, in milliseconds since 1970.
    pub fn due_at_ms(&self) -> Option<u64> {
        let mut waiting = self.hits.range(self.passed..).filter(|hit| !hit.settled);
        waiting
            .next()
            .map(|hit| hit.time_ms.saturating_add(self.settle_ms))
    }

    fn is_due(&self, time_ms: u64, now_ms: u64) -> bool {
        let over = now_ms >= time_ms.saturating_add(self.settle_ms);
        over || self.is_ahead(time_ms, now_ms) || self.hits.len() - self.passed > self.limit
    }

    /// By more than hits may be out of order: the clock was set back.
    fn is_ahead(&self, time_ms: u64, now_ms: u64) -> bool {
        let reach = self.settle_ms.saturating_add(2 * DISORDER_MS);
        time_ms > now_ms.saturating_add(reach)
    }

    // === Taking ===

    fn take(&mut self, hit: Waiting, settled: bool) {
        let place = self.first.wrapping_add(count(self.hits.len()));
        let mut held = Held {
            seq: hit.seq,
            time_ms: hit.time_ms,
            mail: hit.mail.unwrap_or_default(),
            target: hit.target.map_or(0, folded),
            before: place,
            recent: [place; BURST_TARGETS],
            has_mail: hit.mail.is_some(),
            settled,
            burst: false,
            recent_count: 0,
        };
        if held.has_mail {
            self.link(&mut held, place, hit.target.is_some());
        }
        self.hits.push_back(held);
    }

    /// Connects a hit with those of its mail, and marks the burst it makes or is in.
    fn link(&mut self, held: &mut Held, place: u32, is_click: bool) {
        let before = self.replace_newest(held.mail, place);
        if let Some(before) = before {
            held.before = before;
            let earlier = self.at(before).copied();
            if let Some(earlier) = earlier {
                (held.recent, held.recent_count) = self.remembered(&earlier);
            }
        }
        if is_click {
            self.add_recent(held, place);
        }
        if usize::from(held.recent_count) < BURST_TARGETS {
            return;
        }
        let oldest = self.at(held.recent[BURST_TARGETS - 1]);
        let is_near = |hit: &Held| held.time_ms < hit.time_ms.saturating_add(BURST_MS);
        if oldest.is_some_and(is_near) {
            held.burst = true;
            self.mark_before(before, held.time_ms);
        }
    }

    /// The targets hit last up to a hit, without those that are forgotten: their
    /// places will be others' one day.
    fn remembered(&self, hit: &Held) -> ([u32; BURST_TARGETS], u8) {
        let held = |place: &&u32| self.at(**place).is_some();
        let known = &hit.recent[..usize::from(hit.recent_count)];
        let count = known.iter().take_while(held).count();
        (hit.recent, u8::try_from(count).unwrap_or(0))
    }

    /// Puts a click at the head of the targets hit last: where it is one of them,
    /// that one moves up; else the oldest goes.
    fn add_recent(&self, held: &mut Held, place: u32) {
        let known = usize::from(held.recent_count);
        let target_of = |place| self.at(place).map(|hit| hit.target);
        let same = held.recent[..known]
            .iter()
            .position(|at| target_of(*at) == Some(held.target));
        let (until, now_known) = match same {
            Some(at) => (at, known),
            None => (known.min(BURST_TARGETS - 1), (known + 1).min(BURST_TARGETS)),
        };
        held.recent.copy_within(0..until, 1);
        held.recent[0] = place;
        held.recent_count = u8::try_from(now_known).unwrap_or(0);
    }

    /// Marks the hits before one that made a burst, as far as its time changes
    /// their answer. Each is marked once: what lies before a marked one is
    /// marked, as far as it may be.
    fn mark_before(&mut self, mut place: Option<u32>, time_ms: u64) {
        let reach = BURST_MS.min(self.settle_ms);
        while let Some(index) = place.and_then(|place| self.index(place)) {
            let at = self.first.wrapping_add(count(index));
            let hit = &mut self.hits[index];
            if hit.burst || hit.time_ms.saturating_add(reach) <= time_ms {
                return;
            }
            hit.burst = true;
            place = Some(hit.before).filter(|before| *before != at);
        }
    }

    // === Finding ===

    /// Notes a mail's newest hit, and says which it was before.
    fn replace_newest(&mut self, mail: u64, place: u32) -> Option<u32> {
        let (hits, first) = (&self.hits, self.first);
        let mail_at = |place: u32| {
            let index = place.wrapping_sub(first) as usize;
            hits.get(index).map_or(mail, |hit| hit.mail)
        };
        // What a mail is known by is a hash already.
        let is_mail = |at: &u32| mail_at(*at) == mail;
        let entry = self.newest.entry(mail, is_mail, |at| mail_at(*at));
        match entry {
            hashbrown::hash_table::Entry::Occupied(mut found) => {
                Some(std::mem::replace(found.get_mut(), place))
            }
            hashbrown::hash_table::Entry::Vacant(free) => {
                free.insert(place);
                None
            }
        }
    }

    fn at(&self, place: u32) -> Option<&Held> {
        self.hits.get(place.wrapping_sub(self.first) as usize)
    }

    fn index(&self, place: u32) -> Option<usize> {
        let index = place.wrapping_sub(self.first) as usize;
        (index < self.hits.len()).then_some(index)
    }

    // === Forgetting ===

    /// Lets go of hits that have had their answer and can be in no burst with a
    /// hit to come.
    fn forget(&mut self, now_ms: u64) {
        while self.passed > 0 {
            let Some(oldest) = self.hits.front() else {
                return;
            };
            let age = now_ms.saturating_sub(oldest.time_ms);
            let needed = age <= BURST_MS + DISORDER_MS && !self.is_ahead(oldest.time_ms, now_ms);
            if needed && self.hits.len() <= self.limit {
                return;
            }
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let place = self.first;
        if let Some(oldest) = self.hits.front().filter(|hit| hit.has_mail)
            && let Ok(found) = self.newest.find_entry(oldest.mail, |at| *at == place)
        {
            found.remove();
        }
        self.hits.pop_front();
        self.first = self.first.wrapping_add(1);
        self.passed -= 1;
        self.give_back();
    }

    /// After a peak, memory goes back to the system: at a quarter of what is
    /// held, so that it costs nothing on average.
    fn give_back(&mut self) {
        let (held, places) = (self.hits.len(), self.hits.capacity());
        if places <= KEPT_PLACES || held > places / 4 {
            return;
        }
        self.hits.shrink_to(places / 2);
        let (hits, first) = (&self.hits, self.first);
        self.newest.shrink_to(places / 2, |at| {
            let index = at.wrapping_sub(first) as usize;
            hits.get(index).map_or(0, |hit| hit.mail)
        });
    }
}

/// 32 bits of a target's hash: it is compared with two others at most.
fn folded(hash: u64) -> u32 {
    ((hash >> 32) ^ hash) as u32
}

/// Positions within the window, which holds far fewer than 2^32.
fn count(index: usize) -> u32 {
    index as u32
}

#[cfg(test)]
mod tests;
