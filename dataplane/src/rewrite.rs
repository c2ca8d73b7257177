//! HTML or text in, tracked HTML or text out.

pub mod report;
