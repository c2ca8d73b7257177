//! Checks a value against a schema of the document: as much of JSON Schema as
//! the document uses, and nothing beside what it lists.

use serde_json::Value;

/// What is wrong with the value, if anything.
pub(crate) fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    at(document, schema, value, "$")
}

fn at(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let found = document.pointer(reference.trim_start_matches('#'));
        return at(document, found.expect("a schema"), value, place);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |choice: &&Value| at(document, choice, value, place).is_ok();
        return match choices.iter().filter(fits).count() {
            1 => Ok(()),
            count => Err(format!("{place} fits {count} of {choices:?}: {value}")),
        };
    }
    typed(schema, value, place)?;
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return Err(format!("{place} is none of {words:?}: {value}"));
    }
    if let Some(most) = schema["maxLength"].as_u64()
        && value
            .as_str()
            .is_some_and(|text| text.chars().count() as u64 > most)
    {
        return Err(format!("{place} is longer than {most}"));
    }
    if let Some(items) = value.as_array() {
        for (number, item) in items.iter().enumerate() {
            at(
                document,
                &schema["items"],
                item,
                &format!("{place}[{number}]"),
            )?;
        }
    }
    fields(document, schema, value, place)
}

fn typed(schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = match &schema["type"] {
        Value::String(one) => one == is,
        Value::Array(several) => several.iter().any(|one| one == is),
        _ => false,
    };
    fits.then_some(())
        .ok_or_else(|| format!("{place} is {is}, not {}", schema["type"]))
}

fn fields(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let Some(map) = value.as_object() else {
        return Ok(());
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().expect("a name");
        if !map.contains_key(name) {
            return Err(format!("{place}.{name} is missing"));
        }
    }
    for (name, inner) in map {
        let place = format!("{place}.{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Object(_)) => {
                at(document, &schema["additionalProperties"], inner, &place)?;
            }
            (Value::Null, _) => return Err(format!("{place} is not described")),
            (known, _) => at(document, known, inner, &place)?,
        }
    }
    Ok(())
}
