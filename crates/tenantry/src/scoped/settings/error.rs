use std::collections::BTreeMap;

use super::KeyError;
use crate::db::DbError;

/// What is wrong, by field.
pub type FieldErrors = BTreeMap<String, Vec<String>>;

/// Why settings cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The application has registered no settings of that name and type.
    #[error("there are no settings called {0}")]
    NoGroup(String),
    /// They have no such field.
    #[error("{group} has no field {field}")]
    NoField {
        /// The settings.
        group: &'static str,
        /// The field that was named.
        field: String,
    },
    /// They cannot be that.
    #[error("{}", said(.0))]
    Invalid(FieldErrors),
    /// What is kept cannot be read, or is no longer valid. Nothing is read in its place.
    #[error("the settings {group} are kept with what they cannot be: {}", said(.errors))]
    Broken {
        /// The settings.
        group: &'static str,
        /// What is wrong with them.
        errors: FieldErrors,
    },
    /// A secret cannot be sealed or opened.
    #[error("{group}.{field}: {source}")]
    Secret {
        /// The settings.
        group: String,
        /// The field.
        field: String,
        /// Why.
        source: KeyError,
    },
    /// A field has a secret in it that is not among [`Settings::secrets`](super::Settings::secrets).
    #[error("{group}.{field} has a secret in it that the settings do not name")]
    Unnamed {
        /// The settings.
        group: &'static str,
        /// The field.
        field: String,
    },
    /// Others have written them since they were read.
    #[error("they are not what they were when they were read")]
    Conflict,
    /// There is no such tenant any more.
    #[error("there is no such tenant")]
    NoTenant,
    /// The keys cannot be changed or read.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The catalog cannot be used.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl SettingsError {
    pub(super) fn field(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid(one(field, message))
    }
}

pub(super) fn one(field: &str, message: impl Into<String>) -> FieldErrors {
    FieldErrors::from([(field.to_owned(), vec![message.into()])])
}

fn said(errors: &FieldErrors) -> String {
    let said = errors.iter().map(|(field, messages)| {
        let messages = messages.join(", ");
        match field.is_empty() {
            true => messages,
            false => format!("{field} {messages}"),
        }
    });
    said.collect::<Vec<_>>().join("; ")
}
