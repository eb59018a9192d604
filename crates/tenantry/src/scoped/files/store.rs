//! Where files are: in the data folder, or in a store of objects that is elsewhere.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt, local::LocalFileSystem,
    path::Path as StorePath, prefix::PrefixStore,
};

use super::{
    FOLDER, FileError, FileName, UNFINISHED, error, put,
    upload::{Upload, pour},
};
use crate::{db::DbError, tenant::TenantId};

/// Where the files of all tenants are kept: in the data folder, unless it is told to be elsewhere.
///
/// There each tenant has a prefix of its own, which is its id, as it has a folder in the data folder:
/// `<prefix>/<id>/<name>`. So whoever goes from the one to the other copies the folder `files`, while
/// nothing is served.
///
/// A deployment needs a prefix that no other has.
#[derive(Clone, Default)]
pub struct FileStore(Kind);

#[derive(Clone, Default)]
enum Kind {
    #[default]
    Folder,
    Objects(Objects),
}

#[derive(Clone)]
struct Objects {
    /// What is below the deployment's prefix.
    root: Arc<dyn ObjectStore>,
    /// What it is called, for people.
    place: String,
}

/// Why files cannot be kept there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileStoreError {
    /// It is not where files can be kept.
    #[error("files are kept at s3://bucket or s3://bucket/prefix, which {0:?} is not")]
    Url(String),
    /// The program was built without what it needs for that.
    #[error("this program was built without the feature s3, which files at {0} need")]
    NotBuilt(String),
    /// It would be spoken to without encryption, which nobody has permitted.
    #[error("the store at {0} would be spoken to without TLS")]
    Plain(String),
    /// What the environment or the options say of it is wrong.
    #[error("the store of files: {0}")]
    Options(Box<dyn std::error::Error + Send + Sync>),
}

impl FileStore {
    /// A bucket of S3, or of what speaks like it: `s3://bucket` or `s3://bucket/prefix`, with the
    /// feature `s3`. What else there is to say is in the environment, by the usual names:
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL` for what is not
    /// Amazon's, and `AWS_ALLOW_HTTP=true` where that has no TLS.
    ///
    /// Nobody is asked yet whether it is there.
    ///
    /// # Errors
    /// When the URL is none, the environment is wrong, or the program was built without the feature.
    pub fn at(url: &str) -> Result<Self, FileStoreError> {
        Self::at_with(url, [])
    }

    /// As [`at`](Self::at), with options that count for more than the environment's: by the same
    /// names, in lower case, as `("aws_endpoint_url", "http://127.0.0.1:9000")`.
    ///
    /// # Errors
    /// As [`at`](Self::at); and when there is no such option.
    pub fn at_with<'o>(
        url: &str,
        options: impl IntoIterator<Item = (&'o str, &'o str)>,
    ) -> Result<Self, FileStoreError> {
        let wrong = || FileStoreError::Url(url.into());
        let rest = url.strip_prefix("s3://").ok_or_else(wrong)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_bucket = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if bucket.is_empty() || !bucket.chars().all(is_bucket) {
            return Err(wrong());
        }
        if !prefix.is_empty() {
            // what it is made of is what a file's name is made of
            FileName::new(prefix).map_err(|_| wrong())?;
        }
        let place = rest_of(bucket, prefix);
        #[cfg(not(feature = "s3"))]
        {
            drop(options.into_iter());
            Err(FileStoreError::NotBuilt(place))
        }
        #[cfg(feature = "s3")]
        {
            let store = super::s3::open(bucket, options)?;
            Ok(Self::objects(store, prefix, place))
        }
    }

    /// What is below `prefix` in any store of the crate `object_store`, which has to give an upload of
    /// several parts its name when all of it is there and not before; `place` is what people call it.
    ///
    /// # Panics
    /// When the prefix is none: it is empty, or what a [`FileName`] can be.
    #[must_use]
    pub fn objects(store: Arc<dyn ObjectStore>, prefix: &str, place: impl Into<String>) -> Self {
        let root = match prefix {
            "" => store,
            prefix => {
                let prefix = FileName::new(prefix).expect("a prefix is made as a file's name is");
                Arc::new(PrefixStore::new(store, prefix.path()))
            }
        };
        let place = place.into();
        Self(Kind::Objects(Objects { root, place }))
    }

    /// What there is of one tenant, and of no other.
    pub(crate) fn of(&self, data: &Path, id: TenantId) -> Own {
        match &self.0 {
            Kind::Folder => Own::Folder(data.join(FOLDER).join(id.to_string())),
            Kind::Objects(objects) => Own::Objects(Arc::new(PrefixStore::new(
                objects.root.clone(),
                StorePath::from(id.to_string()),
            ))),
        }
    }

    /// Whether they are in the data folder.
    pub(crate) fn is_folder(&self) -> bool {
        matches!(self.0, Kind::Folder)
    }

    /// Where a tenant's are, for people.
    pub(crate) fn place(&self, data: &Path, id: TenantId) -> String {
        match &self.0 {
            Kind::Folder => data.join(FOLDER).join(id.to_string()).display().to_string(),
            Kind::Objects(objects) => format!("{}/{id}", objects.place),
        }
    }

    /// Whose files there are, other than in the data folder.
    pub(crate) async fn tenants(&self) -> Result<Vec<TenantId>, FileError> {
        let Kind::Objects(objects) = &self.0 else {
            return Ok(Vec::new());
        };
        let listed = objects.root.list_with_delimiter(None).await;
        let found = listed.map_err(of_store)?.common_prefixes;
        let names = found.iter().filter_map(|prefix| prefix.filename());
        Ok(names.filter_map(|name| name.parse().ok()).collect())
    }
}

/// What S3 copies by itself at most.
const COPIED: u64 = 5 << 30;

/// How many files are copied at a time.
const AT_ONCE: usize = 8;

impl FileStore {
    /// Copies the files of one tenant to those of another that is being made. One that is removed
    /// meanwhile is left out.
    pub(crate) async fn copy_all(
        &self,
        data: &Path,
        from: TenantId,
        to: TenantId,
    ) -> Result<(), FileError> {
        let Kind::Objects(objects) = &self.0 else {
            return Ok(());
        };
        let found = self.of(data, from).list(None).await?;
        let own = self.of(data, to);
        let copied = found.try_for_each_concurrent(AT_ONCE, async |(name, meta)| {
            let (from, to) = (in_root(from, &name), in_root(to, &name));
            let copied = match meta.size {
                0..=COPIED => objects.root.copy(&from, &to).await.map_err(FileError::from),
                _ => pour(&objects.root, &from, Upload::begin(&own, &name).await?).await,
            };
            match copied {
                // if it is the bucket that is not there, the next list says so
                Err(FileError::NotFound) => Ok(()),
                other => other,
            }
        });
        copied.await
    }
}

fn in_root(id: TenantId, name: &FileName) -> StorePath {
    let path = format!("{id}/{name}");
    StorePath::parse(path).expect("a name is a path of the store's, and so it is below an id")
}

fn rest_of(bucket: &str, prefix: &str) -> String {
    match prefix {
        "" => format!("s3://{bucket}"),
        prefix => format!("s3://{bucket}/{prefix}"),
    }
}

/// Without what lets somebody in.
impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Folder => "FileStore(folder)",
            Kind::Objects(objects) => return write!(f, "FileStore({})", objects.place),
        })
    }
}

/// Where one tenant's files are.
#[derive(Debug, Clone)]
pub(crate) enum Own {
    /// In that folder.
    Folder(PathBuf),
    /// All that is in that store.
    Objects(Arc<dyn ObjectStore>),
}

impl Own {
    /// The store of what is there, to be read; none where there is nothing yet.
    pub(super) async fn opened(&self) -> Result<Option<Arc<dyn ObjectStore>>, FileError> {
        match self {
            Self::Objects(store) => Ok(Some(store.clone())),
            Self::Folder(folder) => {
                let folder = folder.clone();
                let opening = tokio::task::spawn_blocking(move || {
                    Ok::<_, FileError>(match folder.is_dir() {
                        true => Some(Arc::new(in_folder(&folder)?) as Arc<dyn ObjectStore>),
                        false => None,
                    })
                });
                opening.await.map_err(|_| DbError::Closed)?
            }
        }
    }

    /// What is there, in no order.
    pub(crate) async fn list(
        &self,
        under: Option<&FileName>,
    ) -> Result<BoxStream<'static, Result<(FileName, ObjectMeta), FileError>>, FileError> {
        let Some(store) = self.opened().await? else {
            return Ok(futures_util::stream::empty().boxed());
        };
        let is_folder = matches!(self, Self::Folder(_));
        let found = store
            .list(under.map(FileName::path).as_ref())
            .map_err(move |error| match is_folder {
                true => error.into(),
                false => of_store(error),
            });
        // what has no name of ours is not ours, or not whole
        let named = found.try_filter_map(async |meta| {
            let name = FileName::new(meta.location.as_ref()).ok();
            Ok(name.map(|name| (name, meta)))
        });
        Ok(named.boxed())
    }

    /// Removes all of it, whatever its names. Nothing there is fine too.
    pub(crate) async fn remove(&self) -> Result<(), FileError> {
        match self {
            Self::Objects(store) => {
                let found = store.list(None).map_ok(|meta| meta.location).boxed();
                let removed = store.delete_stream(found);
                let ended = removed.try_for_each(async |_| Ok(())).await;
                ended.map_err(of_store)
            }
            Self::Folder(folder) => {
                let folder = folder.clone();
                let removing =
                    tokio::task::spawn_blocking(move || match fs::remove_dir_all(folder) {
                        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                        _ => Ok(()),
                    });
                let removed = removing.await.map_err(|_| DbError::Closed)?;
                removed.map_err(error::of_io)
            }
        }
    }
}

/// The store that a folder is, and nothing else.
fn in_folder(folder: &Path) -> Result<LocalFileSystem, FileError> {
    let store = LocalFileSystem::new_with_prefix(folder)?;
    Ok(store.with_fsync(true).with_automatic_cleanup(true))
}

/// The same, made where it is not, with what died in it swept.
pub(super) async fn made(folder: &Path) -> Result<LocalFileSystem, FileError> {
    let folder = folder.to_owned();
    let making = tokio::task::spawn_blocking(move || {
        let unfinished = folder.join(UNFINISHED);
        fs::create_dir_all(&unfinished).map_err(error::of_io)?;
        put::sweep(&unfinished);
        in_folder(&folder)
    });
    making.await.map_err(|_| DbError::Closed)?
}

/// What was said by a store of objects where no object was asked for: what it has not found is the
/// bucket.
pub(super) fn of_store(error: StoreError) -> FileError {
    match error {
        StoreError::NotFound { .. } => FileError::Store(Box::new(error)),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::{FileStore, FileStoreError};

    #[test]
    fn urls_name_a_bucket_and_a_prefix() {
        for wrong in [
            "",
            "bucket",
            "s3:bucket",
            "s3://",
            "s3:///prefix",
            "https://bucket.s3.amazonaws.com",
            "gs://bucket",
            "s3://user:secret@bucket",
            "s3://bucket/../other",
            "s3://bucket//a",
            "s3://bucket/a?b",
            "/tmp/files",
        ] {
            let refused = FileStore::at(wrong);
            assert!(
                matches!(refused, Err(FileStoreError::Url(_))),
                "{wrong}: {refused:?}"
            );
        }
    }

    #[cfg(not(feature = "s3"))]
    #[test]
    fn without_the_feature_it_is_refused() {
        let refused = FileStore::at("s3://bucket/a/b/").unwrap_err();
        assert!(matches!(&refused, FileStoreError::NotBuilt(place) if place == "s3://bucket/a/b"));
        assert!(refused.to_string().contains("feature s3"), "{refused}");
    }

    #[cfg(feature = "s3")]
    #[test]
    fn what_is_told_of_it_is_looked_at() {
        let keys = [
            ("aws_access_key_id", "AKIA-known"),
            ("aws_secret_access_key", "hunter2"),
        ];
        let with = |more: &[(&'static str, &'static str)]| {
            FileStore::at_with(
                "s3://bucket/a/b/",
                keys.into_iter().chain(more.iter().copied()),
            )
        };
        let store = with(&[]).unwrap();
        assert_eq!(format!("{store:?}"), "FileStore(s3://bucket/a/b)");
        let plain = with(&[("aws_endpoint_url", "http://127.0.0.1:1")]);
        assert!(matches!(plain, Err(FileStoreError::Plain(_))), "{plain:?}");
        let allowed = [
            ("aws_endpoint_url", "http://127.0.0.1:1"),
            ("aws_allow_http", "true"),
        ];
        assert!(with(&allowed).is_ok());
        for unknown in [("aws_none", "x"), ("aws_allow_http", "perhaps")] {
            let refused = with(&[unknown]);
            assert!(
                matches!(refused, Err(FileStoreError::Options(_))),
                "{refused:?}"
            );
        }
    }
}
