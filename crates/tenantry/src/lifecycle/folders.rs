//! What a tenant has in the data folder besides its database.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{db::DbError, tenancy::Inner, tenant::TenantId};

/// Where things are kept by tenant, each in a folder of its id.
pub(super) const BY_TENANT: [&str; 2] = ["mail", "files"];

fn of(inner: &Inner, id: TenantId) -> Vec<PathBuf> {
    let folder = |name| inner.data.join(name).join(id.to_string());
    BY_TENANT.into_iter().map(folder).collect()
}

/// Every file that a tenant has, each with a path that does not name the tenant.
pub(super) fn files(data: &Path, id: TenantId) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for name in BY_TENANT {
        let mut folders = vec![(data.join(name).join(id.to_string()), name.to_owned())];
        while let Some((folder, path)) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let Some(name) = entry
                    .file_name()
                    .to_str()
                    .map(|name| format!("{path}/{name}"))
                else {
                    continue; // no name that this library gives
                };
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push((entry.path(), name)),
                    _ => found.push((entry.path(), name)),
                }
            }
        }
    }
    found
}

/// Where a file of that path is, of a tenant with that id.
pub(super) fn place(data: &Path, id: TenantId, path: &str) -> Option<PathBuf> {
    let (name, rest) = path.split_once('/')?;
    let name = BY_TENANT.into_iter().find(|one| *one == name)?;
    Some(data.join(name).join(id.to_string()).join(rest))
}

/// How many files there are.
pub(crate) async fn count(inner: &Inner, id: TenantId) -> u64 {
    let folders = of(inner, id);
    let counting = tokio::task::spawn_blocking(move || {
        let mut folders = folders;
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    _ => files += 1,
                }
            }
        }
        files
    });
    counting.await.unwrap_or(0)
}

/// Removes all of them. Nothing there is fine too.
pub(super) async fn remove(inner: &Inner, id: TenantId) -> Result<(), DbError> {
    let folders = of(inner, id);
    let removing = tokio::task::spawn_blocking(move || {
        for folder in folders {
            match fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    });
    removing
        .await
        .map_err(|_| DbError::Closed)?
        .map_err(|error| DbError::Engine(Box::new(error)))
}
