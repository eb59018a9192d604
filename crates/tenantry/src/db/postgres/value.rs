//! Values on their way to PostgreSQL and back, in its binary form.

use std::error::Error;

use bytes::BytesMut;
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use rust_decimal::Decimal;
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::db::{DbError, FromValue, Value, ValueError, ValueRef};

/// A value that the statement's parameter cannot take.
#[derive(Debug, thiserror::Error)]
#[error("{value} cannot be bound to a parameter of type {wanted}")]
pub(super) struct WrongValue {
    value: String,
    wanted: Type,
}

/// A bound value, encoded as the type that the server has inferred for its parameter.
#[derive(Debug)]
pub(super) struct Bound<'a>(pub(super) &'a Value);

type Encoded = Result<IsNull, Box<dyn Error + Sync + Send>>;

impl ToSql for Bound<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Encoded {
        let wrong = || -> Box<dyn Error + Sync + Send> {
            Box::new(WrongValue {
                value: kind(self.0).into(),
                wanted: ty.clone(),
            })
        };
        if let Kind::Domain(inner) = ty.kind() {
            return self.to_sql(inner, out);
        }
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Bool(truth) => match *ty {
                Type::BOOL => truth.to_sql(ty, out),
                _ => Err(wrong()),
            },
            Value::I16(number) => integer(i64::from(*number), ty, out, wrong),
            Value::I32(number) => integer(i64::from(*number), ty, out, wrong),
            Value::I64(number) => integer(*number, ty, out, wrong),
            Value::F32(number) => match *ty {
                Type::FLOAT4 => number.to_sql(ty, out),
                Type::FLOAT8 => f64::from(*number).to_sql(ty, out),
                _ => Err(wrong()),
            },
            Value::F64(number) => match *ty {
                Type::FLOAT8 => number.to_sql(ty, out),
                _ => Err(wrong()),
            },
            Value::Text(text) => words(text, ty, out, wrong),
            Value::Bytes(bytes) => match *ty {
                Type::BYTEA => bytes.to_sql(ty, out),
                _ => Err(wrong()),
            },
            Value::Uuid(uuid) => match *ty {
                Type::UUID => uuid.to_sql(ty, out),
                _ if is_text(ty) => uuid.to_string().to_sql(&Type::TEXT, out),
                _ => Err(wrong()),
            },
            Value::DateTime(time) => match *ty {
                Type::TIMESTAMPTZ => time.to_sql(ty, out),
                Type::TIMESTAMP => time.naive_utc().to_sql(ty, out),
                _ => Err(wrong()),
            },
            Value::Date(date) => match *ty {
                Type::DATE => date.to_sql(ty, out),
                _ => Err(wrong()),
            },
            Value::Decimal(number) => match *ty {
                Type::NUMERIC => number.to_sql(ty, out),
                _ => Err(wrong()),
            },
            Value::Json(json) => match *ty {
                Type::JSON | Type::JSONB => json.to_sql(ty, out),
                _ => Err(wrong()),
            },
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    /// What the server makes of an unknown it can only read in the form of text.
    fn encode_format(&self, ty: &Type) -> Format {
        match *ty {
            Type::UNKNOWN => Format::Text,
            _ => Format::Binary,
        }
    }

    to_sql_checked!();
}

fn integer(
    number: i64,
    ty: &Type,
    out: &mut BytesMut,
    wrong: impl Fn() -> Box<dyn Error + Sync + Send>,
) -> Encoded {
    match *ty {
        Type::INT8 => number.to_sql(ty, out),
        Type::INT4 => i32::try_from(number).map_err(|_| wrong())?.to_sql(ty, out),
        Type::INT2 => i16::try_from(number).map_err(|_| wrong())?.to_sql(ty, out),
        Type::NUMERIC => Decimal::from(number).to_sql(ty, out),
        _ => Err(wrong()),
    }
}

/// Text can be bound to whatever has a text form, as a literal in quotes could stand there.
fn words(
    text: &str,
    ty: &Type,
    out: &mut BytesMut,
    wrong: impl Fn() -> Box<dyn Error + Sync + Send>,
) -> Encoded {
    fn parsed<T: FromValue + ToSql>(text: &str, ty: &Type, out: &mut BytesMut) -> Option<Encoded> {
        let value = T::from_value(ValueRef::Text(text)).ok()?;
        Some(value.to_sql(ty, out))
    }
    match *ty {
        Type::UUID => parsed::<Uuid>(text, ty, out),
        Type::TIMESTAMPTZ => parsed::<DateTime<Utc>>(text, ty, out),
        Type::DATE => parsed::<NaiveDate>(text, ty, out),
        Type::NUMERIC => parsed::<Decimal>(text, ty, out),
        Type::JSON | Type::JSONB => parsed::<serde_json::Value>(text, ty, out),
        _ if is_text(ty) => Some(text.to_sql(&Type::TEXT, out)),
        _ => None,
    }
    .unwrap_or_else(|| Err(wrong()))
}

fn is_text(ty: &Type) -> bool {
    matches!(
        *ty,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN
    ) || ty.name() == "citext"
        || matches!(ty.kind(), Kind::Enum(_))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "NULL",
        Value::Bool(_) => "a boolean",
        Value::I16(_) | Value::I32(_) | Value::I64(_) => "an integer",
        Value::F32(_) | Value::F64(_) => "a floating-point number",
        Value::Text(_) => "text",
        Value::Bytes(_) => "bytes",
        Value::Uuid(_) => "a UUID",
        Value::DateTime(_) => "a point in time",
        Value::Date(_) => "a date",
        Value::Decimal(_) => "a decimal number",
        Value::Json(_) => "a JSON document",
    }
}

/// The type to tell the server for a value, where no statement is prepared that could infer it.
pub(super) fn type_of(value: &Value) -> Type {
    match value {
        Value::Bool(_) => Type::BOOL,
        Value::I16(_) => Type::INT2,
        Value::I32(_) => Type::INT4,
        Value::I64(_) => Type::INT8,
        Value::F32(_) => Type::FLOAT4,
        Value::F64(_) => Type::FLOAT8,
        // as a literal in quotes: it becomes what stands there
        Value::Null | Value::Text(_) => Type::UNKNOWN,
        Value::Bytes(_) => Type::BYTEA,
        Value::Uuid(_) => Type::UUID,
        Value::DateTime(_) => Type::TIMESTAMPTZ,
        Value::Date(_) => Type::DATE,
        Value::Decimal(_) => Type::NUMERIC,
        Value::Json(_) => Type::JSONB,
    }
}

#[inline]
pub(crate) fn read_column(
    row: &tokio_postgres::Row,
    index: usize,
) -> Result<ValueRef<'_>, DbError> {
    match row.try_get::<_, Option<Read<'_>>>(index) {
        Ok(Some(Read(value))) => Ok(value),
        Ok(None) => Ok(ValueRef::Null),
        Err(_) => Err(unreadable(row, index)),
    }
}

#[cold]
fn unreadable(row: &tokio_postgres::Row, index: usize) -> DbError {
    match row.columns().get(index) {
        None => DbError::NoColumn(index.to_string()),
        Some(column) => DbError::Decode {
            column: column.name().into(),
            source: ValueError::Form("value of its type"),
        },
    }
}

/// A column, whatever its type.
struct Read<'a>(ValueRef<'a>);

impl<'a> FromSql<'a> for Read<'a> {
    #[inline]
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        decode(ty, raw).map(Self)
    }

    #[inline]
    fn accepts(_: &Type) -> bool {
        true
    }
}

/// What is read most, for it to become a part of whatever reads it; the others by
/// [`decode_other`].
#[inline]
fn decode<'a>(ty: &Type, raw: &'a [u8]) -> Result<ValueRef<'a>, Box<dyn Error + Sync + Send>> {
    Ok(match *ty {
        Type::TEXT | Type::VARCHAR => ValueRef::Text(std::str::from_utf8(raw)?),
        Type::BOOL => ValueRef::Bool(bool::from_sql(ty, raw)?),
        Type::INT4 => ValueRef::Int(i32::from_sql(ty, raw)?.into()),
        Type::INT8 => ValueRef::Int(i64::from_sql(ty, raw)?),
        Type::UUID => ValueRef::Uuid(Uuid::from_sql(ty, raw)?),
        Type::TIMESTAMPTZ => ValueRef::DateTime(DateTime::from_sql(ty, raw)?),
        Type::NUMERIC => ValueRef::Decimal(Decimal::from_sql(ty, raw)?),
        _ => return decode_other(ty, raw),
    })
}

#[inline(never)]
fn decode_other<'a>(
    ty: &Type,
    raw: &'a [u8],
) -> Result<ValueRef<'a>, Box<dyn Error + Sync + Send>> {
    Ok(match *ty {
        Type::INT2 => ValueRef::Int(i16::from_sql(ty, raw)?.into()),
        Type::OID => ValueRef::Int(u32::from_sql(ty, raw)?.into()),
        Type::FLOAT4 => ValueRef::Float(f32::from_sql(ty, raw)?.into()),
        Type::FLOAT8 => ValueRef::Float(f64::from_sql(ty, raw)?),
        Type::BYTEA => ValueRef::Bytes(raw),
        Type::TIMESTAMP => ValueRef::DateTime(NaiveDateTime::from_sql(ty, raw)?.and_utc()),
        Type::DATE => ValueRef::Date(NaiveDate::from_sql(ty, raw)?),
        Type::JSON | Type::JSONB => ValueRef::Json(serde_json::Value::from_sql(ty, raw)?),
        Type::VOID => ValueRef::Null,
        _ => match ty.kind() {
            Kind::Domain(inner) => return decode(inner, raw),
            _ if is_text(ty) => ValueRef::Text(std::str::from_utf8(raw)?),
            _ => return Err(format!("columns of type {ty} cannot be read").into()),
        },
    })
}
