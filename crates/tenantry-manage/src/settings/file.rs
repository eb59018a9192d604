use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::Key;
use crate::Error;

/// A settings file, and where it was.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) path: PathBuf,
    entries: Entries,
}

/// What may stand in it: the flags' names, and texts. Anything else is more likely a slip that
/// leaves a default in force than something to be ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Entries {
    data: Option<String>,
    database_url: Option<String>,
    isolation: Option<String>,
    servers: Option<String>,
    connections: Option<String>,
    pooler: Option<String>,
    files_url: Option<String>,
    addr: Option<String>,
    host: Option<String>,
    trust_proxy: Option<String>,
    name_servers: Option<String>,
    pending: Option<String>,
    workers: Option<String>,
    profile: Option<String>,
    key: Option<String>,
    smtp_url: Option<String>,
    tenant_smtp: Option<String>,
    log_format: Option<String>,
    metrics_addr: Option<String>,
    metrics_token: Option<String>,
    usage_interval: Option<String>,
    redis_url: Option<String>,
    otlp_endpoint: Option<String>,
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|source| Error::SettingsFile {
            path: path.into(),
            source,
        })?;
        Self::parse(path, &text)
    }

    pub(super) fn read_if_there(path: &Path) -> Result<Self, Error> {
        match Self::read(path) {
            Err(Error::SettingsFile { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            other => other,
        }
    }

    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let entries = toml::from_str(text).map_err(|source| Error::SettingsSyntax {
            path: path.into(),
            source: Box::new(source),
        })?;
        Ok(Self {
            path: path.into(),
            entries,
        })
    }

    pub(super) fn get(&self, key: Key) -> Option<&String> {
        match key {
            Key::Data => self.entries.data.as_ref(),
            Key::DatabaseUrl => self.entries.database_url.as_ref(),
            Key::Isolation => self.entries.isolation.as_ref(),
            Key::Servers => self.entries.servers.as_ref(),
            Key::Connections => self.entries.connections.as_ref(),
            Key::Pooler => self.entries.pooler.as_ref(),
            Key::FilesUrl => self.entries.files_url.as_ref(),
            Key::Addr => self.entries.addr.as_ref(),
            Key::Host => self.entries.host.as_ref(),
            Key::TrustProxy => self.entries.trust_proxy.as_ref(),
            Key::NameServers => self.entries.name_servers.as_ref(),
            Key::Pending => self.entries.pending.as_ref(),
            Key::Workers => self.entries.workers.as_ref(),
            Key::Profile => self.entries.profile.as_ref(),
            Key::Sealing => self.entries.key.as_ref(),
            Key::SmtpUrl => self.entries.smtp_url.as_ref(),
            Key::TenantSmtp => self.entries.tenant_smtp.as_ref(),
            Key::LogFormat => self.entries.log_format.as_ref(),
            Key::MetricsAddr => self.entries.metrics_addr.as_ref(),
            Key::MetricsToken => self.entries.metrics_token.as_ref(),
            Key::UsageInterval => self.entries.usage_interval.as_ref(),
            Key::RedisUrl => self.entries.redis_url.as_ref(),
            Key::OtlpEndpoint => self.entries.otlp_endpoint.as_ref(),
        }
    }
}
