//! Prints an OpenAPI document as HTML; pure.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use data_encoding::BASE64;
use mailtrail_core::character_reference::escape;
use serde_json::{Map, Value};

use crate::api::problem::Code;

const STYLE: &str = "
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font:14px/1.45 ui-monospace,monospace}
pre{overflow:auto;padding:.75rem;border:1px solid #8884;border-radius:6px}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #8884}
h2{margin-top:3rem;border-top:2px solid #8886;padding-top:1rem}
summary{cursor:pointer}
.m{font-weight:bold}
.r{font-size:.85em;opacity:.75}
";

/// The methods that OpenAPI knows and we may use.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// SHA-256 of the style, in base64, for the content security policy.
pub(super) fn style_hash() -> String {
    BASE64.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()).as_ref())
}

/// The whole page.
pub(super) fn page(document: &Value) -> String {
    let mut out = String::with_capacity(64 * 1024);
    let title = text(&document["info"]["title"]);
    put(
        &mut out,
        format_args!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{title} API</title><style>{STYLE}</style></head><body><h1>{title} API</h1>",
        ),
    );
    paragraphs(&mut out, document["info"]["description"].as_str());
    put(
        &mut out,
        format_args!(
            "<p>For programs: <a href=\"/openapi.json\"><code>/openapi.json</code></a>.</p>"
        ),
    );
    contents(&mut out, document);
    for (path, method, operation) in operations(document) {
        one(&mut out, (path, method), operation);
    }
    put(&mut out, format_args!("<h2 id=\"schemas\">Schemas</h2>"));
    for (name, schema) in object(&document["components"]["schemas"]) {
        one_schema(&mut out, name, schema);
    }
    problems(&mut out);
    out.push_str("</body></html>\n");
    out
}

fn contents(out: &mut String, document: &Value) {
    out.push_str("<ul>");
    for (path, method, operation) in operations(document) {
        let (id, summary) = (text(&operation["operationId"]), text(&operation["summary"]));
        put(
            out,
            format_args!(
                "<li><a href=\"#{id}\"><code>{} {}</code></a> {summary}</li>",
                method.to_uppercase(),
                escape(path)
            ),
        );
    }
    out.push_str(
        "<li><a href=\"#schemas\">Schemas</a></li><li><a href=\"#problems\">Problems</a></li></ul>",
    );
}

fn one(out: &mut String, (path, method): (&str, &str), operation: &Value) {
    put(
        out,
        format_args!(
            "<h2 id=\"{}\">{}</h2><p><code><span class=\"m\">{}</span> {}</code></p>",
            text(&operation["operationId"]),
            text(&operation["summary"]),
            method.to_uppercase(),
            escape(path)
        ),
    );
    paragraphs(out, operation["description"].as_str());
    parameters(out, &operation["parameters"]);
    if let Some(content) = operation["requestBody"]["content"].as_object() {
        out.push_str("<h3>Request</h3>");
        contents_of(out, content);
    }
    out.push_str("<h3>Answers</h3>");
    for (status, response) in object(&operation["responses"]) {
        let description = text(&response["description"]);
        let content = response["content"].as_object();
        if status.starts_with('2') {
            put(
                out,
                format_args!("<p><b>{}</b> {description}</p>", escape(status)),
            );
            content
                .into_iter()
                .for_each(|content| contents_of(out, content));
        } else {
            put(
                out,
                format_args!(
                    "<details><summary><b>{}</b> {description}</summary>",
                    escape(status)
                ),
            );
            content
                .into_iter()
                .for_each(|content| contents_of(out, content));
            out.push_str("</details>");
        }
    }
}

fn parameters(out: &mut String, parameters: &Value) {
    let Some(list) = parameters.as_array().filter(|list| !list.is_empty()) else {
        return;
    };
    out.push_str(
        "<h3>Parameters</h3><table><tr><th>Name</th><th>In</th><th>Type</th><th></th></tr>",
    );
    for parameter in list {
        let needed = parameter["required"].as_bool().unwrap_or(false);
        put(
            out,
            format_args!(
                "<tr><td><code>{}</code>{}</td><td>{}</td><td>{}</td><td>",
                text(&parameter["name"]),
                required(needed),
                text(&parameter["in"]),
                kind(&parameter["schema"])
            ),
        );
        paragraphs(out, parameter["description"].as_str());
        out.push_str("</td></tr>");
    }
    out.push_str("</table>");
}

fn contents_of(out: &mut String, content: &Map<String, Value>) {
    for (media_type, body) in content {
        put(
            out,
            format_args!(
                "<p><code>{}</code>: {}</p>",
                escape(media_type),
                kind(&body["schema"])
            ),
        );
        example(out, None, &body["example"]);
        for (_, one) in object(&body["examples"]) {
            example(out, one["summary"].as_str(), &one["value"]);
        }
    }
}

fn example(out: &mut String, summary: Option<&str>, value: &Value) {
    if value.is_null() {
        return;
    }
    if let Some(summary) = summary {
        put(out, format_args!("<p class=\"r\">{}</p>", escape(summary)));
    }
    let printed = match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    };
    put(out, format_args!("<pre>{}</pre>", escape(&printed)));
}

fn one_schema(out: &mut String, name: &str, schema: &Value) {
    let name = escape(name);
    put(
        out,
        format_args!("<h3 id=\"schema-{name}\"><code>{name}</code></h3>"),
    );
    paragraphs(out, schema["description"].as_str());
    let Some(properties) = schema["properties"].as_object() else {
        put(out, format_args!("<p>{}</p>", kind(schema)));
        return;
    };
    let needed = |name: &str| {
        let list = schema["required"].as_array();
        list.is_some_and(|list| list.iter().any(|one| one == name))
    };
    out.push_str("<table><tr><th>Field</th><th>Type</th><th></th></tr>");
    for (name, property) in properties {
        put(
            out,
            format_args!(
                "<tr><td><code>{}</code>{}</td><td>{}</td><td>",
                escape(name),
                required(needed(name)),
                kind(property)
            ),
        );
        paragraphs(out, property["description"].as_str());
        out.push_str("</td></tr>");
    }
    out.push_str("</table>");
}

fn problems(out: &mut String) {
    out.push_str(
        "<h2 id=\"problems\">Problems</h2><table><tr><th>Status</th><th>Type</th><th></th></tr>",
    );
    for code in Code::ALL {
        let (status, word, title) = code.parts();
        put(
            out,
            format_args!(
                "<tr><td>{}</td><td><code>https://mailtrail.dev/problems/{word}</code></td><td>{title}</td></tr>",
                status.as_u16()
            ),
        );
    }
    out.push_str("</table>");
}

/// A schema in a few words: its type, its bounds, or a link to it.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|at| at.rsplit('/').next()) {
        let name = escape(name);
        return format!("<a href=\"#schema-{name}\"><code>{name}</code></a>");
    }
    for choice in ["oneOf", "anyOf", "allOf"] {
        if let Some(list) = schema[choice].as_array() {
            let kinds: Vec<_> = list.iter().map(kind).collect();
            return kinds.join(" or ");
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<_> = words
            .iter()
            .map(|w| format!("<code>{}</code>", text(w)))
            .collect();
        return words.join(", ");
    }
    let mut said = match &schema["type"] {
        Value::Array(types) => types.iter().map(text).collect::<Vec<_>>().join(" or "),
        one => text(one),
    };
    if !schema["items"].is_null() {
        said = format!("{said} of {}", kind(&schema["items"]));
    }
    for (bound, word) in [
        ("format", ""),
        ("minimum", "from"),
        ("maximum", "to"),
        ("maxLength", "at most characters:"),
        ("maxItems", "at most"),
        ("maxProperties", "at most"),
        ("default", "default"),
    ] {
        match &schema[bound] {
            Value::Null => {}
            Value::String(is) => put(&mut said, format_args!(" {word} {}", escape(is))),
            is => put(&mut said, format_args!(" {word} {is}")),
        }
    }
    said
}

fn required(needed: bool) -> &'static str {
    if needed {
        " <span class=\"r\">required</span>"
    } else {
        ""
    }
}

/// Every operation, in the order of paths.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    object(&document["paths"]).flat_map(|(path, item)| {
        METHODS.into_iter().filter_map(move |method| {
            let operation = item.get(method)?;
            Some((path.as_str(), method, operation))
        })
    })
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// Text with blank lines between paragraphs and `- ` before list items, and
/// with `code` and **strong** in it: the little Markdown our comments use.
fn paragraphs(out: &mut String, text: Option<&str>) {
    for block in text.unwrap_or("").split("\n\n").filter(|b| !b.is_empty()) {
        if block.starts_with("- ") {
            out.push_str("<ul>");
            for item in block.split("\n- ") {
                let item = item.strip_prefix("- ").unwrap_or(item);
                put(out, format_args!("<li>{}</li>", inline(item)));
            }
            out.push_str("</ul>");
        } else {
            put(out, format_args!("<p>{}</p>", inline(block)));
        }
    }
}

fn inline(text: &str) -> String {
    let mut out = String::new();
    for (at, piece) in escape(text).split('`').enumerate() {
        if at % 2 == 1 {
            put(&mut out, format_args!("<code>{piece}</code>"));
            continue;
        }
        for (at, piece) in piece.split("**").enumerate() {
            if at % 2 == 1 {
                put(&mut out, format_args!("<b>{piece}</b>"));
            } else {
                out.push_str(piece);
            }
        }
    }
    out
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or(""))
}

/// Writing to a `String` does not fail.
fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_of_the_document_is_escaped() {
        let document = serde_json::json!({
            "info": {"title": "<b>T</b>", "description": "a `<x>` **&**\n\n- one\n- two"},
            "paths": {"/<p>": {"get": {"operationId": "i", "summary": "<s>", "responses": {}}}},
        });
        let page = page(&document);
        for raw in ["<b>T", "<x>", "<p>\"", "<s>"] {
            assert!(!page.contains(raw), "{raw}");
        }
        assert!(page.contains("<code>&lt;x&gt;</code> <b>&amp;</b>"));
        assert!(page.contains("<li>one</li><li>two</li>"));
        assert!(!page.contains("<script"));
    }
}
