// A handle is made from a tenant, and from nothing else.

use tenantry::{
    Tenancy, Tenant,
    db::{Db, TenantDb},
};

async fn from_nothing(tenancy: &Tenancy) {
    let _ = TenantDb::default();
    let _ = Db::<tenantry::db::TenantScope>::new;
    let _ = tenancy.db().await;
    let _ = tenancy.db("acme").await;
    let _ = Tenant::new;
}

fn main() {}
