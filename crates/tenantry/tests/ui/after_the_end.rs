// A transaction that was committed or rolled back is gone, as is a savepoint that was released.

use tenantry::db::{DbError, TenantDb};

async fn committed(db: &TenantDb) -> Result<(), DbError> {
    let mut tx = db.begin();
    tx.query("DELETE FROM notes").execute().await?;
    tx.commit().await?;
    tx.query("DELETE FROM notes").execute().await?;
    Ok(())
}

async fn rolled_back(db: &TenantDb) -> Result<(), DbError> {
    let tx = db.begin();
    tx.rollback().await?;
    tx.commit().await
}

async fn released(db: &TenantDb) -> Result<(), DbError> {
    let mut tx = db.begin();
    let mut savepoint = tx.savepoint().await?;
    savepoint.release().await?;
    savepoint.query("DELETE FROM notes").execute().await?;
    Ok(())
}

fn main() {}
