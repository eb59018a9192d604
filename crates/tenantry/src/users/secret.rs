//! What is given out once and kept only as a digest.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::db::DbError;

const PREFIX_LEN: usize = 8;

/// 32 random bytes in text, after a mark that says what they are for: so that a scanner of leaked
/// secrets knows them, and one that is shown in the wrong place is refused unread.
pub(crate) struct Secret {
    text: String,
    mark: &'static str,
}

impl Secret {
    pub(crate) fn new(mark: &'static str) -> Result<Self, DbError> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| DbError::Engine(Box::new(error)))?;
        let text = format!("{mark}{}", BASE64_URL_SAFE_NO_PAD.encode(random));
        Ok(Self { text, mark })
    }

    /// The part by which it is looked up and shown in lists.
    pub(crate) fn prefix(&self) -> &str {
        &self.text[self.mark.len()..][..PREFIX_LEN]
    }

    pub(crate) fn digest(&self) -> Vec<u8> {
        digest(&self.text)
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

/// What is kept of a secret.
pub(crate) fn digest(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// The part of a shown secret by which it is looked up; `None` where it cannot be one with that
/// mark.
pub(crate) fn prefix_of<'s>(secret: &'s str, mark: &str) -> Option<&'s str> {
    let prefix = secret.strip_prefix(mark)?.get(..PREFIX_LEN)?;
    (prefix.is_ascii() && !prefix.contains('\0')).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::{Secret, digest, prefix_of};

    #[test]
    fn prefixes_are_found_again() {
        let secret = Secret::new("tnt_").unwrap();
        let (prefix, kept) = (secret.prefix().to_owned(), secret.digest());
        let text = secret.into_text();
        assert_eq!(prefix_of(&text, "tnt_"), Some(prefix.as_str()));
        assert_eq!(prefix_of(&text, "tnk_"), None);
        assert_eq!(digest(&text), kept);
        for malformed in [
            "",
            "tnt_",
            "tnt_short",
            "tnt_äöüäöü",
            "tnt_\0\0\0\0\0\0\0\0",
        ] {
            assert_eq!(prefix_of(malformed, "tnt_"), None, "{malformed:?}");
        }
    }
}
