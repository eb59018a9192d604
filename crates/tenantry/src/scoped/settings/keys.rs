//! The keys that secrets are sealed with: the first seals, all of them open.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, PoisonError, RwLock},
};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Secret;
use crate::tenant::TenantId;

/// The file in the data folder that has them, unless they are [told](crate::Config::keys).
pub(crate) const FILE: &str = "keys";

/// What a sealed text begins with: how it is sealed.
const VERSION: &str = "v1";
const NONCE: usize = 24;
const BYTES: usize = 32;

/// Why a secret cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file with the keys cannot be read, written or made.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A key is not 32 bytes in base64.
    #[error("a key is 32 bytes in base64, and {0} has none such")]
    Malformed(String),
    /// It was sealed with a key that is not here.
    #[error("it was sealed with the key {0}, which is not here")]
    Unknown(String),
    /// There are secrets that were sealed by other keys, and no key here.
    #[error("{} is missing, and there are secrets that were sealed with what was in it", .0.display())]
    Missing(PathBuf),
    /// It is not what was sealed for this tenant and field.
    #[error("it is not what was sealed here")]
    Forged,
    /// The keys were told by the configuration, and are changed there.
    #[error("the keys are the configuration's, and are changed there")]
    NotOurs,
    /// An older key still seals some secret.
    #[error("{0} secrets are sealed with older keys")]
    InUse(usize),
    /// The system has no random bytes.
    #[error("there are no random bytes: {0}")]
    Random(String),
}

/// A key of 32 bytes. Neither `{}` nor `{:?}` print it, but by its [id](Self::id).
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; BYTES]>);

impl Key {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        getrandom::fill(bytes.as_mut()).map_err(|error| KeyError::Random(error.to_string()))?;
        Ok(Self(bytes))
    }

    /// What it is called where it must not be shown.
    #[must_use]
    pub fn id(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(b"tenantry key\0");
        digest.update(*self.0);
        hex::encode(digest.finalize().get(..6).unwrap_or_default())
    }

    fn line(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}\n", BASE64_STANDARD.encode(*self.0)))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.0).into())
    }
}

/// How long it takes to compare two does not tell where they differ.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl Eq for Key {}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed("what was given".into());
        let bytes = Zeroizing::new(BASE64_STANDARD.decode(text).map_err(|_| malformed())?);
        let bytes: [u8; BYTES] = bytes.as_slice().try_into().map_err(|_| malformed())?;
        Ok(Self(Zeroizing::new(bytes)))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id())
    }
}

/// What a secret is of. It is sealed in with it: elsewhere it does not open.
pub(super) struct About<'a> {
    pub(super) tenant: TenantId,
    pub(super) group: &'a str,
    pub(super) field: &'a str,
}

impl About<'_> {
    fn bytes(&self) -> Vec<u8> {
        let Self {
            tenant,
            group,
            field,
        } = self;
        format!("tenantry setting\0{tenant}\0{group}\0{field}").into_bytes()
    }
}

pub(crate) struct Keys(Source);

enum Source {
    Told(Arc<[Key]>),
    File {
        path: PathBuf,
        read: RwLock<Arc<[Key]>>,
    },
}

impl Keys {
    /// Those that were told, or else those in the data folder.
    pub(crate) fn new(told: Vec<Key>, data: &Path) -> Self {
        Self(match told.is_empty() {
            false => Source::Told(told.into()),
            true => Source::File {
                path: data.join(FILE),
                read: RwLock::new(Vec::new().into()),
            },
        })
    }

    /// All of them as they are now, the first first.
    pub(super) fn all(&self) -> Result<Arc<[Key]>, KeyError> {
        let (path, read) = match &self.0 {
            Source::Told(keys) => return Ok(keys.clone()),
            Source::File { path, read } => (path, read),
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Zeroizing::default(),
            Err(error) => return Err(failed(path)(error)),
        };
        let lines = text.lines().map(str::trim);
        let keys: Result<Vec<Key>, KeyError> = lines
            .filter(|line| !line.is_empty())
            .map(|line| {
                let malformed = |_| KeyError::Malformed(path.display().to_string());
                line.parse().map_err(malformed)
            })
            .collect();
        let keys: Arc<[Key]> = keys?.into();
        *read.write().unwrap_or_else(PoisonError::into_inner) = keys.clone();
        Ok(keys)
    }

    /// Seals a text. The first key is looked up anew: another process may have added one. `is_new`
    /// is asked where there is no key at all: whether nothing was ever sealed.
    pub(super) async fn seal(
        &self,
        about: &About<'_>,
        text: &str,
        is_new: impl AsyncFnOnce() -> bool,
    ) -> Result<String, KeyError> {
        let key = match (self.all()?.first(), &self.0) {
            (Some(key), _) => key.clone(),
            (None, Source::Told(_)) => return Err(KeyError::NotOurs),
            (None, Source::File { path, .. }) => {
                if !is_new().await {
                    return Err(KeyError::Missing(path.clone()));
                }
                make(path)?;
                let all = self.all()?;
                all.first().cloned().ok_or(KeyError::NotOurs)?
            }
        };
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|error| KeyError::Random(error.to_string()))?;
        let aad = about.bytes();
        let payload = Payload {
            msg: text.as_bytes(),
            aad: &aad,
        };
        let sealed = key.cipher().encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| KeyError::Forged)?;
        let whole = [nonce.as_slice(), &sealed].concat();
        let whole = BASE64_URL_SAFE_NO_PAD.encode(whole);
        Ok(format!("{VERSION}:{}:{whole}", key.id()))
    }

    pub(super) fn open(&self, about: &About<'_>, sealed: &str) -> Result<Secret, KeyError> {
        let mut parts = sealed.split(':');
        let (Some(VERSION), Some(id), Some(whole), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(KeyError::Forged);
        };
        let key = self.find(id)?;
        let whole = BASE64_URL_SAFE_NO_PAD.decode(whole);
        let whole = whole.map_err(|_| KeyError::Forged)?;
        let (nonce, sealed) = whole.split_first_chunk::<NONCE>().ok_or(KeyError::Forged)?;
        let aad = about.bytes();
        let payload = Payload {
            msg: sealed,
            aad: &aad,
        };
        let text = key.cipher().decrypt(&XNonce::from(*nonce), payload);
        let text = text.map_err(|_| KeyError::Forged)?;
        let text = String::from_utf8(text).map_err(|_| KeyError::Forged)?;
        Ok(Secret::new(text))
    }

    /// The key of that id: of those that are remembered, or else of those that there are.
    fn find(&self, id: &str) -> Result<Key, KeyError> {
        let is_it = |key: &&Key| key.id() == id;
        let known = match &self.0 {
            Source::Told(keys) => keys.clone(),
            Source::File { read, .. } => {
                let read = read.read().unwrap_or_else(PoisonError::into_inner);
                read.clone()
            }
        };
        if let Some(key) = known.iter().find(is_it) {
            return Ok(key.clone());
        }
        let all = self.all()?;
        let found = all.iter().find(is_it).cloned();
        found.ok_or_else(|| KeyError::Unknown(id.to_owned()))
    }

    /// Whether they are in the data folder, and this process may change them.
    pub(super) fn are_ours(&self) -> bool {
        matches!(self.0, Source::File { .. })
    }

    /// Puts a new key before the others.
    pub(super) fn add(&self) -> Result<(), KeyError> {
        let path = self.path()?;
        let new = Key::generate()?;
        let all = self.all()?;
        write(path, std::iter::once(&new).chain(all.iter()))
    }

    /// Forgets all but the first.
    pub(super) fn keep_first(&self) -> Result<(), KeyError> {
        let path = self.path()?;
        write(path, self.all()?.iter().take(1))
    }

    fn path(&self) -> Result<&Path, KeyError> {
        match &self.0 {
            Source::Told(_) => Err(KeyError::NotOurs),
            Source::File { path, .. } => Ok(path),
        }
    }
}

/// By which key a text is sealed.
pub(super) fn key_of(sealed: &str) -> &str {
    sealed.split(':').nth(1).unwrap_or_default()
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::File { path, source }
}

/// Makes the file with a first key, unless another process is faster.
fn make(path: &Path) -> Result<(), KeyError> {
    let draft = draft(path, std::iter::once(&Key::generate()?))?;
    let linked = fs::hard_link(&draft, path);
    drop(fs::remove_file(&draft));
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(path)(error)),
        _ => Ok(()),
    }
}

fn write<'k>(path: &Path, keys: impl Iterator<Item = &'k Key>) -> Result<(), KeyError> {
    let draft = draft(path, keys)?;
    fs::rename(draft, path).map_err(failed(path))?;
    // what is sealed next must not be sealed with what a crash takes away
    let folder = path.parent().unwrap_or(path);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed(path))
}

/// The file beside its name, for its owner's eyes alone.
fn draft<'k>(path: &Path, keys: impl Iterator<Item = &'k Key>) -> Result<PathBuf, KeyError> {
    let name = format!("{FILE}.{}.part", uuid::Uuid::now_v7().simple());
    let draft = path.with_file_name(name);
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = || {
        let mut file = options.open(&draft)?;
        for key in keys {
            file.write_all(key.line().as_bytes())?;
        }
        file.sync_all()
    };
    written().map_err(failed(&draft))?;
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(tenant: TenantId) -> About<'static> {
        About {
            tenant,
            group: "mail",
            field: "smtp_url",
        }
    }

    async fn sealed(keys: &Keys, about: &About<'_>) -> String {
        keys.seal(about, "hunter2", async || true).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_sealed_opens_where_it_was_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::new(Vec::new(), folder.path());
        let (acme, globex) = (TenantId::generate(), TenantId::generate());
        let text = sealed(&keys, &about(acme)).await;
        assert!(!text.contains("hunter2"), "{text}");
        assert_ne!(text, sealed(&keys, &about(acme)).await, "a nonce each");
        assert_eq!(keys.open(&about(acme), &text).unwrap().expose(), "hunter2");
        let elsewhere = [
            about(globex),
            About {
                group: "shop",
                ..about(acme)
            },
            About {
                field: "password",
                ..about(acme)
            },
        ];
        for other in elsewhere {
            let opened = keys.open(&other, &text);
            assert!(matches!(opened, Err(KeyError::Forged)), "{opened:?}");
        }
        let mut changed = text.clone();
        changed.pop();
        for bad in [changed.as_str(), "", "v1", "v2:a:b", "hunter2"] {
            assert!(keys.open(&about(acme), bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn the_first_key_seals_and_all_open() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::new(Vec::new(), folder.path());
        let about = about(TenantId::generate());
        let before = sealed(&keys, &about).await;
        // another process has the old ones in memory
        let other = Keys::new(Vec::new(), folder.path());
        assert!(other.open(&about, &before).is_ok());
        keys.add().unwrap();
        let after = sealed(&keys, &about).await;
        assert_ne!(key_of(&before), key_of(&after));
        for text in [&before, &after] {
            assert_eq!(other.open(&about, text).unwrap().expose(), "hunter2");
        }
        assert_eq!(key_of(&sealed(&other, &about).await), key_of(&after));
        keys.keep_first().unwrap();
        let anew = Keys::new(Vec::new(), folder.path());
        let gone = anew.open(&about, &before);
        assert!(matches!(gone, Err(KeyError::Unknown(_))), "{gone:?}");
        assert!(anew.open(&about, &after).is_ok());
    }

    #[tokio::test]
    async fn no_key_is_made_where_secrets_were_sealed_before() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::new(Vec::new(), folder.path());
        let about = about(TenantId::generate());
        let refused = keys.seal(&about, "x", async || false).await;
        assert!(matches!(refused, Err(KeyError::Missing(_))), "{refused:?}");
        assert!(!folder.path().join(FILE).exists());
        sealed(&keys, &about).await;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let about = fs::metadata(folder.path().join(FILE)).unwrap();
            assert_eq!(about.permissions().mode() & 0o777, 0o600);
        }
        fs::write(folder.path().join(FILE), "not a key\n").unwrap();
        let said = keys.seal(&about, "x", async || true).await.unwrap_err();
        assert!(matches!(said, KeyError::Malformed(_)), "{said:?}");
        assert!(!said.to_string().contains("not a key"), "{said}");
    }
}
