//! Deliveries from the embedded store: settled events are read from the
//! journal, and the state of each sink is a file of its own.
//!
//! # Files
//!
//! `deliveries/<namespace>_<name>.json`, a [`State`] each: written beside, put
//! on the disk, renamed into place, the folder put on the disk. So a state is
//! the last one or the one before, whatever ends the process or the machine;
//! with the one before, some events are delivered again. What is not readable
//! is set aside and the sink begins at the end of what is settled, with an
//! error in the log: a guess further back would deliver 45 days again.
//!
//! # What is read
//!
//! Only records that are on the disk count for a reader of the journal, so no
//! position is ahead of what a crash leaves. Where it is all the same (the
//! journal was restored from an older copy), deliveries go on from the end of
//! what there is. Neither position nor delivery names anybody: what is erased
//! is not found at its place any more.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mailtrail_core::event::Event;
use mailtrail_core::id::Realm;
use mailtrail_core::message::MessageRecord;
use mailtrail_core::sink::Sink;
use tokio::sync::watch;

use super::budget::{Budget, READ_MAX_BYTES};
use super::disk::{Disk, RealDisk};
use super::journal::{FRAMES_START, FrameHead, Part};
use super::list::Sources;
use super::summary::SummaryQuery;
use super::{Behind, Store, Withdrawn, join, newest, record};
use crate::deliver::outbox::{Answer, Claim, MayGo, Outbox, PAGE_MAX_EVENTS, Page, Saved, Wanted};
use crate::deliver::state::{Place, STATE_VERSION, State};

/// The folder of states in the data folder.
const FOLDER: &str = "deliveries";
/// How often it is looked whether more is settled.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Largest state that is read, in bytes: ten times what the bounds on retries
/// and dead letters come to with an event each.
const STATE_MAX_BYTES: u64 = 64 << 20;

/// The outbox of the embedded store; made within a runtime.
#[derive(Clone)]
pub struct Embedded {
    store: Store,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    news: watch::Receiver<u64>,
}

impl Embedded {
    /// Of this store. Looks for what is settled for as long as anybody listens.
    pub fn new(store: Store) -> io::Result<Self> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let dir = store.inner.folder.dir.join(FOLDER);
        disk.make_dir(&dir)?;
        disk.sync_dir(&store.inner.folder.dir)?;
        let (told, news) = watch::channel(store.settled_up_to());
        let looks = store.clone();
        tokio::spawn(async move {
            while !told.is_closed() {
                let last = looks.settled_up_to();
                told.send_if_modified(|known| std::mem::replace(known, last) != last);
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Ok(Self {
            store,
            disk,
            dir,
            news,
        })
    }

    fn ask<T>(&self, question: impl FnOnce(Sources<'_>) -> T) -> io::Result<T> {
        match &self.store.inner.behind {
            Behind::Here(here) => Ok(self.store.ask(here, question)),
            Behind::Postgres(_) => Err(io::Error::other("the events are in PostgreSQL")),
        }
    }

    fn path(&self, sink: &Realm) -> PathBuf {
        // A namespace has no underscore, so no two sinks share a file.
        self.dir
            .join(format!("{}_{}.json", sink.namespace(), sink.name()))
    }

    /// Does what waits for the disk on a thread that may.
    fn off<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Answer<'static, T> {
        let this = self.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&this)).await;
            done.map_err(io::Error::other)?
        })
    }

    fn read_state(&self, sink: &Realm) -> io::Result<Option<State>> {
        let path = self.path(sink);
        let file = match self.disk.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = file.len()?.min(STATE_MAX_BYTES);
        let mut text = vec![0; usize::try_from(bytes).unwrap_or(0)];
        let read = file.read_at(&mut text, 0)?;
        let state: Result<State, _> = serde_json::from_slice(&text[..read]);
        match state {
            Ok(state) if state.version == STATE_VERSION => Ok(Some(state)),
            _ => {
                let aside = path.with_extension("json.aside");
                self.disk.rename(&path, &aside)?;
                tracing::error!(
                    sink = %sink, file = %aside.display(),
                    "what was kept of a sink's deliveries cannot be read and is set aside: they go on with what settles from now on; a replay brings what is missing"
                );
                Ok(None)
            }
        }
    }

    fn write_state(&self, sink: &Realm, state: &State) -> io::Result<()> {
        let (path, beside) = (self.path(sink), self.path(sink).with_extension("json.new"));
        let text = serde_json::to_vec(state)?;
        match self.disk.remove(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.create(&beside)?;
        file.write_at(&text, 0)?;
        file.sync()?;
        self.disk.rename(&beside, &path)?;
        self.disk.sync_dir(&self.dir)
    }
}

impl Outbox for Embedded {
    /// The data folder is one process's alone.
    fn claim<'a>(&'a self, _sink: &'a Realm) -> Answer<'a, Claim> {
        Box::pin(std::future::ready(Ok(Claim::Ours)))
    }

    fn release<'a>(&'a self, _sink: &'a Realm) -> Answer<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn load<'a>(&'a self, sink: &'a Realm) -> Answer<'a, Option<State>> {
        let sink = sink.clone();
        self.off(move |this| this.read_state(&sink))
    }

    fn save<'a>(&'a self, sink: &'a Realm, state: State) -> Answer<'a, Saved> {
        let sink = sink.clone();
        self.off(move |this| this.write_state(&sink, &state).map(|()| Saved::Yes))
    }

    fn forget<'a>(&'a self, sink: &'a Realm) -> Answer<'a, ()> {
        let path = self.path(sink);
        self.off(move |this| match this.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => this.disk.sync_dir(&this.dir),
        })
    }

    fn known(&self) -> Answer<'_, Vec<Realm>> {
        self.off(|this| {
            let names = this.disk.list(&this.dir)?;
            let realm = |name: String| {
                let (namespace, name) = name.strip_suffix(".json")?.split_once('_')?;
                Realm::new(namespace, name).ok()
            };
            Ok(names.into_iter().filter_map(realm).collect())
        })
    }

    fn end(&self) -> Answer<'_, Place> {
        let seq = self.store.settled_up_to();
        Box::pin(std::future::ready(Ok(Place {
            seq,
            ..Place::default()
        })))
    }

    fn read(&self, wanted: Wanted) -> Answer<'_, Page> {
        self.off(move |this| this.ask(|sources| read(sources, &wanted))?)
    }

    fn at<'a>(&'a self, places: &'a [Place]) -> Answer<'a, Vec<Event>> {
        let places = places.to_vec();
        self.off(move |this| this.ask(|sources| at(sources, &places))?)
    }

    fn message<'a>(&'a self, event: &'a Event) -> Answer<'a, Option<MessageRecord>> {
        let query = SummaryQuery {
            domain: event.domain.clone(),
            message: event.message_id.clone(),
            recipient: event.recipient.clone(),
            since: None,
        };
        self.off(move |this| {
            let found = this.ask(|sources| newest::record(sources, &query))?;
            found.map_err(io::Error::other)
        })
    }

    fn may_go(&self, event: &Event) -> MayGo {
        let Some(recipient) = &event.recipient else {
            return MayGo::Yes;
        };
        self.store.withdrawn(&event.domain, recipient).into()
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.news.clone()
    }
}

impl From<Withdrawn> for MayGo {
    fn from(withdrawn: Withdrawn) -> Self {
        match withdrawn {
            Withdrawn::Yes => Self::No,
            Withdrawn::NotLoaded => Self::NotKnown,
            // What was recorded before some of the list was lost is listed, too.
            Withdrawn::No | Withdrawn::Incomplete => Self::Yes,
        }
    }
}

impl Store {
    /// The number of the last record that is on the disk.
    fn settled_up_to(&self) -> u64 {
        let reader = self.inner.journal.reader();
        let last = reader.parts().next_back().map(|part| part.last_seq());
        // What waits to be written has numbers already and does not count.
        last.unwrap_or(reader.first_seq() - 1)
    }
}

// === Reading ===

/// A page as far as it is made.
struct Reading<'a> {
    wanted: &'a Wanted,
    budget: Budget,
    page: Page,
}

fn read(sources: Sources<'_>, wanted: &Wanted) -> io::Result<Page> {
    let reader = sources.reader;
    let mut reading = Reading {
        wanted,
        budget: Budget::new(READ_MAX_BYTES),
        page: Page {
            seen: wanted.after,
            lost: wanted.after.seq + 1 < reader.first_seq(),
            ..Page::default()
        },
    };
    if wanted.after.seq >= reader.next_seq() {
        // Of an older copy of the journal.
        let seq = reader.parts().next_back().map_or(0, |part| part.last_seq());
        reading.page.seen = Place {
            seq,
            ..Place::default()
        };
        reading.page.lost = true;
        return Ok(reading.page);
    }
    for part in reader.parts() {
        let seen = reading.page.seen.seq;
        if part.last_seq() <= seen || seen >= wanted.last {
            continue;
        }
        if reading.may_be_in(part, sources) && reading.part(part)?.is_break() {
            reading.page.more = reading.page.seen.seq < wanted.last;
            break;
        }
        reading.pass(part);
    }
    let mut page = reading.page;
    let mut events: Vec<Event> = Vec::with_capacity(page.events.len());
    let mut places = Vec::with_capacity(page.events.len());
    for (place, event) in page.events {
        places.push(place);
        events.push(event);
    }
    join::tags_and_names(reader, sources.lookup, &mut events)?;
    page.events = places.into_iter().zip(events).collect();
    Ok(page)
}

impl Reading<'_> {
    fn may_be_in(&self, part: Part<'_>, sources: Sources<'_>) -> bool {
        let Wanted {
            sink, between_ms, ..
        } = self.wanted;
        let summary = &part.segment.summary;
        let in_time = between_ms
            .is_none_or(|(since, until)| summary.last_ms >= since && summary.first_ms < until);
        in_time && may_hold(sink, part, sources)
    }

    /// All of a part has been looked at.
    fn pass(&mut self, part: Part<'_>) {
        let last = part.last_seq().min(self.wanted.last);
        if self.page.seen.seq < last {
            self.page.seen = Place {
                seq: last,
                ..Place::default()
            };
        }
    }

    fn part(&mut self, part: Part<'_>) -> io::Result<ControlFlow<()>> {
        let file = part.file()?;
        let seen = self.page.seen;
        let segment = part.segment.number;
        let from = match seen.segment == segment {
            true => part.behind(&*file, u64::from(seen.at), seen.seq)?,
            false => None,
        };
        part.each_from(&*file, from.unwrap_or(FRAMES_START), |at, head, payload| {
            if head.seq <= self.page.seen.seq {
                return ControlFlow::Continue(());
            }
            if head.seq > self.wanted.last {
                self.pass(part);
                return ControlFlow::Break(());
            }
            self.budget.read(payload.len());
            let place = Place {
                seq: head.seq,
                segment,
                at: u32::try_from(at).unwrap_or(0),
            };
            self.take(place, head, payload);
            // After a record that is new: every page gets on.
            match self.page.events.len() >= PAGE_MAX_EVENTS || self.budget.is_spent() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })
    }

    fn take(&mut self, place: Place, head: FrameHead, payload: &[u8]) {
        self.page.seen = place;
        let Wanted {
            sink, between_ms, ..
        } = self.wanted;
        let asked = |event: &Event| {
            let ms = u64::try_from(event.time.as_millisecond()).unwrap_or(0);
            sink.takes(event) && between_ms.is_none_or(|(since, until)| ms >= since && ms < until)
        };
        if head.kind == record::EVENT
            && record::peek_event(payload).is_ok_and(|key| sink.takes_domain(key.domain))
            && let Ok(event) = record::decode_event(payload)
            && asked(&event)
        {
            self.page.events.push((place, event));
        }
    }
}

/// Whether a segment may hold events of a sink's domains, where these are named.
fn may_hold(sink: &Sink, part: Part<'_>, sources: Sources<'_>) -> bool {
    let hasher = sources.lookup.hasher();
    let holds = |name: &String| {
        let domain = hasher.domain(&format!("{}/{name}", sink.realm.namespace()));
        sources.lookup.may_hold(part.segment, domain)
    };
    sink.domains.is_empty() || sink.domains.iter().any(holds)
}

/// The events of these places, in their order, those that are still there.
fn at(sources: Sources<'_>, places: &[Place]) -> io::Result<Vec<Event>> {
    let mut events = Vec::with_capacity(places.len());
    for place in places {
        let mut parts = sources.reader.parts();
        // Numbers rise from segment to segment.
        let Some(part) = parts.find(|part| part.last_seq() >= place.seq) else {
            continue;
        };
        events.extend(one(part, *place)?);
    }
    join::tags_and_names(sources.reader, sources.lookup, &mut events)?;
    Ok(events)
}

fn one(part: Part<'_>, place: Place) -> io::Result<Option<Event>> {
    let file = part.file()?;
    let mut found = None;
    let mut take = |head: FrameHead, payload: &[u8]| {
        if head.seq == place.seq && head.kind == record::EVENT {
            found = record::decode_event(payload).ok();
        }
        match head.seq >= place.seq {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let at = u64::from(place.at);
    let is_there =
        part.segment.number == place.segment && part.behind(&*file, at, place.seq)?.is_some();
    // A segment that was rewritten has it elsewhere, or not any more.
    let _ = match is_there {
        true => part.each_at(&*file, [at], |_, head, payload| take(head, payload))?,
        false => part.each_from(&*file, FRAMES_START, |_, head, payload| take(head, payload))?,
    };
    Ok(found)
}

#[cfg(test)]
mod tests;
