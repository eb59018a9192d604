use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use crate::Error;

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Data,
    DatabaseUrl,
    Isolation,
    Servers,
    Connections,
    Pooler,
    FilesUrl,
    Addr,
    Host,
    TrustProxy,
    NameServers,
    Pending,
    Workers,
    Profile,
    Sealing,
    SmtpUrl,
    TenantSmtp,
    LogFormat,
    MetricsAddr,
    MetricsToken,
    UsageInterval,
    RedisUrl,
    OtlpEndpoint,
}

impl Key {
    pub(crate) const ALL: [Self; 23] = [
        Self::Data,
        Self::DatabaseUrl,
        Self::Isolation,
        Self::Servers,
        Self::Connections,
        Self::Pooler,
        Self::FilesUrl,
        Self::Addr,
        Self::Host,
        Self::TrustProxy,
        Self::NameServers,
        Self::Pending,
        Self::Workers,
        Self::Profile,
        Self::Sealing,
        Self::SmtpUrl,
        Self::TenantSmtp,
        Self::LogFormat,
        Self::MetricsAddr,
        Self::MetricsToken,
        Self::UsageInterval,
        Self::RedisUrl,
        Self::OtlpEndpoint,
    ];

    /// Its name as a flag and in a settings file.
    pub(crate) const fn flag(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::DatabaseUrl => "database-url",
            Self::Isolation => "isolation",
            Self::Servers => "servers",
            Self::Connections => "connections",
            Self::Pooler => "pooler",
            Self::FilesUrl => "files-url",
            Self::Addr => "addr",
            Self::Host => "host",
            Self::TrustProxy => "trust-proxy",
            Self::NameServers => "name-servers",
            Self::Pending => "pending",
            Self::Workers => "workers",
            Self::Profile => "profile",
            Self::Sealing => "key",
            Self::SmtpUrl => "smtp-url",
            Self::TenantSmtp => "tenant-smtp",
            Self::LogFormat => "log-format",
            Self::MetricsAddr => "metrics-addr",
            Self::MetricsToken => "metrics-token",
            Self::UsageInterval => "usage-interval",
            Self::RedisUrl => "redis-url",
            Self::OtlpEndpoint => "otlp-endpoint",
        }
    }

    /// Its name in the environment of the application `app`.
    pub(crate) fn environment(self, app: &str) -> String {
        match self {
            Self::DatabaseUrl => "DATABASE_URL".into(), // the name that everybody else uses
            _ => format!("{app}_{}", self.flag())
                .replace('-', "_")
                .to_uppercase(),
        }
    }
}

/// Where a value was found, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(Key),
    Environment(String),
    File(Key, PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(key) => write!(f, "--{}", key.flag()),
            Self::Environment(name) => f.write_str(name),
            Self::File(key, path) => write!(f, "{} in {}", key.flag(), path.display()),
        }
    }
}

/// A value that was found, not looked at yet.
pub(super) struct Found {
    value: OsString,
    pub(super) origin: Origin,
    is_secret: bool,
}

impl Found {
    pub(super) fn new(value: impl Into<OsString>, origin: Origin) -> Self {
        Self {
            value: value.into(),
            origin,
            is_secret: false,
        }
    }

    /// The same, which is not told when it is refused.
    pub(super) fn secret(self) -> Self {
        Self {
            is_secret: true,
            ..self
        }
    }

    pub(super) fn folder(self) -> Result<PathBuf, Error> {
        if self.value.is_empty() {
            return Err(self.refused("must not be empty"));
        }
        Ok(self.value.into())
    }

    pub(super) fn parsed<T, E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Error> {
        match self.value.to_str().map(parse) {
            Some(Ok(value)) => Ok(value),
            Some(Err(reason)) => Err(self.refused(reason)),
            None => Err(self.refused("is not UTF-8")),
        }
    }

    fn refused(&self, reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Setting {
            origin: self.origin.clone(),
            given: match self.is_secret {
                true => "(hidden)".into(),
                false => Path::new(&self.value).display().to_string(),
            },
            reason: reason.into(),
        }
    }
}
