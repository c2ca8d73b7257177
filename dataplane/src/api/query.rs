//! Takes the parameters of a query string one by one, by the rules of
//! [`Fields`](super::fields::Fields): every fault at once, no value repeated.

use axum::http::Uri;
use serde_json::Map;

use super::fields::{Fields, shown};
use super::problem::Problem;

/// Refuses all parameters: of what is asked in a body, nothing stands in a URL.
pub(super) fn none(uri: &Uri) -> Result<(), Problem> {
    Query::parse(uri.query()).finish()
}

/// The parameters that were not taken yet.
pub(super) struct Query {
    pairs: Vec<(String, String)>,
    /// Holds the faults.
    fields: Fields,
}

impl Query {
    /// Reads a query string.
    pub(super) fn parse(query: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(query.unwrap_or("").as_bytes());
        Self {
            pairs: pairs.into_owned().collect(),
            fields: Fields::of(Map::new()),
        }
    }

    /// Notes a fault.
    pub(super) fn error(&mut self, name: &str, rule: impl Into<String>) {
        self.fields.error(name, rule);
    }

    /// Takes all values of a parameter that may stand more than once.
    pub(super) fn all(&mut self, name: &str) -> Vec<String> {
        let (taken, left) = std::mem::take(&mut self.pairs)
            .into_iter()
            .partition::<Vec<_>, _>(|(known, _)| known == name);
        self.pairs = left;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// Takes a parameter that `parse` understands.
    pub(super) fn parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let values = self.all(name);
        let value = values.first()?;
        if values.len() > 1 {
            self.error(name, "must stand once");
            return None;
        }
        parse(value).map_err(|rule| self.error(name, rule)).ok()
    }

    /// Ends: what was not taken is unknown.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        let mut names: Vec<_> = self.pairs.into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            self.fields.error(shown(&name), "is not a known parameter");
        }
        self.fields.finish()
    }
}
