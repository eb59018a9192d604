//! Tenants and their products: made from the tenant's number alone, so that whoever asks knows the
//! answer to the byte.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tenantry::{db::FromRow, migrate::Migrations};
use uuid::Uuid;

/// What is listed, and added.
#[derive(Debug, Serialize, Deserialize, FromRow)]
pub(crate) struct Product {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) code: String,
    pub(crate) price: Decimal,
    pub(crate) added_by: Option<Uuid>,
    pub(crate) added_on: DateTime<Utc>,
}

/// How many products are listed.
const LISTED: usize = 20;

/// The statement of whoever need not name the tenant.
pub(crate) const LIST: &str =
    "SELECT id, name, code, price, added_by, added_on FROM products ORDER BY name LIMIT 20";

/// The statement of whoever must.
pub(crate) const LIST_OF_TENANT: &str = "SELECT id, name, code, price, added_by, added_on \
     FROM products WHERE tenant_id = $1 ORDER BY name LIMIT 20";

/// Adds a product, for whoever need not name the tenant.
pub(crate) const INSERT: &str = "INSERT INTO products (id, name, code, price, added_by, added_on) \
     VALUES ($1, $2, $3, $4, $5, $6)";

/// The same, for whoever must.
pub(crate) const INSERT_OF_TENANT: &str = "INSERT INTO products (tenant_id, id, name, code, price, added_by, added_on) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// The table in a file, with the types that rusqlite has for these.
pub(crate) const IN_FILE: &str = "
    CREATE TABLE products (
        id BLOB PRIMARY KEY,
        name TEXT NOT NULL,
        code TEXT NOT NULL UNIQUE,
        price TEXT NOT NULL,
        added_by BLOB,
        added_on TEXT NOT NULL
    ) STRICT;
    CREATE INDEX products_name ON products (name, id);";

/// The table as a tenant has it.
pub(crate) fn migrations() -> Migrations {
    Migrations::new().sql(
        "0001_products",
        "CREATE TABLE products (
            id uuid PRIMARY KEY,
            name text NOT NULL,
            code text NOT NULL UNIQUE,
            price numeric(12, 2) NOT NULL,
            added_by uuid,
            added_on timestamptz NOT NULL
        );
        CREATE INDEX products_name ON products (name, id);",
    )
}

/// The tables as one would write them for all tenants together.
pub(crate) const PLAIN: &str = "
    CREATE TABLE tenants (id uuid PRIMARY KEY, code text NOT NULL UNIQUE);
    CREATE TABLE products (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        name text NOT NULL,
        code text NOT NULL,
        price numeric(12, 2) NOT NULL,
        added_by uuid,
        added_on timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, id),
        UNIQUE (tenant_id, code)
    );
    CREATE INDEX products_name ON products (tenant_id, name, id);";

/// What keeps tenants apart in those tables, for whoever says in each transaction whose it is.
pub(crate) const POLICIES: &str = "
    ALTER TABLE products ENABLE ROW LEVEL SECURITY;
    ALTER TABLE products FORCE ROW LEVEL SECURITY;
    CREATE POLICY of_the_tenant ON products
        USING (tenant_id = current_setting('app.tenant_id')::uuid);";

/// Fills a tenant's table with the products that `$1` lists in JSON.
pub(crate) const FILL: &str = "INSERT INTO products (id, name, code, price, added_by, added_on)
    SELECT id, name, code, price, added_by, added_on FROM jsonb_to_recordset($1) AS new
        (id uuid, name text, code text, price numeric, added_by uuid, added_on timestamptz)";

/// Adds the tenant `$1` with the code `$2` to the plain tables, with the products of `$3`.
pub(crate) const FILL_PLAIN: &str =
    "WITH tenant AS (INSERT INTO tenants (id, code) VALUES ($1, $2))
    INSERT INTO products (tenant_id, id, name, code, price, added_by, added_on)
    SELECT $1, id, name, code, price, added_by, added_on FROM jsonb_to_recordset($3) AS new
        (id uuid, name text, code text, price numeric, added_by uuid, added_on timestamptz)";

pub(crate) fn code(tenant: usize) -> String {
    format!("t{tenant:05}")
}

/// The tenant's products, in no order.
pub(crate) fn products(tenant: usize) -> Vec<Product> {
    let code = code(tenant).to_uppercase();
    (0_i64..)
        .zip(NAMES)
        .map(|(number, name)| Product {
            id: Uuid::from_u64_pair(tenant as u64, 1 + number.unsigned_abs()),
            name: (*name).into(),
            code: format!("{code}-{number:02}"),
            price: Decimal::new(990 + 137 * number, 2),
            added_by: Some(Uuid::from_u64_pair(tenant as u64, 0)),
            added_on: DateTime::UNIX_EPOCH + TimeDelta::days(20_000 + number),
        })
        .collect()
}

/// A product that is added: after all others by its name, so that lists stay as they are.
pub(crate) fn added(id: Uuid) -> Product {
    Product {
        id,
        name: format!("~ {id}"),
        code: format!("+{id}"),
        price: Decimal::new(1234, 2),
        added_by: None,
        added_on: DateTime::UNIX_EPOCH + TimeDelta::days(21_000),
    }
}

/// How precisely a moment is written, which JSON leaves to whoever writes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Moments {
    #[default]
    Seconds,
    /// As JavaScript does, always.
    Milliseconds,
}

impl Moments {
    /// The same JSON, with its moments written like that.
    pub(crate) fn written(self, mut json: String, products: &[Product]) -> String {
        if self == Self::Milliseconds {
            for product in products {
                let [short, long] = [SecondsFormat::Secs, SecondsFormat::Millis]
                    .map(|format| product.added_on.to_rfc3339_opts(format, true));
                json = json.replace(&short, &long);
            }
        }
        json
    }
}

/// The list as it must be answered.
pub(crate) fn answer(tenant: usize, moments: Moments) -> String {
    let mut products = products(tenant);
    products.sort_by(|a, b| a.name.cmp(&b.name));
    products.truncate(LISTED);
    // not by way of a `Value`, which would sort the fields
    let answer = serde_json::to_string(&products).expect("products are JSON");
    moments.written(answer, &products)
}

const NAMES: &[&str] = &[
    "Spirit level, 60 cm",
    "Adjustable spanner",
    "Tape measure, 5 m",
    "Bench vice",
    "Whetstone",
    "Block plane",
    "Spokeshave",
    "Chisel set, four pieces",
    "Screwdriver set",
    "Claw hammer",
    "Rubber mallet",
    "Combination square",
    "Pliers",
    "Coping saw",
    "Nail punch",
    "Cordless drill",
    "Marking gauge",
    "Dovetail saw",
    "Hand brace",
    "File set, six pieces",
    "Hand trowel",
    "Garden fork",
    "Leaf rake",
    "Pruning shears",
    "Wheelbarrow",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_on_no_list() {
        let added = added(Uuid::now_v7());
        assert!(products(0).iter().all(|product| product.name < added.name));
        let again: Product = serde_json::from_str(&serde_json::to_string(&added).unwrap()).unwrap();
        assert_eq!(again.price.to_string(), "12.34");
    }

    #[test]
    fn moments_are_the_same_however_they_are_written() {
        let [seconds, milliseconds] = [Moments::Seconds, Moments::Milliseconds].map(|moments| {
            let answer = answer(3, moments);
            serde_json::from_str::<Vec<serde_json::Value>>(&answer).unwrap()
        });
        assert_eq!(seconds.len(), LISTED);
        for (one, other) in seconds.iter().zip(&milliseconds) {
            let moment = |product: &serde_json::Value| {
                let text = product["added_on"].as_str().unwrap().to_owned();
                (DateTime::parse_from_rfc3339(&text).unwrap(), text)
            };
            let ((one_at, one_text), (other_at, other_text)) = (moment(one), moment(other));
            assert_eq!(one_at, other_at);
            assert_eq!(one_text.replace('Z', ".000Z"), other_text);
            for field in ["id", "name", "code", "price", "added_by"] {
                assert_eq!(one[field], other[field]);
            }
        }
    }
}
