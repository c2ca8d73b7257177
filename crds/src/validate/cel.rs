//! The CEL rules of a schema, made ready once and asked often.
//!
//! The language and the functions are those of kube's `cel`. Its own validator
//! is not used, since it compiles every regular expression anew at every call
//! of `matches`: some milliseconds an object, where ten thousand are read at
//! start. A test asks both about the whole table.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::core::cel::KubeCelExt as _;
use kube::core::cel::cel::extractors::This;
use kube::core::cel::cel::{Context, ExecutionError, Program, Value as CelValue};
use regex::Regex;
use serde_json::Value;

use super::{FaultKind, Faults};

/// The rules of one schema.
pub(super) struct Rules {
    root: Node,
    functions: Context<'static>,
}

/// The rules of one place in the schema and below it.
#[derive(Default)]
struct Node {
    rules: Vec<Rule>,
    fields: Vec<(String, Node)>,
    items: Option<Box<Node>>,
}

struct Rule {
    program: Program,
    message: String,
    /// Path below the place, with its dot; empty for the place itself.
    field: String,
    kind: FaultKind,
}

impl Rules {
    /// # Panics
    ///
    /// If a rule of the schema is no CEL: schemas are part of the program.
    pub(super) fn new(schema: &Value) -> Self {
        let mut functions = Context::default().with_all();
        let compiled = Mutex::default();
        functions.add_function(
            "matches",
            move |This(text): This<Arc<String>>, pattern: Arc<String>| {
                matches(&compiled, &text, &pattern)
            },
        );
        Self {
            root: Node::new(schema),
            functions,
        }
    }

    /// Asks about an object whose types and bounds have been checked.
    pub(super) fn check(&self, object: &Value, faults: &mut Faults) {
        self.node(&self.root, object, "", faults);
    }

    fn node(&self, node: &Node, value: &Value, path: &str, faults: &mut Faults) {
        if !node.rules.is_empty() {
            let mut scope = self.functions.new_inner_scope();
            scope.add_variable_from_value("self", to_cel(value));
            for rule in &node.rules {
                rule.check(&scope, path, faults);
            }
        }
        for (key, field) in &node.fields {
            if let Some(value) = value.get(key) {
                let dot = if path.is_empty() { "" } else { "." };
                self.node(field, value, &format!("{path}{dot}{key}"), faults);
            }
        }
        if let (Some(node), Some(items)) = (&node.items, value.as_array()) {
            for (at, item) in items.iter().enumerate() {
                self.node(node, item, &format!("{path}[{at}]"), faults);
            }
        }
    }
}

impl Node {
    fn new(schema: &Value) -> Self {
        let list = |key: &str| {
            schema
                .get(key)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
        };
        let fields = schema.get("properties").and_then(Value::as_object);
        Self {
            rules: list("x-kubernetes-validations").map(Rule::new).collect(),
            fields: fields
                .into_iter()
                .flatten()
                .map(|(key, schema)| (key.clone(), Self::new(schema)))
                .filter(|(_, node)| !node.is_empty())
                .collect(),
            items: schema
                .get("items")
                .map(|schema| Box::new(Self::new(schema)))
                .filter(|node| !node.is_empty()),
        }
    }

    fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.fields.is_empty() && self.items.is_none()
    }
}

impl Rule {
    fn new(rule: &Value) -> Self {
        let text = |key: &str| rule[key].as_str().unwrap_or_default();
        Self {
            program: Program::compile(text("rule")).expect("a rule of the schema is CEL"),
            message: text("message").to_owned(),
            field: text("fieldPath").to_owned(),
            kind: match text("reason") {
                "FieldValueDuplicate" => FaultKind::Duplicate,
                "FieldValueRequired" => FaultKind::Required,
                _ => FaultKind::Invalid,
            },
        }
    }

    fn check(&self, scope: &Context<'_>, path: &str, faults: &mut Faults) {
        // A rule that cannot be evaluated refuses, as in the API server.
        if !matches!(self.program.execute(scope), Ok(CelValue::Bool(true))) {
            faults.push(&format!("{path}{}", self.field), self.kind, &self.message);
        }
    }
}

/// As CEL's `matches`, each pattern compiled once. Patterns come from the rules
/// alone, so there are few.
fn matches(
    compiled: &Mutex<HashMap<Arc<String>, Regex>>,
    text: &str,
    pattern: &Arc<String>,
) -> Result<bool, ExecutionError> {
    let mut compiled = compiled.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(regex) = compiled.get(pattern) {
        return Ok(regex.is_match(text));
    }
    let regex = Regex::new(pattern)
        .map_err(|error| ExecutionError::function_error("matches", error.to_string()))?;
    let is_match = regex.is_match(text);
    compiled.insert(Arc::clone(pattern), regex);
    Ok(is_match)
}

/// Field names need no escaping: a test keeps them apart from CEL's words.
fn to_cel(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(value) => CelValue::Bool(*value),
        Value::Number(number) => number.as_i64().map_or_else(
            || CelValue::Float(number.as_f64().unwrap_or(f64::NAN)),
            CelValue::Int,
        ),
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => CelValue::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(fields) => {
            let pair = |(key, value): (&String, &Value)| (key.clone(), to_cel(value));
            fields.iter().map(pair).collect::<HashMap<_, _>>().into()
        }
    }
}
