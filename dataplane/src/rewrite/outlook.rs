//! Conditional comments, by which a mail says one thing to Outlook (which draws
//! with Word) and another to everyone else.

use std::ops::Range;

use memchr::memmem;

/// What a comment is to Outlook.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Conditional {
    /// `<!--[if …]>…<![endif]-->`: this range of it is markup.
    Holds(Range<usize>),
    /// `<!--[if …]><!-->`: what follows is for everyone but Outlook.
    Opens,
    /// `<!--<![endif]-->`.
    Closes,
}

/// Reads a comment, delimiters and all; nothing if it is an ordinary one.
pub(super) fn conditional(comment: &[u8]) -> Option<Conditional> {
    let Some(condition) = comment.strip_prefix(b"<!--[if") else {
        let closes = memmem::find(comment.get(..16.min(comment.len()))?, b"<![endif]");
        return closes.map(|_| Conditional::Closes);
    };
    let start = comment.len() - condition.len() + memmem::find(condition, b"]>")? + 2;
    if let Some(length) = memmem::rfind(&comment[start..], b"<![endif]") {
        return Some(Conditional::Holds(start..start + length));
    }
    comment[start..]
        .starts_with(b"<!")
        .then_some(Conditional::Opens)
}
