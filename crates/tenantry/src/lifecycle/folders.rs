//! What a tenant has in the data folder besides its database.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{
    db::DbError,
    scoped::files::{self, FileName, UNFINISHED, Usage},
    tenancy::Inner,
    tenant::TenantId,
};

/// Where things are kept by tenant, each in a folder of its id.
pub(super) const BY_TENANT: [&str; 2] = ["mail", files::FOLDER];

fn of(inner: &Inner, id: TenantId) -> Vec<PathBuf> {
    let folder = |name| inner.data.join(name).join(id.to_string());
    BY_TENANT.into_iter().map(folder).collect()
}

/// Who has something in the data folder: a line for each deployment.
const SIGNED: &str = "deployments";

/// Notes that this deployment has something in the data folder.
pub(crate) fn sign(data: &Path, deployment: &str) -> io::Result<()> {
    if signed(data)?.iter().any(|line| line == deployment) {
        return Ok(());
    }
    let mut list = File::options()
        .append(true)
        .create(true)
        .open(data.join(SIGNED))?;
    // in one piece, since others may write as well
    list.write_all(format!("{deployment}\n").as_bytes())
}

/// Whether nobody but this deployment has something in the data folder.
pub(super) fn is_alone(data: &Path, deployment: &str) -> io::Result<bool> {
    Ok(signed(data)?.iter().all(|line| line == deployment))
}

fn signed(data: &Path) -> io::Result<Vec<String>> {
    match fs::read_to_string(data.join(SIGNED)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        text => Ok(text?.lines().map(str::to_owned).collect()),
    }
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
                    Ok(kind) if kind.is_dir() => {
                        if !entry.path().ends_with(UNFINISHED) {
                            folders.push((entry.path(), name));
                        }
                    }
                    _ => found.push((entry.path(), name)),
                }
            }
        }
    }
    found
}

/// The files that the application has put there, by name, each with where it is.
pub(super) fn own(data: &Path, id: TenantId) -> Vec<(FileName, PathBuf)> {
    let before = format!("{}/", files::FOLDER);
    let named = files(data, id).into_iter().filter_map(|(path, name)| {
        let name = FileName::new(name.strip_prefix(&before)?).ok()?;
        Some((name, path))
    });
    let mut named: Vec<_> = named.collect();
    named.sort();
    named
}

/// Copies the files that the application has put there, into the folder of a tenant that is being
/// made. One that is removed meanwhile is left out.
pub(super) async fn copy_own(inner: &Inner, from: TenantId, to: TenantId) -> Result<(), DbError> {
    let data = inner.data.clone();
    let copying = tokio::task::spawn_blocking(move || {
        for (name, file) in own(&data, from) {
            let copy = own_place(&data, to, &name);
            if let Some(folder) = copy.parent() {
                fs::create_dir_all(folder)?;
            }
            let copied = fs::copy(&file, &copy).and_then(|_| File::open(&copy)?.sync_all());
            match copied {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !file.exists() => {}
                other => other?,
            }
        }
        Ok(())
    });
    copying.await.map_err(|_| DbError::Closed)?.map_err(failed)
}

/// Where a file of the application's is.
pub(super) fn own_place(data: &Path, id: TenantId, name: &FileName) -> PathBuf {
    let folder = data.join(files::FOLDER).join(id.to_string());
    folder.join(name.as_str())
}

fn failed(error: io::Error) -> DbError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DbError::Full,
        _ => DbError::Engine(Box::new(error)),
    }
}

/// Where a file of that path is, of a tenant with that id.
pub(super) fn place(data: &Path, id: TenantId, path: &str) -> Option<PathBuf> {
    let (name, rest) = path.split_once('/')?;
    let name = BY_TENANT.into_iter().find(|one| *one == name)?;
    Some(data.join(name).join(id.to_string()).join(rest))
}

/// How many files there are, and how many bytes they have.
pub(crate) async fn count(inner: &Inner, id: TenantId) -> Usage {
    let data = inner.data.clone();
    let counting = tokio::task::spawn_blocking(move || {
        let mut usage = Usage::default();
        for (path, _) in files(&data, id) {
            usage.files += 1;
            usage.bytes += fs::metadata(path).map_or(0, |about| about.len());
        }
        usage
    });
    counting.await.unwrap_or_default()
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
    removing.await.map_err(|_| DbError::Closed)?.map_err(failed)
}
