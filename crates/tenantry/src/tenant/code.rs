use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Codes that no tenant may take, because hosts or paths of that name belong to the deployment.
pub const RESERVED_CODES: &[&str] = &[
    "admin",
    "api",
    "app",
    "assets",
    "auth",
    "autoconfig",
    "autodiscover",
    "blog",
    "catalog",
    "cdn",
    "central",
    "console",
    "default",
    "dev",
    "docs",
    "ftp",
    "global",
    "healthz",
    "help",
    "imap",
    "internal",
    "localhost",
    "login",
    "mail",
    "metrics",
    "mx",
    "ns",
    "ns1",
    "ns2",
    "null",
    "ops",
    "pop",
    "postgres",
    "public",
    "readyz",
    "root",
    "shared",
    "smtp",
    "staging",
    "static",
    "status",
    "support",
    "system",
    "template",
    "template0",
    "template1",
    "tenant",
    "tenantry",
    "tenants",
    "test",
    "undefined",
    "webmail",
    "www",
];

/// The slug by which people and hosts name a tenant: one DNS label, unique, renamable.
///
/// A code is 1 to 63 of `a`–`z`, `0`–`9` and `-`, neither begins nor ends with `-`, has no `--` as
/// third and fourth character (so that no internationalised `xn--…` twin of another code can be
/// made; see [RFC 5891 §4.2.3.1]), and is none of [`RESERVED_CODES`]. There is exactly one spelling of each: upper case is
/// refused, not folded.
///
/// ```
/// use tenantry::tenant::TenantCode;
///
/// assert_eq!("acme-2".parse::<TenantCode>().unwrap().as_str(), "acme-2");
/// for bad in ["", "Acme", "a_b", "-a", "xn--80ak6aa92e", "www", "x'; DROP"] {
///     assert!(bad.parse::<TenantCode>().is_err(), "{bad}");
/// }
/// ```
///
/// [RFC 5891 §4.2.3.1]: https://www.rfc-editor.org/rfc/rfc5891#section-4.2.3.1
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantCode(Arc<str>);

impl TenantCode {
    /// The most bytes a code can have: those of a DNS label.
    pub const MAX_LEN: usize = 63;

    /// Checks `code` against the rules above.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn new(code: &str) -> Result<Self, CodeError> {
        let bytes = code.as_bytes();
        if bytes.is_empty() {
            return Err(CodeError::Empty);
        }
        if bytes.len() > Self::MAX_LEN {
            return Err(CodeError::TooLong);
        }
        if let Some(bad) = code
            .chars()
            .find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-'))
        {
            return Err(CodeError::Character(bad));
        }
        if code.starts_with('-') || code.ends_with('-') || bytes.get(2..4) == Some(b"--") {
            return Err(CodeError::Hyphen);
        }
        if RESERVED_CODES.binary_search(&code).is_ok() {
            return Err(CodeError::Reserved);
        }
        Ok(Self(code.into()))
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a [`TenantCode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// There is nothing in it.
    #[error("must not be empty")]
    Empty,
    /// It is longer than [`TenantCode::MAX_LEN`].
    #[error("must have at most 63 characters")]
    TooLong,
    /// It has a character that is not allowed.
    #[error("may have only lower-case letters a-z, digits and hyphens, not {0:?}")]
    Character(char),
    /// A hyphen stands where none may.
    #[error("must not begin or end with a hyphen, nor have two as its third and fourth character")]
    Hyphen,
    /// It is one of [`RESERVED_CODES`].
    #[error("is reserved")]
    Reserved,
}

impl FromStr for TenantCode {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        Self::new(text)
    }
}

impl TryFrom<String> for TenantCode {
    type Error = CodeError;

    fn try_from(text: String) -> Result<Self, CodeError> {
        Self::new(&text)
    }
}

impl From<TenantCode> for String {
    fn from(code: TenantCode) -> Self {
        code.0.as_ref().into()
    }
}

impl fmt::Display for TenantCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_reserved_list_is_sorted_and_would_otherwise_be_valid() {
        assert!(RESERVED_CODES.is_sorted());
        for code in RESERVED_CODES {
            assert_eq!(TenantCode::new(code), Err(CodeError::Reserved));
        }
    }

    #[test]
    fn lengths_at_the_edge() {
        assert!(TenantCode::new(&"a".repeat(63)).is_ok());
        assert_eq!(TenantCode::new(&"a".repeat(64)), Err(CodeError::TooLong));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_a_dns_label(text in "\\PC{0,70}|[a-zA-Z0-9_.'; -]{0,70}") {
            if let Ok(code) = TenantCode::new(&text) {
                let text = code.as_str();
                prop_assert!((1..=63).contains(&text.len()));
                prop_assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
                prop_assert!(!text.starts_with('-') && !text.ends_with('-'));
                prop_assert_eq!(text.to_lowercase(), text);
            }
        }

        #[test]
        fn every_plain_label_is_accepted(text in "[a-z0-9]([a-z0-9][a-z0-9-]{0,20}[a-z0-9])?") {
            let reserved = RESERVED_CODES.contains(&text.as_str());
            let dashes = text.as_bytes().get(2..4) == Some(b"--");
            prop_assert_eq!(TenantCode::new(&text).is_ok(), !reserved && !dashes);
        }
    }
}
