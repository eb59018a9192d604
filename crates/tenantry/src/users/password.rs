use std::{ops::RangeInclusive, time::Duration};

use argon2::{
    ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use subtle::ConstantTimeEq;

use super::{
    Realm,
    hashers::{Hashers, NotDone},
};
use crate::tenant::Tenant;

/// How long a password may be, in bytes. Longer ones only cost time.
const LONGEST: usize = 1024;

/// How long who is refused waits to hear it, at least and at most. Whoever is answered at once tries
/// again at once: 200 connections that do so take both processors of a small machine for nothing but
/// refusals. And who came at one moment should not all come again at one moment.
const REFUSED_AFTER: RangeInclusive<u64> = 400..=1000;

/// Hashes and checks passwords with argon2id, off the threads that serve requests, on no more than
/// half of the processors, and there behind everybody else: a flood of sign-ins leaves the processors
/// to whoever is in. Those who would wait for too long are refused instead, and hear it a little later:
/// first those of the tenant of whom most wait. Each tenant's [have a turn](Self::of) after each other's, and
/// so have accounts and operators.
///
/// The parameters are argon2's recommended 19 MiB and two passes
/// ([OWASP](https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html)).
#[derive(Debug, Clone)]
pub struct Passwords {
    hashers: Hashers,
    realm: Option<Realm>,
}

/// Why a password could not be hashed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// It has more than 1,024 bytes.
    #[error("the password is too long")]
    TooLong,
    /// Too many others wait to be hashed or checked.
    #[error("too many sign-ins at a time")]
    Busy,
    /// The process is shutting down or could start no thread for it, or the system has no randomness.
    #[error("the password cannot be hashed now")]
    Unavailable,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self {
            hashers: Hashers::new(),
            realm: None,
        }
    }

    /// The same, where they wait with those of the tenant, and not with those who are of none.
    /// [`Tenancy::sign_in`](crate::Tenancy::sign_in) does so by itself.
    #[must_use]
    pub fn of(&self, tenant: &Tenant) -> Self {
        self.in_realm(Realm::Tenant(tenant.id()))
    }

    pub(crate) fn in_realm(&self, realm: Realm) -> Self {
        Self {
            hashers: self.hashers.clone(),
            realm: Some(realm),
        }
    }

    /// The hash to be stored, in PHC's text form.
    ///
    /// # Errors
    /// When the password is too long, or too many others wait.
    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        if password.len() > LONGEST {
            return Err(PasswordError::TooLong);
        }
        let password = password.to_owned();
        self.run(move |memory| new_hash(password.as_bytes(), memory))
            .await?
            .ok_or(PasswordError::Unavailable)
    }

    /// Whether the hash was made with less work than one of today would be, so that it should be
    /// replaced when its password is next known.
    #[must_use]
    pub fn is_outdated(&self, hash: &str) -> bool {
        let today = Params::default();
        let Ok(known) = PasswordHash::new(hash) else {
            return false;
        };
        let same_kind =
            known.algorithm == ARGON2ID_IDENT && known.version == Some(Version::V0x13.into());
        !same_kind
            || Params::try_from(&known).is_ok_and(|params| {
                params.m_cost() < today.m_cost() || params.t_cost() < today.t_cost()
            })
    }

    /// Whether `password` is the one that was hashed. Without a hash the same work is done and the
    /// answer is no, so that nobody learns from the time it takes whether there is an account.
    ///
    /// # Errors
    /// When too many others wait. That says nothing about the password.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, PasswordError> {
        let somebody = hash.is_some() && password.len() <= LONGEST;
        let hash = hash.map(str::to_owned);
        let password = password.as_bytes()[..password.len().min(LONGEST)].to_vec();
        self.run(move |memory| {
            let known = hash
                .as_deref()
                .and_then(|hash| PasswordHash::new(hash).ok());
            let matches = known.is_some_and(|known| matches(&password, &known, memory));
            if hash.is_none() {
                new_hash(&password, memory);
            }
            matches && somebody
        })
        .await
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vec<Block>) -> R + Send + 'static,
    ) -> Result<R, PasswordError> {
        match self.hashers.run(self.realm, work).await {
            Ok(done) => Ok(done),
            Err(NotDone::Busy) => {
                refused().await;
                Err(PasswordError::Busy)
            }
            Err(NotDone::Unavailable) => Err(PasswordError::Unavailable),
        }
    }
}

/// Ends when who is refused may hear it.
pub(crate) async fn refused() {
    let mut random = [0; 2];
    // without any it is the least
    let _ = getrandom::fill(&mut random);
    let least = *REFUSED_AFTER.start();
    let more = u64::from(u16::from_le_bytes(random)) % (REFUSED_AFTER.end() - least + 1);
    tokio::time::sleep(Duration::from_millis(least + more)).await;
}

/// The hash of a new password, or of one that nobody has: the same work.
fn new_hash(password: &[u8], memory: &mut Vec<Block>) -> Option<String> {
    let params = Params::default();
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).ok()?;
    let output = derive(password, &salt, &params, Params::DEFAULT_OUTPUT_LEN, memory)?;
    let hash = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).ok()?,
        salt: Some(Salt::new(&salt).ok()?),
        hash: Some(Output::new(&output).ok()?),
    };
    Some(hash.to_string())
}

fn matches(password: &[u8], known: &PasswordHash, memory: &mut Vec<Block>) -> bool {
    let same_kind =
        known.algorithm == ARGON2ID_IDENT && known.version == Some(Version::V0x13.into());
    let (Ok(params), Some(salt), Some(output), true) =
        (Params::try_from(known), &known.salt, &known.hash, same_kind)
    else {
        return false;
    };
    derive(password, salt.as_ref(), &params, output.len(), memory)
        .is_some_and(|derived| derived.ct_eq(output.as_ref()).into())
}

fn derive(
    password: &[u8],
    salt: &[u8],
    params: &Params,
    length: usize,
    memory: &mut Vec<Block>,
) -> Option<Vec<u8>> {
    memory.resize(params.block_count().max(memory.len()), Block::new());
    let mut output = vec![0; length];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into_with_memory(
            password,
            salt,
            &mut output,
            &mut memory[..params.block_count()],
        )
        .ok()?;
    Some(output)
}

#[cfg(test)]
mod tests {
    use argon2::{PasswordHasher, PasswordVerifier};

    use super::*;

    #[tokio::test]
    async fn hashes_are_those_of_the_library() {
        let passwords = Passwords::new();
        let ours = passwords.hash("correct horse").await.unwrap();
        let parsed = PasswordHash::new(&ours).unwrap();
        Argon2::default()
            .verify_password(b"correct horse", &parsed)
            .unwrap();
        let theirs: PasswordHash = Argon2::default().hash_password(b"battery").unwrap();
        let theirs = theirs.to_string();
        for (password, hash, expected) in [
            ("battery", Some(theirs.as_str()), true),
            ("staple", Some(&theirs), false),
            ("battery", None, false),
            ("battery", Some("no hash"), false),
        ] {
            let verified = passwords.verify(password, hash).await.unwrap();
            assert_eq!(verified, expected, "{password} {hash:?}");
        }
    }

    #[tokio::test]
    async fn hashes_of_less_work_are_outdated() {
        let passwords = Passwords::new();
        let today = passwords.hash("correct horse").await.unwrap();
        assert!(!passwords.is_outdated(&today));
        assert!(passwords.is_outdated(&today.replace("m=19456", "m=4096")));
        assert!(passwords.is_outdated(&today.replace("argon2id", "argon2i")));
    }
}
