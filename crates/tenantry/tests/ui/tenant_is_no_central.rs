// Nor does a tenant's handle pass for the central one.

use tenantry::db::{CentralDb, Db, TenantDb};

fn announce(_: CentralDb) {}

fn leak(db: TenantDb) {
    announce(db.clone());
    announce(db.into());
    let _: Db<tenantry::db::CentralScope> = db;
}

fn main() {}
