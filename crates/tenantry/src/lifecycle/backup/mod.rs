//! Backups: a folder with everything that a deployment, or one tenant of it, has.
//!
//! The folder appears under its name when it is whole, with a manifest that has the checksum of
//! every file; nothing is restored before all of those were looked at. What is in it is described
//! in `docs/backup.md`.

mod manifest;
mod restore;
mod take;

pub use restore::inspect;
pub use take::Step;

use std::{
    io,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{LifecycleError, archive::ArchiveError};
use crate::{
    db::{DbError, transfer::LoadError},
    migrate::MigrateError,
    scoped::files::FileError,
    tenant::TenantCode,
};

/// What is in a backup.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Backup {
    /// When it was begun: what was acknowledged before is in it.
    pub taken_at: DateTime<Utc>,
    /// Whether it is of the whole deployment; of one tenant otherwise.
    pub whole: bool,
    /// The codes of the tenants that are in it. One that is deleted is known by the code that stands
    /// for the one it had.
    pub tenants: Vec<TenantCode>,
    /// How many bytes all of its files have.
    pub bytes: u64,
    /// The tenants that are not in it, because they could not be read, and why.
    pub failed: Vec<NotBackedUp>,
}

/// A tenant that could not be read.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct NotBackedUp {
    /// The tenant.
    pub code: TenantCode,
    /// What was said.
    pub error: String,
}

/// Why a backup cannot be taken or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is something where the backup is to be.
    #[error("there is something already in {}", .0.display())]
    Exists(PathBuf),
    /// It is no backup, or one that was not finished.
    #[error("{} is no backup, or one that was not finished", .0.display())]
    NotOne(PathBuf),
    /// It was written by a later version of the library.
    #[error("the backup is of version {0}, and this program reads up to {version}", version = manifest::VERSION)]
    Newer(u32),
    /// It is not what was written.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// The program has no place for what is in it.
    #[error("the backup does not fit this program: {0}")]
    Misfit(String),
    /// It is of one tenant, and the whole was asked for.
    #[error("the backup is of one tenant alone")]
    Partial,
    /// It has no such tenant.
    #[error("the backup has no tenant {0}")]
    NotInIt(TenantCode),
    /// A whole deployment is restored into an empty one.
    #[error("there are tenants, accounts or operators already")]
    NotEmpty,
    /// There is a place of the tenant's name already: of another deployment, or left over, with what may be
    /// newer than the backup.
    #[error(
        "{0}: its file or database is there already, and no tenant of this deployment's has it"
    )]
    Occupied(TenantCode),
    /// A tenant could not be made.
    #[error("{code}: {source}")]
    Tenant {
        /// The tenant.
        code: TenantCode,
        /// What happened.
        source: Box<LifecycleError>,
    },
    /// Another process is at it.
    #[error("another operation is under way there")]
    UnderWay,
    /// A database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A tenant's files cannot be listed.
    #[error(transparent)]
    Files(FileError),
}

impl From<FileError> for BackupError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Db(error) => Self::Db(error),
            other => Self::Files(other),
        }
    }
}

impl BackupError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

impl From<LoadError> for BackupError {
    fn from(error: LoadError) -> Self {
        ArchiveError::from(error).into()
    }
}

impl From<ArchiveError> for BackupError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::File { path, source } => Self::File { path, source },
            ArchiveError::Misfit(what) | ArchiveError::Trigger(what) => Self::Misfit(what),
            ArchiveError::Db(error) => Self::Db(error),
            ArchiveError::Files(error) => Self::Files(error),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<MigrateError> for BackupError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Db(error) => Self::Db(error),
            other => Self::Misfit(other.to_string()),
        }
    }
}

/// What needs threads that may wait for the disk.
async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, BackupError> + Send + 'static,
) -> Result<R, BackupError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| BackupError::Db(DbError::Closed))?
}
