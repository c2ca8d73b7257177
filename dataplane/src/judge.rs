//! Who caused a hit: signs, rules and verdicts. Pure.
//!
//! # Flow
//!
//! 1. At the **hit** the request is there. Each *sign* (a named condition on
//!    headers, user agent or address) that holds is noted: [`Rules::signs`].
//!    The names are stored with the hit, since what they were read from may be
//!    cut by the domain's privacy setting. [`Rules::provisional`] says what can
//!    be said at once.
//! 2. When the hit **settles**, some seconds later, what time has shown is added
//!    ([`Learnt`]): the signs `burst` and `delivery_window`. [`window`] holds
//!    the hits that wait and finds bursts.
//! 3. [`Rules::settle`] goes through the rules in their order. The first that
//!    holds gives the verdict; it and all later ones that hold and say the same
//!    are named. Where none holds, the verdict is `unknown`.
//!
//! # Guarantees
//!
//! - An address range alone never decides: rules for which it could are refused
//!   when they are read (case 90).
//! - Signs that the rules of today do not know (they were changed meanwhile) are
//!   passed over.
//! - All has bounds, which [`read`] names; a hit costs one pass over its user
//!   agent, a look-up per named header and one of its address.
//!
//! The rules that come with the program are [`Rules::shipped`]; docs/VERDICTS.md
//! says how others are written, and how often these are right.

mod agent;
mod error;
mod header;
mod live;
mod network;
mod read;
mod set;
pub mod window;

use std::net::IpAddr;

use http::HeaderMap;
use jiff::SignedDuration;
use mailtrail_core::event::{EventKind, Verdict};

pub use error::{RulesError, RulesFault};
pub use live::LiveRules;
pub use read::FILE_MAX_BYTES;

use agent::Agents;
use header::Headers;
use network::Networks;
use set::Signs;

/// The sign that time gives to a hit in a burst.
pub const BURST: &str = "burst";
/// The sign that time gives to a hit soon after its mail was sent.
pub const DELIVERY_WINDOW: &str = "delivery_window";
/// How much earlier than its mail's sending a hit may seem to be: clocks differ.
pub const CLOCKS_DIFFER_MAX: SignedDuration = SignedDuration::from_secs(5);

/// The rules that come with the program.
const SHIPPED: &str = include_str!("../rules/default.yaml");

/// What is known of a request when it is judged.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The `User-Agent`; absent counts as empty.
    pub user_agent: Option<&'a str>,
    /// All its headers.
    pub headers: &'a HeaderMap,
    /// The client's address, trusted hops taken off.
    pub address: IpAddr,
}

/// What time has shown of a hit when it settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Learnt {
    /// It came in a burst, as [`window`] has it.
    pub burst: bool,
    /// How long after its mail's `sent_at` it came; none where that is not known.
    pub since_sent: Option<SignedDuration>,
}

/// What is said of a hit at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtHit {
    /// The signs that hold, by name.
    pub signs: Vec<String>,
    /// The provisional verdict.
    pub verdict: Verdict,
    /// The rules that said so.
    pub rules: Vec<String>,
}

/// Signs and rules, read once and never changed.
#[derive(Debug)]
pub struct Rules {
    /// The names of signs, by their number.
    names: Vec<String>,
    /// The same, by name.
    numbers: Vec<(String, Signs)>,
    agents: Agents,
    headers: Headers,
    networks: Networks,
    delivery_window: SignedDuration,
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug)]
struct Rule {
    name: String,
    opened: bool,
    clicked: bool,
    all: Signs,
    any: Signs,
    none: Signs,
    verdict: Verdict,
}

impl Rules {
    /// The rules that come with the program.
    pub fn shipped() -> Self {
        Self::parse(SHIPPED).expect("the shipped rules are read by a test")
    }

    /// Reads a rules file's text.
    ///
    /// # Errors
    ///
    /// All that is wrong with it, each fault with line, field and what would be
    /// right.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        read::rules(text)
    }

    /// The names of the signs that hold.
    pub fn signs(&self, seen: &Seen<'_>) -> Vec<String> {
        self.named(self.noted(seen))
    }

    /// What can be said of a hit with these signs before it has settled.
    pub fn provisional(&self, kind: EventKind, signs: &[String]) -> (Verdict, Vec<String>) {
        self.weigh(kind, self.known(signs))
    }

    /// [`Self::signs`] and [`Self::provisional`] at once.
    pub fn at_hit(&self, kind: EventKind, seen: &Seen<'_>) -> AtHit {
        let signs = self.noted(seen);
        let (verdict, rules) = self.weigh(kind, signs);
        AtHit {
            signs: self.named(signs),
            verdict,
            rules,
        }
    }

    /// Whether it could change the verdict to know when the mail was sent. Where
    /// not, nobody needs to look up its message record.
    pub fn asks_when_sent(&self, kind: EventKind, signs: &[String]) -> bool {
        let signs = self.known(signs);
        [signs, signs | Signs::BURST].into_iter().any(|signs| {
            self.verdict(kind, signs) != self.verdict(kind, signs | Signs::DELIVERY_WINDOW)
        })
    }

    /// The verdict that stays, and the rules that gave it.
    pub fn settle(
        &self,
        kind: EventKind,
        signs: &[String],
        learnt: &Learnt,
    ) -> (Verdict, Vec<String>) {
        let Learnt { burst, since_sent } = *learnt;
        let mut signs = self.known(signs);
        if burst {
            signs |= Signs::BURST;
        }
        if since_sent.is_some_and(|since| self.is_delivery(since)) {
            signs |= Signs::DELIVERY_WINDOW;
        }
        self.weigh(kind, signs)
    }

    fn is_delivery(&self, since_sent: SignedDuration) -> bool {
        (-CLOCKS_DIFFER_MAX..self.delivery_window).contains(&since_sent)
    }

    /// The signs of a request; those of time are never among them.
    fn noted(&self, seen: &Seen<'_>) -> Signs {
        self.agents.signs(seen.user_agent.unwrap_or_default())
            | self.headers.signs(seen.headers)
            | self.networks.signs(seen.address)
    }

    fn named(&self, signs: Signs) -> Vec<String> {
        let name = |number| self.names.get(number).cloned();
        signs.numbers().filter_map(name).collect()
    }

    /// The signs with these names that the rules know, without those of time.
    fn known(&self, names: &[String]) -> Signs {
        let mut signs = Signs::NONE;
        for name in names {
            if let Ok(at) = self.numbers.binary_search_by(|(known, _)| known.cmp(name)) {
                signs |= self.numbers[at].1;
            }
        }
        signs - Signs::OF_TIME
    }

    fn verdict(&self, kind: EventKind, signs: Signs) -> Verdict {
        let first = self.rules.iter().find(|rule| rule.holds(kind, signs));
        first.map_or(Verdict::Unknown, |rule| rule.verdict)
    }

    /// The verdict, and the rules that hold and say the same.
    fn weigh(&self, kind: EventKind, signs: Signs) -> (Verdict, Vec<String>) {
        let mut holding = self.rules.iter().filter(|rule| rule.holds(kind, signs));
        let Some(first) = holding.next() else {
            return (Verdict::Unknown, Vec::new());
        };
        let agreeing = holding.filter(|rule| rule.verdict == first.verdict);
        let rules = std::iter::once(first).chain(agreeing);
        let names = rules.map(|rule| rule.name.clone()).collect();
        (first.verdict, names)
    }
}

impl Rule {
    fn holds(&self, kind: EventKind, signs: Signs) -> bool {
        let meant = match kind {
            EventKind::Opened => self.opened,
            EventKind::Clicked => self.clicked,
        };
        meant
            && signs.has_all(self.all)
            && (self.any.is_none() || signs.has_any(self.any))
            && !signs.has_any(self.none)
    }
}

#[cfg(test)]
mod tests;
