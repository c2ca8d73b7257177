//! The in-cluster API.
