use std::path::{Path, PathBuf};

use tenantry::{OpenError, lifecycle::LifecycleError};

/// Why there are no numbers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no PostgreSQL was found\nhint: `make setup` installs it; --programs names its folder")]
    NoPostgres,
    #[error("PostgreSQL refuses to be run by root, and there is no user postgres or nobody")]
    NobodyElse,
    #[error("{}: {said}", program.display())]
    Program { program: PathBuf, said: String },
    #[error("{doing}: {source}")]
    Io {
        doing: &'static str,
        source: std::io::Error,
    },
    #[error("writing {}: {source}", path.display())]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("PostgreSQL: {}", .0.as_db_error().map_or_else(|| .0.to_string(), ToString::to_string))]
    Sql(#[from] tokio_postgres::Error),
    #[error("no connection to PostgreSQL: {0}")]
    Pool(#[from] deadpool_postgres::BuildError),
    #[error(
        "{files} open files need {needed} descriptors, and a process may not have as many\n\
         hint: `ulimit -Hn` says how many it may have; --open keeps fewer files open"
    )]
    Descriptors { files: usize, needed: u64 },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("a file: {0}")]
    File(#[from] rusqlite::Error),
    #[error(transparent)]
    Catalog(#[from] tenantry::db::DbError),
    #[error(transparent)]
    Enqueue(#[from] tenantry::scoped::jobs::EnqueueError),
    #[error("a migration: {0}")]
    Migration(String),
    #[error("a copy of a tenant: {0}")]
    Copies(&'static str),
    #[error(transparent)]
    Archive(#[from] tenantry::lifecycle::ArchiveError),
    #[error(transparent)]
    Policies(#[from] tenantry::policy::PolicyError),
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    #[error("{peer} needs `{program}`, which does not run here: {source}\nhint: {hint}")]
    Missing {
        peer: &'static str,
        program: String,
        source: std::io::Error,
        hint: &'static str,
    },
    #[error(
        "{peer} cannot be installed: `{command}` failed\n{said}\n\
         hint: its packages come from the registry that pip, npm or cargo is set up for; without --with it is left out"
    )]
    Install {
        peer: &'static str,
        command: String,
        said: String,
    },
    #[error("{who}: {source}")]
    Asking { who: String, source: Box<Self> },
    #[error("`{0}` ended before it served")]
    Ended(String),
    #[error("a wrong answer for {tenant}: {why}\n{answer}")]
    Answer {
        tenant: String,
        why: &'static str,
        answer: String,
    },
    #[error("a request: {0}")]
    Request(Box<dyn std::error::Error + Send + Sync>),
    #[error(
        "there is no {}\nhint: `cargo build --release -p tenantry-bench` builds it beside this program; \
         --times-only does without", .0.display()
    )]
    NotBuilt(PathBuf),
    #[error("{} counts other parts than there are\nhint: build both programs anew, from the same source", .0.display())]
    Counted(PathBuf),
    #[error("{0} jobs were not done as they should be")]
    Jobs(i64),
    #[error("the server does not answer")]
    Silence,
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    pub(crate) fn write(path: &Path, source: std::io::Error) -> Self {
        Self::Write {
            path: path.to_owned(),
            source,
        }
    }

    /// For `map_err`: who was asked.
    pub(crate) fn asking(who: &str) -> impl Fn(Self) -> Self {
        move |source| Self::Asking {
            who: who.into(),
            source: Box::new(source),
        }
    }

    /// For `map_err`: what was being done when the system refused.
    pub(crate) fn io(doing: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
