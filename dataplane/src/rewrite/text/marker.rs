//! The markers that stand behind a link of a plain text:
//! `https://e.com/x[[data-msys-clicktrack="0"]]`.

const CLICK_TRACK: &str = "data-msys-clicktrack";
const UNSUBSCRIBE: &str = "data-msys-unsubscribe";
const NAMES: [&str; 3] = [CLICK_TRACK, UNSUBSCRIBE, "data-msys-linkname"];
/// Longest value of a marker's attribute, in bytes, with its closing quote.
const VALUE_MAX_BYTES: usize = 256;

/// What the markers of one link say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Said {
    /// `data-msys-clicktrack="0"`.
    pub(super) opted_out: bool,
    /// `data-msys-unsubscribe="1"`.
    pub(super) unsubscribe: bool,
    /// `data-msys-linkname="…"`.
    pub(super) name: Option<String>,
}

/// Reads the markers that the text begins with: their bytes and what they say.
/// Double brackets around anything else are a placeholder and none of ours.
pub(super) fn read(text: &str) -> Option<(usize, Said)> {
    let mut said = Said::default();
    let mut rest = text;
    while let Some(behind) = one(rest, &mut said) {
        rest = behind;
    }
    let length = text.len() - rest.len();
    (length > 0).then_some((length, said))
}

/// Reads one marker, which may hold several attributes, and gives what follows it.
fn one<'a>(text: &'a str, said: &mut Said) -> Option<&'a str> {
    let mut heard = said.clone();
    let mut rest = attribute(text.strip_prefix("[[")?, &mut heard)?;
    loop {
        rest = rest.trim_start_matches(' ');
        if let Some(behind) = rest.strip_prefix("]]") {
            *said = heard;
            return Some(behind);
        }
        rest = attribute(rest, &mut heard)?;
    }
}

fn attribute<'a>(text: &'a str, heard: &mut Said) -> Option<&'a str> {
    let (name, behind) = NAMES
        .into_iter()
        .find_map(|name| Some((name, text.strip_prefix(name)?)))?;
    let behind = behind.strip_prefix("=\"")?;
    let end = behind
        .bytes()
        .take(VALUE_MAX_BYTES)
        .position(|b| b == b'"')?;
    let value = &behind[..end];
    match name {
        CLICK_TRACK => heard.opted_out |= value == "0",
        UNSUBSCRIBE => heard.unsubscribe |= value == "1",
        _ => heard.name = Some(value.to_owned()),
    }
    Some(&behind[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_marker_is_read_and_measured() {
        let text = "[[data-msys-clicktrack=\"0\"]][[data-msys-linkname=\"a b\" data-msys-unsubscribe=\"1\"]].";
        let said = Said {
            opted_out: true,
            unsubscribe: true,
            name: Some("a b".to_owned()),
        };
        assert_eq!(read(text), Some((text.len() - 1, said)));
        let on = read("[[data-msys-clicktrack=\"1\"]]").expect("a marker");
        assert!(!on.1.opted_out);
    }

    #[test]
    fn other_double_brackets_are_no_marker() {
        for text in [
            "",
            "[[x]]",
            "[[]]",
            "[[data-msys-clicktrack=0]]",
            "[[data-msys-other=\"0\"]]",
            "[[data-msys-clicktrack=\"0\"",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
