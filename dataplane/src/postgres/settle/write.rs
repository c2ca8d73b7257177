//! Judged hits become events, in one transaction: each once, in their order,
//! with the next numbers.

use std::collections::{BTreeMap, HashMap, HashSet};

use mailtrail_core::config::Recorded;
use mailtrail_core::event::{Event, EventKind};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Transaction};
use uuid::Uuid;

use super::judge::Judged;
use crate::postgres::Shared;
use crate::postgres::copy::Rows;
use crate::postgres::event_row;
use crate::postgres::fault::Fault;
use crate::postgres::last::{self, Dated};
use crate::postgres::rows::keyed;
use crate::postgres::schema::READERS_LOCK;
use crate::postgres::ship::copy;
use crate::store::{HourCounts, Split, hour_of};

/// Writes what is judged.
pub(super) async fn write(
    client: &mut Client,
    shared: &Shared,
    mut judged: Vec<Judged>,
) -> Result<(), Fault> {
    let change = client.transaction().await?;
    change
        .execute("SELECT pg_advisory_xact_lock_shared($1)", &[&READERS_LOCK])
        .await?;
    let before = judged.len();
    take_hits(&change, shared, &mut judged).await?;
    withhold(&change, shared, &mut judged).await?;
    let withheld = before - judged.len();
    let is_told = |judged: &Judged| judged.recorded == Recorded::Identified;
    let (mut judged, untold): (Vec<_>, Vec<_>) = judged.into_iter().partition(is_told);
    find_firsts(&change, shared, &mut judged).await?;
    let first_number = numbers(&change, judged.len()).await?;
    let mut rows = Rows::new();
    for (judged, number) in judged.iter().zip(first_number..) {
        event_row::put(&mut rows, &judged.event, judged.mail_sent, number);
    }
    copy(&change, event_row::COPY, rows.finish()).await?;
    let mut counts = counts_of(judged.iter().map(|judged| &judged.event));
    count_untold(&mut counts, &untold);
    add_counts(&change, &counts, Sign::Plus).await?;
    note_counted(&change, shared, &untold).await?;
    let key = shared.list.key().ok_or(Fault::Slow)?;
    last::put(&change, key, untold.iter().filter_map(dated)).await?;
    change.commit().await?;
    let metrics = &shared.settle_metrics;
    metrics.withheld.inc_by(withheld as u64);
    for judged in judged.iter().chain(&untold) {
        metrics.count(judged.event.client.verdict);
    }
    Ok(())
}

/// Takes the rows of hits away; whose is gone was erased, and those that are
/// events already, or were counted, came a second time.
async fn take_hits(
    change: &Transaction<'_>,
    shared: &Shared,
    judged: &mut Vec<Judged>,
) -> Result<(), Fault> {
    let ids: Vec<_> = judged.iter().map(|judged| judged.event.id).collect();
    let taken = change
        .query(
            "DELETE FROM mailtrail.hits WHERE id = ANY($1) RETURNING id",
            &[&ids],
        )
        .await?;
    let taken: Result<HashSet<Uuid>, _> = taken.iter().map(|row| row.try_get(0)).collect();
    let mut taken = taken?;
    let known = change
        .query(
            "SELECT id FROM mailtrail.events WHERE id = ANY($1)",
            &[&ids],
        )
        .await?;
    for row in known {
        taken.remove(&row.try_get::<_, Uuid>(0)?);
    }
    let key = shared.list.key().ok_or(Fault::Slow)?;
    let hashes: HashMap<_, _> = ids.iter().map(|id| (counted_key(key, *id), *id)).collect();
    let asked: Vec<_> = hashes.keys().copied().collect();
    let counted = "SELECT key FROM mailtrail.counted WHERE key = ANY($1)";
    for row in change.query(counted, &[&asked]).await? {
        if let Some(id) = hashes.get(&row.try_get::<_, Uuid>(0)?) {
            taken.remove(id);
        }
    }
    judged.retain(|judged| taken.contains(&judged.event.id));
    Ok(())
}

/// Leaves out whose reader has withdrawn since.
async fn withhold(
    change: &Transaction<'_>,
    shared: &Shared,
    judged: &mut Vec<Judged>,
) -> Result<(), Fault> {
    let who = |event: &Event| {
        let recipient = event.recipient.as_ref()?;
        shared.list.who(event.domain.as_str(), recipient.as_str())
    };
    let open = judged.iter().filter(|judged| !judged.is_final);
    let whos: HashSet<_> = open.filter_map(|judged| who(&judged.event)).collect();
    let whos: Vec<_> = whos.into_iter().collect();
    let listed = change
        .query(
            "SELECT who FROM mailtrail.withdrawals WHERE who = ANY($1)",
            &[&whos],
        )
        .await?;
    let listed: Result<HashSet<Uuid>, _> = listed.iter().map(|row| row.try_get(0)).collect();
    let listed = listed?;
    if !listed.is_empty() {
        judged.retain(|judged| {
            judged.is_final || who(&judged.event).is_none_or(|who| !listed.contains(&who))
        });
    }
    Ok(())
}

/// Finds out which are the first by a person of their message, reader, type and
/// position.
async fn find_firsts(
    change: &Transaction<'_>,
    shared: &Shared,
    judged: &mut [Judged],
) -> Result<(), Fault> {
    let key = shared.list.key().ok_or(Fault::Slow)?;
    // The first of each in this batch.
    let mut asked = BTreeMap::new();
    for (at, judged) in judged.iter_mut().enumerate() {
        let event = &mut judged.event;
        let said = judged.is_final && event.first;
        let by_person = event.client.verdict.is_person() && !event.test && !judged.is_final;
        event.first = said;
        if said || by_person {
            asked.entry(first_key(key, event)).or_insert(at);
        }
    }
    let keys: Vec<_> = asked.keys().copied().collect();
    let events: Vec<_> = asked.values().map(|at| judged[*at].event.id).collect();
    let new = change
        .query(
            "INSERT INTO mailtrail.firsts (key, event)
             SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS new (key, event)
             ON CONFLICT DO NOTHING RETURNING key",
            &[&keys, &events],
        )
        .await?;
    for row in new {
        if let Some(at) = asked.get(&row.try_get::<_, Uuid>(0)?) {
            judged[*at].event.first = true;
        }
    }
    Ok(())
}

/// The day of a hit by a person, where that is kept.
fn dated(judged: &Judged) -> Option<Dated<'_>> {
    let Judged {
        event, recorded, ..
    } = judged;
    let is_kept = *recorded == Recorded::LastDate && event.client.verdict.is_person();
    (is_kept && !event.test).then(|| Dated::of(event))
}

/// Notes which hits were counted, by hashes.
async fn note_counted(
    change: &Transaction<'_>,
    shared: &Shared,
    untold: &[Judged],
) -> Result<(), Fault> {
    if untold.is_empty() {
        return Ok(());
    }
    let key = shared.list.key().ok_or(Fault::Slow)?;
    let noted = untold.iter().map(|judged| {
        let hour = hour_of(judged.event.time.as_millisecond()) as i32;
        (counted_key(key, judged.event.id), hour)
    });
    let (keys, hours): (Vec<_>, Vec<_>) = noted.unzip();
    let note = "INSERT INTO mailtrail.counted SELECT * FROM unnest($1::uuid[], $2::int[])";
    change.execute(note, &[&keys, &hours]).await?;
    Ok(())
}

fn counted_key(key: &aws_lc_rs::hmac::Key, id: Uuid) -> Uuid {
    keyed(key, b"counted", &[&id.simple().to_string()], None)
}

fn first_key(key: &aws_lc_rs::hmac::Key, event: &Event) -> Uuid {
    let position = event.link.as_ref().map_or(0, |link| link.position.0);
    let position = position.to_string();
    let parts = [event.domain.as_str(), event.message_id.as_str(), &position];
    let recipient = event.recipient.as_ref().map(|recipient| recipient.as_str());
    let kind = event_row::kind_name(event.kind);
    keyed(key, kind.as_bytes(), &parts, recipient)
}

/// Takes so many numbers; gives the first. The row is held until the events are
/// committed, so nobody else takes later ones before.
async fn numbers(change: &Transaction<'_>, count: usize) -> Result<i64, Fault> {
    let row = change
        .query_one(
            "UPDATE mailtrail.settling SET number = number + $1 RETURNING number",
            &[&(count as i64)],
        )
        .await?;
    Ok(row.try_get::<_, i64>(0)? - count as i64 + 1)
}

// === Counting ===

/// Whether events come or go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::postgres) enum Sign {
    Plus,
    Minus,
}

/// What happened in the hours of some domains.
pub(in crate::postgres) type Counts = BTreeMap<(String, u32), HourCounts>;

/// Counts events.
pub(in crate::postgres) fn counts_of<'a>(events: impl Iterator<Item = &'a Event>) -> Counts {
    // Most of a batch is of one domain and hour.
    let mut counts: HashMap<(&str, u32), HourCounts> = HashMap::new();
    for event in events.filter(|event| !event.test) {
        let hour = hour_of(event.time.as_millisecond());
        let hour = counts.entry((event.domain.as_str(), hour)).or_default();
        let hits = match event.kind {
            EventKind::Opened => &mut hour.opened,
            EventKind::Clicked => &mut hour.clicked,
        };
        hits.count(event.client.verdict, event.first);
    }
    let owned = |((domain, hour), counts): ((&str, u32), _)| ((domain.to_owned(), hour), counts);
    counts.into_iter().map(owned).collect()
}

/// Counts hits that are told of nobody.
fn count_untold(counts: &mut Counts, untold: &[Judged]) {
    for Judged { event, .. } in untold.iter().filter(|judged| !judged.event.test) {
        let mut hit = Split::default();
        hit.count(event.client.verdict);
        let hour = hour_of(event.time.as_millisecond());
        let of = (event.domain.as_str().to_owned(), hour);
        let counts = counts.entry(of).or_default();
        match event.kind {
            EventKind::Opened => counts.opened.count_anonymous(hit),
            EventKind::Clicked => counts.clicked.count_anonymous(hit),
        }
    }
}

/// The columns of what hits are counted in, as [`HourCounts::hits`] gives them.
pub(in crate::postgres) const HITS: [&str; 14] = [
    "opened_people",
    "opened_machines",
    "opened_unknown",
    "opened_first",
    "opened_people_anonymous",
    "opened_machines_anonymous",
    "opened_unknown_anonymous",
    "clicked_people",
    "clicked_machines",
    "clicked_unknown",
    "clicked_first",
    "clicked_people_anonymous",
    "clicked_machines_anonymous",
    "clicked_unknown_anonymous",
];

/// Adds to the counts of hits, or takes from them.
pub(in crate::postgres) async fn add_counts(
    change: &Transaction<'_>,
    counts: &Counts,
    sign: Sign,
) -> Result<(), Fault> {
    if counts.is_empty() {
        return Ok(());
    }
    let domains: Vec<_> = counts.keys().map(|(domain, _)| domain.as_str()).collect();
    let hours: Vec<_> = counts.keys().map(|(_, hour)| *hour as i32).collect();
    let hits: Vec<_> = counts.values().map(HourCounts::hits).collect();
    let columns: Vec<Vec<i64>> = (0..HITS.len())
        .map(|at| {
            let signed = |hits: &[u64; HITS.len()]| match sign {
                Sign::Plus => hits[at] as i64,
                Sign::Minus => -(hits[at] as i64),
            };
            hits.iter().map(signed).collect()
        })
        .collect();
    let add = HITS.map(|name| format!("{name} = c.{name} + excluded.{name}"));
    let places: Vec<_> = (0..HITS.len())
        .map(|at| format!("${}::bigint[]", at + 3))
        .collect();
    let sql = format!(
        "INSERT INTO mailtrail.hit_counts AS c (domain, hour, {})
         SELECT * FROM unnest($1::text[], $2::int[], {})
         ON CONFLICT (domain, hour) DO UPDATE SET {}",
        HITS.join(", "),
        places.join(", "),
        add.join(", ")
    );
    let mut values: Vec<&(dyn ToSql + Sync)> = vec![&domains, &hours];
    values.extend(columns.iter().map(|column| column as &(dyn ToSql + Sync)));
    change.execute(&sql, &values).await?;
    Ok(())
}
