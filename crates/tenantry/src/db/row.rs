use std::{cell::Cell, ptr};

use super::{DbError, FromValue, ValueError, ValueRef};

/// One row of an answer, while it is being read.
#[derive(Debug)]
pub struct Row<'a> {
    inner: RowInner<'a>,
    seen: &'a Seen,
}

#[derive(Debug)]
pub(crate) enum RowInner<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

/// Which fields were found to stand in which column of an answer, so that its further rows need not be
/// asked for their columns' names again.
#[derive(Debug, Default)]
pub(crate) struct Seen([Cell<Option<&'static str>>; 16]);

impl Seen {
    /// Whether that very text was found to be the column's name.
    fn has(&self, index: usize, name: &'static str) -> bool {
        let seen = self.0.get(index).and_then(Cell::get);
        seen.is_some_and(|seen| ptr::eq(seen, name))
    }

    fn note(&self, index: usize, name: &'static str) {
        if let Some(seen) = self.0.get(index) {
            seen.set(Some(name));
        }
    }
}

impl<'a> Row<'a> {
    /// A row of the answer of which that was seen.
    pub(crate) fn new(inner: RowInner<'a>, seen: &'a Seen) -> Self {
        Self { inner, seen }
    }
}

impl Row<'_> {
    /// The column called `name`.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be read as a `T`.
    pub fn get<T: FromValue>(&self, name: &str) -> Result<T, DbError> {
        self.at(self.index_of(name)?)
    }

    /// The column at `index`, counted from zero.
    ///
    /// # Errors
    /// When there are fewer columns, or it cannot be read as a `T`.
    #[inline]
    pub fn at<T: FromValue>(&self, index: usize) -> Result<T, DbError> {
        T::from_value(self.value(index)?).map_err(|source| self.is_wrong(index, source))
    }

    #[cold]
    fn is_wrong(&self, index: usize, source: ValueError) -> DbError {
        DbError::Decode {
            column: self.name(index).unwrap_or("?").into(),
            source,
        }
    }

    /// The column called `name`, looked for at `hint` first. Used by the `FromRow` derive, whose
    /// fields mostly stand in the order of the columns.
    #[doc(hidden)]
    #[inline]
    pub fn field<T: FromValue>(&self, hint: usize, name: &'static str) -> Result<T, DbError> {
        if self.seen.has(hint, name) {
            return self.at(hint);
        }
        if self.name(hint) == Some(name) {
            self.seen.note(hint, name);
            return self.at(hint);
        }
        self.get(name)
    }

    fn index_of(&self, name: &str) -> Result<usize, DbError> {
        (0..self.len())
            .find(|index| self.name(*index) == Some(name))
            .ok_or_else(|| DbError::NoColumn(name.into()))
    }

    fn len(&self) -> usize {
        match &self.inner {
            RowInner::Sqlite(row) => row.as_ref().column_count(),
            RowInner::Postgres(row) => row.len(),
        }
    }

    fn name(&self, index: usize) -> Option<&str> {
        match &self.inner {
            RowInner::Sqlite(row) => row.as_ref().column_name(index).ok(),
            RowInner::Postgres(row) => row.columns().get(index).map(|column| column.name()),
        }
    }

    #[inline]
    fn value(&self, index: usize) -> Result<ValueRef<'_>, DbError> {
        match &self.inner {
            RowInner::Sqlite(row) => super::sqlite::read_column(row, index),
            RowInner::Postgres(row) => super::postgres::read_column(row, index),
        }
    }
}

/// A type that a row can be read as; derive it for a struct whose fields are named like columns.
///
/// ```
/// use tenantry::db::FromRow;
///
/// #[derive(FromRow)]
/// struct Product {
///     id: uuid::Uuid,
///     name: String,
///     #[row(rename = "price_cents")]
///     price: i64,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a row",
    note = "derive it: #[derive(FromRow)]; for a single column use .scalar(), for several a tuple"
)]
pub trait FromRow: Sized {
    /// Reads `row` as this type.
    ///
    /// # Errors
    /// When a column is missing or cannot be read as its field's type.
    fn from_row(row: &Row<'_>) -> Result<Self, DbError>;
}

macro_rules! from_row_for_tuples {
    ($($name:ident $index:tt),+) => {
        impl<$($name: FromValue),+> FromRow for ($($name,)+) {
            fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
                Ok(($(row.at::<$name>($index)?,)+))
            }
        }
    };
}

from_row_for_tuples!(A 0);
from_row_for_tuples!(A 0, B 1);
from_row_for_tuples!(A 0, B 1, C 2);
from_row_for_tuples!(A 0, B 1, C 2, D 3);
from_row_for_tuples!(A 0, B 1, C 2, D 3, E 4);
from_row_for_tuples!(A 0, B 1, C 2, D 3, E 4, F 5);
from_row_for_tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
from_row_for_tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

/// A row of columns that are not known before: for those who look at a database by hand.
#[derive(Debug, Clone, PartialEq)]
pub struct AnyRow {
    /// The columns' names, in order. Two may be the same.
    pub columns: Vec<String>,
    /// Their values. Bytes are an object with their hexadecimal form, as in an archive.
    pub values: Vec<serde_json::Value>,
}

impl FromRow for AnyRow {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        let columns = (0..row.len()).map(|at| row.name(at).unwrap_or("?").to_owned());
        let values = (0..row.len()).map(|at| {
            row.at::<super::transfer::Cell>(at)
                .map(|cell| cell.to_json())
        });
        Ok(Self {
            columns: columns.collect(),
            values: values.collect::<Result<_, _>>()?,
        })
    }
}

/// Reads nothing: for statements that are run for their effect.
pub(crate) struct Ignored;

impl FromRow for Ignored {
    fn from_row(_: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self)
    }
}
