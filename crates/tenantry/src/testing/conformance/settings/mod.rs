//! Settings, secrets and plans: what holds, who sees it, and where it goes.

mod kept;
mod secrets;

use std::{io::Read, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode},
};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Case, Place, list, place as place_of, soon};
use crate::{
    Config, Tenancy, Tenant,
    lifecycle::{Exporting, GRACE, LifecycleError},
    routing::{self, Feature, Has, Json, Resolvers, Routes, Setting},
    scoped::settings::{FieldErrors, Fields, KeyError, Secret, Settings, SettingsError},
    tenant::{Isolation, Placement, Plan, TenantCode},
};

pub(super) const CASES: [&[Case]; 2] = [secrets::CASES, kept::CASES];

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Shipping {
    days: u32,
    note: Option<String>,
    token: Option<Secret>,
    zones: Vec<String>,
    extra: Value,
}

impl Default for Shipping {
    fn default() -> Self {
        Self {
            days: 3,
            note: None,
            token: None,
            zones: vec!["EU".into()],
            extra: json!({}),
        }
    }
}

impl Settings for Shipping {
    const NAME: &'static str = "shipping";

    fn secrets(&self) -> Vec<(&'static str, Option<&Secret>)> {
        vec![("token", self.token.as_ref())]
    }

    fn validate(&self) -> Result<(), FieldErrors> {
        match self.days {
            0 => Err([("days".into(), vec!["must be 1 or more".into()])].into()),
            _ => Ok(()),
        }
    }
}

/// Has a secret, and does not say so.
#[derive(Default, Serialize, Deserialize)]
struct Careless {
    password: Option<Secret>,
}

impl Settings for Careless {
    const NAME: &'static str = "careless";
}

const TOKEN: &str = "hunter2-in-clear";

fn with(config: Config) -> Config {
    config.settings::<Shipping>().settings::<Careless>()
}

async fn registered(mut place: Place) -> Place {
    let config = with(place.config());
    place.reopen_as(config).await;
    place
}

fn fields(value: Value) -> Fields {
    value.as_object().unwrap().clone()
}

async fn shipping(tenancy: &Tenancy, tenant: &Tenant) -> Shipping {
    tenancy.settings(tenant).get().await.unwrap()
}

async fn days(tenancy: &Tenancy, tenant: &Tenant) -> u32 {
    shipping(tenancy, tenant).await.days
}

async fn say(tenancy: &Tenancy, tenant: &Tenant, value: Value) {
    let settings = tenancy.settings(tenant);
    settings.patch("shipping", fields(value)).await.unwrap();
}

/// With a field of each kind that was said.
async fn with_a_token(place: &Place, code: &str) -> Tenant {
    let tenant = place.tenant(code).await;
    say(
        place.tenancy(),
        &tenant,
        json!({ "days": 9, "token": TOKEN }),
    )
    .await;
    tenant
}

async fn found(tenancy: &Tenancy, code: &str) -> Tenant {
    let code: TenantCode = code.parse().unwrap();
    tenancy.tenant(&code).await.unwrap().unwrap()
}

/// What the catalog has of a tenant.
async fn kept(tenancy: &Tenancy, tenant: &Tenant) -> Value {
    let all = tenancy.0.catalog.store().settings_of(tenant.id()).await;
    json!(all.unwrap())
}

struct Import;

impl Feature for Import {
    const NAME: &'static str = "import";
}

async fn show(Setting(all): Setting<Shipping>) -> Json<Shipping> {
    Json(all)
}

async fn add(plan: Plan) -> routing::Result<()> {
    Ok(plan.check("products", 3)?)
}

async fn import(_: Has<Import>) {}

fn app(tenancy: &Tenancy) -> Router {
    Routes::new()
        .tenant(Method::GET, "/shipping", show)
        .tenant(Method::POST, "/products", add)
        .tenant(Method::POST, "/import", import)
        .into_router(tenancy.clone(), Resolvers::new().header("Tenant-Code"), ())
}

async fn ask(app: &Router, code: &str, method: Method, path: &str) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("Tenant-Code", code).body(Body::empty());
    let answer = app.clone().oneshot(request.unwrap()).await.unwrap();
    let status = answer.status();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

/// Writes what the program would not.
async fn force(tenancy: &Tenancy, tenant: &Tenant, value: Value) {
    let store = tenancy.0.catalog.store();
    store.remove_setting(tenant.id(), "shipping").await.unwrap();
    let text = value.to_string();
    let put = store
        .put_setting(tenant.id(), "shipping", &text, None)
        .await;
    assert!(put.unwrap().is_some());
    tenancy.0.catalog.forget_settings(tenant.id());
}
