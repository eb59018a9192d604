//! Restoring what a backup has.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Backup, BackupError, blocking,
    manifest::{Entry, Manifest},
    take::Step,
};
use crate::{
    Tenancy,
    catalog::Change,
    db::{
        TenantDb, is_among,
        postgres::scope::literal,
        sqlite,
        transfer::{Cell, Loader, Neighbours, Selection, Whose},
    },
    failpoint::failpoint,
    isolation::{LOCAL, file::Write},
    lifecycle::{
        LifecycleError,
        archive::Reader,
        carried::{Sink, Source},
        export::{Keep, pour},
        folders,
        lock::TenantLock,
        recover::finish,
        snapshot::Snapshot,
        transfer::copy,
    },
    scoped::{
        files::{FOLDER, FileName},
        settings::without_secrets,
    },
    tenancy::Inner,
    tenant::{Isolation, Placement, Record, Tenant, TenantCode, TenantId, TenantStatus},
};

/// How many statements are said at a time.
const AT_ONCE: usize = 100;

/// Reads what a backup says of itself, and looks at the checksum of every file of it.
///
/// # Errors
/// [`BackupError::NotOne`], [`BackupError::Damaged`].
pub async fn inspect(from: &Path) -> Result<Backup, BackupError> {
    open(from, |manifest, folder| manifest.verify(folder))
        .await
        .map(|manifest| manifest.summary())
}

async fn open(
    from: &Path,
    verify: impl FnOnce(&Manifest, &Path) -> Result<(), BackupError> + Send + 'static,
) -> Result<Manifest, BackupError> {
    let from = from.to_owned();
    blocking(move || {
        let manifest = Manifest::read(&from)?;
        verify(&manifest, &from)?;
        Ok(manifest)
    })
    .await
}

impl Tenancy {
    /// Restores a whole deployment into this one, which must be empty. Every checksum is looked at
    /// before anything is made. Tenants are kept apart as they were, or as this deployment has it
    /// where it has no such place; they are suspended until all is there.
    ///
    /// When the process dies, the same is to be begun again: it goes on where it was.
    ///
    /// # Errors
    /// [`BackupError::NotEmpty`]; [`BackupError::Partial`] when the backup is of one tenant;
    /// [`BackupError::Damaged`], with nothing touched.
    pub async fn restore_backup(
        &self,
        from: &Path,
        mut each: impl FnMut(Step<'_>),
    ) -> Result<Backup, BackupError> {
        let inner = &self.0;
        let manifest = open(from, |manifest, folder| manifest.verify(folder)).await?;
        let Some(shared) = &manifest.central else {
            return Err(BackupError::Partial);
        };
        let _lock = TenantLock::try_take(inner, manifest.id.into())
            .await?
            .ok_or(BackupError::UnderWay)?;
        if !inner.catalog.store().begin_restore(manifest.id).await? {
            return Err(BackupError::NotEmpty);
        }
        failpoint("restore.begun");
        let of = manifest.tenants.len();
        for entry in &manifest.tenants {
            let there = inner.catalog.store().by_id(entry.id).await?;
            // one that was begun by a process that died is gone by now, or goes with this
            let done = there.is_some_and(|one| !one.status().is_unfinished());
            if !done {
                let mut to = entry.placement();
                if !inner.places.has(to.isolation, &to.server) {
                    to = Placement::new(inner.default_isolation, LOCAL);
                }
                let draft = self.draft(entry, entry.id, entry.code.clone(), to);
                self.bring_in(draft, entry, from, Secrets::Kept, TenantStatus::Suspended)
                    .await?;
            }
            failpoint("restore.tenant");
            each(Step {
                code: &entry.code,
                error: None,
                of,
            });
        }
        self.bring_central(shared.application.at(from)).await?;
        failpoint("restore.central");
        self.bring_catalog(shared.catalog.at(from), &manifest)
            .await?;
        failpoint("restore.done");
        inner.catalog.forget_all();
        Ok(manifest.summary())
    }

    /// Whether the restore of a whole deployment was begun here and has not ended.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn is_being_restored(&self) -> Result<bool, crate::db::DbError> {
        Ok(self.0.catalog.store().count_restores().await? > 0)
    }

    /// Restores one tenant from a backup of it, or of the whole. Where there is no such tenant any
    /// more it is what it was, with its id; beside one that there is it is a new tenant, with an id
    /// of its own, under another code, and nobody is signed in to it.
    ///
    /// Its domains, and who was a member of it where people stand outside of tenants, are in the backup
    /// of the whole alone.
    ///
    /// # Errors
    /// [`BackupError::NotInIt`]; [`BackupError::Damaged`], with nothing touched;
    /// [`LifecycleError::CodeTaken`], and as [`create`](Self::create), within
    /// [`BackupError::Tenant`].
    pub async fn restore_tenant(
        &self,
        from: &Path,
        code: &TenantCode,
        new: Option<&TenantCode>,
        to: Option<Placement>,
    ) -> Result<Tenant, BackupError> {
        let inner = &self.0;
        let wanted = code.clone();
        let find = move |manifest: &Manifest| {
            let is_it = |one: &&Entry| one.code == wanted && one.status.is_visible();
            let found = manifest.tenants.iter().find(is_it).cloned();
            found.ok_or(BackupError::NotInIt(wanted.clone()))
        };
        let find_first = find.clone();
        let manifest = open(from, move |manifest, folder| {
            let entry = find_first(manifest)?;
            entry.parts().try_for_each(|part| part.verify(folder))
        })
        .await?;
        let entry = find(&manifest)?;
        let is_there = inner.catalog.store().by_id(entry.id).await?.is_some();
        let erased = inner.catalog.store().erasures().await?;
        // of whom was erased it is certified that nothing is left
        let is_known = is_there || erased.iter().any(|one| one.tenant == entry.id);
        let (id, secrets) = match is_known {
            true => (TenantId::generate(), Secrets::Dropped),
            false => (entry.id, Secrets::Kept),
        };
        let code = new.unwrap_or(code).clone();
        let to = to.unwrap_or_else(|| entry.placement());
        let draft = self.draft(&entry, id, code, to);
        let (tenancy, from) = (self.clone(), from.to_owned());
        tokio::spawn(async move {
            tenancy
                .bring_in(draft, &entry, &from, secrets, entry.status)
                .await
        })
        .await
        .map_err(|_| BackupError::Db(crate::db::DbError::Closed))?
    }

    fn draft(&self, entry: &Entry, id: TenantId, code: TenantCode, to: Placement) -> Tenant {
        let inner = &self.0;
        let is_current = inner.places.migrations().names().eq(entry.applied.iter());
        Tenant::new(Record {
            id,
            code,
            name: entry.name.clone(),
            status: TenantStatus::Creating,
            placement: to,
            schema_version: match is_current {
                true => inner.tenant_version.clone(),
                // whatever it was called, what is pending is to be found
                false if entry.schema_version == inner.tenant_version => String::new(),
                false => entry.schema_version.clone(),
            },
            created_at: entry.created_at,
            plan: entry.plan.clone(),
            primary_domain: None,
        })
    }

    /// Makes the tenant, with what the backup has of it. When that fails there is none.
    async fn bring_in(
        &self,
        draft: Tenant,
        entry: &Entry,
        folder: &Path,
        secrets: Secrets,
        status: TenantStatus,
    ) -> Result<Tenant, BackupError> {
        let inner = &self.0;
        let failed = |source: LifecycleError| BackupError::Tenant {
            code: draft.code().clone(),
            source: source.into(),
        };
        let to = draft.placement();
        if !inner.places.has(to.isolation, &to.server) {
            return Err(failed(LifecycleError::NoPlace(to.clone())));
        }
        // What is removed when this fails has to be this deployment's own. What it has recorded is:
        // before it was, there was nothing of that name.
        let is_known = inner.catalog.store().by_id(draft.id()).await?.is_some();
        let is_its_own = to.isolation != Isolation::Rows;
        if is_its_own && !is_known && inner.places.exists(&draft).await? {
            return Err(BackupError::Occupied(draft.code().clone()));
        }
        let lock = self.reserve(&draft).await.map_err(failed)?;
        failpoint("restore.recorded");
        let made = async {
            self.bring_data(&draft, entry, folder, secrets).await?;
            failpoint("restore.loaded");
            bring_files(inner, draft.id(), entry, folder).await?;
            let settings = match secrets {
                Secrets::Kept => entry.settings.clone(),
                Secrets::Dropped => without_secrets(entry.settings.clone()),
            };
            inner.bring_settings(draft.id(), &settings).await?;
            let done = Change::Status(status, &[TenantStatus::Creating]);
            inner.catalog.change(draft.id(), done).await?;
            let tenant = inner.catalog.store().by_id(draft.id()).await?;
            tenant.ok_or_else(|| failed(LifecycleError::NotPossible))
        }
        .await;
        if made.is_err() {
            finish(inner, &draft, &lock).await.map_err(failed)?;
        }
        made
    }

    async fn bring_data(
        &self,
        draft: &Tenant,
        entry: &Entry,
        folder: &Path,
        secrets: Secrets,
    ) -> Result<(), BackupError> {
        let inner = &self.0;
        let without = match secrets {
            Secrets::Kept => HashSet::new(),
            Secrets::Dropped => inner.credentials(),
        };
        let from = entry.data.at(folder);
        if entry.is_file() && draft.isolation() == Isolation::File {
            let write: Write = match secrets {
                Secrets::Kept => {
                    Box::new(|to| fs::copy(from, to).map(drop).map_err(sqlite::failed))
                }
                Secrets::Dropped => {
                    let snapshot = Snapshot::of_copy(inner, &from).await?;
                    snapshot.written_without(without)
                }
            };
            return Ok(inner.places.files().bring(draft.id(), write).await?);
        }
        self.provision_as(draft, &entry.applied).await?;
        failpoint("restore.placed");
        let to = inner.places.handle(draft)?;
        if entry.is_file() {
            let snapshot = Snapshot::of_copy(inner, &from).await?;
            copy(&snapshot, &to, Selection { without }, Neighbours::Wait).await?;
            return Ok(());
        }
        let mut loader = Loader::begin(&to, Neighbours::Wait).await?;
        let keep: Keep = Box::new(move |table, _, _| !is_among(&without, table));
        pour(read(from).await?, &mut loader, keep).await?;
        Ok(loader.commit().await?)
    }

    /// Makes the tenant's place as it was: with those migrations, and no others.
    async fn provision_as(&self, draft: &Tenant, applied: &[String]) -> Result<(), BackupError> {
        let inner = &self.0;
        let migrations = inner.places.migrations();
        if let Some(other) = applied.iter().find(|one| migrations.get(one).is_none()) {
            return Err(BackupError::Misfit(format!("it has the migration {other}")));
        }
        let lacks: Vec<&str> = migrations
            .names()
            .filter(|name| !applied.iter().any(|one| one == name))
            .collect();
        if lacks.is_empty() {
            inner.provision(draft).await?;
        } else if draft.isolation() == Isolation::File {
            return Err(BackupError::Misfit(format!(
                "it lacks migrations, and is to become a file ({})",
                lacks.join(", ")
            )));
        } else {
            inner.provision_with(draft, applied).await?;
        }
        // shared tables are as they are
        let pending = match draft.isolation() {
            Isolation::File => return Ok(()),
            _ => inner.places.pending(draft).await?.pending,
        };
        match pending.iter().eq(lacks.iter()) {
            true => Ok(()),
            false => Err(BackupError::Misfit(
                "the shared tables have other migrations than it had".into(),
            )),
        }
    }

    /// What there is of the application's shared tables is replaced.
    async fn bring_central(&self, from: PathBuf) -> Result<(), BackupError> {
        let db = self.0.central.part(Whose::Central);
        let mut loader = Loader::begin_in(&db, Whose::Central).await?;
        loader.clear().await?;
        pour(read(from).await?, &mut loader, Box::new(|_, _, _| true)).await?;
        Ok(loader.commit().await?)
    }

    /// The rest of the catalog, and with it the end: every tenant is what it was.
    async fn bring_catalog(&self, from: PathBuf, manifest: &Manifest) -> Result<(), BackupError> {
        let db: TenantDb = self.0.central.part(Whose::Catalog);
        let statuses: HashMap<String, TenantStatus> = manifest
            .tenants
            .iter()
            .map(|one| (one.id.to_string(), one.status))
            .collect();
        let mut statements: Vec<String> = statuses
            .iter()
            .map(|(id, status)| {
                format!("UPDATE tenantry_tenants SET status = '{status}' WHERE id = '{id}'")
            })
            .collect();
        // one that was brought back while the backup was taken
        statements.push(
            "UPDATE tenantry_tenants SET status = 'suspended' WHERE status = 'deleted'
                AND id NOT IN (SELECT tenant_id FROM tenantry_deletions)"
                .into(),
        );
        let id = literal(&manifest.id.to_string());
        statements.push(format!(
            "DELETE FROM tenantry_restores WHERE backup_id = {id}"
        ));
        let keep: Keep = Box::new(move |table, columns, row| {
            let at = columns.iter().position(|name| name == "tenant_id");
            let tenant = match at.and_then(|at| row.get(at)) {
                Some(Cell::Text(id)) => Some(statuses.get(id)),
                _ => None,
            };
            match (table, tenant) {
                // these are there already; and what was under way then is not now
                (
                    "tenantry_tenants"
                    | "tenantry_settings"
                    | "tenantry_moves"
                    | "tenantry_failed_migrations",
                    _,
                ) => false,
                ("tenantry_erasures" | "tenantry_usage" | "tenantry_usage_days", _) | (_, None) => {
                    true
                }
                ("tenantry_deletions", Some(status)) => status == Some(&TenantStatus::Deleted),
                (_, Some(status)) => status.is_some(),
            }
        });
        let mut loader = Loader::begin_in(&db, Whose::Catalog).await?;
        pour(read(from).await?, &mut loader, keep).await?;
        for some in statements.chunks(AT_ONCE) {
            loader.say(some.to_vec()).await?;
        }
        Ok(loader.commit().await?)
    }
}

/// Whether what lets somebody in comes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secrets {
    Kept,
    Dropped,
}

async fn read(path: PathBuf) -> Result<Reader, BackupError> {
    blocking(move || Ok(Reader::open(&path)?.0)).await
}

async fn bring_files(
    inner: &Arc<Inner>,
    id: TenantId,
    entry: &Entry,
    folder: &Path,
) -> Result<(), BackupError> {
    let before = format!("files/{}/", entry.id);
    let mut copies = Vec::new();
    for part in &entry.files {
        let nobodys = || BackupError::Damaged(format!("{} is nobody's", part.path));
        let path = part.path.strip_prefix(&before).ok_or_else(nobodys)?;
        let place = folders::place(&inner.data, id, path).ok_or_else(nobodys)?;
        let own = path
            .strip_prefix(FOLDER)
            .and_then(|path| path.strip_prefix('/'));
        let to = match own.filter(|_| !inner.files.is_folder()) {
            None => To::Place(place),
            // in a folder it was there, and nobody could read it
            Some(own) => To::Name(FileName::new(own).map_err(|error| {
                BackupError::Misfit(format!("{}: {error}; a data folder takes it", part.path))
            })?),
        };
        copies.push((part.at(folder), to));
    }
    let inner = inner.clone();
    blocking(move || {
        copies.into_iter().try_for_each(|(from, to)| match to {
            To::Place(to) => {
                let copied = Source::File(from).copy_to(&to);
                copied.map(drop).map_err(BackupError::file(&to))
            }
            To::Name(name) => {
                let put = put(&inner, id, &from, &name);
                put.map_err(BackupError::file(&from))
            }
        })
    })
    .await
}

/// Where a file of a backup goes.
enum To {
    /// Into the data folder.
    Place(PathBuf),
    /// To where files are kept.
    Name(FileName),
}

fn put(inner: &Inner, id: TenantId, from: &Path, name: &FileName) -> io::Result<()> {
    let mut from = File::open(from)?;
    let mut to = Sink::create(inner, id, name)?;
    let mut piece = vec![0; 1 << 16];
    loop {
        match from.read(&mut piece)? {
            0 => return to.end(),
            length => to.write(&piece[..length])?,
        }
    }
}
