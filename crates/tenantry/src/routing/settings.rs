//! A tenant's settings and plan, as arguments of handlers.

use std::marker::PhantomData;

use axum::{extract::FromRequestParts, http::StatusCode, http::request::Parts};

use super::Problem;
use crate::{
    Tenancy,
    scoped::settings::{Settings, SettingsError, TenantSettings},
    tenant::{Plan, PlanLimit, Tenant},
};

/// What holds of a group of the tenant's settings.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use tenantry::scoped::settings::Settings;
/// use tenantry::routing::Setting;
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Shipping {
///     days: u8,
/// }
/// # impl Settings for Shipping { const NAME: &'static str = "shipping"; }
///
/// async fn days(Setting(shipping): Setting<Shipping>) -> String {
///     format!("within {} days", shipping.days)
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Setting<T>(pub T);

impl<S: Sync, T: Settings> FromRequestParts<S> for Setting<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let settings = TenantSettings::from_request_parts(parts, state).await?;
        Ok(Self(settings.get().await?))
    }
}

impl<S: Sync> FromRequestParts<S> for TenantSettings {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let tenancy = Tenancy::from_request_parts(parts, state).await?;
        let tenant = <Tenant as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        Ok(tenancy.settings(&tenant))
    }
}

impl<S: Sync> FromRequestParts<S> for Plan {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let tenancy = Tenancy::from_request_parts(parts, state).await?;
        let tenant = <Tenant as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        Ok(tenancy.plan(&tenant))
    }
}

/// Something that plans have or have not.
pub trait Feature: Send + Sync + 'static {
    /// Its name in the plans.
    const NAME: &'static str;
}

/// That the tenant's plan has `F`: without it the handler is not reached, and the answer is 403
/// `plan-limit`.
///
/// ```
/// use tenantry::routing::{Feature, Has};
///
/// struct Import;
///
/// impl Feature for Import {
///     const NAME: &'static str = "import";
/// }
///
/// async fn import(_: Has<Import>) {}
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Has<F>(PhantomData<fn() -> F>);

impl<S: Sync, F: Feature> FromRequestParts<S> for Has<F> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let plan = Plan::from_request_parts(parts, state).await?;
        plan.require(F::NAME)?;
        Ok(Self(PhantomData))
    }
}

/// 403: it is not permitted, and another plan would change that. 402 is reserved
/// ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.3)), and whoever asks need not be
/// who pays.
impl From<PlanLimit> for Problem {
    fn from(limit: PlanLimit) -> Self {
        let detail = match limit {
            PlanLimit::TooMany { what, most } => {
                format!("Your plan allows {most} {what}, and there are as many.")
            }
            PlanLimit::Lacks(feature) => format!("Your plan does not have {feature}."),
        };
        Self::new(StatusCode::FORBIDDEN, "plan-limit", detail)
    }
}

impl From<SettingsError> for Problem {
    fn from(error: SettingsError) -> Self {
        match error {
            SettingsError::Invalid(errors) => Self::invalid(errors),
            SettingsError::NoField { field, .. } => Self::invalid_field(field, "is unknown"),
            SettingsError::Conflict => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "changed-meanwhile",
                "It is not what it was when you last saw it. Look at it again.",
            ),
            SettingsError::NoTenant => Self::tenant_not_found(),
            SettingsError::Db(error) => error.into(),
            // nobody who asks can mend these
            other => Self::internal(&other),
        }
    }
}
