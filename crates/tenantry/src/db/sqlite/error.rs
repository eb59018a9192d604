use rusqlite::{Error, ErrorCode, ffi};

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
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY | ffi::SQLITE_CONSTRAINT_TRIGGER => {
            return DbError::ForeignKey;
        }
        ffi::SQLITE_CONSTRAINT_NOTNULL => return DbError::NotNull(violation(&message)),
        ffi::SQLITE_CONSTRAINT_CHECK => return DbError::Check(detail(&message).into()),
        ffi::SQLITE_CONSTRAINT_DATATYPE => return DbError::Datatype(message),
        _ => {}
    }
    match code.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => DbError::Busy,
        ErrorCode::DiskFull => DbError::Full,
        ErrorCode::AuthorizationForStatementDenied => DbError::Denied(message),
        ErrorCode::CannotOpen => DbError::Missing(message),
        ErrorCode::TypeMismatch => DbError::Datatype(message),
        ErrorCode::Unknown => DbError::Statement(message),
        _ => DbError::Engine(Box::new(error)),
    }
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
    Violation { table, columns }
}

fn detail(message: &str) -> &str {
    message
        .split_once("constraint failed: ")
        .map_or(message, |(_, detail)| detail)
}
