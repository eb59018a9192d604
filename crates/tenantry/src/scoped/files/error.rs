use std::io;

use object_store::Error as StoreError;

use crate::db::DbError;

/// Why something could not be done with files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// There is no such file.
    #[error("there is no such file")]
    NotFound,
    /// It has more bytes than it may have.
    #[error("the file has more than {most} bytes")]
    TooLarge {
        /// How many it may have.
        most: u64,
    },
    /// The tenant's files would have more bytes than they may, by its
    /// [limits](crate::tenant::Limits).
    #[error("the tenant's files may have {most} bytes")]
    Storage {
        /// How many all of them may have.
        most: u64,
    },
    /// There is no room left to store it.
    #[error("there is no room left")]
    Full,
    /// Where the name has a folder there is a file, or the other way round.
    #[error("there is a file where the name has a folder, or a folder where it has a file")]
    Occupied,
    /// It was replaced or removed since it was found.
    #[error("the file was changed meanwhile")]
    Changed,
    /// What came in ended before its time.
    #[error("the file did not arrive as a whole: {0}")]
    Interrupted(Box<dyn std::error::Error + Send + Sync>),
    /// A signature is for something else, or no longer good.
    #[error("the signature is not good for that")]
    Signature,
    /// The tenant is deleted or erased.
    #[error("there is no such tenant any more")]
    NoTenant,
    /// A database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The store failed.
    #[error("the store of files: {0}")]
    Store(Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for FileError {
    fn from(error: StoreError) -> Self {
        if let Some(known) = io_of(&error).and_then(|error| known(error.kind())) {
            return known;
        }
        match error {
            StoreError::NotFound { .. } => Self::NotFound,
            StoreError::Precondition { .. } => Self::Changed,
            other => Self::Store(Box::new(other)),
        }
    }
}

pub(super) fn of_io(error: io::Error) -> FileError {
    known(error.kind()).unwrap_or_else(|| FileError::Store(Box::new(error)))
}

fn known(kind: io::ErrorKind) -> Option<FileError> {
    match kind {
        io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        // more than the process may write
        | io::ErrorKind::FileTooLarge => Some(FileError::Full),
        io::ErrorKind::NotFound => Some(FileError::NotFound),
        io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::DirectoryNotEmpty
        | io::ErrorKind::AlreadyExists => Some(FileError::Occupied),
        _ => None,
    }
}

/// What the system said, below what the store says.
fn io_of<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e io::Error> {
    let mut error = Some(error);
    while let Some(this) = error {
        if let Some(found) = this.downcast_ref() {
            return Some(found);
        }
        error = this.source();
    }
    None
}
