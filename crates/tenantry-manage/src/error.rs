mod hint;

use std::{io, path::PathBuf};

use tenantry::{
    Finding, OpenError,
    accounts::{AccountError, MemberError},
    db::DbError,
    domains::DomainError,
    lifecycle::{
        ArchiveError, LifecycleError, SeedError,
        backup::{BackupError, NotBackedUp},
    },
    migrate::MigrateError,
    operators::OperatorError,
    policy::{NotExplained, PolicyError},
    scoped::{files::FileStoreError, jobs::JobStatus, settings::SettingsError},
    tenant::{DomainName, TenantCode},
    users::UserError,
};
use uuid::Uuid;

use crate::{pattern::Pattern, settings::Origin};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a command was not done. What to do about it is in [`Error::hint`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// A setting has a value that it cannot have.
    #[error("{origin} {given:?}: {reason}")]
    Setting {
        /// Where it stands.
        origin: Origin,
        /// The value.
        given: String,
        /// What is wrong with it.
        reason: Source,
    },
    /// Files cannot be kept where it is told.
    #[error(transparent)]
    FileStore(#[from] FileStoreError),
    /// The settings file cannot be read.
    #[error("{}: {source}", path.display())]
    SettingsFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The settings file is not TOML, or has what is no setting.
    #[error("{}: {source}", path.display())]
    SettingsSyntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: Box<toml::de::Error>,
    },
    /// The setting names Redis, which the program was built without.
    #[error("{0}: this program was built without Redis")]
    NoRedis(Origin),
    /// The setting names a collector of traces, which the program was built without.
    #[error("{0}: this program was built without OpenTelemetry")]
    NoOtlp(Origin),
    /// Traces cannot be exported, whether or not somebody takes them.
    #[error("traces cannot be exported: {0}")]
    #[cfg_attr(
        not(feature = "otlp"),
        expect(dead_code, reason = "nothing is exported without it")
    )]
    Traces(Source),
    /// The CSV cannot be written.
    #[error(transparent)]
    Csv(#[from] csv::Error),
    /// What `RUST_LOG` says cannot be understood.
    #[error("RUST_LOG: {0}")]
    LogFilter(#[from] tracing_subscriber::filter::ParseError),
    /// A password is needed, and there is nobody to ask.
    #[error("a password is needed, and there is no terminal to ask for it")]
    NoPassword {
        /// The flag that reads it from stdin.
        flag: &'static str,
    },
    /// The password that was given cannot be one.
    #[error("the password {0}")]
    Password(Source),
    /// The e-mail address that was given cannot be one.
    #[error("the e-mail address {0}")]
    Email(Source),
    /// No tenant has that code.
    #[error("there is no tenant {0}")]
    NoTenant(TenantCode),
    /// No tenant's code is like that.
    #[error("no tenant matches {0}")]
    NoMatch(Pattern),
    /// The tenant has no such user.
    #[error("{tenant} has no user {email}")]
    NoUser {
        /// The tenant.
        tenant: TenantCode,
        /// The address that was looked for.
        email: String,
    },
    /// No operator has that address.
    #[error("there is no operator {0}")]
    NoOperator(String),
    /// There is no deployment in the data folder.
    #[error("nothing is set up in {} yet", .0.display())]
    NotSetUp(PathBuf),
    /// There is nothing to look at.
    #[error("there is nothing in {} yet", .0.display())]
    NothingHere(PathBuf),
    /// The central database lacks migrations, and nobody asked to apply them.
    #[error("the central database lacks migrations: {}", .0.join(", "))]
    CentralBehind(Vec<String>),
    /// A tenant lacks migrations, and nobody asked to apply them.
    #[error("{tenant} lacks migrations: {} (of {behind} tenants that may be behind)", pending.join(", "))]
    TenantBehind {
        /// The first such tenant.
        tenant: TenantCode,
        /// What it lacks.
        pending: Vec<String>,
        /// How many tenants the catalog does not know to be up to date.
        behind: usize,
    },
    /// There is nobody to ask.
    #[error("this needs a confirmation, and there is no terminal to ask on; nothing was done")]
    Unconfirmed,
    /// The answer was no.
    #[error("not confirmed; nothing was done")]
    Declined,
    /// `check` found something.
    #[error("{0} problem{s} found", s = if *.0 == 1 { "" } else { "s" })]
    Problems(usize),
    /// `tenant health` found something.
    #[error("{ill} of {of} tenants {are} not well", are = if *.ill == 1 { "is" } else { "are" })]
    NotWell {
        /// How many are not.
        ill: usize,
        /// Of how many that were looked at.
        of: usize,
    },
    /// `demo` is for empty places.
    #[error("there are tenants already ({0}); demonstration data is for an empty place")]
    NotEmpty(usize),
    /// Demonstration users have a password that everybody knows.
    #[error("demonstration users have a known password, which is nothing for production")]
    DemoInProduction,
    /// Some tenants could not be migrated.
    #[error("{} of {tried} tenants failed{}{}", failed.len(), untried(*.left), listed(.failed))]
    SomeTenants {
        /// Each that failed, and why.
        failed: Vec<(TenantCode, MigrateError)>,
        /// How many were tried.
        tried: usize,
        /// How many were not, because of the failures.
        left: usize,
    },
    /// The login may not make the deployment's roles.
    #[error("the database login may not create the deployment's roles; a superuser has to say:\n{}", statements(.0))]
    NeedsRoles(Vec<String>),
    /// The wall between tenants has holes.
    #[error("tenants are not safely apart:{}", findings(.0))]
    Unsafe(Vec<Finding>),
    /// The deployment cannot be opened.
    #[error(transparent)]
    Open(OpenError),
    /// The code for a tenant is another's.
    #[error("another tenant has the code {0}")]
    CodeTaken(TenantCode),
    /// A tenant could not be made, changed or erased.
    #[error("{code}: {source}")]
    Lifecycle {
        /// The tenant.
        code: TenantCode,
        /// What happened.
        source: LifecycleError,
    },
    /// Something could not be done with a domain.
    #[error("{host}: {source}")]
    Domain {
        /// The domain.
        host: DomainName,
        /// What happened.
        source: DomainError,
    },
    /// The application has no task of that name.
    #[error("there is nothing to run that is called {0}")]
    NoTask(String),
    /// The tenant has no such job.
    #[error("{tenant} has no job {id}")]
    NoJob {
        /// The tenant.
        tenant: TenantCode,
        /// The id that was looked for.
        id: Uuid,
    },
    /// None of the tenants has such a job to retry.
    #[error("the job {0} is not there, or neither dead nor cancelled")]
    NotRetried(Uuid),
    /// There is nothing to cancel any more.
    #[error("the job {id} has ended: it is {status}")]
    JobEnded {
        /// The job.
        id: Uuid,
        /// How it stands.
        status: JobStatus,
    },
    /// Some of the jobs that were run did not succeed.
    #[error("{0} attempts failed")]
    JobsFailed(u64),
    /// The application does nothing later.
    #[error("the application has no jobs")]
    NoJobs,
    /// It is not said for which tenants.
    #[error("it is not said for whom: --tenant PATTERN or --all")]
    ForWhom,
    /// A task failed for some tenants.
    #[error("{} of {tried} tenants failed{}{}", failed.len(), untried(*.left), listed(.failed))]
    SomeTasks {
        /// Each for which it failed, and why.
        failed: Vec<(TenantCode, SeedError)>,
        /// For how many it was tried.
        tried: usize,
        /// For how many it was not, because of the failures.
        left: usize,
    },
    /// No tenant of that code is deleted.
    #[error("no tenant that is deleted had the code {0}")]
    NotDeleted(TenantCode),
    /// An archive cannot be read.
    #[error("{}: {source}", file.display())]
    Archive {
        /// The archive.
        file: PathBuf,
        /// What is wrong with it.
        source: ArchiveError,
    },
    /// A tenant could not be made from an archive, under the archive's own code.
    #[error("{}: {source}", file.display())]
    Import {
        /// The archive.
        file: PathBuf,
        /// What happened.
        source: Box<LifecycleError>,
    },
    /// A backup could not be taken or restored.
    #[error(transparent)]
    Backup(BackupError),
    /// Some tenants are not in a backup.
    #[error("{} tenants are not in the backup{}", .0.len(), left_out(.0))]
    NotBackedUp(Vec<NotBackedUp>),
    /// An account could not be made or changed.
    #[error(transparent)]
    User(#[from] UserError),
    /// An account of somebody outside of tenants could not be made or changed.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A membership could not be made.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// The application's policies are wrong.
    #[error("the application's policies: {0}")]
    Policies(PolicyError),
    /// The application has no policies.
    #[error("the application has no policies")]
    NoPolicies,
    /// A file of policies cannot be read.
    #[error("{}: {source}", path.display())]
    PolicyFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was explained, and is not permitted.
    #[error("it is not permitted")]
    NotPermitted,
    /// What is asked about is not there.
    #[error(transparent)]
    NotExplained(#[from] NotExplained),
    /// An operator's account could not be made or changed.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// A tenant's database cannot be used.
    #[error("{code}: {source}")]
    Tenant {
        /// The tenant.
        code: TenantCode,
        /// What happened.
        source: DbError,
    },
    /// A tenant could not be migrated.
    #[error("{code}: {source}")]
    Migrate {
        /// The tenant.
        code: TenantCode,
        /// What happened.
        source: MigrateError,
    },
    /// A tenant's settings cannot be read or changed.
    #[error("{code}: {source}")]
    Settings {
        /// The tenant.
        code: TenantCode,
        /// What happened.
        source: SettingsError,
    },
    /// A secret was given where others can read it.
    #[error(
        "{0} is a secret, and an argument is read by everybody on the machine; nothing was done"
    )]
    SecretOnLine(String),
    /// The keys cannot be read or changed.
    #[error("the keys: {0}")]
    Keys(SettingsError),
    /// Some secrets could not be sealed anew.
    #[error("{} secrets could not be opened{}", .0.len(), unsealed(.0))]
    NotSealed(Vec<(String, String)>),
    /// Tenants could not be made ahead, or removed.
    #[error("tenants that are made ahead: {0}")]
    Pending(LifecycleError),
    /// It cannot be told what belongs to nobody.
    #[error("what belongs to nobody: {0}")]
    Orphans(LifecycleError),
    /// The catalog cannot be used.
    #[error("the catalog: {0}")]
    Catalog(DbError),
    /// The application's own part failed.
    #[error("{0}")]
    Application(SeedError),
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}")]
    Bind {
        /// The address.
        addr: String,
        /// What the system said.
        source: io::Error,
    },
    /// The server stopped by itself.
    #[error("the server stopped: {0}")]
    Serve(io::Error),
    /// A second signal came before the first was done with.
    #[error("ended at once, with requests under way")]
    Interrupted,
    /// Nothing can be read from stdin or the terminal.
    #[error("cannot read the input: {0}")]
    Input(io::Error),
    /// Stdout cannot be written to, other than because nobody reads on.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
    /// The output cannot be put as JSON.
    #[error("cannot write the output: {0}")]
    Json(#[from] serde_json::Error),
    /// The process cannot have threads.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}

impl Error {
    /// What went wrong with a tenant's settings.
    pub(crate) fn settings(code: &TenantCode, source: SettingsError) -> Self {
        match source {
            SettingsError::NoTenant => Self::NoTenant(code.clone()),
            source => Self::Settings {
                code: code.clone(),
                source,
            },
        }
    }

    /// What went wrong with the tenant of that code.
    pub(crate) fn lifecycle(code: &TenantCode, source: LifecycleError) -> Self {
        match source {
            LifecycleError::CodeTaken => Self::CodeTaken(code.clone()),
            LifecycleError::NotPossible => Self::NoTenant(code.clone()),
            source => Self::Lifecycle {
                code: code.clone(),
                source,
            },
        }
    }
}

impl Error {
    /// What went wrong with that domain.
    pub(crate) fn domain(host: &DomainName, source: DomainError) -> Self {
        match source {
            DomainError::Db(error) => Self::Catalog(error),
            source => Self::Domain {
                host: host.clone(),
                source,
            },
        }
    }

    /// What went wrong with a tenant's domains.
    pub(crate) fn domains(code: &TenantCode, source: DomainError) -> Self {
        match source {
            DomainError::Db(error) => Self::Catalog(error),
            _ => Self::NoTenant(code.clone()),
        }
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::NotSetUp(folder) => Self::NotSetUp(folder),
            OpenError::Pending(pending) => Self::CentralBehind(pending),
            OpenError::NeedsRoles(statements) => Self::NeedsRoles(statements),
            other => Self::Open(other),
        }
    }
}

fn statements(all: &[String]) -> String {
    all.iter().map(|sql| format!("  {sql};\n")).collect()
}

fn findings(all: &[Finding]) -> String {
    all.iter()
        .map(|finding| format!("\n  {}\n    mend: {}", finding.what, finding.mend))
        .collect()
}

fn left_out(all: &[NotBackedUp]) -> String {
    all.iter()
        .map(|one| format!("\n  {}: {}", one.code, one.error))
        .collect()
}

fn unsealed(all: &[(String, String)]) -> String {
    all.iter()
        .map(|(whose, error)| format!("\n  {whose}: {error}"))
        .collect()
}

fn untried(left: usize) -> String {
    match left {
        0 => String::new(),
        left => format!(", {left} were not tried"),
    }
}

fn listed<E: std::fmt::Display>(failed: &[(TenantCode, E)]) -> String {
    failed
        .iter()
        .map(|(code, error)| format!("\n  {code}: {error}"))
        .collect()
}
