//! A tenant's files: put as a stream, read as a stream, whole or in part.
//!
//! They are in the data folder, in a folder that is called by the tenant's id, and a [`Files`] is made
//! of that folder: another tenant's are not in it, whatever the name. With a [`FileStore`] they are in
//! a bucket, below a prefix that is the tenant's id, and nothing else is different. A [`FileName`] leads
//! nowhere but down. What a file is ([`FileKind`]) is told from its first bytes.
//!
//! ```
//! # use tenantry::{Tenancy, Tenant, scoped::files::FileError};
//! use bytes::Bytes;
//! use futures_util::{TryStreamExt, stream};
//!
//! # async fn example(tenancy: &Tenancy, acme: &Tenant) -> Result<(), Box<dyn std::error::Error>> {
//! let files = tenancy.files(acme);
//! let name = "invoices/7.pdf".parse()?;
//! let pieces = stream::iter([Ok::<_, std::io::Error>(Bytes::from("%PDF-1.7 …"))]);
//! let stored = files.put(&name, pieces, 1 << 20).await?;
//! assert_eq!(stored.kind.as_str(), "application/pdf");
//!
//! let found = files.find(&name).await?;
//! let bytes: Vec<Bytes> = found.read(0..found.info.bytes).await?.try_collect().await?;
//! # Ok(()) }
//! ```

mod error;
mod kind;
mod name;
mod put;
#[cfg(feature = "s3")]
mod s3;
mod signed;
mod store;
mod upload;

use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, path::Path as StorePath,
};

pub use error::FileError;
pub use kind::FileKind;
pub(crate) use name::escaped;
pub use name::{FileName, NameError};
pub(crate) use put::UNFINISHED;
pub use signed::Signature;
pub(crate) use signed::migrations;
pub(crate) use store::Own;
pub use store::{FileStore, FileStoreError};
pub(crate) use upload::Upload;

use crate::{
    Tenancy,
    db::{Meter, Quantity},
    tenant::Tenant,
};

/// The folder in the data folder that has a folder for each tenant.
pub(crate) const FOLDER: &str = "files";

/// The files of one tenant.
#[derive(Clone)]
pub struct Files {
    tenancy: Tenancy,
    tenant: Tenant,
}

/// What is known of a file without looking into it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInfo {
    /// What it is called.
    pub name: FileName,
    /// How many bytes it has.
    pub bytes: u64,
    /// When it was put there.
    pub modified: DateTime<Utc>,
    /// A tag that another version has not, in quotes, as HTTP has it.
    pub etag: String,
}

/// A file that was put.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// How many bytes it has.
    pub bytes: u64,
    /// What it is.
    pub kind: FileKind,
}

/// How much a tenant has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// How many files.
    pub files: u64,
    /// How many bytes all of them have.
    pub bytes: u64,
}

/// A file that was found, to be read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Found {
    /// What is known of it.
    pub info: FileInfo,
    /// What it is.
    pub kind: FileKind,
    store: Arc<dyn ObjectStore>,
    tag: Option<String>,
    meter: Arc<Meter>,
}

impl Files {
    pub(crate) fn of(tenancy: &Tenancy, tenant: &Tenant) -> Self {
        Self {
            tenancy: tenancy.clone(),
            tenant: tenant.clone(),
        }
    }

    /// Finds a file, to be read.
    ///
    /// # Errors
    /// [`FileError::NotFound`]; and when it cannot be read.
    pub async fn find(&self, name: &FileName) -> Result<Found, FileError> {
        let store = self.own().opened().await?.ok_or(FileError::NotFound)?;
        let path = name.path();
        // one that is replaced in between is looked at anew
        for _ in 0..3 {
            let meta = store
                .head(&path)
                .await
                .map_err(|error| match error.into() {
                    FileError::Occupied => FileError::NotFound,
                    other => other,
                })?;
            let beginning = 0..meta.size.min(kind::LOOKED_AT as u64);
            let looked_at = read(&store, &path, beginning, meta.e_tag.clone()).await;
            let bytes: Vec<Bytes> = match looked_at {
                Ok(bytes) => bytes.try_collect().await?,
                Err(FileError::Changed) => continue,
                Err(error) => return Err(error),
            };
            let tag = meta.e_tag.clone();
            return Ok(Found {
                info: info(meta, name.clone()),
                kind: FileKind::of(&bytes.concat()),
                store,
                tag,
                meter: self.tenancy.meter(&self.tenant),
            });
        }
        Err(FileError::Changed)
    }

    /// Removes a file: whether it was there.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub async fn delete(&self, name: &FileName) -> Result<bool, FileError> {
        let own = self.own();
        let deleted = async {
            let store = own.opened().await?.ok_or(FileError::NotFound)?;
            if let Own::Objects(_) = own {
                // which does not say whether there was one
                store.head(&name.path()).await?;
            }
            Ok(store.delete(&name.path()).await?)
        };
        match deleted.await {
            Ok(()) => Ok(true),
            Err(FileError::NotFound | FileError::Occupied) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes everything below a name, and returns how many files that were.
    ///
    /// # Errors
    /// When one cannot be removed; others may be gone then.
    pub async fn delete_below(&self, under: &FileName) -> Result<u64, FileError> {
        let mut all = self.all(Some(under)).await?;
        let mut gone = 0;
        while let Some(file) = all.try_next().await? {
            gone += u64::from(self.delete(&file.name).await?);
        }
        Ok(gone)
    }

    /// The first files by name: at most `most` of those below `under` and after `after`.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn list(
        &self,
        under: Option<&FileName>,
        after: Option<&FileName>,
        most: usize,
    ) -> Result<Vec<FileInfo>, FileError> {
        let mut first = BTreeMap::new();
        let mut all = self.all(under).await?;
        while let Some(file) = all.try_next().await? {
            if after.is_none_or(|after| file.name > *after) {
                first.insert(file.name.clone(), file);
                if first.len() > most {
                    first.pop_last();
                }
            }
        }
        Ok(first.into_values().collect())
    }

    /// How many files there are, and how many bytes.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn usage(&self) -> Result<Usage, FileError> {
        let all = self.all(None).await?;
        all.try_fold(Usage::default(), async |usage, file| {
            Ok(Usage {
                files: usage.files + 1,
                bytes: usage.bytes + file.bytes,
            })
        })
        .await
    }

    async fn all(
        &self,
        under: Option<&FileName>,
    ) -> Result<BoxStream<'static, Result<FileInfo, FileError>>, FileError> {
        let found = self.own().list(under).await?;
        Ok(found.map_ok(|(name, meta)| info(meta, name)).boxed())
    }

    /// The tenant as it is now.
    async fn here(&self) -> Result<Tenant, FileError> {
        let store = self.tenancy.0.catalog.store();
        match store.by_id(self.tenant.id()).await? {
            Some(now) if !now.status().is_gone() => Ok(now),
            _ => Err(FileError::NoTenant),
        }
    }

    /// The tenant's, and nothing else.
    fn own(&self) -> Own {
        let inner = &self.tenancy.0;
        inner.files.of(&inner.data, self.tenant.id())
    }
}

impl Found {
    /// Some of its bytes, piece by piece.
    ///
    /// # Errors
    /// [`FileError::Changed`] when it was replaced since it was found, [`FileError::NotFound`] when it
    /// was removed. Once begun, it goes on to the end of what was there.
    pub async fn read(
        &self,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, FileError>>, FileError> {
        let (path, tag) = (self.info.name.path(), self.tag.clone());
        let meter = self.meter.clone();
        let pieces = read(&self.store, &path, range, tag).await?;
        let counted = pieces.inspect_ok(move |piece| {
            meter.add(Quantity::FileBytesOut, piece.len() as u64);
        });
        Ok(counted.boxed())
    }
}

async fn read(
    store: &Arc<dyn ObjectStore>,
    path: &StorePath,
    range: Range<u64>,
    tag: Option<String>,
) -> Result<BoxStream<'static, Result<Bytes, FileError>>, FileError> {
    let options = GetOptions {
        if_match: tag,
        range: (!range.is_empty()).then(|| GetRange::Bounded(range.clone())),
        ..GetOptions::default()
    };
    let found = store.get_opts(path, options).await?;
    if range.is_empty() {
        return Ok(stream::empty().boxed());
    }
    Ok(found.into_stream().map_err(FileError::from).boxed())
}

fn info(meta: ObjectMeta, name: FileName) -> FileInfo {
    let tag = meta.e_tag.unwrap_or_default();
    FileInfo {
        name,
        bytes: meta.size,
        modified: meta.last_modified,
        // some stores tell it as HTTP has it
        etag: match tag.ends_with('"') {
            true => tag,
            false => format!("\"{tag}\""),
        },
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("tenant", &self.tenant.id())
            .finish_non_exhaustive()
    }
}
