//! One statement on one connection: binding, running, reading.

use std::ops::ControlFlow;

use rusqlite::{
    CachedStatement, ToSql,
    types::{Null, ToSqlOutput, ValueRef as SqliteRef},
};

use super::{
    connection::Conn,
    error::{is_interruption, translate},
};
use crate::db::{
    DbError, Row, Value, ValueRef,
    row::{RowInner, Seen},
    value::format_datetime,
};

/// Whether the statement can be tried on a connection that only reads.
///
/// It is a guess from the first word, so that reads need not queue for the writer; a reader that
/// finds the guess wrong says [`Attempt::NeedsWriter`] before it has done anything.
pub(super) fn looks_like_a_read(sql: &str) -> bool {
    let mut rest = sql.trim_start();
    loop {
        rest = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, rest)| rest)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, rest)| rest)
        } else {
            break;
        }
        .trim_start();
    }
    ["select", "with", "values"].iter().any(|word| {
        rest.get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    })
}

/// What came of running a statement on some connection.
pub(super) enum Attempt<R> {
    Done(R),
    NeedsWriter,
}

/// Runs a statement and hands each row to `each` until it breaks. The answer is the number of
/// rows returned, or else changed.
pub(super) fn run(
    conn: &Conn,
    only_read: bool,
    sql: &str,
    params: &[Value],
    mut each: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>, DbError>,
) -> Result<Attempt<u64>, DbError> {
    let timed = conn.timed();
    let mut statement = conn
        .raw()
        .prepare_cached(sql)
        .map_err(|error| match translate(error) {
            DbError::Denied(_) => DbError::Denied(first_words(sql)),
            other => other,
        })?;
    if only_read && !statement.readonly() {
        return Ok(Attempt::NeedsWriter);
    }
    bind(&mut statement, params)?;
    conn.set_clock();
    let returns_rows = statement.column_count() > 0;
    let (mut count, seen) = (0, Seen::default());
    let mut rows = statement.raw_query();
    let in_time = |error| match translate(error) {
        error if is_interruption(&error) && timed.is_over() => DbError::Timeout,
        error => error,
    };
    while let Some(row) = rows.next().map_err(in_time)? {
        count += 1;
        if each(&Row::new(RowInner::Sqlite(row), &seen))?.is_break() {
            break;
        }
    }
    drop(rows);
    Ok(Attempt::Done(if returns_rows {
        count
    } else {
        conn.raw().changes()
    }))
}

/// Whether the statement changes nothing.
pub(super) fn only_reads(conn: &Conn, sql: &str) -> bool {
    conn.raw()
        .prepare_cached(sql)
        .is_ok_and(|statement| statement.readonly())
}

fn first_words(sql: &str) -> String {
    sql.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn bind(statement: &mut CachedStatement<'_>, params: &[Value]) -> Result<(), DbError> {
    let expected = statement.parameter_count();
    let wrong = || DbError::Parameters {
        expected,
        given: params.len(),
    };
    if expected != params.len() {
        return Err(wrong());
    }
    for index in 1..=expected {
        // `$2` is a name to SQLite, and not necessarily its second parameter
        let number = match statement.parameter_name(index) {
            Some(name) => name
                .strip_prefix('$')
                .and_then(|number| number.parse::<usize>().ok())
                .ok_or_else(|| DbError::Statement(format!("parameter {name} is not like $1")))?,
            None => index,
        };
        let value = number
            .checked_sub(1)
            .and_then(|at| params.get(at))
            .ok_or_else(wrong)?;
        statement
            .raw_bind_parameter(index, Bound(value))
            .map_err(translate)?;
    }
    Ok(())
}

struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Null => Null.into(),
            Value::Bool(truth) => i64::from(*truth).into(),
            Value::I16(number) => i64::from(*number).into(),
            Value::I32(number) => i64::from(*number).into(),
            Value::I64(number) => (*number).into(),
            Value::F32(number) => f64::from(*number).into(),
            Value::F64(number) => (*number).into(),
            Value::Text(text) => ToSqlOutput::Borrowed(SqliteRef::Text(text.as_bytes())),
            Value::Bytes(bytes) => ToSqlOutput::Borrowed(SqliteRef::Blob(bytes)),
            Value::Uuid(uuid) => uuid.to_string().into(),
            Value::DateTime(time) => format_datetime(time).into(),
            Value::Date(date) => date.to_string().into(),
            Value::Decimal(number) => number.to_string().into(),
            Value::Json(json) => json.to_string().into(),
        })
    }
}

pub(crate) fn read_column<'a>(
    row: &'a rusqlite::Row<'_>,
    index: usize,
) -> Result<ValueRef<'a>, DbError> {
    let raw = row
        .get_ref(index)
        .map_err(|_| DbError::NoColumn(index.to_string()))?;
    Ok(match raw {
        SqliteRef::Null => ValueRef::Null,
        SqliteRef::Integer(number) => ValueRef::Int(number),
        SqliteRef::Real(number) => ValueRef::Float(number),
        SqliteRef::Text(text) => ValueRef::Text(
            std::str::from_utf8(text).map_err(|error| DbError::Engine(Box::new(error)))?,
        ),
        SqliteRef::Blob(bytes) => ValueRef::Bytes(bytes),
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use chrono::{DateTime, NaiveDate, Utc};
    use proptest::prelude::*;
    use rusqlite::Connection;
    use rust_decimal::Decimal;
    use uuid::Uuid;

    use super::{Bound, looks_like_a_read, read_column};
    use crate::db::{FromValue, Value};

    #[test]
    fn reads_are_guessed_by_their_first_word() {
        for read in [
            "SELECT 1",
            "\n -- why\n/* x */ with a AS (SELECT 1) SELECT 1",
            "values (1)",
        ] {
            assert!(looks_like_a_read(read), "{read}");
        }
        for write in ["INSERT INTO a VALUES (1)", "-- SELECT", "/*", "", "é"] {
            assert!(!looks_like_a_read(write), "{write}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_guessed_at(sql in "\\PC*|(--|/\\*|\\*/|\n| |é|select|with)*") {
            looks_like_a_read(&sql);
        }

        #[test]
        fn plain_writes_are_never_tried_on_a_reader(
            before in "( |\n|-- select\n|/\\* select \\*/){0,4}",
            write in "(?i:insert|update|delete|replace|create|drop|alter|pragma|begin)",
            after in "[ (].{0,20}",
        ) {
            let sql = format!("{before}{write}{after}");
            prop_assert!(!looks_like_a_read(&sql));
        }

        #[test]
        fn values_come_out_as_they_went_in(
            truth: bool, short: i16, int: i32, long: i64, text in "[^\0]*", bytes: Vec<u8>,
            real in proptest::num::f32::ANY, double in proptest::num::f64::ANY, id: u128,
            micros in -62_135_596_800_000_000i64..253_402_300_800_000_000, days in 1i32..3_652_059,
            low: u32, mid: u32, high: u32, negative: bool, scale in 0u32..=28,
        ) {
            let connection = Connection::open_in_memory().unwrap();
            let there_and_back = Trip(&connection);
            there_and_back.of(truth);
            there_and_back.of(short);
            there_and_back.of(int);
            there_and_back.of(long);
            there_and_back.of(text);
            there_and_back.of(bytes);
            if !real.is_nan() {
                there_and_back.of(real);
            }
            if !double.is_nan() {
                there_and_back.of(double);
            }
            there_and_back.of(Uuid::from_u128(id));
            there_and_back.of::<DateTime<Utc>>(DateTime::from_timestamp_micros(micros).unwrap());
            there_and_back.of(NaiveDate::from_num_days_from_ce_opt(days).unwrap());
            there_and_back.of(Decimal::from_parts(low, mid, high, negative, scale));
        }
    }

    struct Trip<'c>(&'c Connection);

    impl Trip<'_> {
        fn of<T: Into<Value> + FromValue + Clone + PartialEq + Debug>(&self, given: T) {
            let value: Value = given.clone().into();
            value.check().unwrap();
            let mut statement = self.0.prepare_cached("SELECT $1").unwrap();
            let mut rows = statement.query([Bound(&value)]).unwrap();
            let row = rows.next().unwrap().unwrap();
            let read = T::from_value(read_column(row, 0).unwrap()).unwrap();
            assert_eq!(read, given);
        }
    }
}
