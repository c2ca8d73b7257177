//! The cases of TRACKING.md, by section.

mod bytes;
mod elements;
mod pixels;
mod support;
mod syntax;
mod urls;
