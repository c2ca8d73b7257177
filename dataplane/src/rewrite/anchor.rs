//! The text of an anchor: what the reader takes for where it leads.

use mailtrail_core::character_reference::decode_text;

use crate::rewrite::scan::{Kind, Scanner, Step};
use crate::rewrite::tag::{Tag, one_of};
use crate::rewrite::walk::View;

/// How far behind a link its text is looked for, in bytes of markup: a text
/// that is a URL is not hidden in more.
const TEXT_WITHIN_BYTES: usize = 4096;

/// What is known of an anchor's text.
pub(super) enum AnchorText {
    /// The text; nothing where it has none within reach.
    Is(Option<String>),
    /// More input is needed.
    Wait,
}

/// What the reader sees of the anchor whose start tag ends at `from`.
pub(super) fn anchor_text(view: &View<'_>, from: usize, mut scanner: Scanner) -> AnchorText {
    let bound = from + TEXT_WITHIN_BYTES;
    let bytes = &view.bytes[..view.bytes.len().min(bound)];
    let is_whole = view.last && bytes.len() < bound;
    let mut text = String::new();
    let mut at = from;
    while at < bytes.len() {
        let Step::Token(token) = scanner.next(bytes, at, is_whole) else {
            break;
        };
        at = token.range.end;
        match token.kind {
            Kind::Text | Kind::Placeholder => text.push_str(&decode_text(&bytes[token.range])),
            Kind::Start { tag: Tag::A, .. } => return AnchorText::Is(Some(text)),
            Kind::End { name } if ends_anchor(&bytes[name.clone()]) => {
                return AnchorText::Is(Some(text));
            }
            Kind::Start { name_end, .. } => {
                part_words(&bytes[token.range.start + 1..name_end], &mut text)
            }
            Kind::End { name } => part_words(&bytes[name], &mut text),
            Kind::Comment | Kind::Hidden | Kind::Raw | Kind::Plain => {}
        }
    }
    match (bytes.len() == bound, view.last) {
        (true, _) => AnchorText::Is(None),
        (false, true) => AnchorText::Is(Some(text)),
        (false, false) => AnchorText::Wait,
    }
}

fn ends_anchor(name: &[u8]) -> bool {
    one_of(name, &["a", "td", "table", "body", "html"]).is_some()
}

/// Elements that do not stand within a line part words.
fn part_words(name: &[u8], text: &mut String) {
    const INLINE: [&str; 12] = [
        "b", "em", "font", "i", "mark", "s", "small", "span", "strong", "sub", "u", "wbr",
    ];
    if one_of(name, &INLINE).is_none() {
        text.push(' ');
    }
}
