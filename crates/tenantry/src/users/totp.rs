//! Codes that change every half minute, and those for when the device is lost.

use chrono::Utc;
use totp_rs::{Builder, Totp};

use super::{NewSecondFactor, secret::digest};
use crate::db::DbError;

/// How many recovery codes there are.
const RECOVERY_CODES: usize = 10;

/// Without letters and digits that look alike.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// What an authenticator shows codes for: six digits of SHA-1 every 30 seconds, as all of them do
/// ([RFC 6238](https://www.rfc-editor.org/rfc/rfc6238)).
pub(crate) struct Codes(Totp);

impl Codes {
    /// A new secret of 160 bits, as RFC 4226 recommends.
    pub(crate) fn new_secret() -> Result<Vec<u8>, DbError> {
        let mut secret = vec![0; 20];
        getrandom::fill(&mut secret).map_err(|error| DbError::Engine(Box::new(error)))?;
        Ok(secret)
    }

    pub(crate) fn of(secret: Vec<u8>, issuer: &str, account: &str) -> Result<Self, DbError> {
        // a colon would end the issuer in the URI
        let issuer = issuer.replace(':', " ");
        Builder::new()
            .with_secret(secret.into_boxed_slice())
            .with_skew(1)
            .with_issuer(Some(issuer))
            .with_account_name(account.replace(':', " "))
            .build()
            .map(Self)
            .map_err(|error| DbError::Engine(Box::new(error)))
    }

    /// The step of time that `code` is for, if it is one of now, the one before or the one after.
    pub(crate) fn step_of(&self, code: &str, unix_time: u64) -> Option<i64> {
        let step = self.0.check(code.trim(), unix_time)?;
        i64::try_from(step).ok()
    }

    /// As [`step_of`](Self::step_of), at this time.
    pub(crate) fn current_step_of(&self, code: &str) -> Option<i64> {
        let now = u64::try_from(Utc::now().timestamp()).ok()?;
        self.step_of(code, now)
    }

    /// The code that is shown so many seconds from now.
    #[cfg(feature = "testing")]
    pub(crate) fn code_in(&self, seconds: i64) -> String {
        let then = Utc::now().timestamp() + seconds;
        let then = u64::try_from(then).unwrap_or_default();
        self.0.generate(then).to_string()
    }

    /// What was shown to be typed.
    #[cfg(feature = "testing")]
    pub(crate) fn secret_of(base32: &str) -> Vec<u8> {
        let secret = totp_rs::Secret::try_from_base32(base32);
        secret.map_or(Vec::new(), |secret| secret.as_bytes().to_vec())
    }

    /// What its owner is shown.
    pub(crate) fn into_new(self) -> NewSecondFactor {
        NewSecondFactor {
            secret: self.0.secret().to_base32(),
            uri: self.0.to_url().unwrap_or_default(),
        }
    }
}

/// Codes of ten characters, each good once, as `abcde-fghij`.
pub(crate) fn recovery_codes() -> Result<Vec<String>, DbError> {
    let mut random = [0; RECOVERY_CODES * 10];
    getrandom::fill(&mut random).map_err(|error| DbError::Engine(Box::new(error)))?;
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(byte % 32)]);
    Ok(random
        .chunks(10)
        .map(|bytes| {
            let (first, second) = bytes.split_at(5);
            let half = |part: &[u8]| part.iter().map(letter).collect::<String>();
            format!("{}-{}", half(first), half(second))
        })
        .collect())
}

/// What is kept of a recovery code, however it was typed; `None` where it cannot be one.
pub(crate) fn recovery_digest(code: &str) -> Option<Vec<u8>> {
    let letters: String = code
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    (letters.len() == 10).then(|| digest(&letters))
}

#[cfg(test)]
mod tests {
    use super::{Codes, NewSecondFactor, recovery_codes, recovery_digest};

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, its last six digits
        let codes = Codes::of(b"12345678901234567890".to_vec(), "a", "b").unwrap();
        assert_eq!(codes.step_of("287082", 59), Some(1));
        assert_eq!(codes.step_of("081804", 1_111_111_109), Some(37_037_036));
        assert_eq!(codes.step_of("287082", 59 + 30), Some(1), "a little late");
        assert_eq!(codes.step_of("287082", 59 + 90), None);
        for malformed in ["", "28708", "2870821", "28708a", "২৮৭০৮২"] {
            assert_eq!(codes.step_of(malformed, 59), None, "{malformed}");
        }
    }

    #[test]
    fn the_uri_names_issuer_and_account() {
        let codes = Codes::of(Codes::new_secret().unwrap(), "A: b", "ann@example.com").unwrap();
        let NewSecondFactor { secret, uri } = codes.into_new();
        assert!(uri.starts_with("otpauth://totp/"), "{uri}");
        assert!(uri.contains(&secret), "{uri}");
    }

    #[test]
    fn recovery_codes_are_read_as_people_type() {
        let codes = recovery_codes().unwrap();
        assert_eq!(codes.len(), 10);
        let typed = codes[0].to_uppercase().replace('-', " ");
        assert_eq!(recovery_digest(&typed), recovery_digest(&codes[0]));
        assert_eq!(recovery_digest("abcde"), None);
    }
}
