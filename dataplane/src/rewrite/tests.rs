//! The cases of TRACKING.md, by section.

mod elements;
mod pixels;
mod support;
mod syntax;
