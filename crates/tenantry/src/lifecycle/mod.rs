//! Tenants come, change and go.
//!
//! What has several steps is recorded in the catalog before its first and after its last, under a
//! lock that the system takes back when the process dies: whoever finds a record without its lock
//! finishes the operation or undoes it. A tenant half made or half erased is seen by nobody.

mod archive;
pub mod backup;
mod carried;
mod change;
mod create;
mod delete;
mod export;
mod folders;
mod lock;
mod moving;
mod orphans;
mod pool;
mod recover;
mod rollout;
mod snapshot;
mod transfer;

pub use archive::ArchiveError;
pub use create::NewTenant;
pub use delete::{Certificate, Deleted, GRACE, Removed};
pub use export::{Exported, Exporting};
pub(crate) use folders::{count as count_files, sign as sign_folder};
pub use orphans::Orphan;
pub(crate) use pool::{Taken, keep_ready};
pub(crate) use recover::recover;
pub use rollout::{FailedMigration, Migrated, Rollout};

use crate::{db::DbError, migrate::MigrateError, scoped::files::FileError, tenant::Placement};

/// An error of the application's own, from the seeding of a tenant.
pub type SeedError = Box<dyn std::error::Error + Send + Sync>;

/// Why a tenant could not be made, changed or erased.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LifecycleError {
    /// Another tenant has that code.
    #[error("the code is taken")]
    CodeTaken,
    /// There is no such tenant, or none that this can be done with in its present status.
    #[error("there is no such tenant, or its status does not allow that")]
    NotPossible,
    /// The deployment has no such place for tenants.
    #[error("there is no place for a tenant with isolation {} on server {}", .0.isolation, .0.server)]
    NoPlace(Placement),
    /// The application has no such plan.
    #[error("there is no plan {given:?}; there are: {}", known.join(", "))]
    NoPlan {
        /// The word that was given.
        given: String,
        /// The plans that there are.
        known: Vec<String>,
    },
    /// Another process is making or erasing that tenant at this moment.
    #[error("another operation on the tenant is under way")]
    UnderWay,
    /// The application's seeding failed. The tenant was not made.
    #[error("{0}")]
    Seed(SeedError),
    /// An archive cannot be read. No tenant was made.
    #[error("the archive: {0}")]
    Archive(#[from] ArchiveError),
    /// The tenant's database could not be made.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// A database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The tenant's files could not be read, written or removed.
    #[error(transparent)]
    Files(FileError),
    /// The process is shutting down. What was begun is finished or undone at the next start.
    #[error("shutting down")]
    ShuttingDown,
}

impl From<FileError> for LifecycleError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Db(error) => Self::Db(error),
            other => Self::Files(other),
        }
    }
}
