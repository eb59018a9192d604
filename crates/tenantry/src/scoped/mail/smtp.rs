//! Mail by SMTP: the deployment's, and a tenant's own.

use std::{
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor,
    address::Envelope,
    transport::smtp::{
        authentication::Credentials,
        client::{Tls, TlsParameters},
    },
};
use moka::sync;
use tokio::sync::Semaphore;
use url::Url;

use super::{MailError, Mailer, Message, Sender, written};
use crate::{scoped::settings::Secret, tenant::TenantId};

/// How long a server may take for each step, and for all of them.
const STEP: Duration = Duration::from_secs(15);
const WHOLE: Duration = Duration::from_secs(60);

/// How many messages are under way at once: by the deployment's server, by those of all tenants, and
/// by one tenant's.
const AT_ONCE: usize = 16;
const AT_ONCE_BY_TENANT: usize = 2;

/// The ports that mail is handed over on. A tenant's server is on no other, where tenants may not name
/// any address: else it would be a way to try the ports of others.
const PORTS: [u16; 4] = [25, 465, 587, 2525];

/// Where an SMTP server is and how it is signed in to: `smtps://user:password@host:port`, or `smtp://`
/// for a server that begins in clear and goes on with TLS, which is required; `?tls=none` does without.
/// The port is 465 or 587 unless told. What has to be escaped in a URL is, in names and passwords, too.
///
/// `{:?}` does not print who signs in.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpServer {
    host: String,
    port: u16,
    security: Security,
    credentials: Option<(String, Secret)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    Tls,
    StartTls,
    None,
}

/// A text is no SMTP server. What it says names no part of the text: there may be a password in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SmtpUrlError(&'static str);

impl FromStr for SmtpServer {
    type Err = SmtpUrlError;

    fn from_str(text: &str) -> Result<Self, SmtpUrlError> {
        let form = "must be a URL, as smtps://user:password@host:465";
        let url = Url::parse(text).map_err(|_| SmtpUrlError(form))?;
        let mut security = match url.scheme() {
            "smtps" => Security::Tls,
            "smtp" => Security::StartTls,
            _ => return Err(SmtpUrlError("must begin with smtps:// or smtp://")),
        };
        for (name, value) in url.query_pairs() {
            security = match (&*name, &*value, security) {
                ("tls", "none", Security::StartTls) => Security::None,
                ("tls", "required", as_is) => as_is,
                _ => {
                    return Err(SmtpUrlError(
                        "may have ?tls=required or, with smtp://, ?tls=none",
                    ));
                }
            };
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(SmtpUrlError(form));
        }
        let decoded = |text: &str| {
            let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
            decoded
                .map(|text| text.into_owned())
                .map_err(|_| SmtpUrlError("must be UTF-8"))
        };
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (_, None) | ("", _) => {
                return Err(SmtpUrlError("must have a user and a password, or neither"));
            }
            (user, Some(password)) => Some((decoded(user)?, Secret::new(decoded(password)?))),
        };
        if credentials.is_some() && security == Security::None {
            return Err(SmtpUrlError("must not send a password without TLS"));
        }
        let default = match security {
            Security::Tls => 465,
            _ => 587,
        };
        Ok(Self {
            host: host
                .ok_or(SmtpUrlError(form))?
                .trim_matches(['[', ']'])
                .to_owned(),
            port: url.port().unwrap_or(default),
            security,
            credentials,
        })
    }
}

impl std::fmt::Debug for SmtpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SmtpServer({}:{})", self.host, self.port)
    }
}

/// Which servers tenants may name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TenantSmtp {
    /// None: whatever they say, their mail goes to the deployment's mailer. For development.
    Ignored,
    /// Those on the internet: no address of this machine, a private network or a link, and no port but
    /// those of mail.
    #[default]
    Public,
    /// Any.
    Any,
}

/// Sends mail by one server: the deployment's.
#[derive(Debug, Clone)]
pub struct SmtpMailer {
    server: SmtpServer,
    room: Arc<Semaphore>,
}

impl SmtpMailer {
    /// By this server.
    #[must_use]
    pub fn new(server: SmtpServer) -> Self {
        Self {
            server,
            room: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Mailer for SmtpMailer {
    fn send<'a>(
        &'a self,
        sender: &'a Sender,
        message: Message,
    ) -> BoxFuture<'a, Result<(), MailError>> {
        Box::pin(async move {
            let _room = self.room.acquire().await.map_err(transport)?;
            deliver(&self.server, TenantSmtp::Any, sender, message).await
        })
    }
}

/// Sends the mail of tenants that have a server of their own.
pub(crate) struct TenantMailers {
    allowed: TenantSmtp,
    room: Semaphore,
    by_tenant: sync::Cache<TenantId, Arc<Semaphore>>,
}

impl TenantMailers {
    pub(crate) fn new(allowed: TenantSmtp) -> Self {
        Self {
            allowed,
            room: Semaphore::new(AT_ONCE),
            by_tenant: sync::Cache::builder()
                .time_to_idle(2 * WHOLE)
                .max_capacity(10_000)
                .build(),
        }
    }

    /// Whether what tenants say of their server counts.
    pub(crate) fn are_heard(&self) -> bool {
        self.allowed != TenantSmtp::Ignored
    }

    /// By the tenant's server or not at all: never by another's, and not by the deployment's.
    pub(crate) async fn send(
        &self,
        tenant: TenantId,
        server: &SmtpServer,
        sender: &Sender,
        message: Message,
    ) -> Result<(), MailError> {
        // its own turn first: one whose server is slow is in nobody's way
        let own = self
            .by_tenant
            .get_with(tenant, || Arc::new(Semaphore::new(AT_ONCE_BY_TENANT)));
        let _own = own.acquire().await.map_err(transport)?;
        let _room = self.room.acquire().await.map_err(transport)?;
        deliver(server, self.allowed, sender, message).await
    }
}

fn transport(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> MailError {
    MailError::Transport(error.into())
}

async fn deliver(
    server: &SmtpServer,
    allowed: TenantSmtp,
    sender: &Sender,
    message: Message,
) -> Result<(), MailError> {
    let malformed = |error: lettre::address::AddressError| MailError::Malformed(error.into());
    let from: Address = sender.address.parse().map_err(malformed)?;
    let to: Address = message.to.parse().map_err(malformed)?;
    let envelope = Envelope::new(Some(from), vec![to]);
    let envelope = envelope.map_err(|error| MailError::Malformed(error.into()))?;
    let bytes = written(sender, message)?;
    let sending = async {
        let address = resolve(server, allowed).await?;
        let mailer = connected(server, address)?;
        let sent = mailer.send_raw(&envelope, &bytes).await;
        sent.map(drop).map_err(transport)
    };
    tokio::time::timeout(WHOLE, sending)
        .await
        .unwrap_or_else(|_| Err(transport("the server takes too long")))
}

/// One of the server's addresses that may be spoken to. It is this one that is, whatever the name leads
/// to a moment later.
async fn resolve(server: &SmtpServer, allowed: TenantSmtp) -> Result<IpAddr, MailError> {
    if allowed != TenantSmtp::Any && !PORTS.contains(&server.port) {
        return Err(transport("mail is not handed over on that port"));
    }
    let found = tokio::net::lookup_host((server.host.as_str(), server.port));
    let found = tokio::time::timeout(STEP, found).await.map_err(transport)?;
    let mut addresses = found.map_err(transport)?.map(|address| address.ip());
    let may_be = |ip: &IpAddr| allowed == TenantSmtp::Any || is_public(*ip);
    let found = addresses.find(may_be);
    // whether there is such a name inside is not told
    found.ok_or_else(|| transport("there is no such server, or none that may be spoken to"))
}

fn connected(
    server: &SmtpServer,
    address: IpAddr,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, MailError> {
    let parameters = || TlsParameters::new_rustls(server.host.clone()).map_err(transport);
    let tls = match server.security {
        Security::Tls => Tls::Wrapper(parameters()?),
        Security::StartTls => Tls::Required(parameters()?),
        Security::None => Tls::None,
    };
    let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.to_string())
        .port(server.port)
        .timeout(Some(STEP))
        .tls(tls);
    Ok(match &server.credentials {
        Some((user, password)) => {
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            builder.credentials(credentials).build()
        }
        None => builder.build(),
    })
}

/// Whether an address is on the internet: the list of
/// [what is not](https://www.iana.org/assignments/iana-ipv4-special-registry), and of what wraps it.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_broadcast()
                || ip.is_documentation()
                || ip.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
                || (a, b, c) == (192, 0, 0))
        }
        IpAddr::V6(ip) => match ip.to_ipv4() {
            Some(inner) => is_public(inner.into()),
            None => is_public_v6(ip),
        },
    }
}

/// Only what is given out for global use, without what leads elsewhere in the guise of it: 6to4,
/// Teredo, documentation.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    let is_global = (0x2000..0x4000).contains(&first);
    let is_special = first == 0x2002 || (first == 0x2001 && (second < 0x200 || second == 0xdb8));
    is_global && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_of_the_internet() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "93.184.215.14",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn urls_of_servers() {
        let server: SmtpServer = "smtps://ann%40x:p%3Aw@mail.example.com".parse().unwrap();
        assert_eq!((server.port, server.security), (465, Security::Tls));
        let (user, password) = server.credentials.clone().unwrap();
        assert_eq!((user.as_str(), password.expose()), ("ann@x", "p:w"));
        assert!(!format!("{server:?}").contains("p:w"));
        let server: SmtpServer = "smtp://[::1]:25?tls=none".parse().unwrap();
        assert_eq!((server.host.as_str(), server.port), ("::1", 25));
        assert_eq!(server.security, Security::None);
        let server: SmtpServer = "smtp://mail.example.com".parse().unwrap();
        assert_eq!((server.port, server.security), (587, Security::StartTls));
        for bad in [
            "",
            "mail.example.com",
            "http://mail.example.com",
            "smtp://u:hunter2@h?tls=none",
            "smtps://h?tls=none",
            "smtps://user@h",
            "smtps://h/path",
            "smtps://:hunter2@h",
            "smtp://h?tls=maybe",
            "smtps://",
        ] {
            let error = bad.parse::<SmtpServer>().unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{bad}");
        }
    }
}
