//! Values of statements built with sea-query.

use sea_query::Value as Built;

use super::{DbError, Value};

pub(super) fn convert(value: Built) -> Result<Value, DbError> {
    Ok(match value {
        Built::Bool(v) => v.into(),
        Built::TinyInt(v) => v.map(i16::from).into(),
        Built::SmallInt(v) => v.into(),
        Built::Int(v) => v.into(),
        Built::BigInt(v) => v.into(),
        Built::TinyUnsigned(v) => v.map(i16::from).into(),
        Built::SmallUnsigned(v) => v.map(i32::from).into(),
        Built::Unsigned(v) => v.map(i64::from).into(),
        // LIMIT and OFFSET come as this
        Built::BigUnsigned(v) => v
            .map(i64::try_from)
            .transpose()
            .map_err(|_| DbError::Datatype("a number above 2^63 - 1".into()))?
            .into(),
        Built::Float(v) => v.into(),
        Built::Double(v) => v.into(),
        Built::String(v) => v.into(),
        Built::Char(v) => v.map(String::from).into(),
        Built::Bytes(v) => v.into(),
        Built::Json(v) => v.map(|json| *json).into(),
        Built::ChronoDate(v) => v.into(),
        Built::ChronoDateTimeUtc(v) => v.into(),
        Built::ChronoDateTimeWithTimeZone(v) => v.map(|time| time.to_utc()).into(),
        Built::ChronoDateTimeLocal(v) => v.map(|time| time.to_utc()).into(),
        Built::Uuid(v) => v.into(),
        Built::Decimal(v) => v.into(),
        other => return Err(DbError::Datatype(format!("{other:?} cannot be bound"))),
    })
}
