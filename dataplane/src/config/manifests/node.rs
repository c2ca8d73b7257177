//! A document as a tree that knows where each of its parts stands.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, Spanned};

/// A part of a document.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it begins.
    pub(super) at: Location,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug)]
struct Entry {
    key: Spanned<String>,
    value: Node,
}

impl Node {
    /// The value, without places.
    pub(super) fn to_json(&self) -> Value {
        match &self.shape {
            Shape::Scalar(value) => value.clone(),
            Shape::List(items) => items.iter().map(Self::to_json).collect(),
            Shape::Map(entries) => {
                let pair = |e: &Entry| (e.key.value.clone(), e.value.to_json());
                Value::Object(entries.iter().map(pair).collect::<Map<_, _>>())
            }
        }
    }

    /// The value of a key, if this is a map.
    pub(super) fn field(&self, key: &str) -> Option<&Self> {
        let entry = self.entries().iter().find(|entry| entry.key.value == key)?;
        Some(&entry.value)
    }

    /// The text, if this is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.shape {
            Shape::Scalar(value) => value.as_str(),
            Shape::List(_) | Shape::Map(_) => None,
        }
    }

    /// The items; none if this is no list.
    pub(super) fn into_items(self) -> Vec<Self> {
        match self.shape {
            Shape::List(items) => items,
            Shape::Scalar(_) | Shape::Map(_) => Vec::new(),
        }
    }

    /// Takes the value of a key out of a map.
    pub(super) fn take(self, key: &str) -> Option<Self> {
        match self.shape {
            Shape::Map(entries) => entries
                .into_iter()
                .find(|entry| entry.key.value == key)
                .map(|entry| entry.value),
            Shape::Scalar(_) | Shape::List(_) => None,
        }
    }

    /// Where a field stands, by its path (`spec.aliases[1]`): the value of a
    /// scalar, the key of anything larger. A field that is not there stands
    /// where its nearest parent does.
    pub(super) fn locate(&self, path: &str) -> Location {
        self.find(path, self.at)
    }

    fn find(&self, path: &str, here: Location) -> Location {
        if path.is_empty() {
            return here;
        }
        match &self.shape {
            Shape::Scalar(_) => here,
            Shape::List(items) => {
                let index = path.strip_prefix('[').and_then(|rest| rest.split_once(']'));
                let item = index
                    .and_then(|(at, rest)| Some((items.get(at.parse::<usize>().ok()?)?, rest)));
                item.map_or(here, |(item, rest)| item.find(rest, item.at))
            }
            Shape::Map(entries) => {
                // Keys may hold dots themselves (labels): the longest that fits.
                let path = path.strip_prefix('.').unwrap_or(path);
                let fits = |entry: &&Entry| {
                    let rest = path.strip_prefix(entry.key.value.as_str());
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
                };
                let entry = entries
                    .iter()
                    .filter(fits)
                    .max_by_key(|e| e.key.value.len());
                entry.map_or(here, |entry| {
                    let at = match entry.value.shape {
                        Shape::Scalar(_) => entry.value.at,
                        Shape::List(_) | Shape::Map(_) => entry.key.referenced,
                    };
                    entry.value.find(&path[entry.key.value.len()..], at)
                })
            }
        }
    }

    fn entries(&self) -> &[Entry] {
        match &self.shape {
            Shape::Map(entries) => entries,
            Shape::Scalar(_) | Shape::List(_) => &[],
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Spanned {
            value, referenced, ..
        } = Spanned::<Shape>::deserialize(from)?;
        Ok(Self {
            at: referenced,
            shape: value,
        })
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Shape, E> {
        Ok(Shape::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Shape, E> {
        Ok(Shape::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Shape, E> {
        Ok(Shape::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Shape, E> {
        // JSON has no infinities; none of our fields takes one.
        let number = Number::from_f64(value).map_or(Value::Null, Value::Number);
        Ok(Shape::Scalar(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Shape, E> {
        Ok(Shape::Scalar(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Shape, E> {
        Ok(Shape::Scalar(Value::String(value)))
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Scalar(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Shape, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(Shape::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Shape, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = from.next_key()? {
            let value = from.next_value()?;
            entries.push(Entry { key, value });
        }
        Ok(Shape::Map(entries))
    }
}
