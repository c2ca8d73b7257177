//! The keyring's file.
