//! What is there of tenants that the catalog does not know.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use super::{LifecycleError, folders, lock::TenantLock};
use crate::{
    Tenancy,
    db::DbError,
    isolation::{LOCAL, postgres},
    tenancy::Inner,
    tenant::{Isolation, Placement, Record, Tenant, TenantCode, TenantId, TenantStatus},
};

/// Something that is there of a tenant, and belongs to none that the catalog knows: left by hand, or
/// by a catalog that was brought back from a time before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Orphan {
    /// Whose it was.
    pub tenant: TenantId,
    /// What it is and where, for people.
    pub what: String,
    /// Whether [`Tenancy::remove_orphan`] removes it. It does not where another deployment could
    /// have it: databases, which are the server's and not a deployment's, what is on servers that the
    /// catalog is not on, and files that are not in the data folder.
    pub is_removable: bool,
    remains: Remains,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Remains {
    /// A place of its own, or rows.
    Place(&'static str, String),
    /// Files beside.
    Folders,
    /// Files that are kept elsewhere.
    Objects,
}

impl Tenancy {
    /// Looks for what is there of tenants that the catalog does not know: files, schemas, databases,
    /// rows. What another deployment has marked as its own is not looked at, nor is a data folder in
    /// which several have theirs. In shared tables the owner of the tables has to look past the wall for that: each is
    /// locked for the moment that it takes, in a transaction that is undone.
    ///
    /// # Errors
    /// When the folder, a server or the store of files cannot be read; [`DbError::Busy`] when a table is
    /// in use for longer than that waits.
    pub async fn orphans(&self) -> Result<Vec<Orphan>, LifecycleError> {
        let inner = &self.0;
        // what is there first, and then who is known: whoever is made meanwhile has a record
        let mut found = Vec::new();
        if owns_folder(inner)? {
            found.extend(in_folder(inner).await?);
        }
        for tenant in inner.files.tenants().await? {
            found.push(Orphan {
                tenant,
                what: format!("files at {}", inner.files.place(&inner.data, tenant)),
                is_removable: false,
                remains: Remains::Objects,
            });
        }
        for (name, server) in inner.places.named_servers() {
            for (isolation, id) in postgres::places(server).await? {
                found.push(on_server(inner, name, isolation, id));
            }
        }
        let mut known: BTreeMap<TenantId, BTreeSet<&'static str>> = BTreeMap::new();
        for tenant in inner.catalog.store().every().await? {
            let isolations = known.entry(tenant.id()).or_default();
            isolations.insert(tenant.isolation().as_str());
        }
        for going in inner.catalog.store().moves().await? {
            let isolations = known.entry(going.tenant).or_default();
            isolations.extend([going.from.isolation.as_str(), going.to.isolation.as_str()]);
        }
        // two names may be of one server, so which it is does not count
        found.retain(
            |orphan| match (&orphan.remains, known.get(&orphan.tenant)) {
                (_, None) => true,
                (Remains::Folders | Remains::Objects, Some(_)) => false,
                (Remains::Place(isolation, _), Some(isolations)) => !isolations.contains(isolation),
            },
        );
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Removes what is there of a tenant that the catalog does not know; whether it was still so.
    ///
    /// # Errors
    /// [`LifecycleError::UnderWay`] when somebody is at it; and when it cannot be removed.
    pub async fn remove_orphan(&self, orphan: &Orphan) -> Result<bool, LifecycleError> {
        let inner = &self.0;
        let _lock = TenantLock::try_take(inner, orphan.tenant)
            .await?
            .ok_or(LifecycleError::UnderWay)?;
        // it may have been brought back between the look and the lock
        if !orphan.is_removable || !self.orphans().await?.contains(orphan) {
            return Ok(false);
        }
        match &orphan.remains {
            Remains::Folders => folders::remove_in_data(inner, orphan.tenant).await?,
            // another deployment may have them
            Remains::Objects => return Ok(false),
            Remains::Place(isolation, server) => {
                let isolation = isolation.parse().map_err(|error| {
                    DbError::Engine(Box::<crate::tenant::UnknownWord>::new(error))
                })?;
                let placement = Placement::new(isolation, server);
                inner
                    .places
                    .remove(&of_nobody(orphan.tenant, placement)?)
                    .await?;
            }
        }
        Ok(true)
    }
}

/// Whether what is in the data folder is this deployment's: others may have theirs in the same.
fn owns_folder(inner: &Inner) -> Result<bool, DbError> {
    folders::is_alone(&inner.data, &inner.central.name())
        .map_err(|error| DbError::Engine(Box::new(error)))
}

async fn in_folder(inner: &Inner) -> Result<Vec<Orphan>, DbError> {
    let (tenants, data) = (inner.data.join("tenants"), inner.data.clone());
    let looking = tokio::task::spawn_blocking(move || {
        let mut found = Vec::new();
        for shard in list(tenants)? {
            for file in list(shard)? {
                let name = file.file_name().and_then(|name| name.to_str());
                let id = name.and_then(|name| name.split_once(".db"));
                // what stands beside a file goes with it
                let Some((Ok(tenant), "" | ".new")) = id.map(|(id, end)| (id.parse(), end)) else {
                    continue;
                };
                found.push(Orphan {
                    tenant,
                    what: format!("the file {}", file.display()),
                    is_removable: true,
                    remains: Remains::Place(Isolation::File.as_str(), LOCAL.into()),
                });
            }
        }
        for folder in folders::BY_TENANT {
            for folder in list(data.join(folder))? {
                let name = folder.file_name().and_then(|name| name.to_str());
                if let Some(Ok(tenant)) = name.map(str::parse) {
                    found.push(Orphan {
                        tenant,
                        what: format!("the folder {}", folder.display()),
                        is_removable: true,
                        remains: Remains::Folders,
                    });
                }
            }
        }
        Ok(found)
    });
    let found: Result<_, std::io::Error> = looking.await.map_err(|_| DbError::Closed)?;
    found.map_err(|error| DbError::Engine(Box::new(error)))
}

fn list(folder: PathBuf) -> std::io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

fn on_server(inner: &Inner, name: &str, isolation: Isolation, id: TenantId) -> Orphan {
    let placement = Placement::new(isolation, name);
    let at = of_nobody(id, placement).map_or_else(
        |error| error.to_string(),
        |tenant| inner.places.location(&tenant),
    );
    let what = match isolation {
        Isolation::Rows => format!("rows of {id}, {at}"),
        Isolation::Schema => format!("a schema: {at}"),
        _ => at,
    };
    Orphan {
        tenant: id,
        what: match name {
            LOCAL => what,
            name => format!("{what}, server {name}"),
        },
        is_removable: name == LOCAL && isolation != Isolation::Database,
        remains: Remains::Place(isolation.as_str(), name.into()),
    }
}

/// A tenant of that id, for those who ask for no more.
fn of_nobody(id: TenantId, placement: Placement) -> Result<Tenant, DbError> {
    let code = format!("orphan-{}", id.as_uuid().simple());
    Ok(Tenant::new(Record {
        id,
        code: TenantCode::new(&code).map_err(|error| DbError::Engine(Box::new(error)))?,
        name: String::new(),
        status: TenantStatus::Deleting,
        placement,
        schema_version: String::new(),
        created_at: chrono::DateTime::UNIX_EPOCH,
        plan: String::new(),
        primary_domain: None,
    }))
}
