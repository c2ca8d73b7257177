//! A request's parts and its claim become an [`Event`], with the signs that its
//! verdict will settle by; pure. What the domain's privacy setting does not
//! allow is cut here and goes no further.

pub mod agent;

use std::net::IpAddr;

use jiff::{Timestamp, ToSpan};
use mailtrail_core::config::{AddressDetail, Domain, Privacy, UserAgentDetail};
use mailtrail_core::event::{Client, Event, EventKind, EventLink, Unsettled, Verdict};
use mailtrail_core::id::Host;
use mailtrail_core::token::{Claim, Purpose};
use uuid::Uuid;

use crate::judge::{AtHit, Rules, Seen};

/// Longest user agent kept, in bytes; real ones end below 300.
pub const USER_AGENT_MAX_BYTES: usize = 512;

/// What a request says of who asks, and the rules that judge it.
#[derive(Debug, Clone, Copy)]
pub struct Hit<'a> {
    /// The host that was asked.
    pub host: &'a Host,
    /// Headers, user agent and address.
    pub seen: Seen<'a>,
    /// The rules of this moment.
    pub rules: &'a Rules,
}

/// Whether a hit of this claim is recorded now: the toggle is on, the domain
/// is in use, and the mail is not older than the domain keeps events.
pub fn is_recorded(domain: &Domain, claim: &Claim, now: Timestamp) -> bool {
    let on = match claim.purpose {
        Purpose::Open => domain.records_opens(),
        Purpose::Click(_) | Purpose::App(_) => domain.records_clicks(),
        Purpose::Withdraw => false,
    };
    let kept_seconds = i64::from(domain.retention_days) * 24 * 60 * 60;
    on && now.as_second() - claim.mail.sent.unix_seconds() <= kept_seconds
}

/// The event of a hit, which waits for its verdict. `random` makes its id
/// unique within the millisecond.
pub fn event(
    hit: Hit<'_>,
    claim: &Claim,
    domain: &Domain,
    (now, random): (Timestamp, [u8; 10]),
) -> Unsettled {
    let link = claim.link().map(|link| EventLink {
        target: link.target.clone(),
        position: link.position,
        // Names and tags are the message record's: they are added on reading.
        name: None,
    });
    let kind = match link {
        Some(_) => EventKind::Clicked,
        None => EventKind::Opened,
    };
    let AtHit {
        signs,
        verdict,
        rules,
    } = hit.rules.at_hit(kind, &hit.seen);
    let event = Event {
        id: id(now, random),
        kind,
        time: whole_milliseconds(now),
        domain: domain.realm.clone(),
        host: hit.host.clone(),
        message_id: claim.mail.message.clone(),
        recipient: claim.mail.recipient.clone(),
        tags: Default::default(),
        link,
        client: Client {
            verdict,
            rules,
            ..client(&hit.seen, domain.privacy)
        },
        first: false,
        test: claim.mail.test,
    };
    Unsettled {
        event,
        signs,
        mail_sent: sent(claim),
        recorded: domain.recorded(kind),
    }
}

/// When the mail was sent, to the hour: a token holds no later one than a
/// timestamp does.
fn sent(claim: &Claim) -> Timestamp {
    Timestamp::from_second(claim.mail.sent.unix_seconds()).unwrap_or_default()
}

/// UUIDv7 (RFC 9562, 5.7); a time before 1970 counts as 1970.
fn id(now: Timestamp, random: [u8; 10]) -> Uuid {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// The time as it will be printed, so that it reads back the same.
fn whole_milliseconds(now: Timestamp) -> Timestamp {
    let below = now.as_nanosecond().rem_euclid(1_000_000);
    now.checked_sub((below as i64).nanoseconds()).unwrap_or(now)
}

/// Who asked, as far as it may be kept; not yet judged.
fn client(seen: &Seen<'_>, privacy: Privacy) -> Client {
    let agent = agent::classify(seen.user_agent.unwrap_or_default());
    Client {
        verdict: Verdict::Unknown,
        rules: Vec::new(),
        family: agent.family.map(str::to_owned),
        os: agent.os.map(str::to_owned),
        device: agent.device.map(str::to_owned),
        address: match privacy.address {
            AddressDetail::Omit => None,
            AddressDetail::Truncate => Some(network(seen.address)),
            AddressDetail::Full => Some(seen.address.to_string()),
        },
        user_agent: match privacy.user_agent {
            UserAgentDetail::Omit => None,
            UserAgentDetail::Full => seen.user_agent.map(bounded),
        },
    }
}

/// The /24 of IPv4, the /48 of IPv6.
fn network(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            format!("{}/48", std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

fn bounded(user_agent: &str) -> String {
    let end = user_agent.floor_char_boundary(USER_AGENT_MAX_BYTES);
    user_agent[..end].to_owned()
}

#[cfg(test)]
mod tests;
