use chrono::{DateTime, Datelike, NaiveDate, SubsecRound, Utc};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::DbError;

/// A parameter of a statement, as the caller bound it.
///
/// It is made by [`From`] of every type that can be bound, so it is seldom named.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// SQL `NULL`, of any type.
    Null,
    /// `boolean`
    Bool(bool),
    /// `smallint`
    I16(i16),
    /// `integer`
    I32(i32),
    /// `bigint`
    I64(i64),
    /// `real`, but for NaN, which SQLite cannot store
    F32(f32),
    /// `double precision`, but for NaN
    F64(f64),
    /// `text`; it must not contain NUL, which PostgreSQL cannot store
    Text(String),
    /// `bytea`
    Bytes(Vec<u8>),
    /// `uuid`
    Uuid(Uuid),
    /// `timestamptz`, to the microsecond, in the years 1 to 9999
    DateTime(DateTime<Utc>),
    /// `date`, in the years 1 to 9999
    Date(NaiveDate),
    /// `numeric`
    Decimal(Decimal),
    /// `jsonb`
    Json(serde_json::Value),
}

impl Value {
    /// Refuses what one of the engines could not store, so that all refuse it alike.
    pub(crate) fn check(&self) -> Result<(), DbError> {
        match self {
            Self::Text(text) if text.contains('\0') => Err(DbError::NulInText),
            Self::Json(json) if json_has_nul(json) => Err(DbError::NulInText),
            // SQLite would store NULL
            Self::F32(number) if number.is_nan() => Err(not_a_number()),
            Self::F64(number) if number.is_nan() => Err(not_a_number()),
            Self::DateTime(time) => check_year(time.year()),
            Self::Date(date) => check_year(date.year()),
            _ => Ok(()),
        }
    }
}

fn not_a_number() -> DbError {
    DbError::Datatype("NaN cannot be stored".into())
}

/// Years of four digits, whose texts sort as time does; PostgreSQL has no year 0.
fn check_year(year: i32) -> Result<(), DbError> {
    if (1..=9999).contains(&year) {
        return Ok(());
    }
    Err(DbError::Datatype(format!(
        "the year {year} is not within 1 to 9999"
    )))
}

fn json_has_nul(json: &serde_json::Value) -> bool {
    match json {
        serde_json::Value::String(text) => text.contains('\0'),
        serde_json::Value::Array(items) => items.iter().any(json_has_nul),
        serde_json::Value::Object(map) => map
            .iter()
            .any(|(key, value)| key.contains('\0') || json_has_nul(value)),
        _ => false,
    }
}

macro_rules! value_from {
    ($($type:ty => $variant:ident),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

value_from! {
    bool => Bool, i16 => I16, i32 => I32, i64 => I64, f32 => F32, f64 => F64,
    String => Text, &str => Text, &String => Text,
    Vec<u8> => Bytes, &[u8] => Bytes,
    Uuid => Uuid, NaiveDate => Date, Decimal => Decimal, serde_json::Value => Json,
}

impl From<DateTime<Utc>> for Value {
    fn from(value: DateTime<Utc>) -> Self {
        // PostgreSQL keeps microseconds; so does everyone here.
        Self::DateTime(value.trunc_subsecs(6))
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A column of a row, as the engine gave it, before it becomes what the caller asked for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ValueRef<'a> {
    /// SQL `NULL`
    Null,
    /// A truth value; SQLite gives [`Int`](Self::Int) instead.
    Bool(bool),
    /// An integer of any width
    Int(i64),
    /// A floating-point number
    Float(f64),
    /// Text; SQLite gives it for UUIDs, times, decimals and JSON too.
    Text(&'a str),
    /// Bytes
    Bytes(&'a [u8]),
    /// A UUID
    Uuid(Uuid),
    /// A point in time
    DateTime(DateTime<Utc>),
    /// A day
    Date(NaiveDate),
    /// An exact number
    Decimal(Decimal),
    /// A JSON document
    Json(serde_json::Value),
}

impl ValueRef<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a floating-point number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Uuid(_) => "a UUID",
            Self::DateTime(_) => "a point in time",
            Self::Date(_) => "a date",
            Self::Decimal(_) => "a decimal number",
            Self::Json(_) => "a JSON document",
        }
    }
}

/// Why a column is not what the caller asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// The column is NULL and the type asked for is not an [`Option`].
    #[error("it is NULL, and {0} cannot be (ask for an Option)")]
    Null(&'static str),
    /// The column is of another kind.
    #[error("it is {found}, not {asked}")]
    Kind {
        /// What it is.
        found: &'static str,
        /// What was asked for.
        asked: &'static str,
    },
    /// The column is of the right kind but outside the type's range or form.
    #[error("its value is no valid {0}")]
    Form(&'static str),
}

/// A type that a column can be read as.
///
/// Conversions that lose nothing are made (an integer can be read as a [`Decimal`], a UUID as
/// text); every other is an error. Implement it for your own types by way of one that has it:
///
/// ```
/// use tenantry::db::{FromValue, ValueError, ValueRef};
///
/// struct Sku(String);
///
/// impl FromValue for Sku {
///     fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
///         String::from_value(value).map(Sku)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a column cannot be read as `{Self}`",
    note = "implement `FromValue` for it, by way of a type that has it"
)]
pub trait FromValue: Sized {
    /// Reads `value` as this type.
    ///
    /// # Errors
    /// When it is of another kind, out of range, or NULL.
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError>;
}

impl<T: FromValue> FromValue for Option<T> {
    #[inline]
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Null => Ok(None),
            other => T::from_value(other).map(Some),
        }
    }
}

#[cold]
fn mismatch(value: &ValueRef<'_>, asked: &'static str) -> ValueError {
    match value {
        ValueRef::Null => ValueError::Null(asked),
        other => ValueError::Kind {
            found: other.kind(),
            asked,
        },
    }
}

fn integer<T: TryFrom<i64>>(value: &ValueRef<'_>, asked: &'static str) -> Result<T, ValueError> {
    let wide = match value {
        ValueRef::Int(number) => *number,
        ValueRef::Decimal(number) => {
            if !number.is_integer() {
                return Err(ValueError::Form(asked));
            }
            i64::try_from(*number).map_err(|_| ValueError::Form(asked))?
        }
        other => return Err(mismatch(other, asked)),
    };
    T::try_from(wide).map_err(|_| ValueError::Form(asked))
}

impl FromValue for i16 {
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        integer(&value, "i16")
    }
}

impl FromValue for i32 {
    #[inline]
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        integer(&value, "i32")
    }
}

impl FromValue for i64 {
    #[inline]
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        integer(&value, "i64")
    }
}

impl FromValue for bool {
    #[inline]
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Bool(truth) => Ok(truth),
            ValueRef::Int(0) => Ok(false),
            ValueRef::Int(1) => Ok(true),
            other => Err(mismatch(&other, "bool")),
        }
    }
}

impl FromValue for f64 {
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Float(number) => Ok(number),
            ValueRef::Decimal(number) => number.try_into().map_err(|_| ValueError::Form("f64")),
            other => Err(mismatch(&other, "f64")),
        }
    }
}

impl FromValue for f32 {
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "asking for f32 asks for its precision"
        )]
        let (wide, narrow) = f64::from_value(value).map(|number| (number, number as Self))?;
        if wide.is_finite() && narrow.is_infinite() {
            return Err(ValueError::Form("f32"));
        }
        Ok(narrow)
    }
}

impl FromValue for String {
    #[inline]
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        Ok(match value {
            ValueRef::Text(text) => text.into(),
            ValueRef::Uuid(uuid) => uuid.to_string(),
            ValueRef::DateTime(time) => format_datetime(&time),
            ValueRef::Date(date) => date.to_string(),
            ValueRef::Decimal(number) => number.to_string(),
            ValueRef::Json(json) => json.to_string(),
            other => return Err(mismatch(&other, "text")),
        })
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Bytes(bytes) => Ok(bytes.into()),
            other => Err(mismatch(&other, "bytes")),
        }
    }
}

impl FromValue for Uuid {
    #[inline]
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Uuid(uuid) => Ok(uuid),
            ValueRef::Text(text) => text.parse().map_err(|_| ValueError::Form("UUID")),
            other => Err(mismatch(&other, "a UUID")),
        }
    }
}

impl FromValue for DateTime<Utc> {
    #[inline]
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::DateTime(time) => Ok(time),
            ValueRef::Text(text) => parse_datetime(text).ok_or(ValueError::Form("point in time")),
            other => Err(mismatch(&other, "a point in time")),
        }
    }
}

impl FromValue for NaiveDate {
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Date(date) => Ok(date),
            ValueRef::Text(text) => text.parse().map_err(|_| ValueError::Form("date")),
            other => Err(mismatch(&other, "a date")),
        }
    }
}

impl FromValue for Decimal {
    #[inline]
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        let form = ValueError::Form("decimal number");
        match value {
            ValueRef::Decimal(number) => Ok(number),
            ValueRef::Int(number) => Ok(number.into()),
            ValueRef::Float(number) => number.try_into().map_err(|_| form),
            ValueRef::Text(text) => text.parse().map_err(|_| form),
            other => Err(mismatch(&other, "a decimal number")),
        }
    }
}

impl FromValue for serde_json::Value {
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Json(json) => Ok(json),
            ValueRef::Text(text) => {
                serde_json::from_str(text).map_err(|_| ValueError::Form("JSON document"))
            }
            other => Err(mismatch(&other, "a JSON document")),
        }
    }
}

/// The one text form of a point in time: it sorts as time does.
pub(crate) fn format_datetime(time: &DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn parse_datetime(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .or_else(|_| {
            // what SQLite's own CURRENT_TIMESTAMP writes
            chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
                .map(|time| time.and_utc())
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nul_is_refused_wherever_it_hides() {
        for value in [
            Value::from("a\0b"),
            Value::from(serde_json::json!({"a": ["\0"]})),
            Value::from(serde_json::json!({"\0": 1})),
        ] {
            assert!(
                matches!(value.check(), Err(DbError::NulInText)),
                "{value:?}"
            );
        }
        assert!(Value::from("plain").check().is_ok());
    }

    proptest! {
        #[test]
        fn the_text_of_a_time_reads_back_and_sorts_as_time(a in 0i64..4_102_444_800_000_000, b in 0i64..4_102_444_800_000_000) {
            let (a, b) = (DateTime::from_timestamp_micros(a).unwrap(), DateTime::from_timestamp_micros(b).unwrap());
            prop_assert_eq!(parse_datetime(&format_datetime(&a)), Some(a));
            prop_assert_eq!(format_datetime(&a).cmp(&format_datetime(&b)), a.cmp(&b));
        }
    }
}
