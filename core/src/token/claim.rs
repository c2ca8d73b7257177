//! What a token says, and its bytes: printing and parsing are a pair.

use uuid::Uuid;

use crate::id::{LinkPosition, MessageId, Recipient};
use crate::target::Target;
use crate::token::Kind;

/// Hours since 1970-01-01T00:00Z, below 2^24 (until the year 3883).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hour(u32);

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose it is.
    pub mail: Mail,
    /// What it is for.
    pub purpose: Purpose,
}

/// The message and reader a token was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The sender's id of the message.
    pub message: MessageId,
    /// The reader, when the rewrite named one.
    pub recipient: Option<Recipient>,
    /// When it was rewritten.
    pub sent: Hour,
    /// A test mail: its hits never count.
    pub test: bool,
    /// Whether opens were tracked in this message, so that a click may stand for one.
    pub opens_on: bool,
}

/// What a token is for. Only links have a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// The pixel.
    Open,
    /// A link.
    Click(Link),
    /// A link that an app may take over.
    App(Link),
    /// The reader's withdrawal.
    Withdraw,
}

/// A tracked link: where it stands and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its place in the message.
    pub position: LinkPosition,
    /// Where it leads.
    pub target: Target,
}

const FLAG_TEST: u8 = 1;
const FLAG_OPENS_ON: u8 = 1 << 1;
const FLAG_UUID: u8 = 1 << 2;
const FLAG_RECIPIENT: u8 = 1 << 3;
const FLAGS_KNOWN: u8 = FLAG_TEST | FLAG_OPENS_ON | FLAG_UUID | FLAG_RECIPIENT;

/// Beginnings that stand as one byte, longest first. Their numbers are for good.
const PREFIXES: [(u8, &str); 5] = [
    (1, "https://www."),
    (2, "https://"),
    (3, "http://www."),
    (4, "http://"),
    (0, ""),
];

// === Hour ===

impl Hour {
    /// The hour of a time in seconds since 1970; below 0 becomes 0.
    pub fn from_unix_seconds(seconds: i64) -> Self {
        let hours = u32::try_from(seconds.max(0) / 3600).unwrap_or(u32::MAX);
        Self(hours.min((1 << 24) - 1))
    }

    /// Seconds since 1970 at the hour's begin.
    pub fn unix_seconds(self) -> i64 {
        i64::from(self.0) * 3600
    }
}

// === Mail ===

impl Mail {
    /// Whether both are of the same message to the same reader, whenever it
    /// was rewritten.
    pub fn is_same(&self, other: &Self) -> bool {
        self.message == other.message && self.recipient == other.recipient
    }

    /// What every token of the mail says first.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let Self {
            message,
            recipient,
            sent,
            test,
            opens_on,
        } = self;
        let uuid = canonical_uuid(message.as_str());
        let mut flags = 0;
        for (flag, on) in [
            (FLAG_TEST, *test),
            (FLAG_OPENS_ON, *opens_on),
            (FLAG_UUID, uuid.is_some()),
            (FLAG_RECIPIENT, recipient.is_some()),
        ] {
            flags |= if on { flag } else { 0 };
        }
        let mut out = vec![flags];
        out.extend_from_slice(&sent.0.to_be_bytes()[1..]);
        match uuid {
            Some(uuid) => out.extend_from_slice(uuid.as_bytes()),
            None => put_short(&mut out, message.as_str()),
        }
        if let Some(recipient) = recipient {
            put_short(&mut out, recipient.as_str());
        }
        out
    }
}

// === Claim ===

impl Claim {
    /// The kind of token that says this.
    pub fn kind(&self) -> Kind {
        match self.purpose {
            Purpose::Open => Kind::Open,
            Purpose::Click(_) => Kind::Click,
            Purpose::App(_) => Kind::App,
            Purpose::Withdraw => Kind::Withdraw,
        }
    }

    /// The link, where it is one's claim.
    pub fn link(&self) -> Option<&Link> {
        match &self.purpose {
            Purpose::Click(link) | Purpose::App(link) => Some(link),
            Purpose::Open | Purpose::Withdraw => None,
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.mail.to_bytes();
        if let Some(link) = self.link() {
            put_link(&mut out, link.position, &link.target);
        }
        out
    }

    pub(super) fn from_bytes(kind: Kind, bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let [flags, a, b, c] = *input.take(4)? else {
            return None;
        };
        if flags & !FLAGS_KNOWN != 0 {
            return None;
        }
        let message = if flags & FLAG_UUID == 0 {
            input.short()?.parse().ok()?
        } else {
            let uuid = Uuid::from_slice(input.take(16)?).ok()?;
            let mut buffer = Uuid::encode_buffer();
            let text = uuid.hyphenated().encode_lower(&mut buffer);
            text.parse().ok()?
        };
        let recipient = match flags & FLAG_RECIPIENT {
            0 => None,
            _ => Some(input.short()?.parse().ok()?),
        };
        let mail = Mail {
            message,
            recipient,
            sent: Hour(u32::from_be_bytes([0, a, b, c])),
            test: flags & FLAG_TEST != 0,
            opens_on: flags & FLAG_OPENS_ON != 0,
        };
        let purpose = match kind {
            Kind::Open => Purpose::Open,
            Kind::Click => Purpose::Click(input.link()?),
            Kind::App => Purpose::App(input.link()?),
            Kind::Withdraw => Purpose::Withdraw,
        };
        input.0.is_empty().then_some(Self { mail, purpose })
    }
}

/// The UUID, if the text is exactly how one is printed (so that it prints back).
fn canonical_uuid(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    let mut buffer = Uuid::encode_buffer();
    (uuid.hyphenated().encode_lower(&mut buffer) == text).then_some(uuid)
}

/// Length (1 byte) and bytes. Ids are at most 128 and recipients 254 bytes.
fn put_short(out: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).expect("ids and recipients are at most 254 bytes");
    out.push(length);
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn put_link(out: &mut Vec<u8>, position: LinkPosition, target: &Target) {
    let mut position = position.0;
    while position >= 0x80 {
        out.push((position & 0x7f) as u8 | 0x80);
        position >>= 7;
    }
    out.push(position as u8);
    let target = target.as_str();
    let (code, prefix) = PREFIXES
        .into_iter()
        .find(|(_, prefix)| target.starts_with(prefix))
        .expect("the last prefix is empty");
    out.push(code);
    out.extend_from_slice(&target.as_bytes()[prefix.len()..]);
}

/// What is left to parse.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn short(&mut self) -> Option<&'a str> {
        let length = usize::from(*self.take(1)?.first()?);
        std::str::from_utf8(self.take(length)?).ok()
    }

    fn position(&mut self) -> Option<LinkPosition> {
        let mut position = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = u32::from(*self.take(1)?.first()?);
            position |= (byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(LinkPosition(position));
            }
        }
        None
    }

    fn link(&mut self) -> Option<Link> {
        let position = self.position()?;
        let code = *self.take(1)?.first()?;
        let (_, prefix) = PREFIXES.into_iter().find(|(known, _)| *known == code)?;
        let rest = std::str::from_utf8(self.take(self.0.len())?).ok()?;
        let target = Target::parse_exact([prefix, rest].concat()).ok()?;
        Some(Link { position, target })
    }
}
