use chrono::{DateTime, SubsecRound, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use tenantry::{
    db::{DbError, Executor, FromRow, TenantDb, TenantScope, Value},
    routing::Problem,
};
use uuid::Uuid;

use crate::listing::{Listed, OrderBy};

/// Something a shop sells.
#[derive(Debug, Clone, Serialize, FromRow)]
pub(crate) struct Product {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) code: String,
    pub(crate) price: Decimal,
    pub(crate) added_by: Option<Uuid>,
    pub(crate) added_on: DateTime<Utc>,
}

/// What can be said of a product by whoever adds or changes it; already validated.
#[derive(Debug, Clone)]
pub(crate) struct ProductFields {
    pub(crate) name: String,
    pub(crate) code: String,
    pub(crate) price: Decimal,
}

/// What is to be changed of a product, already validated; `None` stays as it is, whatever others
/// make of it meanwhile.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProductChange {
    pub(crate) name: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) price: Option<Decimal>,
}

impl From<ProductFields> for ProductChange {
    fn from(fields: ProductFields) -> Self {
        Self {
            name: Some(fields.name),
            code: Some(fields.code),
            price: Some(fields.price),
        }
    }
}

const COLUMNS: &str = "id, name, code, price, added_by, added_on";

impl Listed for Product {
    const TABLE: &'static str = "products";
    const COLUMNS: &'static str = COLUMNS;
    const SEARCHED: &'static [&'static str] = &["name", "code"];
    const ORDERS: &'static [OrderBy<Self>] = &[
        OrderBy::text("name", |product| Value::from(&product.name)),
        OrderBy::text("code", |product| Value::from(&product.code)),
        OrderBy::decimal("price", |product| product.price.into()),
        OrderBy::time("added_on", |product| product.added_on.into()),
    ];

    fn id(&self) -> Uuid {
        self.id
    }
}

impl Product {
    pub(crate) async fn get(db: &TenantDb, id: Uuid) -> Result<Self, DbError> {
        db.query(&format!("SELECT {COLUMNS} FROM products WHERE id = $1"))
            .bind(id)
            .one()
            .await
    }

    pub(crate) async fn create(
        on: &mut impl Executor<TenantScope>,
        fields: ProductFields,
        added_by: Option<Uuid>,
    ) -> Result<Self, Problem> {
        let product = Self {
            id: Uuid::now_v7(),
            name: fields.name,
            code: fields.code,
            price: fields.price,
            added_by,
            added_on: Utc::now().trunc_subsecs(6),
        };
        on.query(&format!(
            "INSERT INTO products ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)"
        ))
        .bind(product.id)
        .bind(&product.name)
        .bind(&product.code)
        .bind(product.price)
        .bind(product.added_by)
        .bind(product.added_on)
        .execute()
        .await
        .map_err(refusal)?;
        Ok(product)
    }

    pub(crate) async fn update(
        on: &mut impl Executor<TenantScope>,
        id: Uuid,
        change: ProductChange,
    ) -> Result<Self, Problem> {
        on.query(&format!(
            "UPDATE products SET name = coalesce($2, name), code = coalesce($3, code),
                price = coalesce($4, price)
             WHERE id = $1 RETURNING {COLUMNS}"
        ))
        .bind(id)
        .bind(change.name)
        .bind(change.code)
        .bind(change.price)
        .one()
        .await
        .map_err(refusal)
    }

    pub(crate) async fn delete(
        on: &mut impl Executor<TenantScope>,
        id: Uuid,
    ) -> Result<Self, DbError> {
        on.query(&format!(
            "DELETE FROM products WHERE id = $1 RETURNING {COLUMNS}"
        ))
        .bind(id)
        .one()
        .await
    }
}

fn refusal(error: DbError) -> Problem {
    if error.is_unique("products", &["code"]) {
        return Problem::new(
            axum::http::StatusCode::CONFLICT,
            "code-taken",
            "There is a product with that code.",
        );
    }
    error.into()
}
