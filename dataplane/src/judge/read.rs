//! A rules file's text → [`Rules`], or all that is wrong with it.
//!
//! Steps: shape (YAML) → networks → signs → rules. Each step goes on after a
//! fault, so that one reading tells all of them.

mod document;
mod networks;
mod signs;

use std::collections::{BTreeMap, HashMap};

use ipnet::IpNet;
use jiff::SignedDuration;
use mailtrail_core::event::Verdict;
use serde_saphyr::{Location, MessageFormatter as _, Spanned, UserMessageFormatter};

use super::agent::{Agents, Wanted};
use super::error::RulesError;
use super::header::Headers;
use super::network::Networks;
use super::set::Signs;
use super::{Rule, Rules};

use document::{Document, Text};

/// Largest rules file, in bytes: [`RANGES_MAX`] ranges of the longest kind.
pub const FILE_MAX_BYTES: usize = 2 << 20;
/// The version of the format that is read.
const VERSION: u32 = 1;
/// Most networks.
const NETWORKS_MAX: usize = 32;
/// Most ranges of all networks together.
const RANGES_MAX: usize = 20_000;
/// Most signs, without the two of time.
const SIGNS_MAX: usize = Signs::MAX - 2;
/// Most texts looked for in the user agent, of all signs together: the finder
/// takes some kilobytes for each.
const TEXTS_MAX: usize = 1_000;
/// Longest text looked for, in bytes.
const TEXT_MAX_BYTES: usize = 128;
/// Most different headers looked at: each costs a look-up at every hit.
const HEADERS_MAX: usize = 16;
/// Most values of headers looked for, of all signs together.
const VALUES_MAX: usize = 100;
/// Most rules.
const RULES_MAX: usize = 100;
/// Longest name, in bytes: names are stored with each hit.
const NAME_MAX_BYTES: usize = 40;
/// Longest source, in bytes.
const SOURCE_MAX_BYTES: usize = 500;
/// The delivery window where the file says nothing.
const DELIVERY_WINDOW_DEFAULT: SignedDuration = SignedDuration::from_secs(60);
/// Longest delivery window.
const DELIVERY_WINDOW_MAX: SignedDuration = SignedDuration::from_hours(1);
/// Deepest nesting: the format has six levels.
const DEPTH_MAX: usize = 16;
/// Most nodes: ranges, texts, and what holds them.
const NODES_MAX: usize = 100_000;
/// Most events that aliases (`*x`) may repeat.
const REPLAYED_MAX: usize = 10_000;

/// Opened, clicked: which hits a rule is for.
const BOTH: (bool, bool) = (true, true);
const KINDS: [(&str, (bool, bool)); 3] = [
    ("opened", (true, false)),
    ("clicked", (false, true)),
    ("both", BOTH),
];

/// Reads a rules file.
pub(super) fn rules(text: &str) -> Result<Rules, RulesError> {
    let document = document(text)?;
    let mut reading = Reading::default();
    reading.version(&document.version);
    let delivery_window = reading.delivery_window(document.delivery_window.as_ref());
    reading.networks(&document.networks);
    reading.signs(&document.signs);
    reading.rules(&document.rules);
    reading.finish(delivery_window)
}

fn document(text: &str) -> Result<Document, RulesError> {
    if text.len() > FILE_MAX_BYTES {
        let rule = format!("must not be larger than {FILE_MAX_BYTES} bytes");
        return Err(RulesError::whole(rule));
    }
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: REPLAYED_MAX,
        },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(0, |at| at.line());
        let message = UserMessageFormatter.format_message(error.without_snippet());
        let mut told = RulesError::default();
        told.add(line, String::new(), message.replace(char::is_control, " "));
        told
    })
}

/// What has been read so far, and what was wrong with it.
#[derive(Default)]
struct Reading {
    faults: RulesError,
    networks: BTreeMap<String, Vec<IpNet>>,
    /// By name; all that were declared, and those of time.
    signs: HashMap<String, Signs>,
    names: Vec<String>,
    /// Signs that an address range alone can give.
    by_range: Signs,
    agents: Vec<Wanted>,
    headers: Headers,
    values: usize,
    ranges: Vec<(IpNet, Signs)>,
    rules: Vec<Rule>,
}

impl Reading {
    fn fault(&mut self, at: Location, field: impl Into<String>, rule: impl Into<String>) {
        self.faults.add(at.line(), field.into(), rule.into());
    }

    fn finish(self, delivery_window: SignedDuration) -> Result<Rules, RulesError> {
        self.faults.done()?;
        let agents = Agents::new(self.agents).map_err(|error| {
            RulesError::whole(format!("has too many texts for user agents: {error}"))
        })?;
        let mut numbers: Vec<_> = self.signs.into_iter().collect();
        numbers.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Rules {
            names: self.names,
            numbers,
            agents,
            headers: self.headers,
            networks: Networks::new(&self.ranges),
            delivery_window,
            rules: self.rules,
        })
    }

    fn version(&mut self, version: &Spanned<u32>) {
        if version.value != VERSION {
            self.fault(
                version.referenced,
                "version",
                format!("must be {VERSION}, the version of the format that this program reads"),
            );
        }
    }

    fn delivery_window(&mut self, text: Option<&Text>) -> SignedDuration {
        let Some(text) = text else {
            return DELIVERY_WINDOW_DEFAULT;
        };
        let fits = |window: &SignedDuration| *window <= DELIVERY_WINDOW_MAX;
        seconds_or_minutes(&text.value)
            .filter(fits)
            .unwrap_or_else(|| {
                let rule = "must be seconds or minutes such as 60s or 2m, from 1s to 60m";
                self.fault(text.referenced, "deliveryWindow", rule);
                DELIVERY_WINDOW_DEFAULT
            })
    }

    // === Rules ===

    fn rules(&mut self, rules: &[Spanned<document::Rule>]) {
        if !self.has_room(rules, RULES_MAX, "rules") {
            return;
        }
        for (at, rule) in rules.iter().enumerate() {
            self.rule(rule, &format!("rules[{at}]"));
        }
    }

    fn rule(&mut self, rule: &Spanned<document::Rule>, field: &str) {
        let document::Rule {
            name,
            kind,
            when,
            verdict,
        } = &rule.value;
        self.name(name, &format!("{field}.name"));
        if self.rules.iter().any(|known| known.name == name.value) {
            self.fault(name.referenced, format!("{field}.name"), "is there twice");
        }
        let verdict = self.word(verdict, &Verdict::NAMES, &format!("{field}.verdict"));
        let kind = kind.as_ref();
        let kind = kind.map(|kind| self.word(kind, &KINDS, &format!("{field}.for")));
        let (opened, clicked) = kind.unwrap_or(BOTH);
        let faults_before = self.faults.count();
        let read = Rule {
            name: name.value.clone(),
            opened,
            clicked,
            all: self.named(&when.all, &format!("{field}.when.all")),
            any: self.named(&when.any, &format!("{field}.when.any")),
            none: self.named(&when.none, &format!("{field}.when.none")),
            verdict,
        };
        if when.all.is_empty() && when.any.is_empty() {
            let rule = "must name a sign in all or any: a hit that nothing speaks of is unknown";
            self.fault(name.referenced, format!("{field}.when"), rule);
        } else if self.faults.count() == faults_before && self.range_alone_decides(&read) {
            let rule = "must need a sign that no address range gives: a range alone never decides";
            self.fault(name.referenced, format!("{field}.when"), rule);
        }
        self.rules.push(read);
    }

    /// Whether address ranges alone could make a rule hold (case 90).
    fn range_alone_decides(&self, rule: &Rule) -> bool {
        let all_by_range = self.by_range.has_all(rule.all);
        let any_by_range = rule.any.is_none() || rule.any.has_any(self.by_range);
        all_by_range && any_by_range
    }

    fn named(&mut self, names: &[Text], field: &str) -> Signs {
        let mut signs = Signs::NONE;
        for (at, name) in names.iter().enumerate() {
            match self.signs.get(&name.value) {
                Some(sign) => signs |= *sign,
                None => self.fault(
                    name.referenced,
                    format!("{field}[{at}]"),
                    format!("names no sign: {}", shown(&name.value)),
                ),
            }
        }
        signs
    }

    // === What all have ===

    fn has_room<T>(&mut self, items: &[Spanned<T>], limit: usize, field: &str) -> bool {
        if let Some(first_beyond) = items.get(limit) {
            let rule = format!("must not be more than {limit}");
            self.fault(first_beyond.referenced, field, rule);
        }
        items.len() <= limit
    }

    /// What one of a few words means; after another one reading goes on with
    /// the first, to find what else is wrong.
    fn word<T: Copy>(&mut self, text: &Text, words: &[(&str, T)], field: &str) -> T {
        if let Some((_, meant)) = words.iter().find(|(word, _)| *word == text.value) {
            return *meant;
        }
        let words_only: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let rule = format!(
            "must be one of {}, not {}",
            words_only.join(", "),
            shown(&text.value)
        );
        self.fault(text.referenced, field, rule);
        words[0].1
    }

    fn name(&mut self, name: &Text, field: &str) {
        let text = name.value.as_bytes();
        let letters = text
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_');
        let begins = text.first().is_some_and(u8::is_ascii_lowercase);
        if !(letters && begins && text.len() <= NAME_MAX_BYTES) {
            let rule = format!(
                "must begin with a small letter and have small letters, digits and _ only, {NAME_MAX_BYTES} at most"
            );
            self.fault(name.referenced, field, rule);
        }
    }

    fn text(&mut self, text: &Text, may_be_empty: bool, limit: usize, field: &str) {
        if text.value.len() > limit {
            let rule = format!("must not be longer than {limit} bytes");
            self.fault(text.referenced, field, rule);
        } else if text.value.is_empty() && !may_be_empty {
            self.fault(
                text.referenced,
                field,
                "must not be empty: it would always hold",
            );
        }
    }
}

/// A name as an error may show it.
fn shown(name: &str) -> String {
    let short: String = name.chars().take(NAME_MAX_BYTES).collect();
    short.replace(char::is_control, " ")
}

/// Reads `60s` or `2m`; from one second on.
fn seconds_or_minutes(text: &str) -> Option<SignedDuration> {
    let (digits, unit) = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(digits), _) => (digits, 1),
        (_, Some(digits)) => (digits, 60),
        _ => return None,
    };
    let plain =
        !digits.is_empty() && digits.len() <= 6 && digits.bytes().all(|b| b.is_ascii_digit());
    let number: i64 = digits.parse().ok().filter(|number| plain && *number > 0)?;
    Some(SignedDuration::from_secs(number * unit))
}

#[cfg(test)]
mod tests;
