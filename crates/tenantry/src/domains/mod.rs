//! Hosts that tenants have of their own.
//!
//! Anybody can say that a host is theirs, and as long as nobody has shown it that means nothing:
//! requests for it are nobody's, and others can say the same. It is shown by a TXT record, which only
//! whoever has the domain can set. From then on the host is that tenant's alone, and
//! [`Resolvers::domain`](crate::routing::Resolvers::domain) finds the tenant by it.
//!
//! One of them can be the primary one: it is in the tenant's URLs, and requests to the tenant's other
//! hosts are sent there.
//!
//! Domains are the catalog's, not the tenant's data: they stay with a tenant that is renamed, moved,
//! suspended, or deleted and brought back, and no copy of it has them.

mod dns;

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
pub(crate) use dns::NameServers;
use hickory_resolver::net::NetError;

use crate::{
    Tenancy,
    catalog::Claimed,
    db::DbError,
    tenant::{DomainName, Tenant},
    users::secret::Secret,
};

/// How many domains a tenant can claim.
pub const MOST_DOMAINS: usize = 100;

/// A host that a tenant says is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Domain {
    /// The host.
    pub host: DomainName,
    /// When it was claimed.
    pub created_at: DateTime<Utc>,
    /// Since when it is known to be the tenant's own; nothing as long as that was not shown.
    pub verified_at: Option<DateTime<Utc>>,
    /// Whether it is the tenant's primary one.
    pub is_primary: bool,
    /// The TXT record that shows it.
    pub record: Record,
}

/// A TXT record in the DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Its name, without the trailing dot.
    pub name: String,
    /// What it says.
    pub value: String,
}

/// Why something cannot be done with a domain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DomainError {
    /// Another tenant has shown that it is its own.
    #[error("another tenant has that domain")]
    Taken,
    /// It is the deployment's own host, or below it.
    #[error("that host is the deployment's own")]
    Reserved,
    /// Its record would have a name that is too long for the DNS.
    #[error("the name of its record would be too long for the DNS")]
    TooLong,
    /// The tenant has as many as it can have.
    #[error("there can be {MOST_DOMAINS} domains at most")]
    TooMany,
    /// The tenant has claimed no such domain.
    #[error("there is no such domain")]
    NotFound,
    /// It is not known to be the tenant's own.
    #[error("the domain is not verified")]
    NotVerified,
    /// The record that would show it is not there, or says something else.
    #[error("there is no TXT record {} that says {}", .0.name, .0.value)]
    NoRecord(Record),
    /// They were asked too often, and may be asked again after that time.
    #[error("it was looked too often; wait for {} s", .0.as_secs() + 1)]
    TooOften(Duration),
    /// The name servers cannot be asked.
    #[error("the name servers cannot be asked: {0}")]
    NameServers(Box<dyn std::error::Error + Send + Sync>),
    /// There is no such tenant, or it is deleted.
    #[error("there is no such tenant, or its status does not allow that")]
    NotPossible,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<NetError> for DomainError {
    fn from(error: NetError) -> Self {
        Self::NameServers(Box::new(error))
    }
}

/// A tenant's domains.
#[derive(Debug)]
pub struct Domains<'t> {
    tenancy: &'t Tenancy,
    tenant: &'t Tenant,
}

impl Tenancy {
    /// The domains of a tenant.
    #[must_use]
    pub fn domains<'t>(&'t self, tenant: &'t Tenant) -> Domains<'t> {
        Domains {
            tenancy: self,
            tenant,
        }
    }

    /// The tenant that has shown the host to be its own, unless it is deleted.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn tenant_by_domain(&self, host: &DomainName) -> Result<Option<Tenant>, DbError> {
        self.0.catalog.by_host(host).await
    }
}

impl Domains<'_> {
    /// What the tenant has claimed, by name.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn list(&self) -> Result<Vec<Domain>, DbError> {
        let store = self.tenancy.0.catalog.store();
        let found = store.domains(self.tenant.id()).await?;
        Ok(found.into_iter().map(|one| self.shown(one)).collect())
    }

    /// One of them.
    ///
    /// # Errors
    /// [`DomainError::NotFound`].
    pub async fn get(&self, host: &DomainName) -> Result<Domain, DomainError> {
        Ok(self.shown(self.find(host).await?))
    }

    /// Says that a host is the tenant's own. Its [record](Domain::record) is what shows it; saying so
    /// again changes nothing.
    ///
    /// # Errors
    /// [`DomainError::Taken`], [`DomainError::Reserved`], [`DomainError::TooMany`],
    /// [`DomainError::TooLong`]; [`DomainError::NotPossible`] when the tenant is not there.
    pub async fn claim(&self, host: &DomainName) -> Result<Domain, DomainError> {
        let (inner, id) = (&self.tenancy.0, self.tenant.id());
        let store = inner.catalog.store();
        if inner
            .base_host
            .as_deref()
            .is_some_and(|base| host.is_within(base))
        {
            return Err(DomainError::Reserved);
        }
        if self.record_name(host).len() > DomainName::MAX_LEN {
            return Err(DomainError::TooLong);
        }
        let owner = store.by_host(host).await?;
        if owner.is_some_and(|owner| owner.id() != id) {
            return Err(DomainError::Taken);
        }
        let before = store.domains(id).await?;
        if before.len() >= MOST_DOMAINS && before.iter().all(|one| one.host != *host) {
            return Err(DomainError::TooMany);
        }
        let token = Secret::new("")?.into_text();
        store.claim_domain(id, host, &token).await?;
        let claimed = store.domain(id, host).await?;
        Ok(self.shown(claimed.ok_or(DomainError::NotPossible)?))
    }

    /// Looks whether the record is there, and if so makes the host the tenant's own. Nothing happens
    /// where it is that already.
    ///
    /// # Errors
    /// [`DomainError::NoRecord`]; [`DomainError::Taken`] when another tenant was faster;
    /// [`DomainError::NotFound`] when it was not claimed; [`DomainError::NameServers`], and
    /// [`DomainError::TooOften`] when they were asked for the tenant again and again.
    pub async fn verify(&self, host: &DomainName) -> Result<Domain, DomainError> {
        let (inner, id) = (&self.tenancy.0, self.tenant.id());
        let store = inner.catalog.store();
        let claimed = self.find(host).await?;
        if claimed.verified_at.is_none() {
            let guard = &inner.guard;
            guard.take_question(id).map_err(DomainError::TooOften)?;
            let record = self.record(host, &claimed.token);
            let texts = inner.name_servers.texts(&record.name).await?;
            if texts.iter().all(|text| *text != record.value.as_bytes()) {
                return Err(DomainError::NoRecord(record));
            }
            match store.verify_domain(id, host, &claimed.token).await {
                Ok(true) => {}
                Ok(false) => return Err(self.gone(DomainError::NotFound).await?),
                Err(error) if error.is_unique("tenantry_domains", &["host"]) => {
                    return Err(DomainError::Taken);
                }
                Err(error) => return Err(error.into()),
            }
            self.changed(host).await?;
        }
        self.get(host).await
    }

    /// Makes a host that is the tenant's own its primary one, in place of another.
    ///
    /// # Errors
    /// [`DomainError::NotVerified`], [`DomainError::NotFound`]; [`DomainError::NotPossible`] when the
    /// tenant is not there.
    pub async fn set_primary(&self, host: &DomainName) -> Result<Domain, DomainError> {
        let store = self.tenancy.0.catalog.store();
        let id = self.tenant.id();
        if !store.set_primary_domain(id, Some(host)).await? {
            self.find(host).await?;
            return Err(self.gone(DomainError::NotVerified).await?);
        }
        self.changed(host).await?;
        self.get(host).await
    }

    /// Lets none of the tenant's domains be the primary one: its URLs are again those it has by its
    /// code.
    ///
    /// # Errors
    /// [`DomainError::NotPossible`] when the tenant is not there.
    pub async fn clear_primary(&self) -> Result<(), DomainError> {
        let store = self.tenancy.0.catalog.store();
        if !store.set_primary_domain(self.tenant.id(), None).await? {
            return Err(DomainError::NotPossible);
        }
        self.forget_tenant().await
    }

    /// Lets go of a host, verified or not: from now on it is nobody's.
    ///
    /// # Errors
    /// [`DomainError::NotFound`]; [`DomainError::NotPossible`] when the tenant is not there.
    pub async fn remove(&self, host: &DomainName) -> Result<(), DomainError> {
        let store = self.tenancy.0.catalog.store();
        if !store.remove_domain(self.tenant.id(), host).await? {
            self.find(host).await?;
            return Err(DomainError::NotPossible);
        }
        self.changed(host).await
    }

    async fn find(&self, host: &DomainName) -> Result<Claimed, DomainError> {
        let store = self.tenancy.0.catalog.store();
        let found = store.domain(self.tenant.id(), host).await?;
        found.ok_or(DomainError::NotFound)
    }

    /// That the tenant is not there, if that is why; else what is given.
    async fn gone(&self, other: DomainError) -> Result<DomainError, DomainError> {
        let now = self
            .tenancy
            .0
            .catalog
            .store()
            .by_id(self.tenant.id())
            .await?;
        let is_there = now.is_some_and(|now| now.status().is_visible());
        Ok(if is_there {
            other
        } else {
            DomainError::NotPossible
        })
    }

    /// Forgets what was known here of a host, and of the tenant.
    async fn changed(&self, host: &DomainName) -> Result<(), DomainError> {
        let catalog = &self.tenancy.0.catalog;
        catalog.forget(self.tenant.id(), host.as_str());
        self.forget_tenant().await
    }

    async fn forget_tenant(&self) -> Result<(), DomainError> {
        let (catalog, id) = (&self.tenancy.0.catalog, self.tenant.id());
        // it may have been renamed since it was looked up
        let now = catalog.store().by_id(id).await?;
        let codes: HashSet<_> = [Some(self.tenant), now.as_ref()]
            .into_iter()
            .flatten()
            .map(Tenant::code)
            .collect();
        for code in codes {
            catalog.forget(id, code.as_str());
        }
        Ok(())
    }

    fn shown(&self, claimed: Claimed) -> Domain {
        Domain {
            record: self.record(&claimed.host, &claimed.token),
            host: claimed.host,
            created_at: claimed.created_at,
            verified_at: claimed.verified_at,
            is_primary: claimed.primary_since.is_some(),
        }
    }

    fn record(&self, host: &DomainName, token: &str) -> Record {
        let project = &self.tenancy.0.project;
        Record {
            name: self.record_name(host),
            value: format!("{project}-verification={token}"),
        }
    }

    fn record_name(&self, host: &DomainName) -> String {
        format!("_{}.{host}", self.tenancy.0.project)
    }
}
