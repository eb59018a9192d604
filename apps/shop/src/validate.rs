//! What fields may hold. A refusal is a fragment that follows the field's name: "must not be empty".

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use tenantry::{
    routing::Problem,
    users::{PasswordRules, User},
};

/// Collects what is wrong, field by field.
#[derive(Debug, Default)]
pub(crate) struct Errors(BTreeMap<String, Vec<String>>);

impl Errors {
    /// The value, or none with the reason noted under `field`.
    pub(crate) fn check<T, E: ToString>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result
            .map_err(|message| self.add(field, message.to_string()))
            .ok()
    }

    pub(crate) fn add(&mut self, field: &str, message: impl Into<String>) {
        self.0.entry(field.into()).or_default().push(message.into());
    }

    /// A problem if anything was noted.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.into())
        }
    }
}

impl From<Errors> for Problem {
    fn from(errors: Errors) -> Self {
        Self::invalid(errors.0)
    }
}

/// A rule of this module, for fields that are validated by their type.
pub(crate) fn rule<T>(checked: Result<T, String>) -> garde::Result {
    checked.map(drop).map_err(garde::Error::new)
}

/// Text for people: trimmed, not empty, at most `most` characters, without control characters.
pub(crate) fn text(value: &str, most: usize) -> Result<String, String> {
    let value = value.trim();
    if value.is_empty() {
        return Err("must not be empty".into());
    }
    optional_text(value, most)
}

/// As [`text`], but may be empty.
pub(crate) fn optional_text(value: &str, most: usize) -> Result<String, String> {
    let value = value.trim();
    if value.chars().count() > most {
        return Err(format!("must have at most {most} characters"));
    }
    if value.chars().any(char::is_control) {
        return Err("must not contain control characters".into());
    }
    Ok(value.into())
}

/// An e-mail address, as far as can be told without sending to it.
pub(crate) fn email(value: &str) -> Result<String, String> {
    let value = text(value, 254)?;
    let well_formed = value.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !local.contains('@')
            && !domain.is_empty()
            && !domain.starts_with('.')
            && !domain.ends_with('.')
    }) && !value.chars().any(char::is_whitespace);
    if well_formed {
        Ok(value)
    } else {
        Err("is not an e-mail address".into())
    }
}

/// A new password. `known` is what everybody may know of its owner.
pub(crate) fn new_password(value: &str, known: &[&str]) -> Result<String, String> {
    let rules = PasswordRules::default();
    rules
        .check(value, known)
        .map_err(|error| error.to_string())?;
    Ok(value.into())
}

/// What everybody may know of a user.
pub(crate) fn known(user: &User) -> [&str; 3] {
    [&user.email, &user.first_name, &user.last_name]
}

/// An amount of money: not negative, two decimals, below ten thousand million.
pub(crate) fn price(mut value: Decimal) -> Result<Decimal, String> {
    if value.is_sign_negative() && !value.is_zero() {
        return Err("must not be negative".into());
    }
    if value.normalize().scale() > 2 {
        return Err("must have at most two decimals".into());
    }
    if value >= Decimal::from(10_000_000_000_i64) {
        return Err("is too large".into());
    }
    value.set_sign_positive(true);
    value.rescale(2);
    Ok(value)
}

/// A currency by its three letters.
pub(crate) fn currency(value: &str) -> Result<String, String> {
    if value.len() == 3 && value.bytes().all(|b| b.is_ascii_uppercase()) {
        Ok(value.into())
    } else {
        Err("must be three capital letters, like EUR".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["a@b", "ann@example.com", " Ann+x@example.co.uk "] {
            assert!(email(good).is_ok(), "{good}");
        }
        for bad in [
            "", "a", "@b", "a@", "a@b@c", "a b@c", "a@.b", "a@b\0", "a@b.",
        ] {
            assert!(email(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prices_are_kept_to_the_cent() {
        let price = |text: &str| price(text.parse().unwrap()).map(|price| price.to_string());
        assert_eq!(price("9.9"), Ok("9.90".into()));
        assert_eq!(price("10.000"), Ok("10.00".into()));
        assert_eq!(price("-0"), Ok("0.00".into()));
        for bad in ["-1", "0.001", "10000000000"] {
            assert!(price(bad).is_err(), "{bad}");
        }
    }
}
