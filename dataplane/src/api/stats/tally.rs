//! Adds up what happened, by stretches and by groups. Pure.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};

use jiff::Timestamp;
use mailtrail_core::event::{Event, EventKind};
use mailtrail_core::message::MessageRecord;

use super::calendar::Calendar;
use crate::store::HourCounts as Counts;

/// Most groups that are told apart; what comes later is in the total alone.
pub(super) const GROUPS_MAX: usize = 1_000;

/// What groups are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GroupBy {
    /// Message ids.
    Message,
    /// Targets of links. What was sent and opened is in none.
    Link,
    /// Values of the tag of this name. What has none is in no group.
    Tag(String),
}

/// What was counted so far.
#[derive(Debug)]
pub(super) struct Tally {
    calendar: Calendar,
    group_by: Option<GroupBy>,
    pub(super) stretches: BTreeMap<Timestamp, Counts>,
    pub(super) groups: BTreeMap<String, Counts>,
    /// Whether there are more groups than are told apart.
    pub(super) more_groups: bool,
    /// The first rewrite of each message and reader: when, and in which group.
    /// By a keyed hash, since there may be a million.
    sent: HashMap<u64, (Timestamp, Option<u32>)>,
    names: Names,
    hasher: RandomState,
}

/// Names by number.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<String, u32>,
    names: Vec<String>,
}

impl Tally {
    pub(super) fn new(calendar: Calendar, group_by: Option<GroupBy>) -> Self {
        Self {
            calendar,
            group_by,
            stretches: BTreeMap::new(),
            groups: BTreeMap::new(),
            more_groups: false,
            sent: HashMap::new(),
            names: Names::default(),
            hasher: RandomState::new(),
        }
    }

    /// Counts a settled event.
    pub(super) fn event(&mut self, event: &Event) {
        if event.test {
            return;
        }
        let count = |counts: &mut Counts| {
            let hits = match event.kind {
                EventKind::Opened => &mut counts.opened,
                EventKind::Clicked => &mut counts.clicked,
            };
            hits.count(event.client.verdict, event.first);
        };
        let stretch = self.calendar.floor(event.time);
        count(self.stretches.entry(stretch).or_default());
        if let Some(counts) = self.group_of_event(event) {
            count(counts);
        }
    }

    /// Counts what was counted by an hour of UTC already.
    pub(super) fn hour(&mut self, begin: Timestamp, counts: &Counts) {
        let stretch = self.calendar.floor(begin);
        self.stretches.entry(stretch).or_default().add(counts);
    }

    /// Takes a rewrite in; those of one message and reader count once, as the
    /// first of them.
    pub(super) fn message(&mut self, message: &MessageRecord) {
        if message.test {
            return;
        }
        let group = match &self.group_by {
            None | Some(GroupBy::Link) => None,
            Some(GroupBy::Message) => Some(message.message_id.as_str()),
            Some(GroupBy::Tag(name)) => message.tags.get(name).map(String::as_str),
        };
        let group = group.map(|group| self.names.number(group));
        let key = (&message.message_id, &message.recipient);
        let first = (message.rewritten_at, group);
        let known = self.sent.entry(self.hasher.hash_one(key)).or_insert(first);
        if first.0 < known.0 {
            *known = first;
        }
    }

    /// Ends the counting.
    pub(super) fn finish(mut self) -> Self {
        for (at, group) in std::mem::take(&mut self.sent).into_values() {
            let stretch = self.calendar.floor(at);
            self.stretches.entry(stretch).or_default().sent += 1;
            let name = group.and_then(|group| self.names.name(group).map(str::to_owned));
            if let Some(name) = name
                && let Some(counts) = self.group(&name)
            {
                counts.sent += 1;
            }
        }
        self
    }

    /// Everything together.
    pub(super) fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.stretches.values().for_each(|counts| total.add(counts));
        total
    }

    fn group_of_event(&mut self, event: &Event) -> Option<&mut Counts> {
        let name = match self.group_by.as_ref()? {
            GroupBy::Message => event.message_id.as_str(),
            GroupBy::Link => event.link.as_ref()?.target.as_str(),
            GroupBy::Tag(name) => event.tags.get(name)?.as_str(),
        };
        // Borrowed from the event, and not from the wish.
        let name = name.to_owned();
        self.group(&name)
    }

    fn group(&mut self, name: &str) -> Option<&mut Counts> {
        if !self.groups.contains_key(name) {
            if self.groups.len() == GROUPS_MAX {
                self.more_groups = true;
                return None;
            }
            self.groups.insert(name.to_owned(), Counts::default());
        }
        self.groups.get_mut(name)
    }
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        // As many as records are read, which is far fewer than 2^32.
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    fn name(&self, number: u32) -> Option<&str> {
        self.names.get(number as usize).map(String::as_str)
    }
}
