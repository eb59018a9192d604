//! Lists: filtered, ordered and cut into pages, in the database.
//!
//! A page ends with a cursor that says where the next one begins, by the last item's place in the
//! order. What is added or removed meanwhile neither repeats nor hides any other item.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use super::{Level, Resource, ResourceError};
use crate::{
    db::{TenantDb, Value},
    policy::{Node, Parent, Permissions},
};

/// What is asked of a list.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wanted {
    /// How many items at most: 1 to 200, and 50 unless told.
    pub limit: Option<u32>,
    /// Where the page begins: what an earlier one ended with.
    pub cursor: Option<String>,
    /// By what it is ordered, with a `-` before it for the other way round.
    pub order: Option<String>,
    /// A text that must occur in one of the columns that are searched, in whatever case. It has 200 characters
    /// at most.
    pub q: Option<String>,
    /// What else must be so, by the name of a [`FilterBy`].
    pub filters: Vec<(String, String)>,
}

impl Wanted {
    /// Reads it from the parameters of a query.
    ///
    /// # Errors
    /// When one is given twice, or the limit is no number.
    pub fn parse(parameters: Vec<(String, String)>) -> Result<Self, ResourceError> {
        let mut wanted = Self::default();
        let mut seen = Vec::new();
        // `?=` names nothing
        let named = parameters.into_iter().filter(|(name, _)| !name.is_empty());
        for (name, value) in named {
            if seen.contains(&name) {
                return Err(ResourceError::invalid(name, "is given twice"));
            }
            seen.push(name.clone());
            match name.as_str() {
                "limit" => {
                    let limit = value.parse();
                    let message = format!("must be a number from 1 to {MOST}");
                    wanted.limit =
                        Some(limit.map_err(|_| ResourceError::invalid("limit", message))?);
                }
                "cursor" => wanted.cursor = Some(value),
                "order" => wanted.order = Some(value),
                "q" => wanted.q = Some(value),
                _ => wanted.filters.push((name, value)),
            }
        }
        Ok(wanted)
    }
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// The cursor of the next one, if there is one.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The same page of other things.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(f).collect(),
            next: self.next,
        }
    }
}

/// A column that a list can be ordered by. It must not be NULL.
#[derive(Debug)]
pub struct OrderBy<T> {
    column: &'static str,
    key: fn(&T) -> Value,
    parse: Parse,
}

type Parse = fn(&str) -> Option<Value>;

impl<T> OrderBy<T> {
    /// A column of texts.
    pub const fn text(column: &'static str, key: fn(&T) -> Value) -> Self {
        Self::new(column, key, text)
    }

    /// A column of decimals.
    pub const fn decimal(column: &'static str, key: fn(&T) -> Value) -> Self {
        Self::new(column, key, decimal)
    }

    /// A column of integers.
    pub const fn long(column: &'static str, key: fn(&T) -> Value) -> Self {
        Self::new(column, key, long)
    }

    /// A column of points in time.
    pub const fn time(column: &'static str, key: fn(&T) -> Value) -> Self {
        Self::new(column, key, time)
    }

    /// A column of days.
    pub const fn date(column: &'static str, key: fn(&T) -> Value) -> Self {
        Self::new(column, key, date)
    }

    const fn new(column: &'static str, key: fn(&T) -> Value, parse: Parse) -> Self {
        Self { column, key, parse }
    }
}

/// Something that a list can be narrowed by: `?state=draft`.
#[derive(Debug)]
pub struct FilterBy {
    name: &'static str,
    column: &'static str,
    op: &'static str,
    parse: Parse,
}

impl FilterBy {
    /// A column of texts must be just that.
    #[must_use]
    pub const fn text(name: &'static str) -> Self {
        Self::new(name, text)
    }

    /// A column of UUIDs.
    #[must_use]
    pub const fn uuid(name: &'static str) -> Self {
        Self::new(name, |text| text.parse::<Uuid>().ok().map(Into::into))
    }

    /// A column of booleans.
    #[must_use]
    pub const fn boolean(name: &'static str) -> Self {
        Self::new(name, |text| text.parse::<bool>().ok().map(Into::into))
    }

    /// A column of decimals.
    #[must_use]
    pub const fn decimal(name: &'static str) -> Self {
        Self::new(name, decimal)
    }

    /// A column of days.
    #[must_use]
    pub const fn date(name: &'static str) -> Self {
        Self::new(name, date)
    }

    /// A column of points in time.
    #[must_use]
    pub const fn time(name: &'static str) -> Self {
        Self::new(name, time)
    }

    /// The column, where it is not called as the parameter is.
    #[must_use]
    pub const fn column(mut self, column: &'static str) -> Self {
        self.column = column;
        self
    }

    /// It may also be more.
    #[must_use]
    pub const fn at_least(mut self) -> Self {
        self.op = ">=";
        self
    }

    /// It may also be less.
    #[must_use]
    pub const fn at_most(mut self) -> Self {
        self.op = "<=";
        self
    }

    const fn new(name: &'static str, parse: Parse) -> Self {
        Self {
            name,
            column: name,
            op: "=",
            parse,
        }
    }
}

// no text has a NUL, and no database takes one
fn text(text: &str) -> Option<Value> {
    (!text.contains('\0')).then(|| text.into())
}

fn decimal(text: &str) -> Option<Value> {
    text.parse::<Decimal>().ok().map(Into::into)
}

fn long(text: &str) -> Option<Value> {
    text.parse::<i64>().ok().map(Into::into)
}

fn time(text: &str) -> Option<Value> {
    text.parse::<DateTime<Utc>>().ok().map(Into::into)
}

fn date(text: &str) -> Option<Value> {
    text.parse::<NaiveDate>().ok().map(Into::into)
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

/// How many characters may be searched for: a pattern is tried at each place of each text.
const MOST_SEARCHED: usize = 200;

/// How many items are wanted of a list.
///
/// # Errors
/// When it is more than a list gives at once, or none.
pub fn limit(wanted: Option<u32>) -> Result<u32, ResourceError> {
    let limit = wanted.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MOST).contains(&limit) {
        return Err(ResourceError::invalid(
            "limit",
            format!("must be from 1 to {MOST}"),
        ));
    }
    Ok(limit)
}

/// Reads a page of the objects in `parent` that whoever asks may look at: one statement, however
/// many there are.
///
/// # Errors
/// [`ResourceError::Refused`] when they may look at none; [`ResourceError::Invalid`] when what is
/// wanted makes no sense.
pub async fn page<R: Resource>(
    db: &TenantDb,
    permissions: &Permissions,
    parent: &<R::Parent as Parent>::Node,
    wanted: &Wanted,
) -> Result<Page<R>, ResourceError> {
    let readable = permissions.filter::<R>(parent)?;
    let tenant = *permissions.tenant().id().as_uuid();
    let limit = limit(wanted.limit)?;
    let (order, descending) = order_of::<R>(wanted)?;
    let order_name = format!("{}{}", if descending { "-" } else { "" }, order.column);
    let parent_id = R::Parent::id(parent);
    let list = match parent_id {
        Some(id) => format!("{}/{id}", R::TABLE),
        None => R::TABLE.to_owned(),
    };

    let mut conditions = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    if let Some(id) = parent_id {
        values.push(id.into());
        conditions.push(format!("{} = ${}", R::PARENT_COLUMN, values.len()));
    }
    if !readable.is_everything() {
        conditions.push(format!("({})", readable.write(&mut values)));
    }
    for (name, given) in &wanted.filters {
        let filter = R::FILTERS.iter().find(|filter| filter.name == name);
        let filter =
            filter.ok_or_else(|| ResourceError::invalid(name, "is nothing that can be asked"))?;
        let value = (filter.parse)(given)
            .ok_or_else(|| ResourceError::invalid(name, "cannot be such a value"))?;
        values.push(value);
        conditions.push(format!("{} {} ${}", filter.column, filter.op, values.len()));
    }
    if let Some(q) = wanted.q.as_deref().map(str::trim).filter(|q| !q.is_empty()) {
        if q.contains('\0') {
            let message = "must not contain a NUL character";
            return Err(ResourceError::invalid("q", message));
        }
        if R::SEARCHED.is_empty() {
            return Err(ResourceError::invalid("q", "is nothing that can be asked"));
        }
        if q.chars().count() > MOST_SEARCHED {
            let message = format!("must not be longer than {MOST_SEARCHED} characters");
            return Err(ResourceError::invalid("q", message));
        }
        values.push(format!("%{}%", escape_like(q)).into());
        let number = values.len();
        let any = R::SEARCHED
            .iter()
            .map(|column| format!("upper({column}) LIKE upper(${number}) ESCAPE '\\'"))
            .collect::<Vec<_>>()
            .join(" OR ");
        conditions.push(format!("({any})"));
    }
    if let Some(cursor) = wanted.cursor.as_deref() {
        let cursor = read_cursor(cursor)
            .filter(|cursor| {
                cursor.tenant == tenant && cursor.list == list && cursor.order == order_name
            })
            .and_then(|cursor| Some(((order.parse)(&cursor.key)?, cursor.id)));
        let Some((key, id)) = cursor else {
            let message = "is not one of this list and order";
            return Err(ResourceError::invalid("cursor", message));
        };
        values.extend([key, id.into()]);
        let (than, last) = (if descending { "<" } else { ">" }, values.len());
        let (column, before) = (order.column, last - 1);
        conditions.push(format!("({column}, id) {than} (${before}, ${last})"));
    }

    let mut sql = format!("SELECT {} FROM {}", R::COLUMNS, R::TABLE);
    if !conditions.is_empty() {
        sql = format!("{sql} WHERE {}", conditions.join(" AND "));
    }
    let direction = if descending { "DESC" } else { "ASC" };
    // one more than wanted tells whether there is a next page
    let sql = format!(
        "{sql} ORDER BY {} {direction}, id {direction} LIMIT {}",
        order.column,
        limit + 1
    );

    let query = db.query(&sql);
    let query = values
        .into_iter()
        .fold(query, |query, value| query.bind(value));
    let mut items: Vec<R> = query.all().await?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(|last| {
        write_cursor(&Cursor {
            tenant,
            list,
            order: order_name,
            key: key_text(&(order.key)(last)),
            id: last.id(),
        })
    });
    Ok(Page { items, next })
}

fn order_of<R: Resource>(wanted: &Wanted) -> Result<(&'static OrderBy<R>, bool), ResourceError> {
    let asked = wanted.order.as_deref();
    let asked = asked.or_else(|| R::ORDERS.first().map(|order| order.column));
    let asked = asked.unwrap_or_default();
    let (column, descending) = match asked.strip_prefix('-') {
        Some(column) => (column, true),
        None => (asked, false),
    };
    R::ORDERS
        .iter()
        .find(|order| order.column == column)
        .map(|order| (order, descending))
        .ok_or_else(|| {
            let columns: Vec<_> = R::ORDERS.iter().map(|order| order.column).collect();
            let message = format!(
                "must be one of {}, or one of them after a -",
                columns.join(", ")
            );
            ResourceError::invalid("order", message)
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
        Value::I16(number) => number.to_string(),
        Value::I32(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        Value::Date(date) => date.to_string(),
        Value::DateTime(time) => time.to_rfc3339_opts(SecondsFormat::Micros, true),
        _ => String::new(), // no order is made of anything else
    }
}

fn write_cursor(cursor: &Cursor) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::json!(cursor).to_string())
}

fn read_cursor(text: &str) -> Option<Cursor> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// An object as whoever asks may see it: without the fields that are guarded from them.
#[derive(Debug, Clone)]
pub struct Shown<R> {
    object: R,
    hidden: Vec<&'static str>,
}

impl<R: Resource> Shown<R> {
    /// As `permissions` let it be seen.
    pub fn to(node: Node<R>, permissions: &Permissions) -> Self {
        let hidden = R::GUARDED
            .iter()
            .filter(|(_, action)| !permissions.allows(action, &node))
            .map(|(field, _)| *field)
            .collect();
        Self {
            object: node.object,
            hidden,
        }
    }
}

impl<R: Serialize> Serialize for Shown<R> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.hidden.is_empty() {
            return self.object.serialize(to);
        }
        let mut value = serde_json::to_value(&self.object).map_err(serde::ser::Error::custom)?;
        match value.as_object_mut() {
            Some(fields) => fields.retain(|field, _| !self.hidden.contains(&field.as_str())),
            None => return Err(serde::ser::Error::custom("it has no fields to hide")),
        }
        value.serialize(to)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_of_every_width_are_read_back_from_cursors() {
        for (key, wanted) in [
            (Value::I16(i16::MIN), i64::from(i16::MIN)),
            (Value::I32(i32::MAX), i64::from(i32::MAX)),
            (Value::I64(i64::MIN), i64::MIN),
        ] {
            assert_eq!(long(&key_text(&key)), Some(Value::I64(wanted)), "{key:?}");
        }
    }

    proptest! {
        #[test]
        fn cursors_read_back_and_nonsense_is_refused(key in "\\PC{0,30}", noise in "\\PC{0,60}") {
            let cursor = Cursor { tenant: Uuid::nil(), list: "l".into(), order: "-o".into(), key: key.clone(), id: Uuid::max() };
            prop_assert_eq!(read_cursor(&write_cursor(&cursor)).map(|cursor| cursor.key), Some(key));
            prop_assert!(read_cursor(&noise).is_none());
        }
    }
}
