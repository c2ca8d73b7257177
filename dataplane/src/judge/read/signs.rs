//! Step: signs, each looking at the user agent, at headers or at networks.

use http::HeaderName;
use serde_saphyr::Spanned;

use super::document::{self, Sign, Text};
use super::{HEADERS_MAX, Reading, SIGNS_MAX, TEXT_MAX_BYTES, TEXTS_MAX, VALUES_MAX, shown};
use crate::judge::agent::{LOOKED_AT_MAX_BYTES, Place, Wanted};
use crate::judge::header::Value;
use crate::judge::set::Signs;
use crate::judge::{BURST, DELIVERY_WINDOW};

impl Reading {
    pub(super) fn signs(&mut self, signs: &[Spanned<Sign>]) {
        for (name, sign) in [
            (BURST, Signs::BURST),
            (DELIVERY_WINDOW, Signs::DELIVERY_WINDOW),
        ] {
            self.names.push(name.to_owned());
            self.signs.insert(name.to_owned(), sign);
        }
        if !self.has_room(signs, SIGNS_MAX, "signs") {
            return;
        }
        for (at, sign) in signs.iter().enumerate() {
            self.sign(sign, &format!("signs[{at}]"));
        }
        if self.agents.len() > TEXTS_MAX {
            let rule = format!("look for more than {TEXTS_MAX} texts in the user agent");
            self.faults.add(0, "signs".to_owned(), rule);
        }
        if self.headers.len() > HEADERS_MAX || self.values > VALUES_MAX {
            let rule = format!(
                "look at more than {HEADERS_MAX} different headers or for more than {VALUES_MAX} values"
            );
            self.faults.add(0, "signs".to_owned(), rule);
        }
    }

    fn sign(&mut self, sign: &Spanned<Sign>, field: &str) {
        let Sign {
            name,
            user_agent: _,
            headers,
            networks,
        } = &sign.value;
        self.name(name, &format!("{field}.name"));
        let bit = Signs::of(self.names.len());
        self.names.push(name.value.clone());
        if self.signs.insert(name.value.clone(), bit).is_some() {
            let rule = "is there twice, or is one of time (burst, delivery_window)";
            self.fault(name.referenced, format!("{field}.name"), rule);
        }
        let texts = self.user_agent(&sign.value, bit, field);
        if texts + headers.len() + networks.len() == 0 {
            let rule = "must say what it looks for: userAgent, headers or networks";
            self.fault(sign.referenced, field, rule);
        }
        self.sign_headers(&sign.value, bit, field);
        self.sign_networks(networks, bit, field);
    }

    /// How many texts there are.
    fn user_agent(&mut self, sign: &Sign, bit: Signs, field: &str) -> usize {
        let document::UserAgent {
            equals,
            contains,
            starts_with,
            ends_with,
            words,
            words_ending_in,
        } = &sign.user_agent;
        let mut count = 0;
        for (key, texts, place) in [
            ("equals", equals, Place::Whole),
            ("contains", contains, Place::Anywhere),
            ("startsWith", starts_with, Place::Begin),
            ("endsWith", ends_with, Place::End),
            ("words", words, Place::Word),
            ("wordsEndingIn", words_ending_in, Place::WordEnd),
        ] {
            for (at, text) in texts.iter().enumerate() {
                let field = format!("{field}.userAgent.{key}[{at}]");
                let may_be_empty = place == Place::Whole;
                let limit = match place {
                    // Whole user agents are longer than what is in them.
                    Place::Whole => LOOKED_AT_MAX_BYTES,
                    _ => TEXT_MAX_BYTES,
                };
                self.text(text, may_be_empty, limit, &field);
                self.agents.push(Wanted {
                    text: text.value.clone(),
                    place,
                    sign: bit,
                });
            }
            count += texts.len();
        }
        count
    }

    fn sign_headers(&mut self, sign: &Sign, bit: Signs, field: &str) {
        for (at, header) in sign.headers.iter().enumerate() {
            let field = format!("{field}.headers[{at}]");
            let document::Header {
                name,
                equals,
                contains,
            } = &header.value;
            let Ok(header_name) = name.value.parse::<HeaderName>() else {
                let rule = "must be a header's name, such as Sec-Purpose";
                self.fault(name.referenced, format!("{field}.name"), rule);
                continue;
            };
            if equals.is_empty() && contains.is_empty() {
                let rule = "must say what its value is: equals or contains";
                self.fault(header.referenced, &*field, rule);
            }
            type Kind = fn(String) -> Value;
            let kinds: [(&str, &[Text], Kind); 2] = [
                ("equals", equals, Value::Equals),
                ("contains", contains, Value::Contains),
            ];
            for (key, values, kind) in kinds {
                for (at, value) in values.iter().enumerate() {
                    let field = format!("{field}.{key}[{at}]");
                    self.text(value, key == "equals", TEXT_MAX_BYTES, &field);
                    self.headers
                        .add(header_name.clone(), kind(value.value.clone()), bit);
                    self.values += 1;
                }
            }
        }
    }

    fn sign_networks(&mut self, networks: &[Text], bit: Signs, field: &str) {
        for (at, network) in networks.iter().enumerate() {
            self.by_range |= bit;
            match self.networks.get(&network.value) {
                Some(ranges) => {
                    let ranges = ranges.iter().map(|range| (*range, bit));
                    self.ranges.extend(ranges);
                }
                None => self.fault(
                    network.referenced,
                    format!("{field}.networks[{at}]"),
                    format!("names no network: {}", shown(&network.value)),
                ),
            }
        }
    }
}
