//! Where the deployment is and how it runs: flag, else environment, else `NAME.toml`, else default.

mod file;
mod key;
mod otlp;

use std::{
    env,
    ffi::OsString,
    fmt,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use subtle::ConstantTimeEq;
use tenantry::{
    routing::{Proxies, Site},
    scoped::mail::{SmtpServer, TenantSmtp},
    tenant::Isolation,
};
use url::Url;

pub(crate) use self::key::{Key, Origin};
use self::{file::File, key::Found};
use crate::Error;

/// The settings as flags, which every command has. Help is completed with the environment
/// variables' names.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Flags {
    /// Folder of the databases [default: ./data]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Settings")]
    data: Option<OsString>,
    /// PostgreSQL for the catalog and new tenants, as postgres://USER:PASSWORD@HOST/DATABASE, in
    /// place of SQLite under the data folder
    #[arg(long, global = true, value_name = "URL", help_heading = "Settings")]
    database_url: Option<OsString>,
    /// How new tenants are kept apart: file, rows, schema or database [default: file on SQLite, rows
    /// on PostgreSQL]
    #[arg(long, global = true, value_name = "MEANS", help_heading = "Settings")]
    isolation: Option<OsString>,
    /// Further PostgreSQL servers to place tenants on, as NAME=URL,NAME=URL
    #[arg(long, global = true, value_name = "LIST", help_heading = "Settings")]
    servers: Option<OsString>,
    /// How many connections to open to each PostgreSQL server [default: 16]
    #[arg(long, global = true, value_name = "N", help_heading = "Settings")]
    connections: Option<OsString>,
    /// Where tenants' files are kept, as s3://BUCKET/PREFIX, which no other deployment has; the rest is in
    /// the environment by the usual names: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION,
    /// AWS_ENDPOINT_URL for what is not Amazon's, AWS_ALLOW_HTTP=true where that has no TLS [default:
    /// the data folder]
    #[arg(long, global = true, value_name = "URL", help_heading = "Settings")]
    files_url: Option<OsString>,
    /// What stands before PostgreSQL: none, or transaction, for a pooler such as PgBouncer in that
    /// mode [default: none]
    #[arg(long, global = true, value_name = "MODE", help_heading = "Settings")]
    pooler: Option<OsString>,
    /// Address to serve on; port 0 picks a free one [default: 127.0.0.1:8000]
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        help_heading = "Settings"
    )]
    addr: Option<OsString>,
    /// Base host: tenants are at CODE.NAME [default: localhost]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Settings")]
    host: Option<OsString>,
    /// The proxies before the server, as ADDRESS,NETWORK/BITS: X-Forwarded-For, -Host and -Proto
    /// are believed of these and of nobody else [default: none]
    #[arg(long, global = true, value_name = "LIST", help_heading = "Settings")]
    trust_proxy: Option<OsString>,
    /// The name servers that are asked whose a domain is, as ADDRESS,ADDRESS:PORT [default: the
    /// system's]
    #[arg(long, global = true, value_name = "LIST", help_heading = "Settings")]
    name_servers: Option<OsString>,
    /// How many tenants a server keeps ready before anybody wants them, so that one is made at once
    /// [default: 0]
    #[arg(long, global = true, value_name = "N", help_heading = "Settings")]
    pending: Option<OsString>,
    /// Which SMTP servers tenants may name for their mail: none, those that are public, or any
    /// [default: none in development, public in production]
    #[arg(long, global = true, value_name = "WHICH", help_heading = "Settings")]
    tenant_smtp: Option<OsString>,
    /// For how many tenants a server or worker does jobs at a time; 0 leaves them to others [default:
    /// 4]
    #[arg(long, global = true, value_name = "N", help_heading = "Settings")]
    workers: Option<OsString>,
    /// development, or production: nothing is set up or migrated unasked [default: development]
    #[arg(long, global = true, value_name = "PROFILE", help_heading = "Settings")]
    profile: Option<OsString>,
    /// A port of its own for metrics, for Prometheus, to be reached by nobody else; else they are on the
    /// central host at /metrics for whoever has the token (metrics-token), and in development for anybody
    /// [default: none]
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        help_heading = "Settings"
    )]
    metrics_addr: Option<OsString>,
    /// How often what tenants use is written down, in seconds, 1 to 60: a server that dies loses what it
    /// counted since [default: 30]
    #[arg(long, global = true, value_name = "SECONDS", help_heading = "Settings")]
    usage_interval: Option<OsString>,
    /// How the log on stderr is written: pretty, or json, an object on each line [default: pretty]
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Settings")]
    log_format: Option<OsString>,
    /// Redis, to keep what is cached for all processes, as redis://USER:PASSWORD@HOST:PORT/NUMBER, or
    /// rediss:// for TLS; for programs that are built with it [default: each process keeps its own]
    #[arg(long, global = true, value_name = "URL", help_heading = "Settings")]
    redis_url: Option<OsString>,
    /// OpenTelemetry's collector, to which serve and worker export traces by OTLP over HTTP, as
    /// http://HOST:4318; for programs that are built with it [default: OTEL_EXPORTER_OTLP_ENDPOINT, else
    /// nowhere]
    #[arg(long, global = true, value_name = "URL", help_heading = "Settings")]
    otlp_endpoint: Option<OsString>,
    /// File with settings [default: {app}.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    config: Option<PathBuf>,
}

/// Whether people try things out, or depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Development,
    Production,
}

/// For whom the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Pretty,
    /// For programs.
    Json,
}

/// What whoever reads metrics has to show.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct MetricsToken(String);

impl MetricsToken {
    /// Whether that is it. How long it takes does not tell how much of it is right.
    pub(crate) fn is(&self, told: &str) -> bool {
        self.0.as_bytes().ct_eq(told.as_bytes()).into()
    }
}

impl fmt::Debug for MetricsToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsToken")
    }
}

/// What holds for one run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) database_url: Option<String>,
    /// None where the database's kind decides.
    pub(crate) isolation: Option<Isolation>,
    /// The same, where it was said for this command.
    pub(crate) isolation_told: Option<Isolation>,
    /// Names and URLs.
    pub(crate) servers: Vec<(String, String)>,
    pub(crate) connections: Option<NonZeroUsize>,
    pub(crate) pooler: bool,
    /// `s3://…`; in the data folder where there is none.
    pub(crate) files_url: Option<String>,
    /// `HOST:PORT`, with a port that is one.
    pub(crate) addr: String,
    pub(crate) host: String,
    pub(crate) trust_proxy: Proxies,
    /// None for the system's.
    pub(crate) name_servers: Vec<SocketAddr>,
    pub(crate) pending: u16,
    pub(crate) workers: u16,
    pub(crate) profile: Profile,
    /// What tenants' secrets are sealed with; none where the data folder has it.
    pub(crate) keys: Vec<tenantry::scoped::settings::Key>,
    /// By which server mail is sent; to files where there is none.
    pub(crate) smtp: Option<SmtpServer>,
    pub(crate) tenant_smtp: TenantSmtp,
    pub(crate) log_format: LogFormat,
    /// `HOST:PORT`, as [`addr`](Self::addr).
    pub(crate) metrics_addr: Option<String>,
    pub(crate) metrics_token: Option<MetricsToken>,
    pub(crate) usage_interval: Duration,
    /// Where what is cached is kept; in each process where that is nowhere.
    pub(crate) redis_url: Option<String>,
    /// Where traces are exported to, with the path of these; nowhere where that is none.
    pub(crate) otlp_endpoint: Option<Url>,
}

impl Settings {
    /// Reads them for this process.
    pub(crate) fn read(app: &str, flags: &Flags) -> Result<Self, Error> {
        let file = match &flags.config {
            Some(path) => File::read(path)?,
            None => File::read_if_there(format!("{app}.toml").as_ref())?,
        };
        Self::gather(app, flags, |name| env::var_os(name), &file)
    }

    fn gather(
        app: &str,
        flags: &Flags,
        environment: impl Fn(&str) -> Option<OsString>,
        file: &File,
    ) -> Result<Self, Error> {
        let find = |key: Key| -> Option<Found> {
            if let Some(value) = flags.get(key) {
                return Some(Found::new(value, Origin::Flag(key)));
            }
            let name = key.environment(app);
            // as if unset: that is how a variable is switched off for one command
            if let Some(value) = environment(&name).filter(|value| !value.is_empty()) {
                return Some(Found::new(value, Origin::Environment(name)));
            }
            let value = file.get(key)?;
            Some(Found::new(value, Origin::File(key, file.path.clone())))
        };
        let isolation = find(Key::Isolation)
            .map(|found| found.parsed(str::parse))
            .transpose()?;
        let profile =
            find(Key::Profile).map_or(Ok(Profile::Development), |found| found.parsed(profile))?;
        let by_default = match profile {
            Profile::Development => TenantSmtp::Ignored,
            Profile::Production => TenantSmtp::Public,
        };
        Ok(Self {
            data: find(Key::Data).map_or_else(|| Ok("data".into()), Found::folder)?,
            database_url: find(Key::DatabaseUrl)
                .map(|found| found.parsed(database_url))
                .transpose()?,
            isolation,
            isolation_told: isolation.filter(|_| flags.get(Key::Isolation).is_some()),
            servers: find(Key::Servers)
                .map_or_else(|| Ok(Vec::new()), |found| found.parsed(servers))?,
            connections: find(Key::Connections)
                .map(|found| found.parsed(str::parse))
                .transpose()?,
            pooler: find(Key::Pooler).map_or(Ok(false), |found| found.parsed(pooler))?,
            files_url: find(Key::FilesUrl)
                .map(|found| found.parsed(files_url))
                .transpose()?,
            addr: find(Key::Addr)
                .map_or_else(|| Ok("127.0.0.1:8000".into()), |found| found.parsed(addr))?,
            host: find(Key::Host)
                .map_or_else(|| Ok("localhost".into()), |found| found.parsed(host))?,
            trust_proxy: find(Key::TrustProxy)
                .map_or_else(|| Ok(Proxies::default()), |found| found.parsed(str::parse))?,
            name_servers: find(Key::NameServers)
                .map_or_else(|| Ok(Vec::new()), |found| found.parsed(name_servers))?,
            pending: find(Key::Pending).map_or(Ok(0), |found| found.parsed(str::parse))?,
            workers: find(Key::Workers).map_or(Ok(4), |found| found.parsed(str::parse))?,
            profile,
            smtp: find(Key::SmtpUrl)
                .map(|found| found.secret().parsed(str::parse))
                .transpose()?,
            tenant_smtp: find(Key::TenantSmtp)
                .map_or(Ok(by_default), |found| found.parsed(tenant_smtp))?,
            log_format: find(Key::LogFormat)
                .map_or(Ok(LogFormat::Pretty), |found| found.parsed(log_format))?,
            metrics_addr: find(Key::MetricsAddr)
                .map(|found| found.parsed(addr))
                .transpose()?,
            metrics_token: find(Key::MetricsToken)
                .map(|found| found.secret().parsed(metrics_token))
                .transpose()?,
            usage_interval: find(Key::UsageInterval).map_or_else(
                || Ok(Duration::from_secs(30)),
                |found| found.parsed(usage_interval),
            )?,
            redis_url: find(Key::RedisUrl)
                .map(|found| redis_url(found, cfg!(feature = "redis")))
                .transpose()?,
            otlp_endpoint: otlp::endpoint(
                find(Key::OtlpEndpoint),
                &environment,
                cfg!(feature = "otlp"),
            )?,
            keys: find(Key::Sealing).map_or(Ok(Vec::new()), |found| found.secret().parsed(keys))?,
        })
    }

    /// Where the deployment is on the web, when it is served on the port of [`addr`](Self::addr).
    pub(crate) fn site(&self) -> Site {
        let port = self
            .addr
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok());
        self.site_on(port.unwrap_or(0))
    }

    /// Where the deployment is on the web, when it is served on `port`. In production something
    /// that speaks TLS stands before it, on the usual port.
    pub(crate) fn site_on(&self, port: u16) -> Site {
        match (self.profile, port) {
            (Profile::Development, 0) => Site::new(&self.host),
            (Profile::Development, port) => Site::new(&self.host).port(port),
            (Profile::Production, _) => Site::new(&self.host).https(),
        }
    }
}

impl Flags {
    fn get(&self, key: Key) -> Option<OsString> {
        match key {
            Key::Data => self.data.clone(),
            Key::DatabaseUrl => self.database_url.clone(),
            Key::Isolation => self.isolation.clone(),
            Key::Servers => self.servers.clone(),
            Key::Connections => self.connections.clone(),
            Key::Pooler => self.pooler.clone(),
            Key::FilesUrl => self.files_url.clone(),
            Key::Addr => self.addr.clone(),
            Key::Host => self.host.clone(),
            Key::TrustProxy => self.trust_proxy.clone(),
            Key::NameServers => self.name_servers.clone(),
            Key::Pending => self.pending.clone(),
            Key::Workers => self.workers.clone(),
            Key::Profile => self.profile.clone(),
            // everybody on the machine reads a command line
            Key::Sealing | Key::SmtpUrl | Key::MetricsToken => None,
            Key::TenantSmtp => self.tenant_smtp.clone(),
            Key::LogFormat => self.log_format.clone(),
            Key::MetricsAddr => self.metrics_addr.clone(),
            Key::UsageInterval => self.usage_interval.clone(),
            Key::RedisUrl => self.redis_url.clone(),
            Key::OtlpEndpoint => self.otlp_endpoint.clone(),
        }
    }
}

fn database_url(text: &str) -> Result<String, &'static str> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        Ok(text.into())
    } else {
        Err("must be a URL, as postgres://user:password@host/database")
    }
}

fn files_url(text: &str) -> Result<String, &'static str> {
    match text.starts_with("s3://") {
        true => Ok(text.into()),
        false => Err("must be a URL, as s3://bucket/prefix"),
    }
}

/// A program that was built without Redis says so, instead of keeping what is cached for itself.
fn redis_url(found: Found, is_built_in: bool) -> Result<String, Error> {
    let origin = found.origin.clone();
    let url = found.secret().parsed(|text| {
        let is_number = |path: &str| path.parse::<u32>().is_ok();
        let is_one = Url::parse(text).is_ok_and(|url| {
            let number = url.path().trim_start_matches('/');
            ["redis", "rediss"].contains(&url.scheme())
                && url.host_str().is_some_and(|host| !host.is_empty())
                && (number.is_empty() || is_number(number))
        });
        match is_one {
            true => Ok(text.to_owned()),
            false => {
                Err("must be a URL, as redis://user:password@host:6379/0, or rediss:// for TLS")
            }
        }
    })?;
    match is_built_in {
        true => Ok(url),
        false => Err(Error::NoRedis(origin)),
    }
}

fn servers(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    text.split(',')
        .map(|pair| {
            let (name, url) = pair.split_once('=').ok_or("must be NAME=URL,NAME=URL")?;
            if name.is_empty() || name == "local" {
                return Err("must name each server, and none of them local");
            }
            Ok((name.trim().to_owned(), database_url(url)?))
        })
        .collect()
}

fn keys(text: &str) -> Result<Vec<tenantry::scoped::settings::Key>, &'static str> {
    let keys = text.split(',').map(|key| key.trim().parse());
    keys.collect::<Result<_, _>>()
        .map_err(|_| "must be keys of 32 bytes in base64, as KEY,KEY: the first seals, all open")
}

fn tenant_smtp(text: &str) -> Result<TenantSmtp, &'static str> {
    match text {
        "none" => Ok(TenantSmtp::Ignored),
        "public" => Ok(TenantSmtp::Public),
        "any" => Ok(TenantSmtp::Any),
        _ => Err("must be none, public or any"),
    }
}

fn metrics_token(text: &str) -> Result<MetricsToken, &'static str> {
    match text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(MetricsToken(text.into())),
        false => Err("must have 16 characters at least, and no spaces among them"),
    }
}

fn usage_interval(text: &str) -> Result<Duration, &'static str> {
    match text.parse() {
        Ok(seconds @ 1..=60) => Ok(Duration::from_secs(seconds)),
        _ => Err("must be a number of seconds, 1 to 60"),
    }
}

fn log_format(text: &str) -> Result<LogFormat, &'static str> {
    match text {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be pretty or json"),
    }
}

fn pooler(text: &str) -> Result<bool, &'static str> {
    match text {
        "none" => Ok(false),
        "transaction" => Ok(true),
        _ => Err("must be none or transaction"),
    }
}

fn addr(text: &str) -> Result<String, &'static str> {
    let (host, port) = text
        .rsplit_once(':')
        .ok_or("must be HOST:PORT, as 127.0.0.1:8000")?;
    if host.is_empty() {
        return Err("must name a host before the port; 0.0.0.0 is all of IPv4, [::] of IPv6");
    }
    port.parse::<u16>()
        .map_err(|_| "must end with a port from 0 to 65535")?;
    Ok(text.into())
}

fn host(text: &str) -> Result<String, &'static str> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if text.len() <= 253 && text.split('.').all(label) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("must be a host's name alone, as shop.example.com")
    }
}

fn name_servers(text: &str) -> Result<Vec<SocketAddr>, &'static str> {
    let one = |one: &str| {
        let alone = one.parse().map(|address: IpAddr| (address, 53).into());
        alone.or_else(|_| one.parse())
    };
    text.split(',')
        .map(|server| one(server.trim()))
        .collect::<Result<_, _>>()
        .map_err(|_| "must be addresses, each with a port or without, as 192.0.2.1,[::1]:5353")
}

fn profile(text: &str) -> Result<Profile, &'static str> {
    match text {
        "development" => Ok(Profile::Development),
        "production" => Ok(Profile::Production),
        _ => Err("must be development or production"),
    }
}

#[cfg(test)]
mod tests;
