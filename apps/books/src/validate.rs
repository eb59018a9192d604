//! What fields may hold. A refusal is a fragment that follows the field's name: "must not be empty".

use std::collections::BTreeMap;

use axum::extract::{FromRequest, Request};
use chrono::{Datelike, NaiveDate};
use garde::{Error, Validate};
use rust_decimal::Decimal;
use serde::de::DeserializeOwned;
use tenantry::{
    routing::{Json, Problem},
    users::PasswordRules,
};

/// A body of JSON that is as it must be.
pub(crate) struct Valid<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned + Validate<Context = ()>> FromRequest<S> for Valid<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(value) = Json::<T>::from_request(request, state).await?;
        check(&value)?;
        Ok(Self(value))
    }
}

/// Refuses with what is wrong, field by field.
pub(crate) fn check(value: &impl Validate<Context = ()>) -> Result<(), Problem> {
    let Err(report) = value.validate() else {
        return Ok(());
    };
    let mut errors = BTreeMap::<String, Vec<String>>::new();
    for (path, error) in report.iter() {
        let messages = errors.entry(path.to_string()).or_default();
        messages.push(error.message().to_owned());
    }
    Err(Problem::invalid(errors))
}

const SHORT: usize = 200;
const LONG: usize = 2_000;

fn refuse<T>(message: &str) -> Result<T, Error> {
    Err(Error::new(message))
}

/// A line for people, which is not empty.
pub(crate) fn line(text: &str, context: &()) -> garde::Result {
    if text.trim().is_empty() {
        return refuse("must not be empty");
    }
    optional_line(text, context)
}

/// A line for people, or nothing.
pub(crate) fn optional_line(text: &str, (): &()) -> garde::Result {
    if text.chars().count() > SHORT {
        return refuse("must have at most 200 characters");
    }
    if text.chars().any(char::is_control) {
        return refuse("must be a single line, without control characters");
    }
    Ok(())
}

/// A text for people, of any number of lines.
pub(crate) fn lines(text: &str, (): &()) -> garde::Result {
    if text.chars().count() > LONG {
        return refuse("must have at most 2000 characters");
    }
    if text
        .chars()
        .any(|c| c.is_control() && !"\r\n\t".contains(c))
    {
        return refuse("must not contain control characters");
    }
    Ok(())
}

/// An e-mail address, as far as can be told without sending to it.
pub(crate) fn email(text: &str, context: &()) -> garde::Result {
    line(text, context)?;
    let well_formed = text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !domain.is_empty()
            && !domain.contains('@')
            && !domain.starts_with('.')
            && !domain.ends_with('.')
    });
    if !well_formed || text.chars().any(char::is_whitespace) {
        return refuse("is not an e-mail address");
    }
    Ok(())
}

pub(crate) fn optional_email(text: &str, context: &()) -> garde::Result {
    if text.is_empty() {
        Ok(())
    } else {
        email(text, context)
    }
}

/// An IBAN with or without blanks, whose check digits are right; or nothing.
pub(crate) fn optional_iban(text: &str, (): &()) -> garde::Result {
    let text: String = text.split(' ').collect();
    if text.is_empty() {
        return Ok(());
    }
    let known = text.is_ascii() && (15..=34).contains(&text.len());
    let (Some(head), Some(rest)) = (text.get(..4), text.get(4..)) else {
        return refuse("is not an IBAN");
    };
    // a remainder of 97, with A = 10 and on, and what stands in front put behind (ISO 13616)
    let rest = rest.chars().chain(head.chars());
    let remainder = rest.map(|c| c.to_digit(36)).try_fold(0, |sum, digit| {
        let digit = digit?;
        let shifted = if digit < 10 { sum * 10 } else { sum * 100 };
        Some((shifted + digit) % 97)
    });
    if known && remainder == Some(1) {
        Ok(())
    } else {
        refuse("is not an IBAN: is a digit wrong?")
    }
}

/// A currency by its three letters.
pub(crate) fn currency(text: &str, (): &()) -> garde::Result {
    if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        Ok(())
    } else {
        refuse("must be three capital letters, like EUR")
    }
}

/// A day that a calendar of people has.
pub(crate) fn day(day: &NaiveDate, (): &()) -> garde::Result {
    if (1900..3000).contains(&day.year()) {
        Ok(())
    } else {
        refuse("must be a day from 1900 to 2999")
    }
}

fn decimals(value: &Decimal, most: u32) -> bool {
    value.normalize().scale() <= most
}

/// A price: not negative, to the cent, below a thousand million.
pub(crate) fn price(value: &Decimal, (): &()) -> garde::Result {
    if value.is_sign_negative() && !value.is_zero() {
        return refuse("must not be negative");
    }
    if !decimals(value, 2) {
        return refuse("must have at most two decimals");
    }
    if *value >= Decimal::from(1_000_000_000) {
        return refuse("is too large");
    }
    Ok(())
}

/// An amount of money that is paid.
pub(crate) fn payment(value: &Decimal, (): &()) -> garde::Result {
    if *value <= Decimal::ZERO {
        return refuse("must be more than nothing");
    }
    if !decimals(value, 2) {
        return refuse("must have at most two decimals");
    }
    Ok(())
}

/// How many: more than none, to the thousandth, below a million.
pub(crate) fn quantity(value: &Decimal, (): &()) -> garde::Result {
    if *value <= Decimal::ZERO {
        return refuse("must be more than nothing");
    }
    if !decimals(value, 3) {
        return refuse("must have at most three decimals");
    }
    if *value >= Decimal::from(1_000_000) {
        return refuse("is too large");
    }
    Ok(())
}

/// A new password.
pub(crate) fn password(text: &str, (): &()) -> garde::Result {
    let checked = PasswordRules::default().check(text, &[]);
    checked.map_err(|error| Error::new(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ibans_are_checked_by_their_digits() {
        for good in ["", "DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819"] {
            assert!(optional_iban(good, &()).is_ok(), "{good}");
        }
        for bad in [
            "DE89 3704 0044 0532 0130 01",
            "DE",
            "D",
            "DE89!",
            "ÄE89370400440532013000",
            "NL91ABNA0417164300000000000000000000000",
        ] {
            assert!(optional_iban(bad, &()).is_err(), "{bad}");
        }
    }

    #[test]
    fn amounts_are_kept_as_they_are_or_refused() {
        let number = |text: &str| text.parse::<Decimal>().unwrap();
        for good in ["0", "-0", "9.9", "10.000", "999999999.99"] {
            assert!(price(&number(good), &()).is_ok(), "{good}");
        }
        for bad in ["-0.01", "0.001", "1000000000"] {
            assert!(price(&number(bad), &()).is_err(), "{bad}");
        }
        assert!(quantity(&number("0.125"), &()).is_ok());
        for bad in ["0", "-1", "0.0001", "1000000"] {
            assert!(quantity(&number(bad), &()).is_err(), "{bad}");
        }
    }
}
