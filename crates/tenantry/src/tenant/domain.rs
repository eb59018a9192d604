use std::{fmt, net::Ipv4Addr, str::FromStr, sync::Arc};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use serde::{Deserialize, Serialize};

/// The name of a host that a tenant has of its own, such as `shop.example.com`.
///
/// There is one spelling of each: in lower case, without a trailing dot, and in ASCII
/// ([IDNA](https://www.rfc-editor.org/rfc/rfc5890)). It has at least two labels, so it is never a
/// [`TenantCode`](super::TenantCode), and is no IP address.
///
/// ```
/// use tenantry::tenant::DomainName;
///
/// assert_eq!("Shop.Example.com.".parse::<DomainName>()?.as_str(), "shop.example.com");
/// assert_eq!("bücher.example".parse::<DomainName>()?.as_str(), "xn--bcher-kva.example");
/// for bad in ["", "localhost", "192.0.2.1", "https://example.com", "example.com:80", "a_b.example"] {
///     assert!(bad.parse::<DomainName>().is_err(), "{bad}");
/// }
/// # Ok::<_, tenantry::tenant::DomainNameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainName(Arc<str>);

impl DomainName {
    /// The most bytes that a name can have.
    pub const MAX_LEN: usize = 253;

    /// Reads a name as people write it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, DomainNameError> {
        if text.is_empty() {
            return Err(DomainNameError::Empty);
        }
        let beside = |c: char| c.is_whitespace() || matches!(c, '/' | ':' | '@' | '?' | '#' | '[');
        if text.contains(beside) {
            return Err(DomainNameError::NotAlone);
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let ascii = Uts46::new()
            .to_ascii(
                name.as_bytes(),
                AsciiDenyList::STD3,
                Hyphens::CheckFirstLast,
                DnsLength::Verify,
            )
            .map_err(|_| DomainNameError::Invalid)?;
        // other dots than the ASCII one may have become a trailing one
        if ascii.len() > Self::MAX_LEN || ascii.ends_with('.') {
            return Err(DomainNameError::Invalid);
        }
        let last = ascii.rsplit('.').next().unwrap_or_default();
        // no top-level domain is a number, and programs read such names as addresses
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
        if is_number || ascii.parse::<Ipv4Addr>().is_ok() {
            return Err(DomainNameError::Address);
        }
        if !ascii.contains('.') {
            return Err(DomainNameError::OneLabel);
        }
        Ok(Self(ascii.as_ref().into()))
    }

    /// The name as text, in ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is that host, or one below it.
    #[must_use]
    pub fn is_within(&self, host: &str) -> bool {
        is_within(&self.0, host)
    }
}

/// Whether a host is that one, or below it. Both are in lower case.
pub(crate) fn is_within(name: &str, host: &str) -> bool {
    name.strip_suffix(host)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Why a text is no [`DomainName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DomainNameError {
    /// There is nothing in it.
    #[error("must not be empty")]
    Empty,
    /// There is more in it than a host's name.
    #[error("must be a host's name alone, as shop.example.com, without scheme, port or path")]
    NotAlone,
    /// It is an IP address.
    #[error("must be a name, not an address")]
    Address,
    /// It is a single label, such as `localhost`.
    #[error("must have a dot in it, as shop.example.com")]
    OneLabel,
    /// It cannot be a name in the DNS.
    #[error("must be a name as the DNS has it, as shop.example.com")]
    Invalid,
}

impl FromStr for DomainName {
    type Err = DomainNameError;

    fn from_str(text: &str) -> Result<Self, DomainNameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for DomainName {
    type Error = DomainNameError;

    fn try_from(text: String) -> Result<Self, DomainNameError> {
        Self::new(&text)
    }
}

impl From<DomainName> for String {
    fn from(name: DomainName) -> Self {
        name.0.as_ref().into()
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tenant::TenantCode;

    #[test]
    fn each_has_one_spelling() {
        for same in [
            "shop.example.com",
            "SHOP.Example.COM",
            "shop.example.com.",
            "shop。example.com",
            "ｓｈｏｐ.example.com",
        ] {
            let name = DomainName::new(same).map(String::from);
            assert_eq!(name.as_deref(), Ok("shop.example.com"), "{same}");
        }
        let straße = DomainName::new("Straße.example").map(String::from);
        assert_eq!(straße.as_deref(), Ok("xn--strae-oqa.example"));
    }

    #[test]
    fn what_is_none_is_told_why() {
        use DomainNameError::{Address, Empty, Invalid, NotAlone, OneLabel};
        let long = format!("{}.example", "a".repeat(64));
        let longer = format!("{}example", "abcdefg.".repeat(31));
        for (bad, why) in [
            ("", Empty),
            ("http://example.com", NotAlone),
            ("example.com:80", NotAlone),
            ("example.com/x", NotAlone),
            ("a@example.com", NotAlone),
            ("a b.example", NotAlone),
            ("[::1]", NotAlone),
            ("192.0.2.1", Address),
            ("１９２.0.2.1", Address),
            ("1.2.3", Address),
            ("a.0x7f", Address),
            ("localhost", OneLabel),
            (".", Invalid),
            ("..", Invalid),
            ("a..example", Invalid),
            (".example.com", Invalid),
            ("example.com..", Invalid),
            ("a.example。.", Invalid),
            ("-a.example", Invalid),
            ("a-.example", Invalid),
            ("a_b.example", Invalid),
            ("*.example", Invalid),
            ("a'.example", Invalid),
            ("xn--a.example", Invalid),
            ("a\0.example", Invalid),
            (long.as_str(), Invalid),
            (longer.as_str(), Invalid),
        ] {
            assert_eq!(DomainName::new(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn hosts_are_within_others_by_whole_labels() {
        let name = DomainName::new("a.shop.example").unwrap();
        assert!(name.is_within("shop.example") && name.is_within("a.shop.example"));
        assert!(!name.is_within("op.example") && !name.is_within("b.a.shop.example"));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_clean(
            text in "\\PC{0,60}|[a-zA-Z0-9.ß。é_:/-]{0,60}|([a-z0-9-]{1,12}[.]){1,30}[a-z]{1,10}"
        ) {
            if let Ok(name) = DomainName::new(&text) {
                let text = name.as_str();
                prop_assert!(text.len() <= DomainName::MAX_LEN);
                prop_assert!(text.split('.').count() >= 2);
                prop_assert!(text.split('.').all(|label| (1..=63).contains(&label.len())));
                let clean = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
                prop_assert!(text.bytes().all(clean));
                prop_assert!(TenantCode::new(text).is_err());
                prop_assert_eq!(DomainName::new(text), Ok(name.clone()));
                prop_assert_eq!(DomainName::new(&format!("{}.", text.to_uppercase())), Ok(name));
            }
        }

        #[test]
        fn every_plain_name_is_accepted(text in "[a-z]([a-z0-9]{0,20}[.]){1,8}[a-z]{2,10}") {
            let empty = text.split('.').any(str::is_empty);
            prop_assert_eq!(DomainName::new(&text).is_ok(), !empty);
        }
    }
}
