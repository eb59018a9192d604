use serde::{Deserialize, Serialize};

use super::SmtpServer;
use crate::scoped::settings::{FieldErrors, Secret, Settings};

/// What a tenant says of its mail. An application that registers it
/// ([`Config::settings`](crate::Config::settings)) lets its tenants.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MailSettings {
    /// What readers see as the sender; the tenant's name unless told.
    pub from_name: Option<String>,
    /// The address that mail comes from; the deployment's unless told. It counts together with a
    /// server of the tenant's own: the deployment's does not write in everybody's name.
    pub from_address: Option<String>,
    /// The address that answers go to.
    pub reply_to: Option<String>,
    /// The server that mail is handed over to, as an [`SmtpServer`]; the deployment's unless told.
    pub smtp_url: Option<Secret>,
}

impl Settings for MailSettings {
    const NAME: &'static str = "mail";

    fn secrets(&self) -> Vec<(&'static str, Option<&Secret>)> {
        vec![("smtp_url", self.smtp_url.as_ref())]
    }

    fn validate(&self) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::new();
        let mut wrong = |field: &str, message: &str| {
            errors.entry(field.into()).or_default().push(message.into());
        };
        for (field, address) in [
            ("from_address", &self.from_address),
            ("reply_to", &self.reply_to),
        ] {
            let parsed = address.as_ref().map(|text| text.parse::<lettre::Address>());
            if parsed.is_some_and(|parsed| parsed.is_err()) {
                wrong(field, "must be an address, as ann@example.com");
            }
        }
        if let Some(name) = &self.from_name {
            if name.trim().is_empty() || name.chars().count() > 200 {
                wrong("from_name", "must have 1 to 200 characters");
            }
            if name.chars().any(char::is_control) {
                wrong("from_name", "must not contain control characters");
            }
        }
        if let Some(url) = &self.smtp_url
            && let Err(error) = url.expose().parse::<SmtpServer>()
        {
            wrong("smtp_url", &error.to_string());
        }
        match errors.is_empty() {
            true => Ok(()),
            false => Err(errors),
        }
    }
}
