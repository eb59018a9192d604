//! Mail, from a tenant to people.
//!
//! ```
//! # use tenantry::{Tenancy, Tenant, scoped::mail::Message};
//! fn welcome(tenancy: &Tenancy, tenant: &Tenant) {
//!     let welcome = Message::new("ann@example.com", "Welcome", "Good to have you here.");
//!     tenancy.mail(tenant).post(welcome);
//! }
//! ```
//!
//! It is handed over once: nothing is tried again, and what cannot be handed over is logged by
//! [`Mail::post`] and returned by [`Mail::send`].

mod outbox;
mod settings;
mod smtp;

use std::{fmt, path::PathBuf, sync::Arc};

use futures_util::future::BoxFuture;
use lettre::message::{
    Body, Mailbox, MultiPart, SinglePart,
    header::{ContentTransferEncoding, ContentType},
};
use tracing::Instrument;
use uuid::Uuid;

use crate::{Tenancy, db::Quantity, scoped::settings::SettingsError, tenant::Tenant};

pub use outbox::Outbox;
pub use settings::MailSettings;
pub(crate) use smtp::TenantMailers;
pub use smtp::{SmtpMailer, SmtpServer, SmtpUrlError, TenantSmtp};

/// A text for one reader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The reader's address.
    pub to: String,
    /// The subject, on one line.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The same as HTML, for readers that show that.
    pub html: Option<String>,
}

impl Message {
    /// A text, to that address.
    pub fn new(to: impl Into<String>, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            to: to.into(),
            subject: subject.into(),
            text: text.into(),
            html: None,
        }
    }

    /// The same, with HTML for readers that show that.
    #[must_use]
    pub fn html(mut self, html: impl Into<String>) -> Self {
        self.html = Some(html.into());
        self
    }
}

/// What keeps the deployment's own mail apart from that of tenants.
const CENTRAL: &str = "central";

/// In whose name mail is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sender {
    /// What readers see: the tenant's name.
    pub name: String,
    /// The address that it comes from.
    pub address: String,
    /// The address that answers go to, if not that.
    pub reply_to: Option<String>,
    /// What keeps one tenant's mail apart from others': its id, or `central`.
    pub scope: String,
}

/// Why mail was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// An address or the subject cannot be put in a message.
    #[error("the message cannot be written: {0}")]
    Malformed(Box<dyn std::error::Error + Send + Sync>),
    /// What the tenant says of its mail cannot be read. It is not sent in another way then.
    #[error("the tenant's settings for mail: {0}")]
    Settings(#[from] SettingsError),
    /// It could not be handed over.
    #[error("the message cannot be sent: {0}")]
    Transport(Box<dyn std::error::Error + Send + Sync>),
}

/// What mail is handed over to.
pub trait Mailer: Send + Sync + 'static {
    /// Hands one message over.
    fn send<'a>(
        &'a self,
        sender: &'a Sender,
        message: Message,
    ) -> BoxFuture<'a, Result<(), MailError>>;
}

/// Writes each message to a file of its own, `<folder>/<scope>/<id>.eml`, instead of sending it:
/// for development and tests. Later ones sort after earlier ones.
#[derive(Debug, Clone)]
pub struct EmlFiles {
    folder: PathBuf,
}

impl EmlFiles {
    /// Into this folder, which is made when it is needed.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }
}

impl Mailer for EmlFiles {
    fn send<'a>(
        &'a self,
        sender: &'a Sender,
        message: Message,
    ) -> BoxFuture<'a, Result<(), MailError>> {
        Box::pin(async move {
            let bytes = written(sender, message)?;
            let folder = self.folder.join(&sender.scope);
            let write = move || {
                std::fs::create_dir_all(&folder)?;
                let name = Uuid::now_v7().to_string();
                // under another name until it is whole
                let begun = folder.join(format!("{name}.part"));
                std::fs::write(&begun, bytes)?;
                let whole = folder.join(format!("{name}.eml"));
                std::fs::rename(begun, &whole)?;
                Ok::<_, std::io::Error>(whole)
            };
            let written = tokio::task::spawn_blocking(write).await;
            let file = written
                .map_err(|error| MailError::Transport(error.into()))?
                .map_err(|error| MailError::Transport(error.into()))?;
            tracing::info!(file = %file.display(), "mail was written to a file, and is not sent");
            Ok(())
        })
    }
}

/// The message as it goes over the wire ([RFC 5322](https://www.rfc-editor.org/rfc/rfc5322)).
///
/// # Errors
/// [`MailError::Malformed`] when an address is none.
pub fn written(sender: &Sender, message: Message) -> Result<Vec<u8>, MailError> {
    fn malformed(error: impl std::error::Error + Send + Sync + 'static) -> MailError {
        MailError::Malformed(error.into())
    }
    let from = sender.address.parse().map_err(malformed)?;
    let to = message.to.parse().map_err(malformed)?;
    let mut builder = lettre::Message::builder()
        .from(Mailbox::new(Some(on_one_line(&sender.name)), from))
        .to(Mailbox::new(None, to))
        .subject(on_one_line(&message.subject));
    if let Some(address) = &sender.reply_to {
        let address = address.parse().map_err(malformed)?;
        builder = builder.reply_to(Mailbox::new(None, address));
    }
    let built = match message.html {
        None => builder
            .header(ContentType::TEXT_PLAIN)
            .body(body(message.text)),
        Some(html) => builder.multipart(
            MultiPart::alternative()
                .singlepart(
                    SinglePart::builder()
                        .header(ContentType::TEXT_PLAIN)
                        .body(body(message.text)),
                )
                .singlepart(
                    SinglePart::builder()
                        .header(ContentType::TEXT_HTML)
                        .body(body(html)),
                ),
        ),
    };
    Ok(built.map_err(malformed)?.formatted())
}

/// As it is where that can be, so that links can be read in the file, too: lines of up to 998
/// plain characters ([RFC 5322](https://www.rfc-editor.org/rfc/rfc5322#section-2.1.1)).
fn body(text: String) -> Body {
    let is_plain = |c: char| matches!(c, ' '..='~' | '\t' | '\n');
    if text.chars().all(is_plain) && text.lines().all(|line| line.len() <= 998) {
        let lines = text.replace('\n', "\r\n").into_bytes();
        return Body::dangerous_pre_encoded(lines, ContentTransferEncoding::SevenBit);
    }
    Body::new(text)
}

/// Names may hold anything, headers no ends of lines.
fn on_one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// The mail of one tenant, or of the deployment.
#[derive(Clone)]
pub struct Mail {
    sender: Sender,
    mailer: Arc<dyn Mailer>,
    of: Option<(Tenancy, Tenant)>,
}

impl Mail {
    pub(crate) fn of(tenancy: &Tenancy, tenant: &Tenant) -> Self {
        Self {
            sender: Sender {
                name: tenant.name().into(),
                address: tenancy.0.mail_address.clone(),
                reply_to: None,
                scope: tenant.id().to_string(),
            },
            mailer: tenancy.0.mailer.clone(),
            of: Some((tenancy.clone(), tenant.clone())),
        }
    }

    pub(crate) fn central(name: &str, address: &str, mailer: &Arc<dyn Mailer>) -> Self {
        Self {
            sender: Sender {
                name: name.into(),
                address: address.into(),
                reply_to: None,
                scope: CENTRAL.into(),
            },
            mailer: mailer.clone(),
            of: None,
        }
    }

    /// Hands a message over: to the server that the tenant [names](MailSettings), or else to the
    /// deployment's mailer. One that the tenant names and that fails is not made up for by another.
    ///
    /// # Errors
    /// When it cannot be written or handed over.
    pub async fn send(&self, message: Message) -> Result<(), MailError> {
        let Some((tenancy, tenant)) = &self.of else {
            return self.mailer.send(&self.sender, message).await;
        };
        let sent = self.send_for(tenancy, tenant, message).await;
        let what = match sent {
            Ok(()) => Quantity::MailsSent,
            Err(_) => Quantity::MailsFailed,
        };
        tenancy.meter(tenant).add(what, 1);
        sent
    }

    async fn send_for(
        &self,
        tenancy: &Tenancy,
        tenant: &Tenant,
        message: Message,
    ) -> Result<(), MailError> {
        let settings: MailSettings = match tenancy.settings(tenant).get().await {
            // the application does not let tenants say
            Err(SettingsError::NoGroup(_)) => MailSettings::default(),
            settings => settings?,
        };
        let mut sender = self.sender.clone();
        sender.reply_to = settings.reply_to;
        sender.name = settings.from_name.unwrap_or(sender.name);
        // the deployment's server does not write in everybody's name
        if let (Some(address), Some(_)) = (settings.from_address, &settings.smtp_url) {
            sender.address = address;
        }
        let own = &tenancy.0.tenant_mailers;
        match settings.smtp_url {
            Some(url) if own.are_heard() => {
                let server = url.expose().parse();
                let server =
                    server.map_err(|error: SmtpUrlError| MailError::Transport(error.into()))?;
                own.send(tenant.id(), &server, &sender, message).await
            }
            _ => self.mailer.send(&sender, message).await,
        }
    }

    /// Hands a message over in the background, so that how long that takes, and whether there was
    /// anybody to write to, cannot be told from the answer to a request. A failure is logged.
    pub fn post(self, message: Message) {
        let sending = async move {
            if let Err(error) = self.send(message).await {
                tracing::error!(scope = %self.sender.scope, %error, "mail was not sent");
            }
        };
        // what it tells belongs to whoever wanted it
        drop(tokio::spawn(sending.in_current_span()));
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail")
            .field("sender", &self.sender)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Message, Sender, written};

    #[test]
    fn headers_cannot_be_smuggled_in() {
        let sender = Sender {
            name: "Ann\r\nBcc: eve@example.com".into(),
            address: "no-reply@example.com".into(),
            reply_to: None,
            scope: "x".into(),
        };
        let message = |to: &str| Message {
            to: to.into(),
            subject: "Hi\r\nBcc: eve@example.com".into(),
            text: "ä".into(),
            html: None,
        };
        let bytes = written(&sender, message("bob@example.com")).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains("\nBcc:"), "{text}");
        let link = format!("http://localhost/?link=tnl_{}", "x".repeat(100));
        let message_with_link = Message {
            text: link.clone(),
            ..message("bob@example.com")
        };
        let bytes = written(&sender, message_with_link).unwrap();
        assert!(String::from_utf8(bytes).unwrap().contains(&link));
        assert!(written(&sender, message("bob@example.com\r\nBcc: eve@example.com")).is_err());
    }
}
