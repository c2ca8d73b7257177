//! The cases of TRACKING.md, by section.

mod bytes;
mod corpus;
mod elements;
mod pixels;
mod support;
mod syntax;
mod urls;
