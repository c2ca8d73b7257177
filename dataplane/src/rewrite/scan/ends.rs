//! Where comments and raw text end.

use std::sync::LazyLock;

use memchr::{memchr, memchr2, memmem};

use crate::rewrite::tag::is_space;

/// The end of a comment whose content begins at `from`.
pub(super) fn comment_end(window: &[u8], from: usize) -> Option<usize> {
    let content = &window[from..];
    if content.starts_with(b">") {
        return Some(from + 1);
    }
    if content.starts_with(b"->") {
        return Some(from + 2);
    }
    static ENDS: LazyLock<[memmem::Finder<'_>; 2]> =
        LazyLock::new(|| ["-->", "--!>"].map(memmem::Finder::new));
    let [usual, odd] = &*ENDS;
    let usual = usual.find(content).map(|at| at + 3);
    let odd = odd.find(&content[..usual.unwrap_or(content.len())]);
    let end = odd.map(|at| at + 4).or(usual)?;
    Some(from + end)
}

/// Where raw text from `at` ends: at the `<` of its end tag.
pub(super) fn raw_end(window: &[u8], at: usize, name: &[u8]) -> Option<usize> {
    let mut from = at;
    loop {
        from += memchr(b'<', &window[from..])?;
        if closes(&window[from..], name) {
            return Some(from);
        }
        from += 1;
    }
}

/// Whether `rest` begins with the end tag of `name`.
fn closes(rest: &[u8], name: &[u8]) -> bool {
    rest.get(1) == Some(&b'/') && is_named(rest, 2, name)
}

/// Whether the name at `from` is `name`, and ends there.
fn is_named(rest: &[u8], from: usize, name: &[u8]) -> bool {
    let end = from + name.len();
    rest.get(from..end)
        .is_some_and(|found| found.eq_ignore_ascii_case(name))
        && rest
            .get(end)
            .is_some_and(|b| is_space(*b) || matches!(b, b'/' | b'>'))
}

/// Where a script from `at` ends: at the `<` of its end tag, which does not
/// count between `<!--`, a further `<script` and `-->`.
pub(super) fn script_end(window: &[u8], at: usize) -> Option<usize> {
    #[derive(PartialEq)]
    enum Escape {
        No,
        Once,
        Twice,
    }
    let mut escape = Escape::No;
    let mut from = at;
    loop {
        from += memchr2(b'<', b'-', &window[from..])?;
        let rest = &window[from..];
        if rest.starts_with(b"-->") {
            escape = Escape::No;
        } else if escape == Escape::No && rest.starts_with(b"<!--") {
            escape = Escape::Once;
            // The two dashes may be those of a `-->`.
            from += 1;
        } else if closes(rest, b"script") {
            if escape != Escape::Twice {
                return Some(from);
            }
            escape = Escape::Once;
        } else if escape == Escape::Once && rest[0] == b'<' && is_named(rest, 1, b"script") {
            escape = Escape::Twice;
        }
        from += 1;
    }
}
