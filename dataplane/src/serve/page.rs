//! The few pages that people see: small, without scripts, readable by screen
//! readers, in the reader's language where we know it.

use std::fmt::Write as _;

use http::HeaderValue;
use mailtrail_core::character_reference::escape;
use mailtrail_core::target::Target;

mod words;

pub(super) use words::Words;

/// A page and the language it is in.
pub(super) struct Page {
    pub(super) html: String,
    pub(super) language: &'static str,
}

/// Every page's style; its hash stands in [`POLICY`].
const STYLE: &str = "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;\
padding:0 1rem;color:#222;background:#fff}h1{font-size:1.4rem}button{font:inherit;padding:.5rem 1rem}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1b}a{color:#8bf}}";

/// Nothing may be loaded, run or framed; the one style is named by its
/// SHA-256 (a test compares); forms go to this host only.
const POLICY: &str = "default-src 'none'; style-src \
'sha256-2x33ZM15RxxiUJBRkIQvaTUoUDlSyaWX45PAmID8upg='; form-action 'self'; \
base-uri 'none'; frame-ancestors 'none'";

/// The `Content-Security-Policy` of every page.
pub(super) fn policy() -> HeaderValue {
    HeaderValue::from_static(POLICY)
}

/// A link that leads nowhere; the domain's fallback stands on it as a plain
/// link (case 83), and nothing of the request does.
pub(super) fn not_found(words: &'static Words, fallback: Option<&Target>) -> Page {
    let mut main = paragraph(words.not_found);
    if let Some(target) = fallback {
        let _ = write!(
            main,
            "<p><a rel=\"noreferrer\" href=\"{}\">{}</a></p>",
            escape(target.as_str()),
            escape(&target.host()),
        );
    }
    page(words, words.not_found_title, &main)
}

/// What this host is, for whoever looks (case 100).
pub(super) fn front(words: &'static Words) -> Page {
    page(words, words.front_title, &paragraph(words.front))
}

/// Asks whether to withdraw (case 101). The form posts to the page's own URL.
pub(super) fn withdraw(words: &'static Words) -> Page {
    let form = format!(
        "{}<form method=\"post\"><button>{}</button></form>",
        paragraph(words.withdraw),
        words.withdraw_button,
    );
    page(words, words.withdraw_title, &form)
}

/// The withdrawal is kept.
pub(super) fn withdrawn(words: &'static Words) -> Page {
    page(words, words.withdrawn_title, &paragraph(words.withdrawn))
}

fn paragraph(text: &str) -> String {
    format!("<p>{text}</p>")
}

fn page(words: &'static Words, title: &str, main: &str) -> Page {
    let language = words.language;
    Page {
        language,
        html: format!(
            "<!doctype html>\n<html lang=\"{language}\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <meta name=\"robots\" content=\"noindex\"><title>{title}</title>\
             <style>{STYLE}</style></head>\n<body><main><h1>{title}</h1>\n{main}</main></body></html>\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_style_by_its_hash() {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
        let hash = data_encoding::BASE64.encode(digest.as_ref());
        assert!(POLICY.contains(&format!("'sha256-{hash}'")), "{hash}");
    }

    #[test]
    fn a_fallback_is_a_plain_link_that_cannot_break_out() {
        let target = Target::parse("https://e.com/?a=1&b='\"><script>").expect("target");
        let page = not_found(words::for_reader(None), Some(&target)).html;
        assert!(
            page.contains("href=\"https://e.com/?a=1&amp;b=&#39;&quot;&gt;&lt;script&gt;\""),
            "{page}"
        );
        assert!(!page.contains("<script"));
    }

    #[test]
    fn pages_have_one_heading_a_language_and_no_script() {
        for words in words::ALL {
            for page in [
                not_found(words, None),
                front(words),
                withdraw(words),
                withdrawn(words),
            ] {
                assert_eq!(page.html.matches("<h1>").count(), 1);
                assert!(page.html.contains(&format!("lang=\"{}\"", words.language)));
                assert!(!page.html.contains("<script"), "{}", page.html);
            }
        }
    }
}
