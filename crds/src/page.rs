//! The page on every field of every resource, made from the definitions. Pure.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use crate::{GROUP, VERSION, whole_numbers};

/// What the page begins with.
const HEAD: &str = "\
# Every field

Made by `make crds` from the definitions of the resources; a test compares it. In a cluster `kubectl explain td.spec` says the same. What the conditions in a status
mean: [CONDITIONS.md](CONDITIONS.md). A domain with every setting: [examples/trackingdomain-full.yaml](../examples/trackingdomain-full.yaml).

`[]` stands for each element of a list. A field that the definition does not know is refused with `kubectl apply --validate=strict`, the default, and dropped otherwise.
";
/// The keyword of CEL rules.
const RULES: &str = "x-kubernetes-validations";

/// A field, as its row tells it.
struct Row<'a> {
    path: String,
    schema: &'a Value,
    needed: bool,
}

/// The page, kinds that people write first.
pub fn fields(definitions: &[CustomResourceDefinition]) -> String {
    let kinds = definitions.iter().rev().map(kind);
    [HEAD.to_owned()].into_iter().chain(kinds).collect()
}

fn kind(definition: &CustomResourceDefinition) -> String {
    let spec = &definition.spec;
    let short = spec.names.short_names.iter().flatten();
    let short: String = short.map(|name| format!(", short `{name}`")).collect();
    let scope = match spec.scope.as_str() {
        "Namespaced" => "in a namespace",
        _ => "one for the whole cluster",
    };
    let schema = schema(definition);
    let rules = rules(&schema);
    let about = words(&schema);
    let rows: String = rows(&schema).iter().map(line).collect();
    format!(
        "\n## {kind}\n\n`{GROUP}/{VERSION}`, `{plural}`{short}, {scope}. {about}{rules}\n\n| field | holds | |\n|---|---|---|\n{rows}",
        kind = spec.names.kind,
        plural = spec.names.plural,
    )
}

fn schema(definition: &CustomResourceDefinition) -> Value {
    let version = definition.spec.versions.first();
    let schema = version.and_then(|version| version.schema.as_ref());
    let mut schema = serde_json::to_value(schema).expect("a schema is plain data");
    whole_numbers(&mut schema);
    schema["openAPIV3Schema"].take()
}

/// The fields below, depth first, in the order of the definition.
fn rows(schema: &Value) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    below("", schema, &mut rows);
    rows
}

fn below<'a>(path: &str, schema: &'a Value, rows: &mut Vec<Row<'a>>) {
    let needed = schema["required"].as_array();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let is_needed = needed.is_some_and(|needed| needed.iter().any(|other| other == name));
        let path = match path {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        rows.push(Row {
            path: path.clone(),
            schema: field,
            needed: is_needed,
        });
        below(&path, field, rows);
        below(&format!("{path}[]"), &field["items"], rows);
    }
}

fn line(row: &Row<'_>) -> String {
    let Row {
        path,
        schema,
        needed,
    } = row;
    let needed = if *needed { ", needed" } else { "" };
    let default = match &schema["default"] {
        Value::Null | Value::Object(_) => String::new(),
        value => format!(
            ", else `{}`",
            value.as_str().map_or(value.to_string(), str::to_owned)
        ),
    };
    let (holds, about, rules) = (holds(schema), words(schema), rules(schema));
    format!("| `{path}` | {holds}{needed}{default} | {about}{rules} |\n")
}

/// What a field may hold, in words.
fn holds(schema: &Value) -> String {
    let bound = |name: &str| schema[name].as_i64();
    let range = |least: &str, most: &str| match (bound(least), bound(most)) {
        (Some(least), Some(most)) if least == most => format!(" {most}"),
        (Some(least), Some(most)) => format!(" {least} to {most}"),
        (Some(least), None) => format!(" {least} or more"),
        (None, Some(most)) => format!(" at most {most}"),
        (None, None) => String::new(),
    };
    if let Some(words) = schema["enum"].as_array() {
        let words = words.iter().filter_map(Value::as_str);
        let words: Vec<_> = words.map(|word| format!("`{word}`")).collect();
        return words.join(", ");
    }
    match schema["type"].as_str() {
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("integer") => format!("number{}", range("minimum", "maximum")),
        Some("string") if schema["format"] == "date-time" => "time, RFC 3339".to_owned(),
        Some("string") => match range("minLength", "maxLength") {
            range if range.is_empty() => "text".to_owned(),
            range => format!("text,{range} characters"),
        },
        Some("array") => {
            let many = match range("minItems", "maxItems") {
                many if many.is_empty() => many,
                many => format!(",{many},"),
            };
            let items = holds(&schema["items"]);
            format!("list{many} of: {items}")
        }
        _ => "object".to_owned(),
    }
}

/// A description in one line, which no cell of a table is ended by.
fn words(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    plain(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A text in which nothing but code is marked up.
fn plain(text: &str) -> String {
    let escape = |(at, part): (usize, &str)| {
        let part = part.replace('|', "\\|");
        match at % 2 {
            0 => part.replace('*', "\\*").replace('<', "\\<"),
            _ => part,
        }
    };
    let parts = text.split('`').enumerate().map(escape);
    parts.collect::<Vec<_>>().join("`")
}

/// The rules that are more than bounds, as their refusals tell them; those of a
/// list's elements, too.
fn rules(schema: &Value) -> String {
    let own = schema[RULES].as_array();
    let items = schema["items"][RULES].as_array();
    let rules = own.into_iter().chain(items).flatten();
    let messages = rules.filter_map(|rule| rule["message"].as_str());
    messages
        .map(|message| format!("<br>*{}*", plain(message)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions;

    /// How many fields a schema has, at any depth.
    fn count(schema: &Value) -> usize {
        let fields = schema["properties"].as_object().into_iter().flatten();
        let fields = fields.map(|(_, field)| 1 + count(field) + count(&field["items"]));
        fields.sum()
    }

    #[test]
    fn every_field_has_one_row_that_says_what_it_is() {
        for definition in definitions() {
            let schema = schema(&definition);
            let rows = rows(&schema);
            assert!(rows.len() == count(&schema) && rows.len() > 4);
            for row in rows
                .iter()
                .filter(|row| !["spec", "status"].contains(&row.path.as_str()))
            {
                assert!(!words(row.schema).is_empty(), "{}", row.path);
            }
        }
    }

    #[test]
    fn a_row_says_bounds_words_defaults_and_rules() {
        let schema = serde_json::json!({
            "required": ["mode"],
            "properties": {
                "mode": {"type": "string", "enum": ["On", "Off"], "description": "How\n  it is | goes, <so> as `<b>*`."},
                "names": {
                    "type": "array", "maxItems": 3, "description": "Who.",
                    "items": {"type": "string", "minLength": 1, "maxLength": 9, RULES: [{"message": "must be *.a"}]},
                },
                "most": {"type": "integer", "minimum": 1, "default": 5, "description": "So many."},
            },
        });
        let lines: Vec<_> = rows(&schema).iter().map(line).collect();
        assert_eq!(
            lines,
            [
                "| `mode` | `On`, `Off`, needed | How it is \\| goes, \\<so> as `<b>*`. |\n",
                "| `most` | number 1 or more, else `5` | So many. |\n",
                "| `names` | list, at most 3, of: text, 1 to 9 characters | Who.<br>*must be \\*.a* |\n",
            ]
        );
    }

    #[test]
    fn the_committed_page_is_what_the_definitions_say() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/FIELDS.md");
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == fields(&definitions()),
            "docs/FIELDS.md: run `make crds`"
        );
    }
}
