//! What a tenant has besides its database: in the data folder, and where its files are kept.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use futures_util::TryStreamExt;

use super::carried::Source;
use crate::{
    db::DbError,
    scoped::files::{self, FileError, FileName, Own, UNFINISHED, Usage},
    tenancy::Inner,
    tenant::TenantId,
};

/// Where things are kept by tenant in the data folder, each in a folder of its id.
pub(super) const BY_TENANT: [&str; 2] = ["mail", files::FOLDER];

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

/// What of that a tenant's are. Where files are kept elsewhere, those are none that are left of a time
/// before.
fn in_data(inner: &Inner) -> impl Iterator<Item = &'static str> + use<> {
    let is_folder = inner.files.is_folder();
    let is_kept = move |name: &&str| is_folder || *name != files::FOLDER;
    BY_TENANT.into_iter().filter(is_kept)
}

/// Every file in these of a tenant, each with a path that does not name the tenant.
fn walk(
    data: &Path,
    id: TenantId,
    kept: impl Iterator<Item = &'static str>,
) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for name in kept {
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

async fn walked(inner: &Inner, id: TenantId) -> Result<Vec<(PathBuf, String)>, FileError> {
    let (data, kept) = (inner.data.clone(), in_data(inner));
    let walking = tokio::task::spawn_blocking(move || walk(&data, id, kept));
    Ok(walking.await.map_err(|_| DbError::Closed)?)
}

/// Everything that a tenant has besides its database, each with a path that does not name the tenant.
pub(super) async fn all(inner: &Inner, id: TenantId) -> Result<Vec<(Source, String)>, FileError> {
    let walked = walked(inner, id).await?.into_iter();
    let mut all: Vec<_> = walked
        .map(|(path, name)| (Source::File(path), name))
        .collect();
    if !inner.files.is_folder() {
        let own = own(inner, id).await?.into_iter();
        all.extend(own.map(|(name, from)| (from, format!("{}/{name}", files::FOLDER))));
    }
    Ok(all)
}

/// The files that the application has put there, by name, each with where it is.
pub(super) async fn own(inner: &Inner, id: TenantId) -> Result<Vec<(FileName, Source)>, FileError> {
    let mut named: Vec<_> = match inner.files.of(&inner.data, id) {
        Own::Folder(_) => {
            let before = format!("{}/", files::FOLDER);
            let walked = walked(inner, id).await?.into_iter();
            let named = walked.filter_map(|(path, name)| {
                let name = FileName::new(name.strip_prefix(&before)?).ok()?;
                Some((name, Source::File(path)))
            });
            named.collect()
        }
        objects @ Own::Objects(_) => {
            let found = objects.list(None).await?;
            let named = found.map_ok(|(name, _)| {
                let from = Source::object(&objects, &name);
                (name, from)
            });
            named.try_collect().await?
        }
    };
    named.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(named)
}

/// Copies the files that the application has put there, to those of a tenant that is being made. One
/// that is removed meanwhile is left out.
pub(super) async fn copy_own(inner: &Inner, from: TenantId, to: TenantId) -> Result<(), FileError> {
    if !inner.files.is_folder() {
        return inner.files.copy_all(&inner.data, from, to).await;
    }
    let all = own(inner, from).await?;
    let data = inner.data.clone();
    let copying = tokio::task::spawn_blocking(move || {
        for (name, file) in all {
            let Source::File(file) = file else { continue };
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
        Ok::<_, io::Error>(())
    });
    let copied = copying.await.map_err(|_| DbError::Closed)?;
    copied.map_err(|error| failed(error).into())
}

/// Where a file of the application's is, in the data folder.
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

/// Where a file of that path is in the data folder, of a tenant with that id.
pub(super) fn place(data: &Path, id: TenantId, path: &str) -> Option<PathBuf> {
    let (name, rest) = path.split_once('/')?;
    let name = BY_TENANT.into_iter().find(|one| *one == name)?;
    Some(data.join(name).join(id.to_string()).join(rest))
}

/// How many files there are, and how many bytes they have.
pub(crate) async fn count(inner: &Inner, id: TenantId) -> Result<Usage, FileError> {
    let mut usage = count_in(inner, id, in_data(inner)).await?;
    if !inner.files.is_folder() {
        let mut found = inner.files.of(&inner.data, id).list(None).await?;
        while let Some((_, meta)) = found.try_next().await? {
            usage.files += 1;
            usage.bytes += meta.size;
        }
    }
    Ok(usage)
}

/// As [`count`], with what an erasure removes besides: files that were left in the data folder when they
/// were kept elsewhere from then on.
pub(super) async fn count_what_goes(inner: &Inner, id: TenantId) -> Result<Usage, FileError> {
    let mut usage = count(inner, id).await?;
    if !inner.files.is_folder() {
        let left = count_in(inner, id, [files::FOLDER].into_iter()).await?;
        usage.files += left.files;
        usage.bytes += left.bytes;
    }
    Ok(usage)
}

async fn count_in(
    inner: &Inner,
    id: TenantId,
    kept: impl Iterator<Item = &'static str> + Send + 'static,
) -> Result<Usage, FileError> {
    let data = inner.data.clone();
    let counting = tokio::task::spawn_blocking(move || {
        let mut usage = Usage::default();
        for (path, _) in walk(&data, id, kept) {
            usage.files += 1;
            usage.bytes += fs::metadata(path).map_or(0, |about| about.len());
        }
        usage
    });
    Ok(counting.await.map_err(|_| DbError::Closed)?)
}

/// Removes all of them, wherever they are. Nothing there is fine too.
pub(super) async fn remove(inner: &Inner, id: TenantId) -> Result<(), FileError> {
    if !inner.files.is_folder() {
        inner.files.of(&inner.data, id).remove().await?;
    }
    remove_in_data(inner, id).await
}

/// Removes those that are in the data folder.
pub(super) async fn remove_in_data(inner: &Inner, id: TenantId) -> Result<(), FileError> {
    for name in BY_TENANT {
        let folder = inner.data.join(name).join(id.to_string());
        Own::Folder(folder).remove().await?;
    }
    Ok(())
}
