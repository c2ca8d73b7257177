//! Events as CSV (RFC 4180). Pure.

use crate::api::schema::Event;

/// The columns.
const COLUMNS: [&str; 20] = [
    "id",
    "type",
    "time",
    "domain",
    "host",
    "message_id",
    "recipient",
    "link_target",
    "link_position",
    "link_name",
    "verdict",
    "rules",
    "family",
    "os",
    "device",
    "address",
    "user_agent",
    "first",
    "test",
    "tags",
];

/// What a spreadsheet may take for the begin of a formula: readers say what
/// their user agent is called, senders' users what stands in a tag.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// The names of the columns.
pub(super) fn head() -> Vec<u8> {
    written(std::iter::once(COLUMNS.map(str::to_owned)))
}

/// A line for each event.
pub(super) fn lines(events: impl Iterator<Item = Event>) -> Vec<u8> {
    written(events.map(|event| line(event).map(no_formula)))
}

fn written(lines: impl Iterator<Item = [String; COLUMNS.len()]>) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    for line in lines {
        writer
            .write_record(&line)
            .expect("as many as there are columns, into memory");
    }
    writer.into_inner().expect("into memory")
}

fn line(event: Event) -> [String; COLUMNS.len()] {
    let (target, position, name) = match event.link {
        Some(link) => (link.target, link.position.to_string(), link.name),
        None => Default::default(),
    };
    let client = event.client;
    let tags = match event.tags.is_empty() {
        true => String::new(),
        false => serde_json::to_string(&event.tags).expect("a map of texts"),
    };
    [
        event.id,
        word(&event.kind),
        event.time,
        event.domain,
        event.host,
        event.message_id,
        event.recipient.unwrap_or_default(),
        target,
        position,
        name.unwrap_or_default(),
        word(&client.verdict),
        client.rules.join(" "),
        client.family.unwrap_or_default(),
        client.os.unwrap_or_default(),
        client.device.unwrap_or_default(),
        client.address.unwrap_or_default(),
        client.user_agent.unwrap_or_default(),
        event.first.to_string(),
        event.test.to_string(),
        tags,
    ]
}

/// A word as JSON has it.
fn word<T: serde::Serialize>(word: &T) -> String {
    let value = serde_json::to_value(word).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn no_formula(value: String) -> String {
    match value.starts_with(FORMULA) {
        true => format!("'{value}"),
        false => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_reckon_with_is_text() {
        for (value, written) in [
            ("=1+1", "'=1+1"),
            ("+49", "'+49"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("ada@example.org", "ada@example.org"),
            ("", ""),
        ] {
            assert_eq!(no_formula(value.to_owned()), written);
        }
    }

    #[test]
    fn the_head_has_a_name_for_each_value() {
        let head = String::from_utf8(head()).expect("text");
        assert_eq!(head.trim_end().split(',').count(), COLUMNS.len());
        assert!(head.ends_with("\r\n"));
    }
}
