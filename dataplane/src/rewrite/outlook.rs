//! Conditional comments, by which a mail says one thing to Outlook (which draws
//! with Word) and another to everyone else.

use std::ops::Range;

use memchr::{memchr_iter, memmem};

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

const END: &[u8] = b"<![endif]";

/// Reads a comment, delimiters and all; nothing if it is an ordinary one.
pub(super) fn conditional(comment: &[u8]) -> Option<Conditional> {
    let Some(condition) = comment.strip_prefix(b"<!--[if") else {
        let begin = &comment[..comment.len().min(16)];
        let closes = begin.windows(END.len()).any(|part| part == END);
        return closes.then_some(Conditional::Closes);
    };
    let mut closings = memchr_iter(b']', condition);
    let closing = closings.find(|at| condition.get(at + 1) == Some(&b'>'))?;
    let start = comment.len() - condition.len() + closing + 2;
    let inside = &comment[start..];
    // Nearly all end so.
    let end = match inside.strip_suffix(b"-->").filter(|i| i.ends_with(END)) {
        Some(inside) => Some(inside.len() - END.len()),
        None => memmem::rfind(inside, END),
    };
    if let Some(length) = end {
        return Some(Conditional::Holds(start..start + length));
    }
    inside.starts_with(b"<!").then_some(Conditional::Opens)
}
