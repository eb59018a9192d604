//! A tenant's rows, from one place into another.

use std::collections::{BTreeMap, HashSet};

use sha2::{Digest, Sha256};
use tokio::sync::mpsc::Receiver;

use super::{LifecycleError, NewTenant, folders, snapshot::Snapshot};
use crate::{
    Tenancy,
    db::{
        DbError, TenantDb,
        transfer::{self, Cell, Item, LoadError, Loader, Neighbours, Selection, Structure, Whose},
    },
    scoped::settings::{Fields, without_secrets},
    tenant::{Isolation, Tenant, TenantId},
};

/// What lets somebody in, and is given to one tenant alone: whoever has a token of one tenant has
/// none of its clone's. Passwords and second factors are people's, and stay theirs. What was answered
/// to an idempotency key is as little another tenant's. What is still to be done is done once, by the
/// tenant that was to do it.
pub(super) const CREDENTIALS: &[&str] = &[
    "api_keys",
    "file_keys",
    "idempotency_keys",
    "job_schedules",
    "jobs",
    "jwt_families",
    "jwt_keys",
    "links",
    "sessions",
    "tokens",
];

impl Tenancy {
    /// Makes a tenant with the data of another, as that is at one moment: every row with its id,
    /// but nothing that lets anybody in (tokens, sessions, keys, mailed links); and with its files,
    /// and its settings without their secrets, as they are just after. Its domains stay its own. The
    /// other goes on meanwhile.
    ///
    /// # Errors
    /// As [`create_with`](Self::create_with).
    pub async fn clone_tenant(
        &self,
        tenant: &Tenant,
        new: NewTenant,
    ) -> Result<Tenant, LifecycleError> {
        // what it lacks it gets first
        self.db(tenant).await?;
        let snapshot = Snapshot::of(&self.0, tenant).await?;
        let (tenancy, from, without) = (self.clone(), tenant.id(), self.0.credentials());
        let to_file = new.isolation_in(&self.0) == Isolation::File;
        let (file, rows) = match to_file && snapshot.is_file_of(self.0.places.migrations()).await? {
            true => (Some(snapshot.written_without(without)), None),
            false => (None, Some((snapshot, Selection { without }))),
        };
        let copying = move |made: Tenant, _: TenantDb| async move {
            if let Some((snapshot, selection)) = rows {
                // on nobody's account
                let db = tenancy.0.places.handle(&made)?;
                copy(&snapshot, &db, selection, Neighbours::GoOn).await?;
            }
            folders::copy_own(&tenancy.0, from, made.id()).await?;
            let store = tenancy.0.catalog.store();
            let settings = without_secrets(store.settings_of(from).await?);
            tenancy.0.bring_settings(made.id(), &settings).await?;
            crate::failpoint::failpoint("clone.copied");
            Ok(())
        };
        let (tenant, ()) = self.create_for(new, file, copying).await?;
        Ok(tenant)
    }
}

impl crate::tenancy::Inner {
    /// Gives a tenant that is being made settings as they were kept elsewhere.
    pub(super) async fn bring_settings(
        &self,
        id: TenantId,
        settings: &BTreeMap<String, Fields>,
    ) -> Result<(), DbError> {
        let store = self.catalog.store();
        for (name, fields) in settings {
            let text = serde_json::Value::Object(fields.clone()).to_string();
            store.put_setting(id, name, &text, None).await?;
        }
        self.catalog.forget_settings(id);
        Ok(())
    }

    /// The tables of what lets somebody in, the library's and the application's.
    pub(super) fn credentials(&self) -> HashSet<String> {
        let ours = CREDENTIALS.iter().map(|table| (*table).to_owned());
        ours.chain(self.credential_tables.iter().cloned()).collect()
    }
}

/// Copies what the snapshot has into a place whose tables are empty.
pub(super) async fn copy(
    from: &Snapshot,
    to: &TenantDb,
    selection: Selection,
    neighbours: Neighbours,
) -> Result<Vec<u8>, LoadError> {
    let mut items = read(from, selection).await?;
    let mut loader = Loader::begin(to, neighbours).await?;
    let mut digest = Sha256::new();
    loop {
        match items.recv().await {
            None => return Err(DbError::Closed.into()),
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(Item::Table(table))) => {
                let columns: Vec<String> =
                    table.columns.iter().map(|one| one.name.clone()).collect();
                digest.update(&table.name);
                loader.table(&table.name, &columns)?;
            }
            Some(Ok(Item::Rows(rows))) => {
                hash(&mut digest, &rows);
                loader.rows(rows).await?;
            }
            Some(Ok(Item::End)) => {
                loader.commit().await?;
                return Ok(digest.finalize().to_vec());
            }
        }
    }
}

/// What [`copy`] would return, without copying.
pub(super) async fn look(from: &Snapshot) -> Result<Vec<u8>, DbError> {
    let mut items = read(from, Selection::default()).await?;
    let mut digest = Sha256::new();
    loop {
        match items.recv().await {
            None => return Err(DbError::Closed),
            Some(Err(error)) => return Err(error),
            Some(Ok(Item::Table(table))) => digest.update(&table.name),
            Some(Ok(Item::Rows(rows))) => hash(&mut digest, &rows),
            Some(Ok(Item::End)) => return Ok(digest.finalize().to_vec()),
        }
    }
}

pub(super) async fn read(
    from: &Snapshot,
    selection: Selection,
) -> Result<Receiver<Result<Item, DbError>>, DbError> {
    read_part(from, selection, Whose::Tenant).await
}

/// As [`read`], of a part of what there is.
pub(super) async fn read_part(
    from: &Snapshot,
    selection: Selection,
    whose: Whose,
) -> Result<Receiver<Result<Item, DbError>>, DbError> {
    match (whose, transfer::left_behind(from.db()).await?) {
        (Whose::Tenant, Some(table)) => {
            return Err(DbError::Engine(
                format!(
                    "the virtual table {table} cannot be carried, and no trigger fills it anew"
                )
                .into(),
            ));
        }
        (Whose::Central, Some(table)) => {
            tracing::warn!(table, "what is in the virtual table is left behind");
        }
        _ => {}
    }
    let structure = Structure::of_part(from.db(), whose).await?;
    Ok(transfer::read(from.db().clone(), structure, selection))
}

fn hash(digest: &mut Sha256, rows: &[Vec<Cell>]) {
    for cell in rows.iter().flatten() {
        digest.update(cell.to_json().to_string());
        digest.update([0]);
    }
}
