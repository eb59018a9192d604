//! Files that are carried from one place into another, on threads that may wait.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::{Buf, Bytes};
use futures_util::{StreamExt, stream::BoxStream};
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, path::Path as StorePath};
use tokio::runtime::Handle;

use super::folders;
use crate::{
    scoped::files::{FileError, FileName, Own, Upload},
    tenancy::Inner,
    tenant::TenantId,
};

/// A file that is to be read.
#[derive(Debug)]
pub(super) enum Source {
    /// On the disk.
    File(PathBuf),
    /// In a store of objects.
    Object(Arc<dyn ObjectStore>, StorePath),
}

impl Source {
    /// A file of a tenant's that is where these are.
    pub(super) fn object(own: &Own, name: &FileName) -> Self {
        match own {
            Own::Folder(folder) => Self::File(folder.join(name.as_str())),
            Own::Objects(store) => Self::Object(store.clone(), name.path()),
        }
    }

    /// What it is called where something is told of it.
    pub(super) fn place(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Object(_, path) => PathBuf::from(path.as_ref()),
        }
    }

    /// Opens it; none where it is gone by now. Not to be called where nothing may wait.
    pub(super) fn open(&self) -> io::Result<Option<Box<dyn Read>>> {
        match self {
            Self::File(path) => match File::open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                other => Ok(Some(Box::new(other?))),
            },
            Self::Object(store, path) => {
                let runtime = Handle::current();
                let found = match runtime.block_on(store.get(path)) {
                    Err(StoreError::NotFound { .. }) => return Ok(None),
                    other => other.map_err(io::Error::other)?,
                };
                Ok(Some(Box::new(Pieces {
                    pieces: found.into_stream(),
                    now: Bytes::new(),
                    runtime,
                })))
            }
        }
    }

    /// Copies it to the disk: whether it was there. Not to be called where nothing may wait.
    pub(super) fn copy_to(&self, to: &Path) -> io::Result<bool> {
        let make_folder = || to.parent().map_or(Ok(()), fs::create_dir_all);
        if let Self::File(from) = self {
            let copy = || {
                make_folder()?;
                fs::copy(from, to)?;
                File::open(to)?.sync_all()
            };
            return match copy() {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !from.exists() => {
                    Ok(false)
                }
                other => other.map(|()| true),
            };
        }
        let Some(mut from) = self.open()? else {
            return Ok(false);
        };
        make_folder()?;
        let mut file = File::create(to)?;
        io::copy(&mut from, &mut file)?;
        file.sync_all()?;
        Ok(true)
    }
}

/// What comes from a store, as something that is read.
struct Pieces {
    pieces: BoxStream<'static, object_store::Result<Bytes>>,
    now: Bytes,
    runtime: Handle,
}

impl Read for Pieces {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.runtime.block_on(self.pieces.next()) {
                None => return Ok(0),
                Some(piece) => self.now = piece.map_err(io::Error::other)?,
            }
        }
        let length = self.now.len().min(to.len());
        self.now.copy_to_slice(&mut to[..length]);
        Ok(length)
    }
}

/// A file of a tenant's that is being written; nobody else writes to that tenant's.
pub(super) enum Sink {
    File(File),
    Upload(Box<Upload>, Handle),
}

impl Sink {
    /// Begins a file that is not there yet. Not to be called where nothing may wait.
    pub(super) fn create(inner: &Inner, id: TenantId, name: &FileName) -> io::Result<Self> {
        match inner.files.of(&inner.data, id) {
            Own::Folder(_) => {
                let path = folders::own_place(&inner.data, id, name);
                path.parent().map_or(Ok(()), fs::create_dir_all)?;
                Ok(Self::File(File::create_new(&path)?))
            }
            objects @ Own::Objects(_) => {
                let runtime = Handle::current();
                let upload = runtime.block_on(Upload::begin(&objects, name));
                let upload = Box::new(upload.map_err(io::Error::other)?);
                Ok(Self::Upload(upload, runtime))
            }
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all(bytes),
            Self::Upload(upload, runtime) => {
                let written = runtime.block_on(upload.write(bytes));
                written.map_err(io::Error::other)
            }
        }
    }

    /// Makes what was written lasting.
    pub(super) fn end(self) -> io::Result<()> {
        match self {
            Self::File(file) => file.sync_all(),
            Self::Upload(mut upload, runtime) => {
                let ending = async {
                    upload.finish().await?;
                    upload.check_free().await?;
                    upload.publish().await
                };
                let ended: Result<(), FileError> = runtime.block_on(ending);
                ended.map_err(io::Error::other)
            }
        }
    }
}
