use std::io::ErrorKind;

use tenantry::{
    accounts::MemberError,
    db::DbError,
    domains::DomainError,
    lifecycle::{ArchiveError, LifecycleError, backup::BackupError},
    policy::NotExplained,
    scoped::{
        files::FileStoreError,
        settings::{KeyError, SettingsError},
    },
};

use crate::{Error, settings::Key};

impl Error {
    /// What to do next, where that can be told. `app` is the program's name.
    pub(crate) fn hint(&self, app: &str) -> Option<String> {
        Some(match self {
            Self::Setting { .. } => format!("`{app} --help` tells what each setting can be"),
            Self::FileStore(FileStoreError::NotBuilt(_)) => format!(
                "build it with that: `cargo build -p {app} --features s3`; or leave {} out, and files are \
                 in the data folder",
                Key::FilesUrl.environment(app)
            ),
            Self::FileStore(FileStoreError::Plain(_)) => {
                "AWS_ALLOW_HTTP=true permits it, for what is on this machine or behind a wall"
                    .into()
            }
            Self::FileStore(_) => {
                format!("`{app} --help` tells of --files-url, and which variables go with it")
            }
            Self::NoRedis(_) => format!(
                "`cargo build --features redis` builds {app} with it; without that setting each process \
                 keeps its own cache"
            ),
            Self::NoOtlp(_) => format!(
                "`cargo build --features otlp` builds {app} with it; without that setting no traces are \
                 exported"
            ),
            Self::Traces(_) => {
                "what OTEL_* in the environment say is taken as OpenTelemetry describes it".into()
            }
            Self::NeedsRoles(_) => "or use a login that may create roles, once".into(),
            Self::Unsafe(_) => {
                format!("mend each, then `{app} check`; --profile development only warns")
            }
            Self::SettingsSyntax { .. } => {
                let keys = Key::ALL.map(Key::flag).join(", ");
                format!("it has these and no others, each as `name = \"text\"`: {keys}")
            }
            Self::NoPassword { flag } => {
                format!("{flag} reads it from a pipe or a file: `… {flag} < FILE`")
            }
            Self::NoTenant(_) | Self::NoMatch(_) => {
                format!("`{app} tenant list` tells which there are")
            }
            Self::Domain { host, source } => match source {
                DomainError::Taken => {
                    "whoever has it lets go of it first: `tenant domain remove`".into()
                }
                DomainError::Reserved => {
                    "tenants are found there by their codes; a domain is a host of their own".into()
                }
                DomainError::NotFound => {
                    format!("`{app} tenant domain add CODE {host}` claims it")
                }
                DomainError::NotVerified => {
                    format!("`{app} tenant domain verify CODE {host}` comes first")
                }
                DomainError::NoRecord(_) => {
                    "set it in the domain's zone; until every name server has it can take as long \
                     as the zone's TTL says"
                        .into()
                }
                DomainError::NameServers(_) => {
                    "--name-servers ADDRESS:PORT asks others than the system's".into()
                }
                DomainError::TooMany => {
                    format!("`{app} tenant domain remove CODE HOST` lets go of one")
                }
                _ => return None,
            },
            Self::NoTask(_) => format!("`{app} run` tells what there is"),
            Self::NoJob { tenant, .. } => {
                format!("`{app} jobs list --tenant {tenant}` tells which there are")
            }
            Self::NotRetried(_) => format!("`{app} jobs list --all --status dead` tells which are"),
            Self::JobsFailed(_) => format!("`{app} jobs list` tells why, of each"),
            Self::NoJobs => "what it does later is in its own code: see `Application::jobs`".into(),
            Self::SomeTasks { left, .. } if *left > 0 => {
                "--keep-going goes on past failures".into()
            }
            Self::NotDeleted(_) => {
                format!("`{app} tenant list --deleted` tells which are")
            }
            Self::Archive {
                source: ArchiveError::Damaged(_),
                ..
            } => "bring it from where it was written once more".into(),
            Self::Archive {
                source: ArchiveError::Misfit(_) | ArchiveError::Newer(_),
                ..
            } => format!("it is of a later version of {app}: import it with that"),
            Self::Import { source, .. } if matches!(**source, LifecycleError::CodeTaken) => {
                "--code gives it another code".into()
            }
            Self::Lifecycle {
                source: LifecycleError::NoPlace(_),
                ..
            } => "--isolation and --server say where; other than files need --database-url".into(),
            Self::Settings {
                source: SettingsError::NoGroup(_) | SettingsError::NoField { .. },
                code,
            } => format!("`{app} tenant settings {code}` tells which there are"),
            Self::Settings {
                source: SettingsError::Secret { .. },
                ..
            }
            | Self::NotSealed(_) => format!(
                "bring back the key: the file keys, or {} in the environment; or set it anew",
                Key::Sealing.environment(app)
            ),
            Self::SecretOnLine(_) => "--stdin reads it from a pipe or a file".into(),
            Self::Keys(SettingsError::Keys(KeyError::InUse(_))) => {
                format!("`{app} keys rotate` seals them with the first")
            }
            Self::Keys(SettingsError::Keys(KeyError::NotOurs)) => {
                format!("they are in {}", Key::Sealing.environment(app))
            }
            Self::Backup(BackupError::Exists(_)) => "name a folder that is not there yet".into(),
            Self::Backup(BackupError::NotEmpty) => format!(
                "`{app} restore DIR --data PLACE` restores it elsewhere, --tenant one tenant of it"
            ),
            Self::Backup(BackupError::Tenant { source, .. })
                if matches!(**source, LifecycleError::CodeTaken) =>
            {
                "--as CODE restores it beside the other".into()
            }
            Self::Backup(BackupError::Occupied(_)) => format!(
                "another deployment has it, or a lost catalog left it, and it may be newer than the backup: \
                 `{app} check --deep` tells; move it away, or restore into another place, or with another \
                 --isolation"
            ),
            Self::Backup(BackupError::Partial) => {
                "--tenant CODE restores it beside the others".into()
            }
            Self::Backup(BackupError::NotInIt(_)) => {
                format!("`{app} restore DIR --verify --json` tells which are in it")
            }
            Self::Backup(BackupError::Damaged(_)) => {
                "nothing was touched; bring it from where it was written once more".into()
            }
            Self::Backup(BackupError::Misfit(_)) => {
                format!("restore it by the version of {app} that it was taken with, then migrate")
            }
            Self::NotBackedUp(_) => {
                format!("all others are in it; `{app} check` tells what is wrong with these")
            }
            Self::NoUser { tenant, .. } => {
                format!("`{app} user list --tenant {tenant}` tells which there are")
            }
            Self::Member(MemberError::Owner) => {
                "a tenant has one owner; who it is they pass on in the application".into()
            }
            Self::Policies(_) => {
                "nothing is run with policies that are wrong: mend them, and build it again".into()
            }
            Self::NoPolicies => {
                "who may do what is in its own code: see `Application::policies`".into()
            }
            Self::NotExplained(NotExplained::NoType(_)) => {
                format!("`{app} policy list` tells which types and actions there are")
            }
            Self::NotExplained(NotExplained::Policy(_)) => {
                format!("`{app} policy list` tells which actions there are")
            }
            Self::NoOperator(_) => format!("`{app} console user list` tells which there are"),
            Self::NotSetUp(_) => {
                format!("`{app} migrate --all` sets it up; --data DIR names another place")
            }
            Self::NothingHere(_) => {
                format!(
                    "`{app} demo` or `{app} serve` begins there; --data DIR names another place"
                )
            }
            Self::CentralBehind(_) | Self::TenantBehind { .. } => {
                format!("`{app} migrate --all` applies them; with --plan it only tells")
            }
            Self::Unconfirmed => "--yes confirms it without being asked".into(),
            Self::Problems(_) => "what mends each stands beside it".into(),
            Self::NotEmpty(_) => format!("`{app} demo --data DIR` fills another place"),
            Self::DemoInProduction => {
                format!("`{app} demo --profile development --data DIR` fills a place to try it")
            }
            Self::SomeTenants { left, .. } if *left > 0 => format!(
                "of what failed nothing is left; `{app} migrate --keep-going` goes on past it"
            ),
            Self::SomeTenants { .. } => {
                format!("of what failed nothing is left; mend it and run `{app} migrate --failed`")
            }
            Self::CodeTaken(_) => "choose another: a code is a tenant's host name".into(),
            Self::Lifecycle {
                source: LifecycleError::UnderWay,
                ..
            } => "try again when it has ended".into(),
            Self::Tenant {
                source: DbError::Missing(_),
                ..
            } => format!("`{app} check` tells what is missing"),
            Self::Bind { source, .. } if source.kind() == ErrorKind::AddrInUse => {
                format!("is it running already? Another: `{app} serve --addr 127.0.0.1:0`")
            }
            Self::Bind { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                "ports below 1024 may need a privilege; take a higher one".into()
            }
            _ => return None,
        })
    }
}
