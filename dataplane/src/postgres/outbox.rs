//! Deliveries where replicas share a database: settled events are read from
//! there, and so is the state of each sink, a row of `mailtrail.deliveries`.
//!
//! One process at a time delivers for a sink: it holds a claim, for a while
//! and again. A claim may run out under a process that stands still, so it is
//! not what keeps two from mixing their states up: a state is kept only on top
//! of the one that was loaded (its edition). Whoever is overtaken loads what
//! counts, and delivers some events once more at most. So a replica that does
//! not deliver for a sink may change its state as well, where somebody asks it
//! to replay or to resume.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use mailtrail_core::event::Event;
use mailtrail_core::id::Realm;
use mailtrail_core::message::MessageRecord;
use mailtrail_core::sink::Sink;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::Shared;
use super::ask::{ANSWER_TIME, Condition, join};
use super::event_row::{self, EVENT, kind_name, verdict_name};
use super::fault::Fault;
use super::link::Lent;
use crate::deliver::outbox::{Answer, Claim, MayGo, Outbox, PAGE_MAX_EVENTS, Page, Saved, Wanted};
use crate::deliver::state::{Place, STATE_VERSION, State};

/// How long a claim holds; it is made anew three times in that.
const CLAIM_TIME: Duration = Duration::from_secs(15);
/// How often it is looked whether more is settled.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long the first claim waits for the database to be there.
const PATIENCE: Duration = Duration::from_secs(3);
/// So many events are looked at for one page: some 20 ms.
const LOOKED_AT_MAX: i64 = 20_000;

/// The outbox of a database; cheap to clone.
#[derive(Clone)]
pub(crate) struct DatabaseOutbox {
    shared: Arc<Shared>,
    /// This process, among all that claim.
    process: Uuid,
    editions: Arc<Mutex<HashMap<Realm, i64>>>,
    news: Arc<OnceLock<watch::Receiver<u64>>>,
}

impl DatabaseOutbox {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            process: Uuid::new_v4(),
            editions: Arc::default(),
            news: Arc::default(),
        }
    }

    /// Asks something, within a bounded time. A connection that answered is given
    /// back; whoever is refused asks again in a while.
    fn ask<'a, T, F, A>(&'a self, question: F) -> Answer<'a, T>
    where
        T: Send + 'a,
        F: FnOnce(Lent<'a>) -> A + Send + 'a,
        A: Future<Output = Result<(Lent<'a>, T), Fault>> + Send + 'a,
    {
        Box::pin(async move {
            let asking = async {
                let lent = self.shared.pool.lend().await?;
                let (lent, answer) = question(lent).await?;
                lent.give_back();
                Ok(answer)
            };
            let answer: Result<T, Fault> = match timeout(ANSWER_TIME, asking).await {
                Ok(answer) => answer,
                Err(_) => Err(Fault::Slow),
            };
            answer.map_err(|fault| {
                self.shared.metrics.count(&fault);
                if matches!(fault, Fault::Away(_)) {
                    // Those of before a restart are no better.
                    self.shared.pool.renew();
                }
                io::Error::other(fault)
            })
        })
    }

    /// Waits, a bounded time, until the schema is there.
    async fn is_there(&self) -> bool {
        let begun = Instant::now();
        while !self.shared.list.is_loaded() {
            if begun.elapsed() > PATIENCE {
                return false;
            }
            sleep(LOOK_EVERY / 10).await;
        }
        true
    }

    fn edition(&self, sink: &Realm) -> i64 {
        let editions = self.editions.lock();
        let editions = editions.unwrap_or_else(PoisonError::into_inner);
        editions.get(sink).copied().unwrap_or(0)
    }

    fn set_edition(&self, sink: &Realm, edition: i64) {
        let editions = self.editions.lock();
        let mut editions = editions.unwrap_or_else(PoisonError::into_inner);
        editions.insert(sink.clone(), edition);
    }

    /// Looks for what is settled for as long as anybody listens.
    fn follow(&self) -> watch::Receiver<u64> {
        let (told, news) = watch::channel(0);
        let this = self.clone();
        tokio::spawn(async move {
            while !told.is_closed() {
                // What fails is counted, and the next look is soon.
                if this.shared.list.is_loaded()
                    && let Ok(place) = this.end().await
                {
                    told.send_if_modified(|known| std::mem::replace(known, place.seq) != place.seq);
                }
                sleep(LOOK_EVERY).await;
            }
        });
        news
    }
}

impl Outbox for DatabaseOutbox {
    fn claim<'a>(&'a self, sink: &'a Realm) -> Answer<'a, Claim> {
        Box::pin(async move {
            if !self.is_there().await {
                return Ok(Claim::Others);
            }
            self.ask(move |lent| async move {
                let claim = match claim(&lent.link, sink, self.process).await? {
                    None => Claim::Others,
                    Some(edition) if edition == self.edition(sink) => Claim::Ours,
                    Some(_) => Claim::Changed,
                };
                Ok((lent, claim))
            })
            .await
        })
    }

    fn release<'a>(&'a self, sink: &'a Realm) -> Answer<'a, ()> {
        self.ask(move |lent| async move {
            let release = "UPDATE mailtrail.deliveries SET until = '-infinity'
                 WHERE sink = $1 AND process = $2";
            let values: [&(dyn ToSql + Sync); 2] = [&sink.as_str(), &self.process];
            lent.link.execute(release, &values).await?;
            Ok((lent, ()))
        })
    }

    fn load<'a>(&'a self, sink: &'a Realm) -> Answer<'a, Option<State>> {
        self.ask(move |lent| async move {
            let (edition, state) = load(&lent.link, sink).await?;
            self.set_edition(sink, edition);
            Ok((lent, state))
        })
    }

    fn save<'a>(&'a self, sink: &'a Realm, state: State) -> Answer<'a, Saved> {
        self.ask(move |lent| async move {
            let edition = self.edition(sink);
            let saved = save(&lent.link, sink, edition, &state).await?;
            if saved == Saved::Yes {
                self.set_edition(sink, edition + 1);
            }
            Ok((lent, saved))
        })
    }

    fn forget<'a>(&'a self, sink: &'a Realm) -> Answer<'a, ()> {
        self.ask(move |lent| async move {
            let forget = "DELETE FROM mailtrail.deliveries WHERE sink = $1";
            lent.link.execute(forget, &[&sink.as_str()]).await?;
            Ok((lent, ()))
        })
    }

    fn known(&self) -> Answer<'_, Vec<Realm>> {
        self.ask(|lent| async move {
            let known = "SELECT sink FROM mailtrail.deliveries WHERE state IS NOT NULL";
            let rows = lent.link.query(known, &[]).await?;
            let names = rows.iter().map(|row| row.try_get::<_, &str>(0));
            let names = names.collect::<Result<Vec<_>, _>>()?;
            let known = names.iter().filter_map(|name| name.parse().ok()).collect();
            Ok((lent, known))
        })
    }

    fn end(&self) -> Answer<'_, Place> {
        self.ask(|lent| async move {
            let (last, _) = settled(&lent.link).await?;
            Ok((lent, place(last)))
        })
    }

    fn read(&self, wanted: Wanted) -> Answer<'_, Page> {
        self.ask(move |lent| async move {
            let page = read(&lent.link, &wanted).await?;
            Ok((lent, page))
        })
    }

    fn at<'a>(&'a self, places: &'a [Place]) -> Answer<'a, Vec<Event>> {
        self.ask(move |lent| async move {
            let events = at(&lent.link, places).await?;
            Ok((lent, events))
        })
    }

    fn message<'a>(&'a self, event: &'a Event) -> Answer<'a, Option<MessageRecord>> {
        self.ask(move |lent| async move {
            let record = join::newest(&lent.link, event).await?;
            Ok((lent, record))
        })
    }

    fn may_go(&self, event: &Event) -> MayGo {
        let Some(recipient) = &event.recipient else {
            return MayGo::Yes;
        };
        self.shared.list.check(&event.domain, recipient).into()
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.news.get_or_init(|| self.follow()).clone()
    }
}

// === Claims and states ===

/// Claims a sink; gives the edition of its state, none where it is another's.
async fn claim(client: &Client, sink: &Realm, process: Uuid) -> Result<Option<i64>, Fault> {
    let seconds = CLAIM_TIME.as_secs_f64();
    let claimed = client
        .query_opt(
            "INSERT INTO mailtrail.deliveries AS d (sink, process, until)
             VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
             ON CONFLICT (sink) DO UPDATE SET process = $2, until = excluded.until
             WHERE d.process = $2 OR d.until < clock_timestamp()
             RETURNING edition",
            &[&sink.as_str(), &process, &seconds],
        )
        .await?;
    Ok(claimed.map(|row| row.try_get(0)).transpose()?)
}

/// The edition and the state of a sink.
async fn load(client: &Client, sink: &Realm) -> Result<(i64, Option<State>), Fault> {
    let load = "SELECT edition, state::text FROM mailtrail.deliveries WHERE sink = $1";
    match client.query_opt(load, &[&sink.as_str()]).await? {
        Some(row) => {
            let text: Option<&str> = row.try_get(1)?;
            Ok((row.try_get(0)?, text.map(state).transpose()?))
        }
        None => Ok((0, None)),
    }
}

async fn save(client: &Client, sink: &Realm, edition: i64, state: &State) -> Result<Saved, Fault> {
    let state = serde_json::to_string(state).map_err(|_| Fault::Unreadable)?;
    let saved = client
        .execute(
            "INSERT INTO mailtrail.deliveries AS d (sink, edition, state)
             VALUES ($1, $2::bigint + 1, $3::text::json)
             ON CONFLICT (sink) DO UPDATE SET edition = excluded.edition, state = excluded.state
             WHERE d.edition = $2",
            &[&sink.as_str(), &edition, &state],
        )
        .await?;
    Ok(match saved {
        1 => Saved::Yes,
        _ => Saved::Overtaken,
    })
}

/// A state as it was kept. One of a later version is left as it is: whoever
/// knows it delivers.
fn state(text: &str) -> Result<State, Fault> {
    match serde_json::from_str::<State>(text) {
        Ok(state) if state.version == STATE_VERSION => Ok(state),
        _ => Err(Fault::Unreadable),
    }
}

// === Events ===

/// The number of the last settled event, and up to which some may be gone.
async fn settled(client: &Client) -> Result<(i64, i64), Fault> {
    let said = "SELECT number, gone_up_to FROM mailtrail.settling";
    let row = client.query_one(said, &[]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

fn place(number: i64) -> Place {
    Place {
        seq: u64::try_from(number).unwrap_or(0),
        ..Place::default()
    }
}

async fn read(client: &Client, wanted: &Wanted) -> Result<Page, Fault> {
    let (last, gone) = settled(client).await?;
    let after = i64::try_from(wanted.after.seq).unwrap_or(i64::MAX);
    if after > last {
        // Of a database that is an older copy by now.
        return Ok(Page {
            seen: place(last),
            lost: true,
            ..Page::default()
        });
    }
    let end = last.min(i64::try_from(wanted.last).unwrap_or(i64::MAX));
    let up_to = end.min(after + LOOKED_AT_MAX).max(after);
    let rows = select(client, wanted, (after, up_to)).await?;
    let is_full = rows.len() == PAGE_MAX_EVENTS;
    let found = events(client, &rows).await?;
    let seen = match (is_full, found.last()) {
        (true, Some((last, _))) => *last,
        _ => place(up_to),
    };
    let taken = found
        .into_iter()
        .filter(|(_, event)| wanted.sink.takes(event));
    Ok(Page {
        events: taken.collect(),
        seen,
        more: is_full || up_to < end,
        lost: after < gone,
    })
}

async fn select(
    client: &Client,
    wanted: &Wanted,
    (after, up_to): (i64, i64),
) -> Result<Vec<Row>, Fault> {
    let sink: &Sink = &wanted.sink;
    let namespace = format!("{}/", sink.realm.namespace());
    let domains = sink.domains.iter().map(|name| format!("{namespace}{name}"));
    let domains: Vec<String> = domains.collect();
    let kinds: Vec<&str> = sink.kinds.iter().copied().map(kind_name).collect();
    let verdicts: Vec<&str> = sink.verdicts.iter().copied().map(verdict_name).collect();
    let between = wanted
        .between_ms
        .map(|(since, until)| (time(since), time(until)));
    let mut condition = Condition::of_numbers(&after, &up_to);
    match domains.is_empty() {
        true => condition.and("starts_with(domain, ?)", &namespace),
        false => condition.and("domain = ANY(?)", &domains),
    }
    condition.and("type = ANY(?)", &kinds);
    condition.and("verdict = ANY(?)", &verdicts);
    if sink.first_only {
        condition.and("first = ?", &true);
    }
    if !sink.test_mails {
        condition.and("test = ?", &false);
    }
    if let Some((since, until)) = &between {
        condition.and("time >= ?", since);
        condition.and("time < ?", until);
    }
    let limit = PAGE_MAX_EVENTS as i64;
    let limit = condition.place(&limit);
    let sql = format!(
        "SELECT {EVENT} FROM mailtrail.events WHERE {} ORDER BY number LIMIT {limit}",
        condition.text
    );
    Ok(client.query(&sql, &condition.values).await?)
}

fn time(ms: u64) -> jiff::Timestamp {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX)
}

/// The events of these places, in their order, those that are still there.
async fn at(client: &Client, places: &[Place]) -> Result<Vec<Event>, Fault> {
    let numbers = places
        .iter()
        .filter_map(|place| i64::try_from(place.seq).ok());
    let numbers: Vec<i64> = numbers.collect();
    let sql = format!("SELECT {EVENT} FROM mailtrail.events WHERE number = ANY($1)");
    let rows = client.query(&sql, &[&numbers]).await?;
    let mut found: HashMap<u64, Event> = events(client, &rows)
        .await?
        .into_iter()
        .map(|(place, event)| (place.seq, event))
        .collect();
    Ok(places
        .iter()
        .filter_map(|place| found.remove(&place.seq))
        .collect())
}

/// Events of any domains with their places, and what message records add.
async fn events(client: &Client, rows: &[Row]) -> Result<Vec<(Place, Event)>, Fault> {
    let mut found = Vec::with_capacity(rows.len());
    let mut by_domain: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        let event = event_row::event(row)?;
        let domain = event.domain.as_str().to_owned();
        by_domain.entry(domain).or_default().push(at);
        found.push((place(event_row::number(row)?), event));
    }
    for places in by_domain.values() {
        let mut events: Vec<_> = places.iter().map(|at| found[*at].1.clone()).collect();
        let sent = places.iter().map(|at| event_row::mail_sent(&rows[*at]));
        let sent = sent.collect::<Result<Vec<_>, _>>()?;
        join::tags_and_names(client, &mut events, &sent).await?;
        for (at, event) in places.iter().zip(events) {
            found[*at].1 = event;
        }
    }
    Ok(found)
}
