//! HTTP: which tenant a request is for, and what a handler can ask of it.
//!
//! This is the only module that knows HTTP. An application lists its [`Routes`], each as central
//! (no tenant), tenant, universal or unresolved; [`Resolvers`] find the tenant in the host or a
//! header; a handler gets it as an argument: [`Tenant`](crate::Tenant), `Option<Tenant>`,
//! [`TenantDb`](crate::db::TenantDb), [`CentralDb`](crate::db::CentralDb),
//! [`CurrentUser`]. Errors are [`Problem`]s.
//!
//! ```
//! use axum::http::Method;
//! use tenantry::{Tenancy, db::TenantDb, routing::{Json, Resolvers, Result, Routes}};
//!
//! async fn count(db: TenantDb) -> Result<Json<i64>> {
//!     Ok(Json(db.query("SELECT count(*) FROM users").scalar().await?))
//! }
//!
//! fn app(tenancy: Tenancy) -> axum::Router {
//!     Routes::new()
//!         .tenant(Method::GET, "/api/users/count", count)
//!         .into_router(tenancy, Resolvers::new().subdomain("localhost").header("Tenant-Code"), ())
//! }
//! ```

mod account_session;
mod auth;
mod body;
mod client;
mod dispatch;
mod extract;
pub mod files;
mod host;
mod limits;
pub mod live;
mod member;
mod metered;
mod observed;
mod permission;
mod problem;
mod proxy;
mod resolver;
pub mod resource;
mod routes;
mod session;
mod settings;
mod site;

pub use account_session::AccountSession;
pub use auth::{Caller, Credential, CurrentUser};
pub use body::{Form, Json, Path, Query};
pub use client::ClientAddress;
pub use member::{CurrentAccount, CurrentMember};
pub use permission::{Action, Can, Collection, Item};
pub use problem::Problem;
pub use proxy::{Proxies, ProxyError};
pub use resolver::Resolvers;
pub use routes::{Kind, RouteInfo, Routes};
pub use session::{BrowserSession, Impersonated};
pub use settings::{Feature, Has, Setting};
pub use site::Site;

/// What a handler returns.
pub type Result<T, E = Problem> = std::result::Result<T, E>;
