//! Taking a backup.

use std::{
    fs::{self, File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use chrono::Utc;

use super::{
    Backup, BackupError, NotBackedUp, blocking,
    manifest::{Entry, Manifest, Part, Shared},
};
use crate::{
    Tenancy,
    db::{
        DbError,
        transfer::{Selection, Whose},
    },
    failpoint::failpoint,
    lifecycle::{
        archive::{Head, Who},
        export::into_file,
        folders,
        snapshot::{self, Snapshot},
        transfer::{read, read_part},
    },
    tenancy::Inner,
    tenant::{Isolation, Tenant, TenantCode, TenantStatus},
};

/// Locked as long as the backup is being taken, so that nobody takes what is being written for
/// what was left behind.
const LOCK: &str = ".lock";

/// How often a tenant is read again because it was moved or migrated meanwhile.
const TRIES: u32 = 3;

/// Stands among the applied migrations of what a newer program has migrated.
const UNKNOWN: &str = "of a newer program";

/// What became of a tenant, while a backup is taken or restored.
#[derive(Debug)]
#[non_exhaustive]
pub struct Step<'a> {
    /// The tenant.
    pub code: &'a TenantCode,
    /// Why it is not in the backup, if it is not.
    pub error: Option<&'a str>,
    /// Of how many tenants it is one.
    pub of: usize,
}

impl Tenancy {
    /// Takes a backup of the whole deployment, or of one tenant, into a folder that is not there
    /// yet, and tells `each` tenant as it is done. The folder has everything in it: everybody's
    /// data, and what lets people in.
    ///
    /// Each tenant is in it as it was at one moment after the backup was begun, and the catalog
    /// likewise; they need not be the same moment. Nobody waits for it. A tenant that cannot be read
    /// does not keep the others out: it is [told](Backup::failed). Pending tenants are not in it.
    ///
    /// The folder appears under its name when it is whole. What a process left that died is written
    /// over by the next that takes a backup to there.
    ///
    /// # Errors
    /// [`BackupError::Exists`] where there is something already; and when the folder cannot be
    /// written or the catalog not be read.
    pub async fn backup(
        &self,
        to: &Path,
        tenant: Option<&Tenant>,
        mut each: impl FnMut(Step<'_>),
    ) -> Result<Backup, BackupError> {
        let mut manifest = Manifest::new(Utc::now());
        let (draft, held) = {
            let to = to.to_owned();
            blocking(move || begin(&to)).await?
        };
        failpoint("backup.begun");
        if let Err(error) = self.fill(&draft, &mut manifest, tenant, &mut each).await {
            abandon(draft, held).await;
            return Err(error);
        }
        let to = to.to_owned();
        blocking(move || {
            if let Err(error) = manifest.write(&draft) {
                drop(fs::remove_dir_all(&draft));
                return Err(error);
            }
            failpoint("backup.manifest");
            let finish = || {
                sync(&draft)?;
                fs::rename(&draft, &to)?;
                failpoint("backup.renamed");
                drop(held);
                fs::remove_file(to.join(LOCK))?;
                to.parent()
                    .filter(|one| *one != Path::new(""))
                    .map_or(Ok(()), sync)
            };
            finish().map_err(BackupError::file(&to))?;
            Ok(manifest.summary())
        })
        .await
    }

    /// Writes everything but the manifest.
    async fn fill(
        &self,
        draft: &Path,
        manifest: &mut Manifest,
        tenant: Option<&Tenant>,
        each: &mut impl FnMut(Step<'_>),
    ) -> Result<(), BackupError> {
        let tenants = match tenant {
            Some(tenant) => vec![tenant.clone()],
            None => {
                // before the catalog, in which everybody is found then that is here
                let mut all = self.tenants().await?;
                all.extend(self.deleted().await?.into_iter().map(|one| one.tenant));
                manifest.central = Some(self.take_central(draft, manifest).await?);
                all
            }
        };
        failpoint("backup.central");
        let of = tenants.len();
        for found in tenants {
            let code = found.code();
            let error = match self.take_one(draft, &found).await {
                Ok(taken) => {
                    taken.into_iter().for_each(|entry| manifest.add(entry));
                    None
                }
                Err(error @ (BackupError::Db(_) | BackupError::Files(_)))
                    if tenant.is_none() && !matches!(error, BackupError::Db(DbError::Full)) =>
                {
                    // without the catalog it is nobody's own failure
                    self.0.catalog.store().by_id(found.id()).await?;
                    let error = error.to_string();
                    manifest.failed.push(NotBackedUp {
                        code: code.clone(),
                        error: error.clone(),
                    });
                    Some(error)
                }
                Err(error) => return Err(error),
            };
            each(Step {
                code,
                error: error.as_deref(),
                of,
            });
            failpoint("backup.tenant");
        }
        Ok(())
    }

    async fn take_central(
        &self,
        folder: &Path,
        manifest: &Manifest,
    ) -> Result<Shared, BackupError> {
        let (catalog, application) = Snapshot::of_central(&self.0).await?;
        Ok(Shared {
            catalog: self
                .take_part(folder, manifest, &catalog, Whose::Catalog, "catalog")
                .await?,
            application: self
                .take_part(folder, manifest, &application, Whose::Central, "central")
                .await?,
        })
    }

    async fn take_part(
        &self,
        folder: &Path,
        manifest: &Manifest,
        from: &Snapshot,
        whose: Whose,
        name: &str,
    ) -> Result<Part, BackupError> {
        let items = read_part(from, Selection::default(), whose).await?;
        let who = Who {
            id: manifest.id.into(),
            code: name.into(),
            name: name.into(),
        };
        let head = Head::new(who, "", false);
        let path = format!("{name}.archive");
        into_file(folder.join(&path), head, items, None, Vec::new()).await?;
        part(folder, path).await
    }

    /// Takes a tenant; none when it went meanwhile, or is not there yet.
    async fn take_one(&self, folder: &Path, found: &Tenant) -> Result<Option<Entry>, BackupError> {
        let inner = &self.0;
        for _ in 0..TRIES {
            let Some(now) = inner.catalog.store().by_id(found.id()).await? else {
                return Ok(None);
            };
            if !now.status().is_visible() && now.status() != TenantStatus::Deleted {
                return Ok(None);
            }
            let applied = self.applied(&now).await?;
            let data = match self.take_data(folder, &now, &applied).await {
                // its place may be another by now
                Err(BackupError::Db(error)) if self.is_elsewhere(&now).await? => {
                    tracing::debug!(%error, "a tenant has moved while it was read");
                    continue;
                }
                data => data?,
            };
            if self.is_elsewhere(&now).await? || self.applied(&now).await? != applied {
                continue;
            }
            return self.entry(folder, &now, applied, data).await.map(Some);
        }
        Err(DbError::Busy.into())
    }

    async fn entry(
        &self,
        folder: &Path,
        now: &Tenant,
        applied: Vec<String>,
        data: Part,
    ) -> Result<Entry, BackupError> {
        let inner = &self.0;
        // one that is being moved is stopped for that, and no more
        let moves = inner.catalog.store().moves().await?;
        let moving = moves.into_iter().find(|one| one.tenant == now.id());
        let (to, id) = (folder.to_owned(), now.id());
        let all = folders::all(inner, id).await?;
        let files = blocking(move || {
            let mut files = Vec::new();
            for (from, copy) in all {
                let copy = format!("files/{id}/{copy}");
                let path = to.join(&copy);
                if from.copy_to(&path).map_err(BackupError::file(&path))? {
                    files.push(Part::of(&to, copy)?);
                }
            }
            Ok(files)
        });
        Ok(Entry {
            id,
            code: now.code().clone(),
            name: now.name().into(),
            status: moving.map_or(now.status(), |one| one.status),
            isolation: now.isolation(),
            server: now.placement().server.clone(),
            plan: now.plan().into(),
            created_at: now.created_at(),
            schema_version: now.schema_version().into(),
            applied,
            data,
            files: files.await?,
            settings: inner.catalog.store().settings_of(id).await?,
        })
    }

    async fn is_elsewhere(&self, tenant: &Tenant) -> Result<bool, DbError> {
        let now = self.0.catalog.store().by_id(tenant.id()).await?;
        Ok(now.is_none_or(|now| now.placement() != tenant.placement()))
    }

    /// The migrations that the tenant's own ledger has.
    async fn applied(&self, tenant: &Tenant) -> Result<Vec<String>, BackupError> {
        let places = &self.0.places;
        if !places.exists(tenant).await? {
            return Err(DbError::Missing(places.location(tenant)).into());
        }
        let ledger = places.pending(tenant).await.map_err(|error| match error {
            crate::migrate::MigrateError::Db(error) => error,
            other => DbError::Engine(Box::new(other)),
        })?;
        let names = places.migrations().names();
        let ahead = ledger.ahead.then(|| UNKNOWN.to_owned());
        Ok(names
            .filter(|name| !ledger.pending.iter().any(|one| one == name))
            .map(Into::into)
            .chain(ahead)
            .collect())
    }

    async fn take_data(
        &self,
        folder: &Path,
        tenant: &Tenant,
        applied: &[String],
    ) -> Result<Part, BackupError> {
        let inner = &self.0;
        let id = tenant.id();
        let tenants = folder.join("tenants");
        fs::create_dir_all(&tenants).map_err(BackupError::file(&tenants))?;
        if tenant.isolation() == Isolation::File {
            let path = format!("tenants/{id}.db");
            let (from, to) = (inner.places.files().path(id), folder.join(&path));
            let copied = blocking({
                let to = to.clone();
                move || {
                    remove(&to)?;
                    let held = snapshot::copy(&from, &to)?;
                    held.sync_all().map_err(BackupError::file(&to))
                }
            });
            if let Err(error) = copied.await {
                // SQLite does not tell whether it could not read the one or not write the other
                return Err(match could_be_written(inner, tenant, to).await {
                    Ok(()) => error,
                    Err(full) => full,
                });
            }
            return part(folder, path).await;
        }
        if applied.last().is_some_and(|name| name == UNKNOWN) {
            let newer = "it was migrated by a newer program; take its backup with that";
            return Err(DbError::Engine(newer.into()).into());
        }
        let snapshot = Snapshot::of(inner, tenant).await?;
        let items = read(&snapshot, Selection::default()).await?;
        let who = Who {
            id,
            code: tenant.code().to_string(),
            name: tenant.name().into(),
        };
        let head = Head::new(who, tenant.schema_version(), false);
        let path = format!("tenants/{id}.archive");
        into_file(folder.join(&path), head, items, None, Vec::new()).await?;
        part(folder, path).await
    }
}

async fn part(folder: &Path, path: String) -> Result<Part, BackupError> {
    let folder = folder.to_owned();
    blocking(move || Part::of(&folder, path)).await
}

/// Makes the folder that a backup is written into before it has its name, and locks it.
fn begin(to: &Path) -> Result<(PathBuf, File), BackupError> {
    let is_empty = |path: &Path| fs::read_dir(path).is_ok_and(|mut found| found.next().is_none());
    if to.exists() && !is_empty(to) {
        return Err(BackupError::Exists(to.into()));
    }
    let mut draft = to.as_os_str().to_owned();
    draft.push(".part");
    let draft = PathBuf::from(draft);
    let failed = |path: &Path| BackupError::file(path);
    if draft.exists() && !is_empty(&draft) {
        // what one that died has left; anything else is not ours
        let lock = File::open(draft.join(LOCK)).map_err(|_| BackupError::Exists(draft.clone()))?;
        match lock.try_lock() {
            Ok(()) => fs::remove_dir_all(&draft).map_err(failed(&draft))?,
            Err(TryLockError::WouldBlock) => return Err(BackupError::UnderWay),
            Err(TryLockError::Error(error)) => return Err(failed(&draft)(error)),
        }
    }
    fs::create_dir_all(&draft).map_err(failed(&draft))?;
    #[cfg(unix)]
    fs::set_permissions(&draft, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .map_err(failed(&draft))?;
    let path = draft.join(LOCK);
    let lock = File::create_new(&path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => BackupError::UnderWay,
        _ => failed(&path)(error),
    })?;
    match lock.try_lock() {
        Ok(()) => Ok((draft, lock)),
        Err(TryLockError::WouldBlock) => Err(BackupError::UnderWay),
        Err(TryLockError::Error(error)) => Err(failed(&path)(error)),
    }
}

/// Leaves nothing of it.
async fn abandon(draft: PathBuf, held: File) {
    let removing = blocking(move || {
        drop(fs::remove_dir_all(draft));
        drop(held);
        Ok(())
    });
    drop(removing.await);
}

/// Whether as much as the tenant has can be written where its copy was to be.
async fn could_be_written(inner: &Inner, tenant: &Tenant, to: PathBuf) -> Result<(), BackupError> {
    let bytes = inner.places.files().size(tenant.id()).unwrap_or(0);
    blocking(move || {
        remove(&to)?;
        let write = || {
            let mut file = File::create(&to)?;
            std::io::copy(
                &mut std::io::Read::take(std::io::repeat(0), bytes),
                &mut file,
            )?;
            file.sync_all()
        };
        let written = write().map_err(BackupError::file(&to));
        remove(&to)?;
        written
    })
    .await
}

fn remove(path: &Path) -> Result<(), BackupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(BackupError::file(path)(error)),
        _ => Ok(()),
    }
}

/// Makes names in a folder, and in those below, lasting.
fn sync(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync(&entry.path())?;
        }
    }
    File::open(folder)?.sync_all()
}
