//! A file comes in: beside its name until it is whole.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt};
use object_store::{
    MultipartUpload, ObjectStoreExt, PutPayload, local::LocalFileSystem, path::Path as StorePath,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{FileError, FileKind, FileName, Files, Stored};
use crate::db::{DbError, Quantity, TenantTx};

/// Where uploads are until they are whole; no [`FileName`] begins so.
pub(crate) const UNFINISHED: &str = ".unfinished";

/// What of an upload is kept in memory.
const PIECE: usize = 1 << 20;

/// An upload that nothing was written to for so long was left by a process that died.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

impl Files {
    /// Puts a file there, in the place of one of that name. It is seen when it is whole and safe on
    /// the disk; when what comes in fails, has more than `most` bytes, or the returned future is
    /// dropped, nothing is left of it and what was there stays. Of a large one about 2 MiB are in
    /// memory.
    ///
    /// Where the tenant's [limits](crate::tenant::Limits) say how many bytes its files may have, it is
    /// counted when the file comes in, and again when it gets its name: of two that come in at once and
    /// have no room together, one does.
    ///
    /// # Errors
    /// [`FileError::TooLarge`], [`FileError::Storage`], [`FileError::Full`], [`FileError::Interrupted`] with what came in
    /// instead, [`FileError::Occupied`]; [`FileError::NoTenant`] when the tenant is deleted by now.
    pub async fn put<S, E>(&self, name: &FileName, bytes: S, most: u64) -> Result<Stored, FileError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.here().await?;
        let store = self.store(true).await?;
        let draft = StorePath::from_iter([UNFINISHED, &Uuid::now_v7().to_string()]);
        // dropped before its end, it removes what it has
        let mut upload = store.put_multipart(&draft).await?;
        let received = async {
            let room = self.room(name).await?;
            let received = receive(
                &mut *upload,
                bytes,
                room.map_or(most, |room| room.min(most)),
            );
            match (received.await, room) {
                (Err(FileError::TooLarge { .. }), Some(room)) if room < most => Err(self.no_room()),
                (received, _) => received,
            }
        };
        let stored = match received.await {
            Ok(stored) => stored,
            Err(error) => {
                drop(upload.abort().await);
                return Err(error);
            }
        };
        // all of it is here: whoever goes away now does not leave it half done
        let (files, name) = (self.clone(), name.clone());
        let bytes = stored.bytes;
        let ending = tokio::spawn(async move {
            files.end(upload, &store, draft, name, bytes).await?;
            let meter = files.tenancy.meter(&files.tenant);
            meter.add(Quantity::FilesPut, 1);
            meter.add(Quantity::FileBytesIn, bytes);
            Ok::<_, FileError>(())
        });
        ending.await.map_err(|_| DbError::Closed)??;
        Ok(stored)
    }

    /// Gives an upload its name.
    async fn end(
        &self,
        mut upload: Box<dyn MultipartUpload>,
        store: &LocalFileSystem,
        draft: StorePath,
        name: FileName,
        bytes: u64,
    ) -> Result<(), FileError> {
        let ended = async {
            upload.complete().await?;
            // one that was deleted meanwhile has nothing more put into it
            self.here().await?;
            let counted = self.count_alone().await?;
            if self.room(&name).await?.is_some_and(|room| bytes > room) {
                return Err(self.no_room());
            }
            store.rename(&draft, &name.path()).await?;
            drop(counted);
            Ok(())
        };
        let ended = ended.await;
        if ended.is_err() {
            drop(upload);
            drop(store.delete(&draft).await);
        }
        match ended {
            // it was erased, and what there was of the upload with it
            Err(FileError::NotFound) => Err(FileError::NoTenant),
            other => other,
        }
    }
}

impl Files {
    /// How many bytes a file of that name may have, where the tenant's files are limited. The one that
    /// it replaces makes room.
    async fn room(&self, name: &FileName) -> Result<Option<u64>, FileError> {
        let Some(most) = self.tenancy.limits(&self.tenant).storage else {
            return Ok(None);
        };
        let others = self.all(None).await?.try_fold(0_u64, async |bytes, file| {
            let own = if file.name == *name { 0 } else { file.bytes };
            Ok(bytes.saturating_add(own))
        });
        Ok(Some(most.saturating_sub(others.await?)))
    }

    fn no_room(&self) -> FileError {
        let most = self.tenancy.limits(&self.tenant).storage;
        FileError::Storage {
            most: most.unwrap_or_default(),
        }
    }

    /// Where the tenant's files are limited, lets nobody else count them until this is dropped, in
    /// whatever process.
    async fn count_alone(&self) -> Result<Option<TenantTx>, FileError> {
        if self.tenancy.limits(&self.tenant).storage.is_none() {
            return Ok(None);
        }
        let digest = Sha256::new()
            .chain_update("tenantry:files:room")
            .chain_update(self.tenant.id().as_uuid())
            .finalize();
        let mut key = [0; 8];
        key.copy_from_slice(&digest[..8]);
        let mut tx = self.tenancy.db(&self.tenant).await?.begin();
        tx.lock_alone(i64::from_be_bytes(key)).await?;
        Ok(Some(tx))
    }
}

/// Writes what comes in, a mebibyte at a time.
async fn receive<S, E>(
    upload: &mut dyn MultipartUpload,
    bytes: S,
    most: u64,
) -> Result<Stored, FileError>
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut bytes = std::pin::pin!(bytes);
    let mut piece = BytesMut::with_capacity(PIECE);
    let mut kind = None;
    let mut length = 0;
    while let Some(next) = bytes.next().await {
        let next = next.map_err(|error| FileError::Interrupted(error.into()))?;
        length += next.len() as u64;
        if length > most {
            return Err(FileError::TooLarge { most });
        }
        piece.extend_from_slice(&next);
        if piece.len() >= PIECE {
            kind.get_or_insert_with(|| FileKind::of(&piece));
            upload
                .put_part(PutPayload::from(piece.split().freeze()))
                .await?;
        }
    }
    let kind = kind.unwrap_or_else(|| FileKind::of(&piece));
    if !piece.is_empty() {
        upload.put_part(PutPayload::from(piece.freeze())).await?;
    }
    Ok(Stored {
        bytes: length,
        kind,
    })
}

/// Removes the uploads that processes which died have left.
pub(super) fn sweep(unfinished: &Path) {
    let is_left = |entry: &fs::DirEntry| {
        let modified = entry.metadata().and_then(|about| about.modified());
        modified.is_ok_and(|at| {
            SystemTime::now()
                .duration_since(at)
                .is_ok_and(|age| age > ABANDONED)
        })
    };
    for entry in fs::read_dir(unfinished).into_iter().flatten().flatten() {
        if is_left(&entry) {
            drop(fs::remove_file(entry.path()));
        }
    }
}
