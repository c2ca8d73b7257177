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
    let (before_fragment, fragment) = split(&after_scheme[start..], '#');
    has_jwt(&percent::decode(&after_scheme[start..]))
        || part_carries(before_fragment)
        || fragment_carries(fragment)
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
