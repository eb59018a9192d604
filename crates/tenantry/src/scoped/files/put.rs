//! A file comes in: beside its name until it is whole.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use sha2::{Digest, Sha256};

use super::{FileError, FileName, Files, Own, Stored, upload::Upload};
use crate::{
    db::{DbError, Quantity, TenantTx},
    tenant::TenantStatus,
};

/// Where uploads are until they are whole; no [`FileName`] begins so.
pub(crate) const UNFINISHED: &str = ".unfinished";

/// An upload that nothing was written to for so long was left by a process that died.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

impl Files {
    /// Puts a file there, in the place of one of that name. It is seen when it is whole and safe on
    /// the disk; when what comes in fails, has more than `most` bytes, or the returned future is
    /// dropped, nothing is left of it and what was there stays. Of a large one about 2 MiB are in
    /// memory, and 16 where files are in a bucket.
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
        // dropped before its end, it removes what it has
        let mut upload = Upload::begin(&self.own(), name).await?;
        let received = async {
            let room = self.room(name).await?;
            let received = receive(&mut upload, bytes, room.map_or(most, |room| room.min(most)));
            match (received.await, room) {
                (Err(FileError::TooLarge { .. }), Some(room)) if room < most => Err(self.no_room()),
                (received, _) => received,
            }
        };
        if let Err(error) = received.await {
            upload.abandon().await;
            return Err(error);
        }
        // all of it is here: whoever goes away now does not leave it half done
        let (files, name) = (self.clone(), name.clone());
        let ending = tokio::spawn(async move {
            let stored = files.end(upload, name).await?;
            let meter = files.tenancy.meter(&files.tenant);
            meter.add(Quantity::FilesPut, 1);
            meter.add(Quantity::FileBytesIn, stored.bytes);
            Ok::<_, FileError>(stored)
        });
        ending.await.map_err(|_| DbError::Closed)?
    }

    /// Gives an upload its name.
    async fn end(&self, mut upload: Upload, name: FileName) -> Result<Stored, FileError> {
        let prepared = async {
            let stored = upload.finish().await?;
            upload.check_free().await?;
            // one that was deleted meanwhile has nothing more put into it
            self.here().await?;
            let counted = self.count_alone().await?;
            if self
                .room(&name)
                .await?
                .is_some_and(|room| stored.bytes > room)
            {
                return Err(self.no_room());
            }
            Ok((stored, counted))
        };
        let (stored, counted) = match prepared.await {
            Ok(prepared) => prepared,
            Err(error) => {
                upload.abandon().await;
                return Err(gone(error));
            }
        };
        upload.publish().await.map_err(gone)?;
        drop(counted);
        self.take_back(&name).await?;
        Ok(stored)
    }

    /// An erasure that began since it was looked has not seen the file, where no folder is gone that
    /// it would have been in.
    async fn take_back(&self, name: &FileName) -> Result<(), FileError> {
        let Own::Objects(store) = self.own() else {
            return Ok(());
        };
        let catalog = self.tenancy.0.catalog.store();
        match catalog.by_id(self.tenant.id()).await? {
            Some(now) if now.status() != TenantStatus::Deleting => Ok(()),
            _ => {
                store.delete(&name.path()).await?;
                Err(FileError::NoTenant)
            }
        }
    }
}

/// A folder that is not there was erased, and what there was of the upload with it.
fn gone(error: FileError) -> FileError {
    match error {
        FileError::NotFound => FileError::NoTenant,
        other => other,
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

/// Writes what comes in, as long as it is not too much.
async fn receive<S, E>(upload: &mut Upload, bytes: S, most: u64) -> Result<(), FileError>
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut bytes = std::pin::pin!(bytes);
    while let Some(next) = bytes.next().await {
        let next = next.map_err(|error| FileError::Interrupted(error.into()))?;
        if upload.bytes() + next.len() as u64 > most {
            return Err(FileError::TooLarge { most });
        }
        upload.write(&next).await?;
    }
    Ok(())
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
