//! Starts, joins and drains the long-lived tasks.
