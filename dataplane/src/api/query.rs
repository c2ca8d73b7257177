//! Takes the parameters of a query string one by one, by the rules of
//! [`Fields`](super::fields::Fields): every fault at once, no value repeated.

use serde_json::{Map, Value};

use super::fields::Fields;
use super::problem::Problem;
use super::settings::{LIMIT_DEFAULT, LIMIT_MAX};

/// The parameters that were not taken yet.
pub(super) struct Query(Fields);

impl Query {
    /// Reads a query string.
    pub(super) fn parse(query: Option<&str>) -> Self {
        let mut map = Map::new();
        let mut twice = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or("").as_bytes()) {
            let value = Value::String(value.into_owned());
            if map.insert(name.to_string(), value).is_some() {
                twice.push(name);
            }
        }
        let mut fields = Fields::of(map);
        for name in twice {
            fields.error(super::fields::shown(&name), "must stand once");
        }
        Self(fields)
    }

    /// Takes a parameter that `parse` understands.
    pub(super) fn parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.0.parsed(name, parse)
    }

    /// Takes `limit`.
    pub(super) fn limit(&mut self) -> usize {
        let limit = self.parsed("limit", |text| {
            text.parse()
                .ok()
                .filter(|limit| (1..=LIMIT_MAX).contains(limit))
                .ok_or_else(|| format!("must be a number from 1 to {LIMIT_MAX}"))
        });
        limit.unwrap_or(LIMIT_DEFAULT)
    }

    /// Ends: what was not taken is unknown.
    pub(super) fn finish(self) -> Result<(), Problem> {
        self.0.finish()
    }
}
