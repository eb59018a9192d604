use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    http::request::Parts,
};

use super::{Problem, dispatch::Resolved};
use crate::{
    Tenancy,
    db::{CentralDb, TenantDb},
    scoped::{
        cache::{CentralCache, TenantCache},
        jobs::Queue,
    },
    tenant::Tenant,
    usage::TenantUsage,
};

impl Resolved {
    pub(super) fn of(parts: &Parts) -> Result<&Self, Problem> {
        parts.extensions.get::<Self>().ok_or_else(|| {
            tracing::error!("a handler was called without a resolved tenant: is its route listed in Routes, and served by Routes::into_router?");
            Problem::failed()
        })
    }

    fn tenant(&self) -> Result<&Tenant, Problem> {
        self.tenant.as_ref().ok_or_else(Problem::tenant_required)
    }
}

impl<S: Sync> FromRequestParts<S> for Tenancy {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Resolved::of(parts)?.tenancy.clone())
    }
}

impl<S: Sync> FromRequestParts<S> for Tenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Resolved::of(parts)?.tenant().cloned()
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Tenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        Ok(Resolved::of(parts)?.tenant.clone())
    }
}

impl<S: Sync> FromRequestParts<S> for TenantDb {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let resolved = Resolved::of(parts)?;
        Ok(resolved.tenancy.db(resolved.tenant()?).await?)
    }
}

impl<S: Sync> FromRequestParts<S> for TenantCache {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let resolved = Resolved::of(parts)?;
        Ok(resolved.tenancy.cache(resolved.tenant()?))
    }
}

impl<S: Sync> FromRequestParts<S> for CentralCache {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Resolved::of(parts)?.tenancy.central_cache())
    }
}

/// What is enqueued by it belongs to the request's trace.
impl<S: Sync> FromRequestParts<S> for Queue {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let resolved = Resolved::of(parts)?;
        let queue = resolved.tenancy.jobs(resolved.tenant()?);
        Ok(queue.traced(Some(resolved.trace.clone())))
    }
}

impl<S: Sync> FromRequestParts<S> for TenantUsage {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let resolved = Resolved::of(parts)?;
        Ok(resolved.tenancy.usage_of(resolved.tenant()?))
    }
}

impl<S: Sync> FromRequestParts<S> for CentralDb {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        #[expect(
            clippy::disallowed_methods,
            reason = "a handler that names CentralDb asks for what belongs to no tenant"
        )]
        Ok(Resolved::of(parts)?.tenancy.central())
    }
}
