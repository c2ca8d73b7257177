//! The shapes of what the API says, with their descriptions.
//!
//! `core` and the rewriter know nothing of OpenAPI, so their types are mirrored
//! here; each is taken apart whole, so that a new field or word does not
//! compile until it is described.

mod event;
mod message;
mod report;

use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};

use super::settings::{TAGS_MAX, TAGS_MAX_BYTES};

/// The pattern of texts of a line.
const NO_CONTROLS: &str = r"^[^\u0000-\u001F\u007F-\u009F]*$";

pub(in crate::api) use event::{Event, EventKind, VerdictOrGroup};
pub(in crate::api) use message::{HitTotals, Message, Summary, printed_day};
pub(in crate::api) use report::Report;

/// Tags as an object.
pub(in crate::api) fn tags_schema(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .additional_properties(Some(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .max_length(Some(TAGS_MAX_BYTES))
                .pattern(Some(NO_CONTROLS)),
        ))
        .max_properties(Some(TAGS_MAX))
        .description(Some(description))
}

/// A tag in a query string: `key=value`.
#[derive(utoipa::ToSchema)]
#[schema(pattern = "^[^=]+=", max_length = 257)]
#[expect(dead_code, reason = "describes what handlers take from the query")]
pub(in crate::api) struct TagParam(String);

/// A set of words that mirrors another one.
macro_rules! words {
    ($(#[$about:meta])* $name:ident of $source:ident { $($(#[$meant:meta])* $word:ident,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub(in crate::api) enum $name {
            $($(#[$meant])* $word,)*
        }

        impl From<$source> for $name {
            fn from(source: $source) -> Self {
                match source {
                    $($source::$word => Self::$word,)*
                }
            }
        }
    };
}

pub(in crate::api) use words;
