//! The resources.
