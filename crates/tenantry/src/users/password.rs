use std::sync::{Arc, LazyLock};

use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
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
        self.run(move || {
            Argon2::default()
                .hash_password(password.as_bytes())
                .map(|hash: PasswordHash| hash.to_string())
        })
        .await
        .and_then(Result::ok)
        .ok_or(PasswordError::Unavailable)
    }

    /// Whether `password` is the one that was hashed. Without a hash the same work is done and the
    /// answer is no, so that nobody learns from the time it takes whether there is an account.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> bool {
        static NOBODY: LazyLock<String> = LazyLock::new(|| {
            Argon2::default()
                .hash_password(b"nobody has this password")
                .map_or_else(|_| String::new(), |hash: PasswordHash| hash.to_string())
        });
        let somebody = hash.is_some() && password.len() <= LONGEST;
        let hash = hash.map(str::to_owned);
        let password = password.as_bytes()[..password.len().min(LONGEST)].to_vec();
        self.run(move || {
            let hash = hash.as_deref().unwrap_or_else(|| NOBODY.as_str());
            let matches = PasswordHash::new(hash)
                .is_ok_and(|hash| Argon2::default().verify_password(&password, &hash).is_ok());
            matches && somebody
        })
        .await
        .unwrap_or(false)
    }

    async fn run<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> Option<R> {
        let turn = self.turns.clone().acquire_owned().await.ok()?;
        // the turn ends with the work, not with whoever waits for it
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        })
        .await
        .ok()
    }
}
