//! The hosts that the shop has of its own.

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tenantry::{
    Tenancy, Tenant,
    db::TenantDb,
    domains::{Domain, Domains},
    routing::{Can, ClientAddress, CurrentUser, Json, Path, Problem, Result},
    tenant::DomainName,
    users::{Audit, Event},
};

use super::auth::Items;
use crate::access::{ManageDomains, in_person};

#[derive(Serialize)]
pub(crate) struct DomainShown {
    host: DomainName,
    verified: bool,
    primary: bool,
    created_at: DateTime<Utc>,
    verified_at: Option<DateTime<Utc>>,
    /// What shows that the host is the shop's.
    record: Record,
}

#[derive(Serialize)]
struct Record {
    name: String,
    r#type: &'static str,
    value: String,
}

impl From<Domain> for DomainShown {
    fn from(domain: Domain) -> Self {
        Self {
            host: domain.host,
            verified: domain.verified_at.is_some(),
            primary: domain.is_primary,
            created_at: domain.created_at,
            verified_at: domain.verified_at,
            record: Record {
                name: domain.record.name,
                r#type: "TXT",
                value: domain.record.value,
            },
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct NewDomain {
    host: String,
}

/// Somebody who may change the shop's domains, and what they do it with. Nobody does it in another's
/// place, as it would outlast that.
pub(crate) struct Manager {
    current: CurrentUser,
    tenancy: Tenancy,
    tenant: Tenant,
    db: TenantDb,
    address: ClientAddress,
}

impl<S: Send + Sync> FromRequestParts<S> for Manager {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        Can::<ManageDomains>::from_request_parts(parts, state).await?;
        let current = CurrentUser::from_request_parts(parts, state).await?;
        in_person(&current)?;
        let Ok(address) = ClientAddress::from_request_parts(parts, state).await;
        Ok(Self {
            current,
            tenancy: Tenancy::from_request_parts(parts, state).await?,
            tenant: <Tenant as FromRequestParts<S>>::from_request_parts(parts, state).await?,
            db: TenantDb::from_request_parts(parts, state).await?,
            address,
        })
    }
}

impl Manager {
    fn domains(&self) -> Domains<'_> {
        self.tenancy.domains(&self.tenant)
    }

    /// Writes down what was done.
    async fn record(mut self, action: &'static str, host: &DomainName) -> Result<()> {
        let event = Event::new(action, &self.current.user).about(host.as_str());
        let event = event.from(self.address.0);
        Ok(Audit::on(&mut self.db).record(event).await?)
    }
}

pub(crate) async fn list(
    _: Can<ManageDomains>,
    tenancy: Tenancy,
    tenant: Tenant,
) -> Result<Json<Items<DomainShown>>> {
    let domains = tenancy.domains(&tenant).list().await?;
    let items = domains.into_iter().map(Into::into).collect();
    Ok(Json(Items { items }))
}

pub(crate) async fn add(
    manager: Manager,
    Json(new): Json<NewDomain>,
) -> Result<(StatusCode, Json<DomainShown>)> {
    let host = DomainName::new(&new.host);
    let host = host.map_err(|error| Problem::invalid_field("host", error.to_string()))?;
    let claimed = manager.domains().claim(&host).await?;
    manager.record("domain-added", &host).await?;
    Ok((StatusCode::CREATED, Json(claimed.into())))
}

pub(crate) async fn verify(
    manager: Manager,
    Path(host): Path<DomainName>,
) -> Result<Json<DomainShown>> {
    let verified = manager.domains().verify(&host).await?;
    manager.record("domain-verified", &host).await?;
    Ok(Json(verified.into()))
}

pub(crate) async fn set_primary(
    manager: Manager,
    Path(host): Path<DomainName>,
) -> Result<Json<DomainShown>> {
    let primary = manager.domains().set_primary(&host).await?;
    manager.record("domain-made-primary", &host).await?;
    Ok(Json(primary.into()))
}

pub(crate) async fn clear_primary(
    manager: Manager,
    Path(host): Path<DomainName>,
) -> Result<StatusCode> {
    if manager.domains().get(&host).await?.is_primary {
        manager.domains().clear_primary().await?;
        manager.record("domain-no-longer-primary", &host).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn remove(manager: Manager, Path(host): Path<DomainName>) -> Result<StatusCode> {
    manager.domains().remove(&host).await?;
    manager.record("domain-removed", &host).await?;
    Ok(StatusCode::NO_CONTENT)
}
