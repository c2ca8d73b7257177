//! What lists are asked for, the same in a query string and in a JSON body:
//! parsed once into types that cannot be wrong.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mailtrail_core::event::{EventKind, Verdict};
use mailtrail_core::id::{MessageId, NameError, Realm};
use serde_json::Value;

use super::fields::{Fields, line_fault};
use super::query::Query;
use super::settings::{CURSOR_MAX_BYTES, LIMIT_DEFAULT, LIMIT_MAX, TAGS_MAX, TAGS_MAX_BYTES};
use super::times::time;
use crate::store::{Cursor, EventFilter, EventQuery, MessageQuery};

/// The rule of a time that is asked for from one moment to another.
pub(super) const SINCE_RULE: &str = "must be before until";
/// Most words of a list: each verdict and group, twice over.
const WORDS_MAX: usize = 16;

/// Where something is asked: in a query string or in a JSON body.
pub(super) trait Source {
    /// Takes a text that `parse` understands.
    fn parsed<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>)
    -> Option<T>;

    /// Takes true or false.
    fn flag(&mut self, name: &str) -> Option<bool>;

    /// Takes a whole number.
    fn number(&mut self, name: &str, max: usize) -> Option<usize>;

    /// Takes a list of words.
    fn words(&mut self, name: &str) -> Vec<String>;

    /// Takes the tags that are asked for.
    fn tags(&mut self) -> BTreeMap<String, String>;

    /// Notes a fault.
    fn fault(&mut self, name: &str, rule: String);
}

/// Takes what lists of events are asked for.
pub(super) fn events(domain: &Realm, from: &mut impl Source) -> EventQuery {
    EventQuery {
        domain: domain.clone(),
        filter: event_filter(from),
        after: from.parsed("after", cursor),
        limit: limit(from),
        provisional: from.flag("provisional").unwrap_or(false),
    }
}

/// Takes which events are asked for.
pub(super) fn event_filter(from: &mut impl Source) -> EventFilter {
    let (since, until) = times(from);
    EventFilter {
        kind: from.parsed("type", kind),
        message: from.parsed("message_id", name),
        // A body alone has it: `recipient` is taken there.
        recipient: None,
        verdicts: verdicts(from),
        first: from.flag("first"),
        test: from.flag("test"),
        tags: from.tags(),
        since,
        until,
    }
}

/// Takes what searches for messages are asked for.
pub(super) fn messages(domain: &Realm, from: &mut impl Source) -> MessageQuery {
    let (since, until) = times(from);
    MessageQuery {
        domain: domain.clone(),
        // A body alone has it: `recipient` is taken there.
        recipient: None,
        tags: from.tags(),
        id_prefix: from.parsed("message_id", |text| {
            name::<MessageId>(text).map(|id| id.to_string())
        }),
        since,
        until,
        after: from.parsed("after", cursor),
        limit: limit(from),
    }
}

/// Takes `since` and `until`.
pub(super) fn times(from: &mut impl Source) -> (Option<Timestamp>, Option<Timestamp>) {
    let since = from.parsed("since", time);
    let until = from.parsed("until", time);
    if since
        .zip(until)
        .is_some_and(|(since, until)| since >= until)
    {
        from.fault("since", SINCE_RULE.to_owned());
    }
    (since, until)
}

/// Takes `limit`.
pub(super) fn limit(from: &mut impl Source) -> usize {
    from.number("limit", LIMIT_MAX).unwrap_or(LIMIT_DEFAULT)
}

/// Parses the name of a thing.
pub(super) fn name<T: std::str::FromStr<Err = NameError>>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|error: NameError| error.rule().to_owned())
}

/// Parses a cursor, as far as one is told from chance here.
pub(super) fn cursor(text: &str) -> Result<Cursor, String> {
    if text.len() > CURSOR_MAX_BYTES {
        return Err(format!("must be at most {CURSOR_MAX_BYTES} bytes long"));
    }
    Ok(Cursor(text.to_owned()))
}

fn kind(text: &str) -> Result<EventKind, String> {
    match text {
        "opened" => Ok(EventKind::Opened),
        "clicked" => Ok(EventKind::Clicked),
        _ => Err("must be opened or clicked".to_owned()),
    }
}

fn verdicts(from: &mut impl Source) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for word in from.words("verdict") {
        let named = Verdict::NAMES.iter().find(|(name, _)| *name == word);
        match (named, word.as_str()) {
            (Some((_, verdict)), _) => verdicts.push(*verdict),
            (None, "people") => verdicts.extend([Verdict::Human, Verdict::Proxy]),
            (None, "machines") => verdicts.extend([Verdict::Prefetch, Verdict::Scanner]),
            (None, _) => {
                let rule = "must be human, proxy, prefetch, scanner, unknown, people or machines";
                from.fault("verdict", rule.to_owned());
                return Vec::new();
            }
        }
    }
    verdicts
}

/// What is wrong with a tag that is asked for.
fn tag_fault(key: &str, value: &str) -> Option<String> {
    if key.is_empty() {
        return Some("must have names that are not empty".to_owned());
    }
    if key.len() + value.len() > TAGS_MAX_BYTES {
        return Some(format!("must have at most {TAGS_MAX_BYTES} bytes each"));
    }
    line_fault(key, TAGS_MAX_BYTES).or_else(|| line_fault(value, TAGS_MAX_BYTES))
}

fn too_many(max: usize) -> String {
    format!("must have at most {max} entries")
}

fn number_rule(max: usize) -> String {
    format!("must be a number from 1 to {max}")
}

// === A query string ===

impl Source for Query {
    fn parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        Self::parsed(self, name, parse)
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        Self::parsed(self, name, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        })
    }

    fn number(&mut self, name: &str, max: usize) -> Option<usize> {
        Self::parsed(self, name, |text| {
            text.parse()
                .ok()
                .filter(|number| (1..=max).contains(number))
                .ok_or_else(|| number_rule(max))
        })
    }

    /// Repeated, or with commas between.
    fn words(&mut self, name: &str) -> Vec<String> {
        let values = self.all(name);
        let words = values.iter().flat_map(|value| value.split(','));
        let words: Vec<_> = words.take(WORDS_MAX + 1).map(str::to_owned).collect();
        if words.len() > WORDS_MAX {
            self.error(name, too_many(WORDS_MAX));
            return Vec::new();
        }
        words
    }

    /// `tag=key=value`, once for each.
    fn tags(&mut self) -> BTreeMap<String, String> {
        let values = self.all("tag");
        if values.len() > TAGS_MAX {
            self.error("tag", too_many(TAGS_MAX));
            return BTreeMap::new();
        }
        let mut tags = BTreeMap::new();
        for tag in &values {
            let Some((key, value)) = tag.split_once('=') else {
                self.error("tag", "must be key=value");
                return BTreeMap::new();
            };
            if let Some(rule) = tag_fault(key, value) {
                self.error("tag", rule);
                return BTreeMap::new();
            }
            let other = tags.insert(key.to_owned(), value.to_owned());
            if other.is_some_and(|other| other != value) {
                self.error("tag", "must not ask for two values of one key");
            }
        }
        tags
    }

    fn fault(&mut self, name: &str, rule: String) {
        self.error(name, rule);
    }
}

// === A JSON body ===

impl Source for Fields {
    fn parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        Self::parsed(self, name, parse)
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        Self::flag(self, name)
    }

    fn number(&mut self, name: &str, max: usize) -> Option<usize> {
        let value = self.take(name)?;
        // To JSON, 5.0 is as whole as 5.
        let whole = value.as_u64().or_else(|| {
            let float = value.as_f64().filter(|float| float.fract() == 0.0)?;
            (0.0..=max as f64).contains(&float).then_some(float as u64)
        });
        let number = whole.and_then(|number| usize::try_from(number).ok());
        let number = number.filter(|number| (1..=max).contains(number));
        if number.is_none() {
            self.error(name, number_rule(max));
        }
        number
    }

    fn words(&mut self, name: &str) -> Vec<String> {
        let mut words = Vec::new();
        for value in self.list(name, WORDS_MAX) {
            let Value::String(word) = value else {
                self.error(name, "must be a list of strings");
                return Vec::new();
            };
            words.push(word);
        }
        words
    }

    fn tags(&mut self) -> BTreeMap<String, String> {
        let map = self.object("tags").unwrap_or_default();
        if map.len() > TAGS_MAX {
            self.error("tags", too_many(TAGS_MAX));
            return BTreeMap::new();
        }
        let mut tags = BTreeMap::new();
        for (key, value) in map {
            let Value::String(value) = value else {
                self.error("tags", "must have strings as values");
                return BTreeMap::new();
            };
            if let Some(rule) = tag_fault(&key, &value) {
                self.error("tags", rule);
                return BTreeMap::new();
            }
            tags.insert(key, value);
        }
        tags
    }

    fn fault(&mut self, name: &str, rule: String) {
        self.error(name, rule);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn realm() -> Realm {
        "shop/links".parse().expect("realm")
    }

    fn of_query(query: &str) -> Result<EventFilter, usize> {
        let mut from = Query::parse(Some(query));
        let asked = events(&realm(), &mut from);
        let finished = from.finish();
        finished
            .map(|()| asked.filter)
            .map_err(|problem| problem.errors.len())
    }

    fn of_body(body: &str) -> Result<EventFilter, usize> {
        let mut from = Fields::parse(body.as_bytes()).unwrap_or_else(|_| panic!("an object"));
        let asked = events(&realm(), &mut from);
        let finished = from.finish();
        finished
            .map(|()| asked.filter)
            .map_err(|problem| problem.errors.len())
    }

    #[test]
    fn a_query_and_a_body_ask_for_the_same() {
        for (query, body) in [
            ("", "{}"),
            (
                "type=opened&first=true",
                r#"{"type":"opened","first":true}"#,
            ),
            (
                "verdict=human&verdict=proxy",
                r#"{"verdict":["human","proxy"]}"#,
            ),
            ("verdict=human,proxy", r#"{"verdict":["people"]}"#),
            (
                "verdict=machines,unknown",
                r#"{"verdict":["prefetch","scanner","unknown"]}"#,
            ),
            ("tag=a=b&tag=c=d%3De", r#"{"tags":{"a":"b","c":"d=e"}}"#),
            (
                "test=false&message_id=m",
                r#"{"test":false,"message_id":"m"}"#,
            ),
            (
                "since=2026-11-23T18:00:00Z&until=2026-11-23T20:00:00%2B01:00",
                r#"{"since":"2026-11-23T18:00:00Z","until":"2026-11-23T19:00:00Z"}"#,
            ),
        ] {
            let asked = of_query(query);
            assert!(asked.is_ok(), "{query}");
            assert_eq!(asked, of_body(body), "{query}");
        }
    }

    #[test]
    fn what_is_not_understood_is_a_fault_in_both() {
        for (query, body) in [
            ("type=seen", r#"{"type":"seen"}"#),
            ("verdict=", r#"{"verdict":[""]}"#),
            ("verdict=bots", r#"{"verdict":["bots"]}"#),
            ("first=yes", r#"{"first":"yes"}"#),
            ("provisional=1", r#"{"provisional":1}"#),
            ("tag=a", r#"{"tags":["a"]}"#),
            ("tag==a", r#"{"tags":{"":"a"}}"#),
            ("tag=a=%0A", r#"{"tags":{"a":"\n"}}"#),
            ("since=yesterday", r#"{"since":"yesterday"}"#),
            (
                "since=2026-11-23T18:00:00Z&until=2026-11-23T18:00:00Z",
                r#"{"since":"2026-11-23T18:00:01Z","until":"2026-11-23T18:00:00Z"}"#,
            ),
            (
                "until=2026-11-23T18:00:00%2B24:00",
                r#"{"until":"2026-11-23T18:00:00+24:00"}"#,
            ),
            ("limit=0", r#"{"limit":0}"#),
            ("limit=1001", r#"{"limit":1001}"#),
            ("limit=1.5", r#"{"limit":1.5}"#),
            ("message_id=", r#"{"message_id":""}"#),
            ("recipients=x", r#"{"recipients":"x"}"#),
        ] {
            assert_eq!(of_query(query), Err(1), "{query}");
            assert_eq!(of_body(body), Err(1), "{body}");
        }
        assert_eq!(of_query("tag=a=1&tag=a=2"), Err(1));
        assert_eq!(of_body(r#"{"limit":5.0}"#), Ok(EventFilter::default()));
    }
}
