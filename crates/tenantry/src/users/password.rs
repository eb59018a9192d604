use std::sync::{Arc, Mutex, PoisonError};

use argon2::{
    ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

/// How long a password may be, in bytes. Longer ones only cost time.
const LONGEST: usize = 1024;

/// Hashes and checks passwords with argon2id, off the threads that serve requests, and no more of
/// them at a time than there are processors.
///
/// The parameters are argon2's recommended 19 MiB and two passes
/// ([OWASP](https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html)).
#[derive(Debug, Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    /// What hashing works in, one for each turn, kept from one to the next. Given back to the
    /// allocator, its 19 MiB would be cut up by whatever else is allocated, and the next hash
    /// would need others: a server grew by as much with each sign-up.
    memory: Arc<Mutex<Vec<Vec<Block>>>>,
}

/// Why a password could not be hashed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// It has more than 1,024 bytes.
    #[error("the password is too long")]
    TooLong,
    /// The process is shutting down, or the system has no randomness.
    #[error("the password cannot be hashed now")]
    Unavailable,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            turns: Arc::new(Semaphore::new(processors)),
            memory: Arc::default(),
        }
    }

    /// The hash to be stored, in PHC's text form.
    ///
    /// # Errors
    /// When the password is too long.
    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        if password.len() > LONGEST {
            return Err(PasswordError::TooLong);
        }
        let password = password.to_owned();
        self.run(move |memory| new_hash(password.as_bytes(), memory))
            .await
            .flatten()
            .ok_or(PasswordError::Unavailable)
    }

    /// Whether `password` is the one that was hashed. Without a hash the same work is done and the
    /// answer is no, so that nobody learns from the time it takes whether there is an account.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> bool {
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
        .unwrap_or(false)
    }

    async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vec<Block>) -> R + Send + 'static,
    ) -> Option<R> {
        let turn = self.turns.clone().acquire_owned().await.ok()?;
        let kept = self.memory.clone();
        // the turn ends with the work, not with whoever waits for it
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let lock = || kept.lock().unwrap_or_else(PoisonError::into_inner);
            let mut memory = lock().pop().unwrap_or_default();
            let result = work(&mut memory);
            lock().push(memory);
            result
        })
        .await
        .ok()
    }
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
        assert!(passwords.verify("battery", Some(&theirs.to_string())).await);
        assert!(!passwords.verify("staple", Some(&theirs.to_string())).await);
        assert!(!passwords.verify("battery", None).await);
        assert!(!passwords.verify("battery", Some("no hash")).await);
    }

    #[tokio::test]
    async fn working_memory_is_kept_and_bounded() {
        let passwords = Passwords::new();
        for _ in 0..4 {
            passwords.verify("anything", None).await;
        }
        let kept = passwords.memory.lock().unwrap();
        assert_eq!(kept.len(), 1, "one after the other needs but one");
    }
}
