//! The shapes of what the API says, with their descriptions.
//!
//! `core` and the rewriter know nothing of OpenAPI, so their types are mirrored
//! here; each is taken apart whole, so that a new field or word does not
//! compile until it is described.

mod event;
mod report;

pub(in crate::api) use event::{Event, EventKind};
pub(in crate::api) use report::Report;

/// A set of words that mirrors another one.
macro_rules! words {
    ($(#[$about:meta])* $name:ident of $source:ident { $($(#[$meant:meta])* $word:ident,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
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
