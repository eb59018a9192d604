use std::collections::BTreeMap;

use serde::de::Error as _;
use serde_json::{Value as Json, value::RawValue};

use super::Kind;
use crate::db::{DbError, FromRow, FromValue, Row, Value, ValueError, ValueRef};

/// One value, as both engines mean it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// The values of a row.
pub(crate) struct Cells(pub(crate) Vec<Cell>);

impl FromRow for Cells {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        let mut cells = Vec::new();
        loop {
            match row.at(cells.len()) {
                Ok(cell) => cells.push(cell),
                Err(DbError::NoColumn(_)) => return Ok(Self(cells)),
                Err(error) => return Err(error),
            }
        }
    }
}

impl FromValue for Cell {
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        Ok(match value {
            ValueRef::Null => Self::Null,
            ValueRef::Bool(truth) => Self::Bool(truth),
            ValueRef::Int(number) => Self::Int(number),
            ValueRef::Float(number) => Self::Real(number),
            ValueRef::Bytes(bytes) => Self::Bytes(bytes.into()),
            ValueRef::Text(text) => Self::Text(text.into()),
            other => Self::Text(String::from_value(other)?),
        })
    }
}

impl Cell {
    /// The value as its column's kind has it.
    pub(super) fn of_kind(self, kind: Kind) -> Self {
        match (kind, self) {
            (Kind::Boolean, Self::Int(number)) => Self::Bool(number != 0),
            (_, cell) => cell,
        }
    }

    /// As it stands in an archive: what JSON has no word for is an object with one.
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(truth) => Json::Bool(*truth),
            Self::Int(number) => Json::from(*number),
            Self::Real(number) if number.is_finite() => Json::from(*number),
            Self::Real(number) => serde_json::json!({ "real": number.to_string() }),
            Self::Text(text) => Json::String(text.clone()),
            Self::Bytes(bytes) => serde_json::json!({ "bytes": hex::encode(bytes) }),
        }
    }

    /// Reads what [`to_json`](Self::to_json) has written.
    pub(crate) fn from_json(json: Json) -> Option<Self> {
        Some(match json {
            Json::Null => Self::Null,
            Json::Bool(truth) => Self::Bool(truth),
            Json::Number(number) => match number.as_i64() {
                Some(number) => Self::Int(number),
                None => Self::Real(number.as_f64()?),
            },
            Json::String(text) => Self::Text(text),
            Json::Object(object) => match object.iter().next()? {
                (word, Json::String(hex)) if word == "bytes" => Self::Bytes(hex::decode(hex).ok()?),
                (word, Json::String(real)) if word == "real" => Self::Real(real.parse().ok()?),
                _ => return None,
            },
            Json::Array(_) => return None,
        })
    }

    /// Its text, from which PostgreSQL makes a value of any type.
    pub(super) fn into_text(self) -> Option<String> {
        Some(match self {
            Self::Null => return None,
            Self::Bool(truth) => truth.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Real(number) => number.to_string(),
            Self::Text(text) => text,
            Self::Bytes(bytes) => hex::encode(bytes),
        })
    }

    /// The value to bind on SQLite.
    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(truth) => Value::Bool(truth),
            Self::Int(number) => Value::I64(number),
            Self::Real(number) => Value::F64(number),
            Self::Text(text) => Value::Text(text),
            Self::Bytes(bytes) => Value::Bytes(bytes),
        }
    }
}

/// A JSON document in the one form that it has everywhere: no blanks, keys in order; numbers as
/// they stand, to the digit.
pub(super) fn canonical(text: &str) -> Result<String, serde_json::Error> {
    let mut out = String::with_capacity(text.len());
    write(serde_json::from_str(text)?, &mut out)?;
    Ok(out)
}

fn write(raw: &RawValue, out: &mut String) -> Result<(), serde_json::Error> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            out.push('{');
            let object: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            for (number, (key, value)) in object.into_iter().enumerate() {
                if number > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(&key)?);
                out.push(':');
                write(value, out)?;
            }
            out.push('}');
        }
        Some(b'[') => {
            out.push('[');
            let array: Vec<&RawValue> = serde_json::from_str(text)?;
            for (number, value) in array.into_iter().enumerate() {
                if number > 0 {
                    out.push(',');
                }
                write(value, out)?;
            }
            out.push(']');
        }
        Some(b'"') => {
            let string: String = serde_json::from_str(text)?;
            out.push_str(&serde_json::to_string(&string)?);
        }
        Some(_) => out.push_str(text),
        None => return Err(serde_json::Error::custom("empty")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_one_form_and_keep_their_numbers() {
        let given = r#"{ "b": [1.0, 100000000000000000000000001], "a": "\u00e9\n", "bb" : {} }"#;
        assert_eq!(
            canonical(given).unwrap(),
            r#"{"a":"é\n","b":[1.0,100000000000000000000000001],"bb":{}}"#
        );
    }

    #[test]
    fn cells_come_back_as_they_went() {
        for cell in [
            Cell::Null,
            Cell::Bool(true),
            Cell::Int(i64::MIN),
            Cell::Real(1.0),
            Cell::Real(f64::INFINITY),
            Cell::Real(0.1 + 0.2),
            Cell::Text("{\"bytes\":\"00\"}".into()),
            Cell::Bytes(vec![0, 255]),
        ] {
            let text = cell.to_json().to_string();
            let back = Cell::from_json(serde_json::from_str(&text).unwrap());
            assert_eq!(back, Some(cell), "{text}");
        }
    }
}
