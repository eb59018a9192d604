//! What comes in, on its way into a store: nobody's file until it is whole.

use std::sync::Arc;

use bytes::BytesMut;
use futures_util::{StreamExt, TryStreamExt, future};
use object_store::{
    Error as StoreError, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload,
    local::LocalFileSystem, path::Path as StorePath,
};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::{
    FileError, FileKind, FileName, Stored, UNFINISHED,
    store::{self, Own, of_store},
};
use crate::db::DbError;

/// What of an upload is kept in memory.
const PIECE: usize = 1 << 20;

/// The same, where each part is a request and there are ten thousand of them at most; S3 takes none
/// below 5 MiB.
const PART: usize = 8 << 20;

/// A file that comes in. It has its name when it is [published](Self::publish); dropped before that it
/// removes what it has.
pub(crate) struct Upload {
    way: Way,
    piece: BytesMut,
    kind: Option<FileKind>,
    bytes: u64,
}

enum Way {
    /// Beside its name, and renamed when it is whole.
    Folder {
        store: Arc<LocalFileSystem>,
        draft: StorePath,
        name: StorePath,
        upload: Option<Box<dyn MultipartUpload>>,
    },
    /// At once where it is small, or in parts, of which the store makes a file when it is told so.
    Objects {
        store: Arc<dyn ObjectStore>,
        name: StorePath,
        parts: Option<Parts>,
    },
}

impl Upload {
    pub(crate) async fn begin(own: &Own, name: &FileName) -> Result<Self, FileError> {
        let name = name.path();
        let way = match own {
            Own::Folder(folder) => {
                let store = Arc::new(store::made(folder).await?);
                let draft = StorePath::from_iter([UNFINISHED, &Uuid::now_v7().to_string()]);
                let upload = store.put_multipart(&draft).await?;
                Way::Folder {
                    store,
                    draft,
                    name,
                    upload: Some(upload),
                }
            }
            Own::Objects(store) => Way::Objects {
                store: store.clone(),
                name,
                parts: None,
            },
        };
        Ok(Self {
            way,
            piece: BytesMut::new(),
            kind: None,
            bytes: 0,
        })
    }

    /// How many bytes have come in.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.bytes += bytes.len() as u64;
        self.piece.extend_from_slice(bytes);
        let size = match self.way {
            Way::Folder { .. } => PIECE,
            Way::Objects { .. } => PART,
        };
        while self.piece.len() >= size {
            self.look();
            // all parts but the last are of one size, which some stores ask for
            let piece = self.piece.split_to(size).freeze();
            self.send(piece.into()).await?;
        }
        Ok(())
    }

    fn look(&mut self) {
        self.kind.get_or_insert_with(|| FileKind::of(&self.piece));
    }

    async fn send(&mut self, piece: PutPayload) -> Result<(), FileError> {
        match &mut self.way {
            Way::Folder { upload, .. } => {
                if let Some(upload) = upload {
                    upload.put_part(piece).await?;
                }
            }
            Way::Objects { store, name, parts } => {
                let parts = match parts {
                    Some(parts) => parts,
                    none => none.insert(Parts::begin(store, name).await?),
                };
                parts.put(piece).await?;
            }
        }
        Ok(())
    }

    /// Writes the rest of it down, and tells what it is.
    pub(crate) async fn finish(&mut self) -> Result<Stored, FileError> {
        self.look();
        let is_begun = match &self.way {
            Way::Folder { .. } => true,
            Way::Objects { parts, .. } => parts.is_some(),
        };
        if is_begun && !self.piece.is_empty() {
            let piece = self.piece.split().freeze();
            self.send(piece.into()).await?;
        }
        if let Way::Folder { upload, .. } = &mut self.way
            && let Some(mut upload) = upload.take()
            && let Err(error) = upload.complete().await
        {
            drop(upload.abort().await);
            return Err(error.into());
        }
        Ok(Stored {
            bytes: self.bytes,
            kind: self.kind.unwrap_or_else(|| FileKind::of(&[])),
        })
    }

    /// Refuses a name that stands for a folder, or is below a file's. In a folder the system does, when
    /// the file gets its name; a store of objects would take both, and then no folder could take what
    /// it has. Of two that come in at once it may miss one.
    pub(crate) async fn check_free(&mut self) -> Result<(), FileError> {
        let Way::Objects { store, name, .. } = &self.way else {
            return Ok(());
        };
        if store
            .list(Some(name))
            .next()
            .await
            .transpose()
            .map_err(of_store)?
            .is_some()
        {
            return Err(FileError::Occupied);
        }
        let above = std::iter::successors(name.parent(), StorePath::parent);
        let above = above.take_while(|path| !path.is_root());
        let looks = above.map(async |path| match store.head(&path).await {
            Ok(_) => Err(FileError::Occupied),
            Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        });
        future::try_join_all(looks).await.map(drop)
    }

    /// Gives it its name, once it is [finished](Self::finish).
    pub(crate) async fn publish(mut self) -> Result<(), FileError> {
        match &mut self.way {
            Way::Folder {
                store, draft, name, ..
            } => {
                let renamed = store.rename(draft, name).await;
                if renamed.is_err() {
                    drop(store.delete(draft).await);
                }
                Ok(renamed?)
            }
            Way::Objects { store, name, parts } => match parts.take() {
                Some(parts) => parts.complete().await,
                None => {
                    let whole = self.piece.split().freeze();
                    let put = store.put(name, whole.into()).await;
                    put.map(drop).map_err(of_store)
                }
            },
        }
    }

    /// Leaves nothing of it.
    pub(crate) async fn abandon(self) {
        match self.way {
            Way::Folder {
                upload: Some(mut upload),
                ..
            } => drop(upload.abort().await),
            Way::Folder { store, draft, .. } => drop(store.delete(&draft).await),
            Way::Objects {
                parts: Some(parts), ..
            } => parts.abort().await,
            Way::Objects { .. } => {}
        }
    }
}

/// An upload of several parts, which a store keeps until it is told what becomes of them.
struct Parts(Option<Box<dyn MultipartUpload>>);

impl Parts {
    async fn begin(store: &Arc<dyn ObjectStore>, name: &StorePath) -> Result<Self, FileError> {
        let (store, name) = (store.clone(), name.clone());
        // begun or not begun: whoever goes away meanwhile drops it, and that ends it
        let beginning =
            tokio::spawn(async move { store.put_multipart(&name).await.map(|it| Self(Some(it))) });
        let begun = beginning.await.map_err(|_| DbError::Closed)?;
        begun.map_err(of_store)
    }

    async fn put(&mut self, piece: PutPayload) -> Result<(), FileError> {
        match &mut self.0 {
            Some(upload) => upload.put_part(piece).await.map_err(of_store),
            None => Err(DbError::Closed.into()),
        }
    }

    async fn complete(mut self) -> Result<(), FileError> {
        let Some(mut upload) = self.0.take() else {
            return Ok(());
        };
        match upload.complete().await {
            Ok(_) => Ok(()),
            Err(error) => {
                drop(upload.abort().await);
                Err(of_store(error))
            }
        }
    }

    async fn abort(mut self) {
        if let Some(mut upload) = self.0.take() {
            drop(upload.abort().await);
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if let (Some(mut upload), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            drop(runtime.spawn(async move { upload.abort().await }));
        }
    }
}

/// Writes what is read into another place, a piece at a time.
pub(super) async fn pour(
    from: &Arc<dyn ObjectStore>,
    path: &StorePath,
    mut to: Upload,
) -> Result<(), FileError> {
    let found = from.get(path).await?;
    let mut pieces = found.into_stream();
    while let Some(piece) = pieces.try_next().await? {
        to.write(&piece).await?;
    }
    to.finish().await?;
    to.publish().await
}
