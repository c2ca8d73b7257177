//! Anchor texts that are themselves URLs (case 51): mail clients take a text
//! that names another host than the link for phishing.

use std::borrow::Cow;

use url::Url;

/// What stands around a URL in a sentence.
const OPENING: [char; 8] = ['<', '(', '[', '{', '"', '\'', '«', '“'];
const CLOSING: [char; 14] = [
    '>', ')', ']', '}', '"', '\'', '»', '”', '.', ',', ';', ':', '!', '?',
];
/// Invisible characters that long URLs are broken with.
const INVISIBLE: [char; 6] = [
    '\u{ad}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}',
];

/// The host that an anchor's text shows the reader, as the URL standard writes
/// it, if the text is a URL: with a scheme or `www.` its first word counts,
/// without (`e.com/x`) the text must be nothing else.
pub(super) fn host(text: &str) -> Option<String> {
    let visible = visible(text);
    let mut words = visible.split_whitespace();
    let (first, alone) = (words.next()?, words.next().is_none());
    let word = first.trim_start_matches(OPENING).trim_end_matches(CLOSING);
    let has = |prefix: &str| {
        word.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    if has("http://") || has("https://") {
        return parsed_host(word);
    }
    let is_www = has("www.");
    if !is_www && (!alone || !may_name_a_host(word)) {
        return None;
    }
    let host = parsed_host(&format!("https://{}", word.trim_start_matches('/')))?;
    (is_www || has_known_suffix(&host)).then_some(host)
}

/// The text as it is seen.
fn visible(text: &str) -> Cow<'_, str> {
    match text.is_ascii() || !text.contains(INVISIBLE) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.replace(INVISIBLE, "")),
    }
}

/// Whether a word without a scheme may show a host: it has a dot before any
/// path, and no `@` (a mail address).
fn may_name_a_host(word: &str) -> bool {
    let authority = word
        .trim_start_matches('/')
        .split(['/', '?', '#'])
        .next()
        .unwrap_or_default();
    authority.contains('.') && !authority.contains('@')
}

/// Whether a host has a public suffix that is on the list.
fn has_known_suffix(host: &str) -> bool {
    psl::domain(host.as_bytes()).is_some_and(|domain| domain.suffix().is_known())
}

fn parsed_host(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    url.host_str().map(str::to_owned)
}

/// Whether two hosts are one registrable domain or below it (Public Suffix
/// List); a name that is itself a suffix shares with nobody.
pub(super) fn share_registrable_domain(a: &str, b: &str) -> bool {
    let registrable = |host| psl::domain_str(host);
    a == b || registrable(a).is_some_and(|domain| registrable(b) == Some(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_51_a_text_that_reads_as_a_url_shows_its_host() {
        for (text, expected) in [
            ("https://e.com", "e.com"),
            (" HTTPS://E.com/Path ", "e.com"),
            ("http://shop.test/x", "shop.test"),
            ("www.e.com/x", "www.e.com"),
            ("e.com", "e.com"),
            ("e.com/x?y", "e.com"),
            ("//e.com/x", "e.com"),
            ("<https://e.com>", "e.com"),
            ("(e.com)", "e.com"),
            ("e.com.", "e.com"),
            ("https://e.com/a and more", "e.com"),
            ("https://e\u{200b}.com", "e.com"),
            ("https://user@e.com/", "e.com"),
            ("bücher.de", "xn--bcher-kva.de"),
            ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
            ("e.co.uk", "e.co.uk"),
        ] {
            assert_eq!(host(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn case_51_any_other_text_shows_none() {
        for text in [
            "",
            " ",
            "Read more",
            "Save 3.50",
            "page.html",
            "me@e.com",
            "e.com and more",
            "Node.js",
            "…",
            "1.2.3",
            "https://",
            "and/or",
            "com",
        ] {
            assert_eq!(host(text), None, "{text}");
        }
    }

    #[test]
    fn case_51_hosts_below_one_registrable_domain_share_it() {
        assert!(share_registrable_domain("www.e.com", "links.e.com"));
        assert!(share_registrable_domain("e.co.uk", "links.e.co.uk"));
        assert!(share_registrable_domain(
            "shop.example",
            "links.shop.example"
        ));
        assert!(share_registrable_domain(
            "xn--bcher-kva.de",
            "l.xn--bcher-kva.de"
        ));
        assert!(!share_registrable_domain("a.co.uk", "b.co.uk"));
        assert!(!share_registrable_domain("a.github.io", "b.github.io"));
        assert!(!share_registrable_domain("e.com", "e.org"));
        assert!(!share_registrable_domain("127.0.0.1", "links.localhost"));
        assert!(!share_registrable_domain("com", "links.com"));
    }
}
