//! Placeholders of template languages in a link: a token would freeze them
//! before the sender's mail system fills them in.

use std::borrow::Cow;

use crate::percent;

/// Whether a value is or holds a placeholder, as it stands or percent-encoded
/// by an editor: `{{x}}`, `{% x %}`, `{x}`, `${x}`, `*|X|*`, `%x%`, `%%x%%`,
/// `[[x]]`, `<%= x %>`.
pub fn has_placeholder(value: &str) -> bool {
    // Most values have none of these, and all bytes are looked at fastest.
    let opens = |b: u8| matches!(b, b'{' | b'%' | b'[' | b'*' | b'<' | b'$');
    if !value.bytes().fold(false, |found, b| found | opens(b)) {
        return false;
    }
    stands_in(value)
        || match percent::decode(value) {
            Cow::Borrowed(_) => false,
            Cow::Owned(decoded) => stands_in(&decoded),
        }
}

fn stands_in(text: &str) -> bool {
    // An opening that no URL has on its own is enough: the end may stand
    // behind a space, where the link's value was cut.
    const OPENINGS: [&str; 5] = ["{{", "{%", "${", "*|", "<%"];
    text.char_indices().any(|(at, c)| {
        let rest = &text[at..];
        match c {
            '{' | '$' | '*' | '<' => {
                OPENINGS.iter().any(|o| rest.starts_with(o)) || is_braced_name(rest)
            }
            '[' => is_bracketed_name(rest),
            '%' => is_percent_name(rest) || is_double_percent(rest),
            _ => false,
        }
    })
}

/// `{name}` and `{$name}`. A GUID in braces is none: SharePoint's links have them.
fn is_braced_name(text: &str) -> bool {
    let Some((inner, _)) = text.strip_prefix('{').and_then(|t| t.split_once('}')) else {
        return false;
    };
    let name = inner.strip_prefix('$').unwrap_or(inner);
    is_name(name.trim(), is_name_char) && !is_guid(name)
}

/// `[[name]]`.
fn is_bracketed_name(text: &str) -> bool {
    text.strip_prefix("[[")
        .and_then(|t| t.split_once("]]"))
        .is_some_and(|(inner, _)| {
            is_name(inner.trim(), |c| is_name_char(c) || matches!(c, ':' | ' '))
        })
}

/// `%name%`, unless both its percent signs begin a percent-escape.
fn is_percent_name(text: &str) -> bool {
    let Some((name, _)) = text.strip_prefix('%').and_then(|t| t.split_once('%')) else {
        return false;
    };
    let end = 1 + name.len();
    let two_escapes = percent::is_escape(text) && percent::is_escape(&text[end..]);
    is_name(name, is_name_char) && !two_escapes
}

/// `%%…%%` around anything but nothing, white space or a `/`.
fn is_double_percent(text: &str) -> bool {
    text.strip_prefix("%%")
        .and_then(|t| t.split_once("%%"))
        .is_some_and(|(inner, _)| {
            !inner.is_empty() && !inner.contains(|c: char| c.is_whitespace() || c == '/')
        })
}

/// Starts with a letter or `_`, goes on with `follows`.
fn is_name(text: &str, follows: impl Fn(char) -> bool) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_') && text.chars().all(follows)
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-')
}

fn is_guid(text: &str) -> bool {
    let groups = [8, 4, 4, 4, 12];
    text.split('-').count() == groups.len()
        && text.split('-').zip(groups).all(|(group, length)| {
            group.len() == length && group.bytes().all(|b| b.is_ascii_hexdigit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_34_every_template_language_is_known() {
        for value in [
            "{{url}}",
            "{{{url}}}",
            "{{ user.url | safe }}",
            "{% url 'x' %}",
            "*|URL|*",
            "*|MC:ARCHIVE|*",
            "%recipient.x%",
            "%unsubscribe_url%",
            "%_x%",
            "%ad_id%",
            "%%x%%",
            "%%=RedirectTo(@url)=%%",
            "[[x]]",
            "[[data:url:\"\"]]https://e.com/{{x}}",
            "<%= url %>",
            "<%asm_group_unsubscribe_raw_url%>",
            "${x}",
            "${user.url()}",
            "{unsubscribe_url}",
            "{$url}",
            "#{url}",
        ] {
            assert!(has_placeholder(value), "{value}");
        }
    }

    #[test]
    fn case_35_a_placeholder_within_a_url_counts_encoded_or_not() {
        for value in [
            "https://e.com/?id={{id}}",
            "https://e.com/?id=%7B%7Bid%7D%7D",
            "https://e.com/?id=%7b%7b id %7d%7d",
            "https://e.com/?id=%7Bid%7D",
            "https://{{host}}/x",
            "https://e.com/*%7CEMAIL%7C*",
            "https://e.com/%5B%5Bid%5D%5D",
            "https://e.com/?e=%email%&x=1",
            "https://e.com/?e=%25email%25",
            "https://e.com/%20%name%20",
            "https://e.com/?a=%3C%25=%20x%20%25%3E",
            "https://e.com/?a={{ first",
        ] {
            assert!(has_placeholder(value), "{value}");
        }
    }

    #[test]
    fn case_34_a_url_with_escapes_brackets_or_braces_is_no_placeholder() {
        for value in [
            "https://e.com/%20a%20",
            "https://e.com/a%20b%20c%2Fd",
            "https://e.com/%C3%A9t%C3%A9",
            "https://e.com/%FCe.com%2F",
            "https://e.com/?u=https%3A%2F%2Fe.com%2Fa%3Fb%3Dc",
            "https://e.com/?u=https%253A%252F%252Fe.com%252F%25C3%25BC",
            "https://e.com/100%25",
            "https://e.com/?a[]=1&b[c]=2&d[[0]]=1",
            "https://e.com/[x]|,!$'*@?q=[1]|2*",
            "https://e.com/?~$1\"<>`{}^",
            "https://e.com/?f=%7B%22a%22%3A%7B%22b%22%3A%5B%5B1%2C2%5D%5D%7D%7D",
            "https://e.com/?doc=%7BFD9619FF-8B86-D011-B42D-00C04FC964FF%7D",
            "https://e.com/%%",
            "https://e.com/?q=a*b|c",
            "https://e.com/?price=$5",
        ] {
            assert!(!has_placeholder(value), "{value}");
        }
    }
}
