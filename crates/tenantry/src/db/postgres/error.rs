use std::fmt;

use tokio_postgres::{Error, error::SqlState};

use crate::db::{DbError, Violation};

/// Says in the library's words what PostgreSQL says in its own.
pub(crate) fn translate(error: Error) -> DbError {
    let Some(db) = error.as_db_error() else {
        return match std::error::Error::source(&error) {
            Some(source) if source.is::<super::value::WrongValue>() => {
                DbError::Datatype(source.to_string())
            }
            // whatever is not the server's word is the connection's end
            _ => DbError::Unavailable(said(error)),
        };
    };
    let message = || db.message().to_owned();
    let table = || db.table().unwrap_or_default().to_owned();
    let code = db.code();
    match *code {
        SqlState::UNIQUE_VIOLATION => DbError::Unique(Violation {
            table: table(),
            columns: key_columns(db.detail().unwrap_or_default()),
            constraint: db.constraint().map(Into::into),
        }),
        SqlState::FOREIGN_KEY_VIOLATION | SqlState::RESTRICT_VIOLATION => DbError::ForeignKey,
        SqlState::NOT_NULL_VIOLATION => DbError::NotNull(Violation {
            table: table(),
            columns: db.column().map(Into::into).into_iter().collect(),
            constraint: None,
        }),
        SqlState::CHECK_VIOLATION => DbError::Check(db.constraint().unwrap_or_default().into()),
        SqlState::CHARACTER_NOT_IN_REPERTOIRE | SqlState::UNTRANSLATABLE_CHARACTER => {
            DbError::NulInText
        }
        SqlState::INSUFFICIENT_PRIVILEGE => DbError::Denied(message()),
        SqlState::IN_FAILED_SQL_TRANSACTION => DbError::Aborted,
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::LOCK_NOT_AVAILABLE => DbError::Busy,
        SqlState::QUERY_CANCELED => DbError::Timeout,
        SqlState::DISK_FULL => DbError::Full,
        SqlState::INVALID_CATALOG_NAME | SqlState::INVALID_SCHEMA_NAME => {
            DbError::Missing(message())
        }
        SqlState::TOO_MANY_CONNECTIONS
        | SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW => DbError::Unavailable(said(error)),
        _ => match code.code().get(..2) {
            Some("08") => DbError::Unavailable(said(error)),
            Some("22") => DbError::Datatype(message()),
            Some("42") => DbError::Statement(message()),
            _ => DbError::Engine(said(error)),
        },
    }
}

/// The driver's error, which by itself says no more than that there is one, with what it is about.
#[derive(Debug)]
struct Said(Error);

fn said(error: Error) -> Box<dyn std::error::Error + Send + Sync> {
    Box::new(Said(error))
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_db_error() {
            Some(db) => f.write_str(db.message()),
            None => match std::error::Error::source(&self.0) {
                Some(source) => write!(f, "{}: {source}", self.0),
                None => self.0.fmt(f),
            },
        }
    }
}

impl std::error::Error for Said {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Whether the statement was prepared when the tables were different, or by a session that is
/// gone: prepared anew it can be tried again.
pub(super) fn is_stale(error: &Error) -> bool {
    error.as_db_error().is_some_and(|db| {
        let prepared_before =
            *db.code() == SqlState::FEATURE_NOT_SUPPORTED && db.message().contains("cached plan");
        prepared_before || *db.code() == SqlState::INVALID_SQL_STATEMENT_NAME
    })
}

/// `Key (shelf, code)=(1, mug) already exists.`, taken apart. Row-level security hides it.
fn key_columns(detail: &str) -> Vec<String> {
    detail
        .strip_prefix("Key (")
        .and_then(|rest| rest.split_once(")=("))
        .map(|(columns, _)| {
            columns
                .split(", ")
                .map(|column| column.trim_matches('"').to_owned())
                .collect()
        })
        .unwrap_or_default()
}
