//! A hit that is due becomes its settled event: verdict, rules, and whether it
//! is the first by a person.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mailtrail_core::config::Recorded;
use mailtrail_core::event::{Event, Unsettled};
use mailtrail_core::id::Recipient;

use super::firsts::{Asked, Firsts};
use super::sent::sent_at;
use crate::judge::{Learnt, LiveRules, Rules};
use crate::store::index::{Index, KeyHash, KeyHasher, Lookup};
use crate::store::journal::Reader;
use crate::store::record::{EventKey, HitKey};

/// By what hits are judged.
pub(in crate::store) struct Judging {
    pub(in crate::store) rules: Arc<LiveRules>,
    pub(in crate::store) hasher: KeyHasher,
    /// Without it the journal is read.
    pub(in crate::store) index: Option<Arc<Index>>,
}

/// Judges hits one after the other.
pub(super) struct Judge {
    judging: Judging,
    /// None until the journal was read for them.
    firsts: Option<Firsts>,
}

/// When messages were sent, by the key of their record.
type Sent = HashMap<KeyHash, Option<Timestamp>>;

/// What one batch is judged from.
struct Sources<'a> {
    rules: &'a Rules,
    journal: &'a Reader,
    lookup: Option<&'a Lookup<'a>>,
    hasher: KeyHasher,
}

/// A hit that is due, and whether it came in a burst.
pub(super) struct DueHit {
    pub(super) hit: Unsettled,
    pub(super) burst: bool,
}

/// A hit with its verdict, and what is recorded of it.
pub(super) struct Settled {
    pub(super) event: Event,
    pub(super) recorded: Recorded,
}

impl Judge {
    pub(super) fn new(judging: Judging) -> Self {
        Self {
            judging,
            firsts: None,
        }
    }

    /// Whether all that judging asks can be asked.
    pub(super) fn is_ready(&self) -> bool {
        let index = self.judging.index.as_ref();
        index.is_none_or(|index| index.is_opened())
    }

    /// What a hit is told by while it waits: its mail, if it has one reader,
    /// and its target.
    pub(super) fn marks(&self, hit: &HitKey<'_>) -> (Option<u64>, Option<u64>) {
        let hasher = self.judging.hasher;
        let mail = hit
            .recipient
            .map(|recipient| hasher.mail(hit.domain, hit.message_id, recipient).0);
        (mail, hit.target.map(|target| hasher.target(target).0))
    }

    /// Judges hits in their order and takes them off; what is judged is added to
    /// `settled`. An error says that the journal could not be read: the hits that
    /// are left may be given again.
    pub(super) fn settle(
        &mut self,
        hits: &mut VecDeque<DueHit>,
        settled: &mut Vec<Settled>,
        journal: &Reader,
    ) -> io::Result<()> {
        let rules = self.judging.rules.load();
        let lookup = self.judging.index.as_ref().map(|index| index.lookup());
        let sources = Sources {
            rules: &rules,
            journal,
            lookup: lookup.as_ref(),
            hasher: self.judging.hasher,
        };
        let firsts = match &mut self.firsts {
            Some(firsts) => firsts,
            none => none.insert(Firsts::load(sources.hasher, journal)?),
        };
        // One message is asked once for each batch.
        let mut sent = HashMap::new();
        while let Some(due) = hits.front() {
            settled.push(sources.judge(due, &mut sent, firsts)?);
            hits.pop_front();
        }
        Ok(())
    }
}

impl Sources<'_> {
    fn judge(&self, due: &DueHit, sent: &mut Sent, firsts: &mut Firsts) -> io::Result<Settled> {
        let Unsettled {
            event,
            signs,
            mail_sent,
            recorded,
        } = &due.hit;
        let learnt = Learnt {
            burst: due.burst,
            since_sent: match self.rules.asks_when_sent(event.kind, signs) {
                true => self.since_sent(event, *mail_sent, sent)?,
                false => None,
            },
        };
        let (verdict, rules) = self.rules.settle(event.kind, signs, &learnt);
        // Of what is told of nobody no key is remembered.
        let may_be_first = verdict.is_person() && !event.test && *recorded == Recorded::Identified;
        let first = may_be_first && self.is_first(event, *mail_sent, firsts)?;
        let mut event = event.clone();
        event.client.verdict = verdict;
        event.client.rules = rules;
        event.first = first;
        Ok(Settled {
            event,
            recorded: *recorded,
        })
    }

    fn since_sent(
        &self,
        event: &Event,
        mail_sent: Timestamp,
        sent: &mut Sent,
    ) -> io::Result<Option<SignedDuration>> {
        let recipient = event.recipient.as_ref();
        let key = self
            .hasher
            .message_records(&event.domain, &event.message_id, recipient);
        let sent_at = match sent.get(&key) {
            Some(sent_at) => *sent_at,
            None => {
                let journal = (self.journal, self.hasher);
                let said = sent_at(event, mail_sent, journal, self.lookup)?;
                *sent.entry(key).or_insert(said)
            }
        };
        Ok(sent_at.map(|sent_at| event.time.duration_since(sent_at)))
    }

    fn is_first(
        &self,
        event: &Event,
        mail_sent: Timestamp,
        firsts: &mut Firsts,
    ) -> io::Result<bool> {
        let asked = Asked {
            key: EventKey {
                domain: event.domain.as_str(),
                kind: event.kind,
                message_id: event.message_id.as_str(),
                recipient: event.recipient.as_ref().map(Recipient::as_str),
            },
            position: event.link.as_ref().map_or(0, |link| link.position.0),
            sent_ms: u64::try_from(mail_sent.as_millisecond()).unwrap_or(0),
        };
        firsts.take(asked, self.journal, self.lookup)
    }
}
