//! What deliveries are made from: settled events in their order, and what is
//! kept of each sink. The embedded store is one ([`crate::store`]); a database
//! that several replicas share can be another, so everything may take time and
//! a sink may be another replica's ([`Outbox::claim`]).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use mailtrail_core::event::Event;
use mailtrail_core::id::Realm;
use mailtrail_core::message::MessageRecord;
use mailtrail_core::sink::Sink;
use tokio::sync::watch;

use super::state::{Place, State};

/// Most events of one page.
pub const PAGE_MAX_EVENTS: usize = 200;

/// An answer that may take time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Which events are read.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Those that this sink takes.
    pub sink: Arc<Sink>,
    /// Behind this place.
    pub after: Place,
    /// Up to this number.
    pub last: u64,
    /// Of this time, in milliseconds since 1970: not before, and before.
    pub between_ms: Option<(u64, u64)>,
}

/// Events in the order in which they settled.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The events, each with its place.
    pub events: Vec<(Place, Event)>,
    /// All up to here has been looked at.
    pub seen: Place,
    /// Whether there may be more at this moment.
    pub more: bool,
    /// Whether events behind the place are no longer kept.
    pub lost: bool,
}

/// Who delivers for a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// This replica, on top of the state that it knows.
    Ours,
    /// This replica, once it has loaded what another has kept meanwhile.
    Changed,
    /// Another.
    Others,
}

/// Whether a state was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// It was.
    Yes,
    /// Another process has kept one since this one was loaded, which counts.
    Overtaken,
}

/// Whether an event may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayGo {
    /// It may.
    Yes,
    /// Its reader has withdrawn, or was erased.
    No,
    /// Who has withdrawn is not known yet.
    NotKnown,
}

/// Settled events, and what is kept of sinks.
pub trait Outbox: Send + Sync + 'static {
    /// Who delivers for the sink, for a while from now on: of all replicas one
    /// at a time.
    fn claim<'a>(&'a self, sink: &'a Realm) -> Answer<'a, Claim>;

    /// Another replica may claim the sink at once.
    fn release<'a>(&'a self, sink: &'a Realm) -> Answer<'a, ()>;

    /// What was kept of a sink.
    fn load<'a>(&'a self, sink: &'a Realm) -> Answer<'a, Option<State>>;

    /// Keeps the state of a sink, which was loaded before: it is there after
    /// whatever ends the process or the machine once this has ended.
    fn save<'a>(&'a self, sink: &'a Realm, state: State) -> Answer<'a, Saved>;

    /// Keeps nothing of a sink any more.
    fn forget<'a>(&'a self, sink: &'a Realm) -> Answer<'a, ()>;

    /// All sinks of which something is kept.
    fn known(&self) -> Answer<'_, Vec<Realm>>;

    /// The place of the last event that is settled.
    fn end(&self) -> Answer<'_, Place>;

    /// Settled events behind a place, [`PAGE_MAX_EVENTS`] at most.
    fn read(&self, wanted: Wanted) -> Answer<'_, Page>;

    /// The events of these places, those that are still kept.
    fn at<'a>(&'a self, places: &'a [Place]) -> Answer<'a, Vec<Event>>;

    /// What the last rewrite of an event's message left behind.
    fn message<'a>(&'a self, event: &'a Event) -> Answer<'a, Option<MessageRecord>>;

    /// Whether an event may leave at this moment.
    fn may_go(&self, event: &Event) -> MayGo;

    /// Changes whenever more is settled.
    fn news(&self) -> watch::Receiver<u64>;
}
