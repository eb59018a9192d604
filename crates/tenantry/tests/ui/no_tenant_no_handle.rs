// A handle is made from a tenant, and from nothing else.

#![allow(unreachable_code)]

use tenantry::{
    Tenancy, Tenant,
    db::{Db, TenantDb},
};

async fn from_nothing(tenancy: &Tenancy) {
    let _ = TenantDb::default();
    let _ = Db::<tenantry::db::TenantScope>::new(todo!());
    let _ = tenancy.db().await;
    let _ = tenancy.db("acme").await;
    let _ = Tenant::new(todo!());
}

fn main() {}
