// A transaction is not used around its stream or its savepoint, nor the handle outlived by a
// stream.

use futures_util::StreamExt;
use tenantry::db::{DbError, RowStream, TenantDb};

async fn a_stream_that_is_read_on(db: &TenantDb) -> Result<(), DbError> {
    let mut tx = db.begin();
    let mut rows = tx.query("SELECT id FROM notes").stream::<(i64,)>().await?;
    tx.query("DELETE FROM notes").execute().await?;
    rows.next().await;
    Ok(())
}

async fn a_stream_that_is_only_there(db: &TenantDb) -> Result<(), DbError> {
    let mut tx = db.begin();
    let _rows = tx.query("SELECT id FROM notes").stream::<(i64,)>().await?;
    tx.query("DELETE FROM notes").execute().await?;
    Ok(())
}

async fn a_savepoint(db: &TenantDb) -> Result<(), DbError> {
    let mut tx = db.begin();
    let _savepoint = tx.savepoint().await?;
    tx.query("DELETE FROM notes").execute().await?;
    Ok(())
}

async fn two_savepoints(db: &TenantDb) -> Result<(), DbError> {
    let mut tx = db.begin();
    let first = tx.savepoint().await?;
    let second = tx.savepoint().await?;
    first.release().await?;
    second.release().await
}

async fn commit_around_a_savepoint(db: &TenantDb) -> Result<(), DbError> {
    let mut tx = db.begin();
    let savepoint = tx.savepoint().await?;
    tx.commit().await?;
    savepoint.release().await
}

async fn rows_of_a_handle_that_is_gone(db: TenantDb) -> RowStream<'static, (i64,)> {
    db.query("SELECT id FROM notes").stream().await.unwrap()
}

fn main() {}
