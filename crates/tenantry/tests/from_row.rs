//! What the `FromRow` derive makes of a struct, read from a database.

use tenantry::{
    db::{DbError, FromRow, FromValue, TenantDb, ValueError, ValueRef},
    migrate::Migrations,
    tenant::Isolation,
    testing::Place,
};

const TABLES: &str = "CREATE TABLE products (
        id bigint PRIMARY KEY, title text NOT NULL, type text NOT NULL,
        amount bigint NOT NULL, currency text NOT NULL, note text
    );
    INSERT INTO products (id, title, type, amount, currency)
        VALUES (1, 'Mug', 'cup', 990, 'EUR');";

const ALL: &str = "SELECT id, title, type, amount, currency, note FROM products";

async fn place() -> (Place, TenantDb) {
    let place = Place::with(Isolation::File, Migrations::new().sql("0001", TABLES)).await;
    let db = place.db("acme").await;
    (place, db)
}

#[derive(Debug, PartialEq)]
struct Currency(String);

impl FromValue for Currency {
    fn from_value(value: ValueRef<'_>) -> Result<Self, ValueError> {
        let code = String::from_value(value)?;
        if code.len() == 3 {
            Ok(Self(code))
        } else {
            Err(ValueError::Form("currency"))
        }
    }
}

#[derive(Debug, PartialEq, FromRow)]
struct Price<C: FromValue> {
    amount: i64,
    currency: C,
}

#[derive(Debug, PartialEq, FromRow)]
struct Product<P>
where
    P: FromRow,
{
    id: i64,
    #[row(rename = "title")]
    name: String,
    r#type: String,
    #[row(flatten)]
    price: P,
    note: Option<String>,
}

fn mug() -> Product<Price<Currency>> {
    Product {
        id: 1,
        name: "Mug".into(),
        r#type: "cup".into(),
        price: Price {
            amount: 990,
            currency: Currency("EUR".into()),
        },
        note: None,
    }
}

#[tokio::test]
async fn renamed_flattened_and_generic() {
    let (_place, db) = place().await;
    let read: Product<Price<Currency>> = db.query(ALL).one().await.unwrap();
    assert_eq!(read, mug());
}

#[tokio::test]
async fn columns_in_any_order_and_more_of_them() {
    let (_place, db) = place().await;
    let sql = "SELECT 'x' AS other, note, currency, amount, type, title, id FROM products";
    let read: Product<Price<Currency>> = db.query(sql).one().await.unwrap();
    assert_eq!(read, mug());
}

#[tokio::test]
async fn a_missing_column_is_named() {
    let (_place, db) = place().await;
    let sql = "SELECT id, title, type, amount, note FROM products";
    let read = db.query(sql).one::<Product<Price<Currency>>>().await;
    assert!(matches!(read, Err(DbError::NoColumn(name)) if name == "currency"));
}

#[tokio::test]
async fn a_column_of_the_wrong_form_is_named() {
    let (_place, db) = place().await;
    let sql = "UPDATE products SET currency = 'EURO'";
    db.query(sql).execute().await.unwrap();
    let read = db.query(ALL).one::<Product<Price<Currency>>>().await;
    match read {
        Err(DbError::Decode { column, source }) => {
            assert_eq!(column, "currency");
            assert_eq!(source, ValueError::Form("currency"));
        }
        other => panic!("{other:?}"),
    }
}
