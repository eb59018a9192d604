//! What SQLite lacks of the SQL that both engines are to understand alike.

use std::{
    cmp::Ordering,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
};

use chrono::{DateTime, Utc};
use rusqlite::{
    Connection, Error, Result,
    functions::{Aggregate, Context, FunctionFlags},
    types::{ToSqlOutput, Value, ValueRef},
};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::db::value::format_datetime;

/// What `now()` is: as on PostgreSQL the same throughout a transaction, or a statement by itself.
#[derive(Clone, Default)]
pub(super) struct Clock(Arc<AtomicI64>);

impl Clock {
    pub(super) fn set(&self) {
        self.0.store(Utc::now().timestamp_micros(), Relaxed);
    }

    fn read(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Relaxed)).unwrap_or_default()
    }
}

pub(super) fn register(connection: &Connection, clock: &Clock) -> Result<()> {
    let volatile = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
    let pure = volatile | FunctionFlags::SQLITE_DETERMINISTIC;

    // SQLite's own CURRENT_TIMESTAMP is another text, and another order.
    for name in ["now", "current_timestamp"] {
        let clock = clock.clone();
        connection.create_scalar_function(name, 0, volatile, move |_| {
            Ok(format_datetime(&clock.read()))
        })?;
    }
    connection.create_scalar_function("gen_random_uuid", 0, volatile, |_| {
        Ok(Uuid::new_v4().to_string())
    })?;
    // SQLite's own know ASCII only.
    connection.create_scalar_function("lower", 1, pure, |context| {
        map_text(context, |c| single(c, c.to_lowercase()))
    })?;
    connection.create_scalar_function("upper", 1, pure, |context| {
        map_text(context, |c| single(c, c.to_uppercase()))
    })?;
    // SQLite's own turns text, in which decimals are kept, into floating point.
    connection.create_aggregate_function("sum", 1, pure, Sum)?;
    connection.create_collation("decimal", compare_decimals)
}

fn map_text(context: &Context<'_>, map: impl Fn(char) -> char) -> Result<ToSqlOutput<'static>> {
    Ok(ToSqlOutput::Owned(match context.get_raw(0) {
        ValueRef::Text(_) => Value::Text(context.get_raw(0).as_str()?.chars().map(map).collect()),
        ValueRef::Null => Value::Null,
        other => return Err(Error::InvalidFunctionParameterType(0, other.data_type())),
    }))
}

/// The letter's other case where that is one letter too. PostgreSQL knows no other: a `ß` stays,
/// and a sigma is the same wherever it stands in a word.
fn single(letter: char, mut other: impl Iterator<Item = char>) -> char {
    match (other.next(), other.next()) {
        (Some(other), None) => other,
        _ => letter,
    }
}

/// Orders decimals by value; what is no decimal comes after, by its bytes.
fn compare_decimals(a: &str, b: &str) -> Ordering {
    match (a.parse::<Decimal>(), b.parse::<Decimal>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

/// `sum` that stays exact over decimals.
struct Sum;

#[derive(Default)]
enum Total {
    #[default]
    Nothing,
    Int(i64),
    Float(f64),
    Decimal(Decimal),
}

impl Aggregate<Total, Value> for Sum {
    fn init(&self, _: &mut Context<'_>) -> Result<Total> {
        Ok(Total::Nothing)
    }

    fn step(&self, context: &mut Context<'_>, total: &mut Total) -> Result<()> {
        let overflow = || Error::UserFunctionError("integer overflow in sum".into());
        let next = match context.get_raw(0) {
            ValueRef::Null => return Ok(()),
            ValueRef::Integer(number) => Total::Int(number),
            ValueRef::Real(number) => Total::Float(number),
            ValueRef::Text(text) => std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse().ok())
                .map(Total::Decimal)
                .ok_or_else(|| Error::UserFunctionError("sum of text that is no number".into()))?,
            ValueRef::Blob(_) => {
                return Err(Error::UserFunctionError("sum of bytes".into()));
            }
        };
        *total = match (std::mem::take(total), next) {
            (Total::Nothing, next) => next,
            (Total::Int(a), Total::Int(b)) => Total::Int(a.checked_add(b).ok_or_else(overflow)?),
            (Total::Decimal(a), Total::Decimal(b)) => {
                Total::Decimal(a.checked_add(b).ok_or_else(overflow)?)
            }
            (Total::Decimal(a), Total::Int(b)) | (Total::Int(b), Total::Decimal(a)) => {
                Total::Decimal(a.checked_add(b.into()).ok_or_else(overflow)?)
            }
            (a, b) => Total::Float(a.as_f64() + b.as_f64()),
        };
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, total: Option<Total>) -> Result<Value> {
        Ok(match total.unwrap_or_default() {
            Total::Nothing => Value::Null,
            Total::Int(number) => Value::Integer(number),
            Total::Float(number) => Value::Real(number),
            Total::Decimal(number) => Value::Text(number.to_string()),
        })
    }
}

impl Total {
    #[expect(clippy::cast_precision_loss, reason = "one addend is floating point")]
    fn as_f64(&self) -> f64 {
        match self {
            Self::Nothing => 0.0,
            Self::Int(number) => *number as f64,
            Self::Float(number) => *number,
            Self::Decimal(number) => (*number).try_into().unwrap_or(f64::NAN),
        }
    }
}
