use std::process::ExitCode;

use tenantry::{
    domains::DomainError,
    lifecycle::{LifecycleError, backup::BackupError},
    policy::NotExplained,
    scoped::settings::{KeyError, SettingsError},
};

use crate::Error;

/// What the process says at its end to whoever started it. Scripts depend on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It is done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The command line or a setting is wrong.
    Usage = 2,
    /// There is no such tenant.
    NoTenant = 3,
    /// It could be done, and was not: a check or a confirmation says no.
    Refused = 4,
    /// Some tenants failed.
    Partly = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<&Error> for Exit {
    fn from(error: &Error) -> Self {
        match error {
            Error::Backup(BackupError::Tenant { source, .. })
                if matches!(**source, LifecycleError::CodeTaken) =>
            {
                Self::Refused
            }
            Error::Setting { .. }
            | Error::FileStore(_)
            | Error::NoRedis(_)
            | Error::NoOtlp(_)
            | Error::Traces(_)
            | Error::SettingsFile { .. }
            | Error::SettingsSyntax { .. }
            | Error::LogFilter(_)
            | Error::NoPassword { .. }
            | Error::Password(_)
            | Error::Email(_)
            | Error::Lifecycle {
                source: LifecycleError::NoPlace(_),
                ..
            }
            | Error::Lifecycle {
                source: LifecycleError::NoPlan { .. },
                ..
            }
            | Error::Settings {
                source:
                    SettingsError::NoGroup(_)
                    | SettingsError::NoField { .. }
                    | SettingsError::Invalid(_),
                ..
            }
            | Error::SecretOnLine(_)
            | Error::NoPolicies
            | Error::Domain {
                source: DomainError::Reserved | DomainError::TooLong,
                ..
            }
            | Error::NoTask(_)
            | Error::NoJobs
            | Error::ForWhom
            | Error::NotExplained(NotExplained::NoType(_) | NotExplained::Policy(_)) => Self::Usage,
            Error::NoTenant(_)
            | Error::NoMatch(_)
            | Error::NotDeleted(_)
            | Error::Domain {
                source: DomainError::NotPossible,
                ..
            }
            | Error::Backup(BackupError::NotInIt(_)) => Self::NoTenant,
            Error::NotSetUp(_)
            | Error::CentralBehind(_)
            | Error::TenantBehind { .. }
            | Error::Unconfirmed
            | Error::Declined
            | Error::Problems(_)
            | Error::NotEmpty(_)
            | Error::DemoInProduction
            | Error::CodeTaken(_)
            | Error::Domain {
                source:
                    DomainError::Taken
                    | DomainError::TooMany
                    | DomainError::NotVerified
                    | DomainError::NoRecord(_),
                ..
            }
            | Error::Backup(
                BackupError::Exists(_) | BackupError::NotEmpty | BackupError::Occupied(_),
            )
            | Error::NeedsRoles(_)
            | Error::Policies(_)
            | Error::NotPermitted
            | Error::Keys(SettingsError::Keys(KeyError::InUse(_) | KeyError::NotOurs))
            | Error::JobEnded { .. }
            | Error::Unsafe(_) => Self::Refused,
            Error::SomeTenants { .. }
            | Error::SomeTasks { .. }
            | Error::NotBackedUp(_)
            | Error::NotWell { .. }
            | Error::NotSealed(_) => Self::Partly,
            Error::NothingHere(_)
            | Error::NoUser { .. }
            | Error::NoJob { .. }
            | Error::NotRetried(_)
            | Error::JobsFailed(_)
            | Error::NoOperator(_)
            | Error::Operator(_)
            | Error::Account(_)
            | Error::Member(_)
            | Error::PolicyFile { .. }
            | Error::NotExplained(_)
            | Error::Open(_)
            | Error::Lifecycle { .. }
            | Error::Domain { .. }
            | Error::Archive { .. }
            | Error::Backup(_)
            | Error::Import { .. }
            | Error::User(_)
            | Error::Tenant { .. }
            | Error::Migrate { .. }
            | Error::Catalog(_)
            | Error::Settings { .. }
            | Error::Keys(_)
            | Error::Pending(_)
            | Error::Orphans(_)
            | Error::Application(_)
            | Error::Bind { .. }
            | Error::Serve(_)
            | Error::Interrupted
            | Error::Input(_)
            | Error::Output(_)
            | Error::Csv(_)
            | Error::Json(_)
            | Error::Runtime(_) => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use tenantry::OpenError;

    use super::*;

    /// The contract with scripts, as it is written down.
    #[test]
    fn codes_are_what_scripts_expect() {
        let code: tenantry::tenant::TenantCode = "acme".parse().unwrap();
        let cases = [
            (Error::Interrupted, 1),
            (Error::CodeTaken(code.clone()), 4),
            (Error::Password("must not be empty".into()), 2),
            (Error::NoTenant(code.clone()), 3),
            (Error::NoMatch("a*".parse().unwrap()), 3),
            (Error::Unconfirmed, 4),
            (Error::Problems(2), 4),
            (Error::from(OpenError::Pending(vec!["0001".into()])), 4),
            (
                Error::SomeTenants {
                    failed: Vec::new(),
                    tried: 0,
                    left: 0,
                },
                5,
            ),
        ];
        for (error, expected) in cases {
            assert_eq!(Exit::from(&error) as u8, expected, "{error}");
        }
        assert_eq!(Exit::Done as u8, 0);
    }

    #[test]
    fn a_tenant_that_went_meanwhile_is_no_such_tenant() {
        let error = Error::lifecycle(
            &"acme".parse().unwrap(),
            tenantry::lifecycle::LifecycleError::NotPossible,
        );
        assert_eq!(Exit::from(&error), Exit::NoTenant);
    }
}
