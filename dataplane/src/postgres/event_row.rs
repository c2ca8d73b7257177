//! A settled event as a row. Pure.

use jiff::Timestamp;
use mailtrail_core::event::{Client, Event, EventKind, EventLink, Verdict};
use mailtrail_core::id::LinkPosition;
use mailtrail_core::target::Target;
use tokio_postgres::Row;

use super::copy::Rows;
use super::fault::Fault;

/// What rows of events are.
pub(super) const COPY: &str = "COPY mailtrail.events (id, number, type, time, domain, host, message_id, \
     recipient, target, position, link_name, verdict, rules, first, test, family, os, device, address, \
     user_agent, own_tags, mail_sent) FROM STDIN BINARY";
/// What is asked of an event, in the order in which [`event`] takes it.
pub(super) const EVENT: &str = "id, type, time, domain, host, message_id, recipient, target, position, \
     link_name, verdict, rules, first, test, family, os, device, address, user_agent, own_tags::text, \
     mail_sent, number";

const OPENED: &str = "opened";
const CLICKED: &str = "clicked";

/// Writes an event.
pub(super) fn put(rows: &mut Rows, event: &Event, mail_sent: Timestamp, number: i64) {
    // Destructured, so that a new field is not forgotten.
    let Event {
        id,
        kind,
        time,
        domain,
        host,
        message_id,
        recipient,
        tags,
        link,
        client,
        first,
        test,
    } = event;
    rows.row(22)
        .uuid(*id)
        .long(number)
        .text(kind_name(*kind))
        .time(*time)
        .text(domain.as_str())
        .text(host.as_str())
        .text(message_id.as_str())
        .maybe_text(recipient.as_ref().map(|recipient| recipient.as_str()));
    put_link(rows, link.as_ref());
    put_client(rows, client, (*first, *test));
    // Hits have none: they are in the message record.
    let tags = match tags.is_empty() {
        true => None,
        false => serde_json::to_string(tags).ok(),
    };
    rows.maybe_text(tags.as_deref()).time(mail_sent);
}

fn put_link(rows: &mut Rows, link: Option<&EventLink>) {
    rows.maybe_text(link.map(|link| link.target.as_str()))
        .maybe_long(link.map(|link| i64::from(link.position.0)))
        .maybe_text(link.and_then(|link| link.name.as_deref()));
}

fn put_client(rows: &mut Rows, client: &Client, (first, test): (bool, bool)) {
    let Client {
        verdict,
        rules,
        family,
        os,
        device,
        address,
        user_agent,
    } = client;
    rows.text(verdict_name(*verdict))
        .texts(rules.iter().map(String::as_str))
        .bool(first)
        .bool(test)
        .maybe_text(family.as_deref())
        .maybe_text(os.as_deref())
        .maybe_text(device.as_deref())
        .maybe_text(address.as_deref())
        .maybe_text(user_agent.as_deref());
}

/// What a kind of event is in a row.
pub(super) fn kind_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Opened => OPENED,
        EventKind::Clicked => CLICKED,
    }
}

/// What a verdict is in a row.
pub(super) fn verdict_name(verdict: Verdict) -> &'static str {
    let named = Verdict::NAMES.iter().find(|(_, known)| *known == verdict);
    named.map_or("unknown", |(name, _)| name)
}

/// Reads an event of which [`EVENT`] was asked.
pub(super) fn event(row: &Row) -> Result<Event, Fault> {
    let text = |at: usize| row.try_get::<_, &str>(at);
    let maybe = |at: usize| row.try_get::<_, Option<String>>(at);
    Ok(Event {
        id: row.try_get(0)?,
        kind: match text(1)? {
            OPENED => EventKind::Opened,
            CLICKED => EventKind::Clicked,
            _ => return Err(Fault::Unreadable),
        },
        time: row.try_get(2)?,
        domain: name(text(3)?)?,
        host: name(text(4)?)?,
        message_id: name(text(5)?)?,
        recipient: row.try_get::<_, Option<&str>>(6)?.map(name).transpose()?,
        link: link(row)?,
        client: Client {
            verdict: verdict(text(10)?),
            rules: row.try_get(11)?,
            family: maybe(14)?,
            os: maybe(15)?,
            device: maybe(16)?,
            address: maybe(17)?,
            user_agent: maybe(18)?,
        },
        first: row.try_get(12)?,
        test: row.try_get(13)?,
        tags: match row.try_get::<_, Option<&str>>(19)? {
            Some(tags) => serde_json::from_str(tags).map_err(|_| Fault::Unreadable)?,
            None => Default::default(),
        },
    })
}

/// When the mail of a row's event was sent, to the hour.
pub(super) fn mail_sent(row: &Row) -> Result<Timestamp, Fault> {
    Ok(row.try_get(20)?)
}

/// The number of a row's event.
pub(super) fn number(row: &Row) -> Result<i64, Fault> {
    Ok(row.try_get(21)?)
}

fn link(row: &Row) -> Result<Option<EventLink>, Fault> {
    let Some(target) = row.try_get::<_, Option<&str>>(7)? else {
        return Ok(None);
    };
    let position: Option<i64> = row.try_get(8)?;
    let position = u32::try_from(position.unwrap_or(0)).map_err(|_| Fault::Unreadable)?;
    Ok(Some(EventLink {
        target: Target::parse_exact(target).map_err(|_| Fault::Unreadable)?,
        position: LinkPosition(position),
        name: row.try_get(9)?,
    }))
}

fn name<T: std::str::FromStr>(text: &str) -> Result<T, Fault> {
    text.parse().map_err(|_| Fault::Unreadable)
}

/// A verdict of a later version is unknown to this one.
fn verdict(name: &str) -> Verdict {
    let known = Verdict::NAMES.iter().find(|(known, _)| *known == name);
    known.map_or(Verdict::Unknown, |(_, verdict)| *verdict)
}
