// What is written for a tenant's data takes neither the central tables nor a transaction there.

use tenantry::{
    db::{CentralDb, CentralTx, DbError, TenantDb, TenantTx},
    users::{Tokens, Users},
};

async fn read(_: &TenantDb) -> Result<(), DbError> {
    Ok(())
}

async fn write(_: &mut TenantTx) -> Result<(), DbError> {
    Ok(())
}

async fn leak(mut central: CentralDb, mut tx: CentralTx) -> Result<(), DbError> {
    read(&central).await?;
    write(&mut tx).await?;
    write(&mut central.begin()).await?;
    Tokens::on(&central);
    Users::on(&mut central);
    Ok(())
}

fn main() {}
