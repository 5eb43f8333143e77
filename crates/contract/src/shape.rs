//! Types of JSON values, and the check that a value has a type.

use serde_json::Value;

/// Type of a value.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    Bool,
    /// A whole number, not negative.
    Count,
    /// A whole number.
    Whole,
    /// Any number that is not negative.
    Number,
    Text,
    /// Pairs of hexadecimal digits.
    Hex,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these words, each of which means an exit code.
    Outcome(&'static [(&'static str, u64)]),
    List(&'static Shape),
    OrNull(&'static Shape),
    Object(&'static [Field]),
}

/// One field of an object.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub shape: Shape,
    /// True if the field may be left out.
    pub optional: bool,
}

/// Returns a field that is always present.
pub const fn field(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, optional: false }
}

/// Returns a field that may be absent.
pub const fn sometimes(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, optional: true }
}

/// Checks an object field by field. A field that the contract does not name is a fault too, because the
/// document and its description grow together.
pub fn check(path: &str, value: &Value, fields: &[Field], faults: &mut Vec<String>) {
    let Some(object) = value.as_object() else {
        return faults.push(format!("{path}: {value} is no object"));
    };
    for field in fields {
        let path = format!("{path}.{}", field.name);
        match object.get(field.name) {
            Some(value) => check_value(&path, value, field.shape, faults),
            None if field.optional => {}
            None => faults.push(format!("{path} is missing")),
        }
    }
    for name in object.keys().filter(|name| fields.iter().all(|f| f.name != *name)) {
        faults.push(format!("{path}.{name} is not in docs/json.md"));
    }
}

fn check_value(path: &str, value: &Value, shape: Shape, faults: &mut Vec<String>) {
    let right = match shape {
        Shape::Bool => value.is_boolean(),
        Shape::Count => value.is_u64(),
        Shape::Whole => value.is_i64(),
        Shape::Number => value.as_f64().is_some_and(|n| n >= 0.0),
        Shape::Text => value.is_string(),
        Shape::Hex => value
            .as_str()
            .is_some_and(|hex| hex.len() % 2 == 0 && hex.bytes().all(|b| b.is_ascii_hexdigit())),
        Shape::Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        Shape::Outcome(words) => {
            value.as_str().is_some_and(|word| words.iter().any(|(name, _)| *name == word))
        }
        Shape::OrNull(inner) => {
            if !value.is_null() {
                check_value(path, value, *inner, faults);
            }
            true
        }
        Shape::Object(fields) => return check(path, value, fields, faults),
        Shape::List(inner) => {
            let Some(items) = value.as_array() else {
                return faults.push(format!("{path}: {value} is no array"));
            };
            for (index, item) in items.iter().enumerate() {
                check_value(&format!("{path}[{index}]"), item, *inner, faults);
            }
            true
        }
    };
    if !right {
        faults.push(format!("{path}: {value} is not {shape:?}"));
    }
}
