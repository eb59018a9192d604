use super::LifecycleError;
use crate::{
    Tenancy,
    catalog::Change,
    tenant::{Tenant, TenantCode, TenantStatus},
};

impl Tenancy {
    /// Stops a tenant: it keeps its data, and answers 503 everywhere within a second.
    ///
    /// # Errors
    /// [`LifecycleError::NotPossible`] when it is not there.
    pub async fn suspend(&self, tenant: &Tenant) -> Result<(), LifecycleError> {
        self.change(
            tenant,
            Change::Status(TenantStatus::Suspended, TenantStatus::VISIBLE),
        )
        .await
    }

    /// Lets a suspended tenant work again.
    ///
    /// # Errors
    /// [`LifecycleError::NotPossible`] when it is not there.
    pub async fn resume(&self, tenant: &Tenant) -> Result<(), LifecycleError> {
        self.change(
            tenant,
            Change::Status(TenantStatus::Active, TenantStatus::VISIBLE),
        )
        .await
    }

    /// Gives a tenant another code. No data moves; the old code is free at once.
    ///
    /// # Errors
    /// [`LifecycleError::CodeTaken`]; [`LifecycleError::NotPossible`] when it is not there.
    pub async fn rename(&self, tenant: &Tenant, code: &TenantCode) -> Result<(), LifecycleError> {
        self.change(tenant, Change::Code(code)).await
    }

    /// Gives a tenant another name for people.
    ///
    /// # Errors
    /// [`LifecycleError::NotPossible`] when it is not there.
    pub async fn set_name(&self, tenant: &Tenant, name: &str) -> Result<(), LifecycleError> {
        self.change(tenant, Change::Name(name)).await
    }

    /// Puts a tenant on a plan, which policies can ask for: one of those that the application has
    /// [registered](crate::Config::plan), or any word where it has none. Empty for none.
    ///
    /// # Errors
    /// [`LifecycleError::NoPlan`];
    /// [`LifecycleError::NotPossible`] when it is not there.
    pub async fn set_plan(&self, tenant: &Tenant, plan: &str) -> Result<(), LifecycleError> {
        if !self.0.plans.has(plan) {
            return Err(LifecycleError::NoPlan {
                given: plan.into(),
                known: self.plan_names().into_iter().map(Into::into).collect(),
            });
        }
        self.change(tenant, Change::Plan(plan)).await
    }

    async fn change(&self, tenant: &Tenant, change: Change<'_>) -> Result<(), LifecycleError> {
        match self.0.catalog.change(tenant.id(), change).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(LifecycleError::NotPossible),
            Err(error) if error.is_unique("tenantry_tenants", &["code"]) => {
                Err(LifecycleError::CodeTaken)
            }
            Err(error) => Err(error.into()),
        }
    }
}
