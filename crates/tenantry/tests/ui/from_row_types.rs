// The field's type is what the compiler points at.

use tenantry::db::{DbError, FromRow, TenantDb};

struct Sku(String);

#[derive(FromRow)]
struct Product {
    id: i64,
    code: Sku,
    #[row(flatten)]
    price: Plain,
}

struct Plain {
    amount: i64,
}

async fn all(db: &TenantDb) -> Result<Vec<Plain>, DbError> {
    db.query("SELECT amount FROM prices").all().await
}

async fn scalar(db: &TenantDb) -> Result<Sku, DbError> {
    db.query("SELECT code FROM products").scalar().await
}

fn main() {}
