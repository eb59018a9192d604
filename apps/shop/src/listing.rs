//! Lists: filtered, ordered and cut into pages, in the database.
//!
//! A page ends with a cursor that says where the next one begins, by the last item's place in the
//! order. What is added or removed meanwhile neither repeats nor hides any other item.

use std::fmt::Write;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tenantry::{
    Tenant,
    db::{FromRow, TenantDb, Value},
    routing::Problem,
};
use uuid::Uuid;

/// What a client may ask of a list.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) limit: Option<u32>,
    pub(crate) cursor: Option<String>,
    pub(crate) order: Option<String>,
    pub(crate) q: Option<String>,
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next: Option<String>,
}

/// A table that can be listed.
pub(crate) trait Listed: FromRow + Send + Sized + 'static {
    const TABLE: &'static str;
    const COLUMNS: &'static str;
    /// Columns in which `q` is looked for.
    const SEARCHED: &'static [&'static str];
    /// What it can be ordered by; the first unless told.
    const ORDERS: &'static [OrderBy<Self>];

    fn id(&self) -> Uuid;
}

/// A column that a list can be ordered by.
pub(crate) struct OrderBy<T> {
    column: &'static str,
    key: fn(&T) -> Value,
    parse: fn(&str) -> Option<Value>,
}

impl<T> OrderBy<T> {
    pub(crate) const fn text(column: &'static str, key: fn(&T) -> Value) -> Self {
        Self {
            column,
            key,
            // no text has it, and no database takes it
            parse: |text| (!text.contains('\0')).then(|| text.into()),
        }
    }

    pub(crate) const fn decimal(column: &'static str, key: fn(&T) -> Value) -> Self {
        Self {
            column,
            key,
            parse: |text| text.parse::<Decimal>().ok().map(Into::into),
        }
    }

    pub(crate) const fn time(column: &'static str, key: fn(&T) -> Value) -> Self {
        Self {
            column,
            key,
            parse: |text| text.parse::<DateTime<Utc>>().ok().map(Into::into),
        }
    }
}

/// Where a page ended. It is good for one tenant, list and order.
#[derive(Serialize, Deserialize)]
struct Cursor {
    tenant: Uuid,
    list: String,
    order: String,
    key: String,
    id: Uuid,
}

const DEFAULT_LIMIT: u32 = 50;
const MOST: u32 = 200;

/// How many items are wanted of a list.
pub(crate) fn limit(wanted: Option<u32>) -> Result<u32, Problem> {
    let limit = wanted.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::invalid_field(
            "limit",
            format!("must be from 1 to {MOST}"),
        ));
    }
    Ok(limit)
}

/// Reads a page.
pub(crate) async fn page<T: Listed>(
    tenant: &Tenant,
    db: &TenantDb,
    wanted: &Wanted,
) -> Result<Page<T>, Problem> {
    let limit = limit(wanted.limit)?;
    let (order, descending) = order_of::<T>(wanted)?;
    let order_name = format!("{}{}", if descending { "-" } else { "" }, order.column);

    let mut conditions = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    if let Some(q) = wanted.q.as_deref().map(str::trim).filter(|q| !q.is_empty()) {
        if q.contains('\0') {
            return Err(Problem::invalid_field(
                "q",
                "must not contain a NUL character",
            ));
        }
        values.push(format!("%{}%", escape_like(q)).into());
        let number = values.len();
        let any = T::SEARCHED
            .iter()
            .map(|column| format!("upper({column}) LIKE upper(${number}) ESCAPE '\\'"))
            .collect::<Vec<_>>()
            .join(" OR ");
        conditions.push(format!("({any})"));
    }
    if let Some(cursor) = wanted.cursor.as_deref() {
        let cursor = read_cursor(cursor)
            .filter(|cursor| {
                cursor.tenant == *tenant.id().as_uuid()
                    && cursor.list == T::TABLE
                    && cursor.order == order_name
            })
            .and_then(|cursor| Some(((order.parse)(&cursor.key)?, cursor.id)));
        let Some((key, id)) = cursor else {
            return Err(Problem::invalid_field(
                "cursor",
                "is not one of this list and order",
            ));
        };
        values.extend([key, id.into()]);
        let (column, than, last) = (
            order.column,
            if descending { "<" } else { ">" },
            values.len(),
        );
        conditions.push(format!("({column}, id) {than} (${}, ${last})", last - 1));
    }

    let mut sql = format!("SELECT {} FROM {}", T::COLUMNS, T::TABLE);
    if !conditions.is_empty() {
        let _ = write!(sql, " WHERE {}", conditions.join(" AND "));
    }
    let direction = if descending { "DESC" } else { "ASC" };
    // one more than wanted tells whether there is a next page
    let _ = write!(
        sql,
        " ORDER BY {} {direction}, id {direction} LIMIT {}",
        order.column,
        limit + 1
    );

    let mut query = db.query(&sql);
    for value in values {
        query = query.bind(value);
    }
    let mut items: Vec<T> = query.all().await?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(|last| {
        write_cursor(&Cursor {
            tenant: *tenant.id().as_uuid(),
            list: T::TABLE.into(),
            order: order_name,
            key: key_text(&(order.key)(last)),
            id: last.id(),
        })
    });
    Ok(Page { items, next })
}

fn order_of<T: Listed>(wanted: &Wanted) -> Result<(&'static OrderBy<T>, bool), Problem> {
    let asked = wanted.order.as_deref().unwrap_or(T::ORDERS[0].column);
    let (column, descending) = match asked.strip_prefix('-') {
        Some(column) => (column, true),
        None => (asked, false),
    };
    T::ORDERS
        .iter()
        .find(|order| order.column == column)
        .map(|order| (order, descending))
        .ok_or_else(|| {
            let columns: Vec<_> = T::ORDERS.iter().map(|order| order.column).collect();
            let message = format!(
                "must be one of {}, or one of them after a -",
                columns.join(", ")
            );
            Problem::invalid_field("order", message)
        })
}

fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_")
}

fn key_text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Decimal(number) => number.to_string(),
        Value::DateTime(time) => time.to_rfc3339(),
        _ => String::new(), // no order is made of anything else
    }
}

fn write_cursor(cursor: &Cursor) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::json!(cursor).to_string())
}

fn read_cursor(text: &str) -> Option<Cursor> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursors_read_back_and_nonsense_is_refused(key in "\\PC{0,30}", noise in "\\PC{0,60}") {
            let cursor = Cursor { tenant: Uuid::nil(), list: "l".into(), order: "-o".into(), key: key.clone(), id: Uuid::max() };
            prop_assert_eq!(read_cursor(&write_cursor(&cursor)).map(|cursor| cursor.key), Some(key));
            prop_assert!(read_cursor(&noise).is_none());
        }
    }
}
