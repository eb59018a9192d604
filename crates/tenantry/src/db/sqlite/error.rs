use std::io;

use rusqlite::{Error, ErrorCode, ffi};

use super::ddl::TYPE_CHECK;
use crate::db::{DbError, error::Violation};

/// Says in the library's words what SQLite says in its own.
pub(crate) fn translate(error: Error) -> DbError {
    let (code, message) = match &error {
        Error::SqliteFailure(failure, message) => (*failure, message.clone().unwrap_or_default()),
        Error::SqlInputError { error, msg, .. } => (*error, msg.clone()),
        Error::QueryReturnedNoRows => return DbError::NotFound,
        Error::MultipleStatement => return DbError::Statement("more than one statement".into()),
        Error::InvalidParameterName(name) => {
            return DbError::Statement(format!("parameter {name}"));
        }
        _ => return DbError::Engine(Box::new(error)),
    };
    match code.extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID => return DbError::Unique(violation(&message)),
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => return DbError::ForeignKey,
        // ON DELETE RESTRICT is a trigger to SQLite; others are the application's own
        ffi::SQLITE_CONSTRAINT_TRIGGER if message == "FOREIGN KEY constraint failed" => {
            return DbError::ForeignKey;
        }
        ffi::SQLITE_CONSTRAINT_TRIGGER => return DbError::Check(message),
        ffi::SQLITE_CONSTRAINT_NOTNULL => return DbError::NotNull(violation(&message)),
        ffi::SQLITE_CONSTRAINT_CHECK => {
            let check = detail(&message);
            return match check.strip_prefix(TYPE_CHECK) {
                Some(what) => DbError::Datatype(what.into()),
                None => DbError::Check(check.into()),
            };
        }
        ffi::SQLITE_CONSTRAINT_DATATYPE => return DbError::Datatype(message),
        _ => {}
    }
    match code.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => DbError::Busy,
        ErrorCode::DiskFull => DbError::Full,
        ErrorCode::AuthorizationForStatementDenied => DbError::Denied(message),
        ErrorCode::CannotOpen => DbError::Missing(message),
        ErrorCode::TypeMismatch => DbError::Datatype(message),
        // what has no code of its own: a function that the authorizer denies, the engine's tables
        ErrorCode::Unknown
            if message.starts_with("not authorized")
                || message.ends_with("may not be modified") =>
        {
            DbError::Denied(message)
        }
        ErrorCode::Unknown => DbError::Statement(message),
        // nothing but blanks and comments
        ErrorCode::ApiMisuse => DbError::Statement("there is no statement".into()),
        _ => DbError::Engine(Box::new(error)),
    }
}

/// Says in the library's words why a file cannot be read or written.
pub(crate) fn failed(error: io::Error) -> DbError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DbError::Full,
        _ => DbError::Engine(Box::new(error)),
    }
}

/// Whether a statement was interrupted, as it is when nobody waits for it any more.
pub(super) fn is_interruption(error: &DbError) -> bool {
    let DbError::Engine(source) = error else {
        return false;
    };
    source
        .downcast_ref::<Error>()
        .and_then(Error::sqlite_error_code)
        == Some(ErrorCode::OperationInterrupted)
}

/// `UNIQUE constraint failed: products.shelf, products.code`, taken apart.
fn violation(message: &str) -> Violation {
    let mut table = String::new();
    let mut columns = Vec::new();
    for part in detail(message).split(", ") {
        if let Some((of, column)) = part.split_once('.') {
            table = of.into();
            columns.push(column.into());
        }
    }
    Violation {
        table,
        columns,
        constraint: None,
    }
}

fn detail(message: &str) -> &str {
    message
        .split_once("constraint failed: ")
        .map_or(message, |(_, detail)| detail)
}
