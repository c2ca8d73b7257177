//! Signs of the user agent: all texts looked for are found in one pass.

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, BuildError, MatchError, MatchKind};

use super::set::Signs;

/// Longest begin of a user agent looked at, in bytes: a longer one is no
/// browser's, and its begin says as much.
pub(super) const LOOKED_AT_MAX_BYTES: usize = 512;

/// Where a text must stand in the user agent. ASCII letters match in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is all of it.
    Whole,
    /// Anywhere.
    Anywhere,
    /// At its begin.
    Begin,
    /// At its end.
    End,
    /// With no letter or digit beside it.
    Word,
    /// At the end of a word: with no letter or digit behind it.
    WordEnd,
}

/// A text looked for, where, and the sign it gives.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) text: String,
    pub(super) place: Place,
    pub(super) sign: Signs,
}

/// Why there is no finder for these texts.
#[derive(Debug, thiserror::Error)]
pub(super) enum FinderError {
    /// They are too large.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// It cannot begin anywhere in a user agent.
    #[error(transparent)]
    Start(#[from] MatchError),
}

/// Finds the signs of user agents.
#[derive(Debug)]
pub(super) struct Agents {
    finder: DFA,
    start: StateID,
    /// By the finder's numbers.
    found: Vec<Found>,
    /// Signs of an absent or empty user agent.
    empty: Signs,
}

/// The signs that a text gives, by where it stands.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    whole: Signs,
    anywhere: Signs,
    begin: Signs,
    end: Signs,
    word: Signs,
    word_end: Signs,
    /// Whether any but `anywhere` is to be looked at.
    placed: bool,
}

impl Agents {
    /// Looks for these. It fails only where they are larger than the bounds of a
    /// rules file allow by far.
    pub(super) fn new(wanted: Vec<Wanted>) -> Result<Self, FinderError> {
        let mut texts: Vec<String> = Vec::new();
        let mut found: Vec<Found> = Vec::new();
        let mut empty = Signs::NONE;
        for Wanted { text, place, sign } in wanted {
            if text.is_empty() {
                empty |= sign;
                continue;
            }
            let text = text.to_ascii_lowercase();
            let at = texts.iter().position(|known| *known == text);
            let at = at.unwrap_or_else(|| {
                texts.push(text);
                found.push(Found::default());
                texts.len() - 1
            });
            found[at].add(place, sign);
        }
        // All texts that end at a place are to be found, also within others.
        let finder = DFA::builder()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            // Nearly every user agent holds some of the texts: skipping ahead
            // to the first costs more than it saves.
            .prefilter(false)
            .build(&texts)?;
        Ok(Self {
            start: finder.start_state(Anchored::No)?,
            finder,
            found,
            empty,
        })
    }

    /// The signs of a user agent; an absent one is empty.
    pub(super) fn signs(&self, user_agent: &str) -> Signs {
        let text = user_agent.as_bytes();
        if text.is_empty() {
            return self.empty;
        }
        let looked_at = &text[..text.len().min(LOOKED_AT_MAX_BYTES)];
        let mut signs = Signs::NONE;
        let mut state = self.start;
        for (at, byte) in looked_at.iter().enumerate() {
            state = self.finder.next_state(Anchored::No, state, *byte);
            if self.finder.is_special(state) && self.finder.is_match(state) {
                signs |= self.ending_at(state, text, at + 1);
            }
        }
        signs
    }

    /// The signs of the texts that end at this place.
    fn ending_at(&self, state: StateID, text: &[u8], end: usize) -> Signs {
        let mut signs = Signs::NONE;
        for at in 0..self.finder.match_len(state) {
            let pattern = self.finder.match_pattern(state, at);
            let Some(found) = self.found.get(pattern.as_usize()) else {
                continue;
            };
            signs |= found.anywhere;
            if found.placed {
                let start = end.saturating_sub(self.finder.pattern_len(pattern));
                signs |= found.at(text, start, end);
            }
        }
        signs
    }
}

impl Found {
    fn add(&mut self, place: Place, sign: Signs) {
        match place {
            Place::Whole => self.whole |= sign,
            Place::Anywhere => self.anywhere |= sign,
            Place::Begin => self.begin |= sign,
            Place::End => self.end |= sign,
            Place::Word => self.word |= sign,
            Place::WordEnd => self.word_end |= sign,
        }
        self.placed |= place != Place::Anywhere;
    }

    fn at(&self, text: &[u8], start: usize, end: usize) -> Signs {
        let (begins, ends) = (start == 0, end == text.len());
        let word_begins = begins || !is_letter(text[start - 1]);
        let word_ends = ends || !is_letter(text[end]);
        let mut signs = Signs::NONE;
        for (signs_there, is_there) in [
            (self.whole, begins && ends),
            (self.begin, begins),
            (self.end, ends),
            (self.word, word_begins && word_ends),
            (self.word_end, word_ends),
        ] {
            if is_there {
                signs |= signs_there;
            }
        }
        signs
    }
}

/// Letters and digits; whatever is not ASCII counts as a letter.
fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, place: Place, user_agent: &str, expected: bool) {
        let sign = Signs::of(9);
        let wanted = |text: &str, place| Wanted {
            text: text.to_owned(),
            place,
            sign,
        };
        let other = Wanted {
            sign: Signs::of(3),
            ..wanted("o", Place::Anywhere)
        };
        let agents = Agents::new(vec![other, wanted(text, place)]).expect("built");
        let found = agents.signs(user_agent).has_any(sign);
        assert_eq!(found, expected, "{text} {place:?} {user_agent}");
    }

    #[test]
    fn texts_are_found_where_they_are_meant_to_stand() {
        check("bot", Place::Anywhere, "Mozilla CUBOT", true);
        check("bot", Place::Word, "CUBOT P80", false);
        check("bot", Place::Word, "some (Bot; x)", true);
        check("bot", Place::Word, "robots", false);
        check("bot", Place::Word, "übot", false);
        check("bot", Place::WordEnd, "Googlebot/2.1", true);
        check("bot", Place::WordEnd, "bots", false);
        check("curl/", Place::Begin, "curl/8.5.0", true);
        check("curl/", Place::Begin, "x curl/8.5.0", false);
        check("x/1", Place::End, "a x/1", true);
        check("x/1", Place::End, "a x/1 b", false);
        check("Mozilla/5.0", Place::Whole, "mozilla/5.0", true);
        check("Mozilla/5.0", Place::Whole, "Mozilla/5.0 (X11)", false);
        check("", Place::Whole, "", true);
        check("", Place::Whole, "x", false);
    }

    #[test]
    fn a_word_may_stand_after_one_that_holds_it() {
        check("bot", Place::Word, "cubot bot", true);
    }

    #[test]
    fn only_the_begin_of_an_endless_user_agent_is_looked_at() {
        let long = "x".repeat(LOOKED_AT_MAX_BYTES);
        check("bot", Place::Anywhere, &format!("bot {long}"), true);
        check("bot", Place::Anywhere, &format!("{long} bot"), false);
        check("xx", Place::End, &format!("{long}y"), false);
        check("bot", Place::Anywhere, &format!("{}ü", &long[1..]), false);
    }
}
