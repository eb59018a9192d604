//! What a tenant has.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use rustango::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Model, Debug, Clone, Serialize, Deserialize)]
#[rustango(
    table = "products",
    display = "name",
    index("name, id", name = "products_name")
)]
pub struct Product {
    #[rustango(primary_key)]
    pub id: Uuid,
    #[rustango(max_length = 200)]
    pub name: String,
    #[rustango(max_length = 64, unique)]
    pub code: String,
    pub price: Decimal,
    pub added_by: Option<Uuid>,
    pub added_on: DateTime<Utc>,
}
