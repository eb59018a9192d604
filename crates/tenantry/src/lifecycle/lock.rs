use std::{
    fs::{self, File, TryLockError},
    path::PathBuf,
};

use crate::{db::DbError, tenancy::Inner, tenant::TenantId};

/// The right to work on one tenant's making or erasing, among all processes of the machine. It
/// ends with the process that holds it, however that ends.
pub(super) struct TenantLock {
    path: PathBuf,
    _file: File,
}

impl TenantLock {
    /// Takes the lock, unless somebody has it.
    pub(super) fn try_take(tenancy: &Inner, id: TenantId) -> Result<Option<Self>, DbError> {
        let failed = |error| DbError::Engine(Box::new(error));
        let folder = tenancy.data.join("locks");
        fs::create_dir_all(&folder).map_err(failed)?;
        let path = folder.join(format!("{id}.lock"));
        let file = File::create(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { path, _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

impl Drop for TenantLock {
    fn drop(&mut self) {
        // Somebody may have opened the file just before and lock it just after. That does no harm:
        // whoever takes a lock reads the catalog next, and there the operation has ended.
        drop(fs::remove_file(&self.path));
    }
}
