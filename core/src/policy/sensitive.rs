//! Links that carry a credential (case 51a): tracked, it would stand in events
//! and webhooks.
//!
//! Words decide, not letters in a row: `/verify-email` and `?mode=resetPassword`
//! carry one, `/preset` and `?barcode=1` do not.

use crate::percent;

/// Words of a path, or of a parameter's name or value, that stand where a
/// credential goes by mail.
const WORDS: [&str; 13] = [
    "reset",
    "magic",
    "magiclink",
    "verify",
    "verification",
    "confirm",
    "confirmation",
    "passwordreset",
    "resetpassword",
    "verifyemail",
    "emailverification",
    "confirmemail",
    "passwordless",
];
/// Words of a parameter's name whose value is a credential.
const NAME_WORDS: [&str; 11] = [
    "token",
    "otp",
    "signature",
    "sig",
    "jwt",
    "password",
    "passwd",
    "pwd",
    "secret",
    "apikey",
    "oobcode",
];
/// Names of which `code` is the last word and whose value is a credential;
/// `zip_code` and `discount_code` are none.
const BEFORE_CODE: [&str; 8] = [
    "",
    "access",
    "auth",
    "authorization",
    "login",
    "oauth",
    "security",
    "oob",
];
/// What every word above, every name of a code and every JWT has in it, in
/// lower case, and what any letter of it may hide behind. A URL without all of
/// these carries no credential.
const STEMS: [&[u8]; 15] = [
    b"reset", b"magic", b"verif", b"confirm", b"passw", b"pwd", b"token", b"otp", b"sig", b"jwt",
    b"secret", b"apikey", b"code", b"eyj", b"%",
];
/// By the first byte of a stem, in either case: a bit for each byte that may
/// be the second, numbered by its lowest five bits.
const STEM_BEGINS: [u32; 256] = stem_begins();
/// Parameters about a campaign: their values are the sender's own words.
const CAMPAIGN_PREFIX: &str = "utm_";
/// Fewest characters of a JWT's header and payload: `{"a":1}` in base64url.
const JWT_PART_MIN_CHARS: usize = 10;

/// Whether a URL (what [`Target`](crate::target::Target) gives) carries a
/// credential, by its path, query or fragment.
pub(super) fn carries_credential(url: &str) -> bool {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let Some(start) = after_scheme.find(['/', '?', '#']) else {
        return false;
    };
    if !has_stem(&after_scheme.as_bytes()[start..]) {
        return false;
    }
    let (before_fragment, fragment) = split(&after_scheme[start..], '#');
    has_jwt(&percent::decode(&after_scheme[start..]))
        || part_carries(before_fragment)
        || fragment_carries(fragment)
}

const fn stem_begins() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < STEMS.len() {
        let stem = STEMS[at];
        let seconds = if stem.len() == 1 {
            u32::MAX
        } else {
            1 << (stem[1] & 31)
        };
        table[stem[0] as usize] |= seconds;
        table[stem[0].to_ascii_uppercase() as usize] |= seconds;
        at += 1;
    }
    table
}

fn has_stem(bytes: &[u8]) -> bool {
    bytes.windows(2).enumerate().any(|(at, pair)| {
        let may_begin = STEM_BEGINS[usize::from(pair[0])] >> (pair[1] & 31) & 1 == 1;
        may_begin && begins_with_stem(&bytes[at..])
    })
}

fn begins_with_stem(rest: &[u8]) -> bool {
    STEMS.iter().any(|stem| {
        let begin = rest.get(..stem.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(stem))
    })
}

/// A path with its query.
fn part_carries(part: &str) -> bool {
    let (path, query) = split(part, '?');
    path.split(['/', ';'])
        .any(|segment| match segment.split_once('=') {
            Some((name, value)) => parameter_carries(name, value),
            None => has_word(&percent::decode(segment), &WORDS),
        })
        || query_carries(query)
}

/// A fragment is a client's route (`#/reset?token=…`), parameters
/// (`#access_token=…`), or a place on the page, which carries nothing.
fn fragment_carries(fragment: &str) -> bool {
    let route = fragment.strip_prefix('!').unwrap_or(fragment);
    if route.starts_with('/') {
        part_carries(route)
    } else {
        route.contains('=') && query_carries(route)
    }
}

fn query_carries(query: &str) -> bool {
    query
        .split(['&', ';', '?'])
        .any(|parameter| match parameter.split_once('=') {
            Some((name, value)) => parameter_carries(name, value),
            None => has_word(&percent::decode(parameter), &WORDS),
        })
}

fn parameter_carries(name: &str, value: &str) -> bool {
    let (name, value) = (percent::decode(name), percent::decode(value));
    if value.is_empty() || name.starts_with(CAMPAIGN_PREFIX) {
        return false;
    }
    let free_text = value.contains(['+', ' ']);
    has_word(&name, &NAME_WORDS)
        || names_a_code(&name)
        || has_word(&name, &WORDS)
        || (!free_text && has_word(&value, &WORDS))
}

fn names_a_code(name: &str) -> bool {
    let words: Vec<String> = words(name).collect();
    words.split_last().is_some_and(|(last, before)| {
        last == "code" && BEFORE_CODE.contains(&before.last().map_or("", String::as_str))
    })
}

fn has_word(text: &str, known: &[&str]) -> bool {
    words(text).any(|word| known.contains(&word.as_str()))
        || known.contains(&text.to_ascii_lowercase().as_str())
}

/// The words of an identifier in lower case: `reset-password`, `reset_password`
/// and `resetPassword` have two.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).flat_map(|part| {
        let mut words = vec![String::new()];
        let mut before_lower = false;
        for c in part.chars() {
            if c.is_uppercase() && before_lower {
                words.push(String::new());
            }
            before_lower = c.is_lowercase();
            if let Some(word) = words.last_mut() {
                word.extend(c.to_lowercase());
            }
        }
        words.retain(|word| !word.is_empty());
        words
    })
}

/// Three parts of base64url, divided by dots, of which the first is the
/// encoding of `{"…` (RFC 7519, 3).
fn has_jwt(text: &str) -> bool {
    let is_base64url = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.split(|c: char| !is_base64url(c) && c != '.')
        .any(|run| {
            let parts: Vec<&str> = run.split('.').collect();
            parts.windows(3).any(|three| {
                three[0].starts_with("eyJ")
                    && three[..2]
                        .iter()
                        .all(|part| part.len() >= JWT_PART_MIN_CHARS)
            })
        })
}

fn split(text: &str, at: char) -> (&str, &str) {
    text.split_once(at).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_51a_a_credential_is_known_by_words_names_and_shape() {
        for rest in [
            "/reset",
            "/password-reset/abc",
            "/users/resetPassword?x=1",
            "/reset_password",
            "/magic/abc",
            "/magic-link?x=1",
            "/magiclink/abc",
            "/verify",
            "/Verify-Email/1",
            "/account/verification/abc",
            "/confirm/abc",
            "/email%2Fconfirm",
            "/?action=reset",
            "/?mode=verifyEmail&oobCode=abc",
            "/?next=%2Freset%2Fabc",
            "/?confirm",
            "/?token=abc",
            "/?a=1&access_token=abc",
            "/?authToken=abc",
            "/?code=abc",
            "/?auth_code=abc",
            "/?otp=123456",
            "/?X-Amz-Signature=abc",
            "/?signature=abc",
            "/x;token=abc",
            "/#access_token=abc",
            "/#/reset?x=1",
            "/#!/login?code=abc",
            "/in/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_",
            "/?t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.",
            "?token=abc",
        ] {
            let url = format!("https://e.com{rest}");
            assert!(carries_credential(&url), "{url}");
        }
    }

    #[test]
    fn every_word_has_a_stem() {
        for word in WORDS.iter().chain(&NAME_WORDS).chain(&["code", "eyJ"]) {
            assert!(has_stem(word.as_bytes()), "{word}");
            assert!(has_stem(word.to_uppercase().as_bytes()), "{word}");
        }
        assert!(!has_stem(b"/shop/spring?utm_source=mail"));
    }

    #[test]
    fn case_51a_letters_in_a_row_are_not_a_word() {
        for rest in [
            "",
            "/",
            "/barcode/1",
            "/?barcode=1",
            "/?zipcode=12345",
            "/?zip_code=12345",
            "/?discount_code=SAVE20",
            "/preset",
            "/presets/reseta",
            "/magical-places",
            "/unconfirmed",
            "/confirmedSpeakers",
            "/tokens",
            "/tokenizer?x=1",
            "/?tokens=4",
            "/?token=",
            "/?encode=1",
            "/code",
            "/codes?postcode=1",
            "/?design=1&sign=2",
            "/?utm_campaign=confirm-your-seat",
            "/?q=magic+tricks",
            "/?q=how%20to%20reset",
            "/#confirm",
            "/#reset-your-router",
            "/eyJ.eyJ.x",
            "/a.eyJhbGciOiJIUzI1NiJ9",
            "/file.v1.2.html",
        ] {
            let url = format!("https://verify.reset.example{rest}");
            assert!(!carries_credential(&url), "{url}");
        }
    }
}
