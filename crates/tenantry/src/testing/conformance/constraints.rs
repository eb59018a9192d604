//! Constraints, and that their violations say which it was.

use rust_decimal::Decimal;

use super::{Place, list};
use crate::db::{DbError, TenantDb, Violation};

list! { "constraints":
    unique_on_one_column, unique_on_two_columns, primary_keys, primary_keys_of_two_columns,
    primary_keys_are_not_null, not_null, checks, lengths, foreign_keys_of_the_child,
    foreign_keys_of_the_parent, deletes_cascade, deletes_set_null, decimals_are_unique_by_value,
    updates_are_checked_too, a_failed_statement_leaves_nothing,
}

async fn shop(place: &Place) -> TenantDb {
    let db = place.db("acme").await;
    for sql in [
        "INSERT INTO shelves (id, name) VALUES (1, 'top'), (2, 'bottom')",
        "INSERT INTO products (id, shelf, code) VALUES (1, 1, 'mug'), (2, 1, 'cup')",
        "INSERT INTO parts (product, name) VALUES (1, 'handle'), (1, 'body'), (2, 'body')",
        "INSERT INTO offers (id, product) VALUES (1, 1), (2, 2)",
    ] {
        db.query(sql).execute().await.expect(sql);
    }
    db
}

async fn failure(db: &TenantDb, sql: &str) -> DbError {
    db.query(sql).execute().await.expect_err(sql)
}

fn is(violation: &Violation, table: &str, columns: &[&str]) -> bool {
    violation.table == table && violation.columns.iter().eq(columns)
}

async fn unique_on_one_column(place: Place) {
    let db = shop(&place).await;
    let error = failure(&db, "INSERT INTO shelves (id, name) VALUES (3, 'top')").await;
    assert!(matches!(&error, DbError::Unique(v) if is(v, "shelves", &["name"])));
    assert!(error.is_unique("shelves", &["name"]));
    for (table, columns) in [
        ("shelves", &["id"][..]),
        ("shelves", &[]),
        ("shelves", &["name", "id"]),
        ("products", &["name"]),
    ] {
        assert!(!error.is_unique(table, columns), "{table} {columns:?}");
    }
}

async fn unique_on_two_columns(place: Place) {
    let db = shop(&place).await;
    let twice = "INSERT INTO products (id, shelf, code) VALUES (3, 1, 'mug')";
    let error = failure(&db, twice).await;
    assert!(error.is_unique("products", &["shelf", "code"]), "{error:?}");
    assert!(!error.is_unique("products", &["code", "shelf"]));
    // one of the two alone may come again
    for sql in [
        "INSERT INTO products (id, shelf, code) VALUES (4, 2, 'mug')",
        "INSERT INTO products (id, shelf, code) VALUES (5, 1, 'pot')",
    ] {
        db.query(sql).execute().await.expect(sql);
    }
}

async fn primary_keys(place: Place) {
    let db = shop(&place).await;
    let error = failure(&db, "INSERT INTO shelves (id, name) VALUES (1, 'new')").await;
    assert!(error.is_unique("shelves", &["id"]), "{error:?}");
}

async fn primary_keys_of_two_columns(place: Place) {
    let db = shop(&place).await;
    let twice = "INSERT INTO parts (product, name) VALUES (1, 'body')";
    let error = failure(&db, twice).await;
    assert!(error.is_unique("parts", &["product", "name"]), "{error:?}");
}

async fn primary_keys_are_not_null(place: Place) {
    let db = shop(&place).await;
    for (sql, table, column) in [
        (
            "INSERT INTO shelves (id, name) VALUES (NULL, 'new')",
            "shelves",
            "id",
        ),
        ("INSERT INTO shelves (name) VALUES ('new')", "shelves", "id"),
        (
            "INSERT INTO counters (name) VALUES (NULL)",
            "counters",
            "name",
        ),
        ("INSERT INTO parts (product) VALUES (1)", "parts", "name"),
    ] {
        let error = failure(&db, sql).await;
        assert!(
            matches!(&error, DbError::NotNull(v) if is(v, table, &[column])),
            "{error:?}"
        );
    }
}

async fn not_null(place: Place) {
    let db = shop(&place).await;
    let error = failure(&db, "INSERT INTO shelves (id, name) VALUES (3, NULL)").await;
    assert!(
        matches!(&error, DbError::NotNull(v) if is(v, "shelves", &["name"])),
        "{error:?}"
    );
}

async fn checks(place: Place) {
    let db = shop(&place).await;
    let negative = "INSERT INTO products (id, shelf, code, price) VALUES (3, 1, 'x', $1)";
    let refused = db
        .query(negative)
        .bind(Decimal::new(-1, 2))
        .execute()
        .await
        .unwrap_err();
    assert!(matches!(&refused, DbError::Check(name) if name == "products_price"));
    let fine = db.query(negative).bind(Decimal::new(10_000, 2)).execute();
    fine.await.unwrap();
}

async fn lengths(place: Place) {
    let db = shop(&place).await;
    let insert = "INSERT INTO products (id, shelf, code) VALUES ($1, 1, $2)";
    let fits = db.query(insert).bind(3_i64).bind("éééééééééé").execute();
    fits.await.unwrap();
    let longer = db.query(insert).bind(4_i64).bind("eeeeeeeeeee").execute();
    let error = longer.await.unwrap_err();
    assert!(matches!(error, DbError::Datatype(_)), "{error:?}");
}

async fn foreign_keys_of_the_child(place: Place) {
    let db = shop(&place).await;
    for sql in [
        "INSERT INTO products (id, shelf, code) VALUES (3, 9, 'x')",
        "UPDATE products SET shelf = 9 WHERE id = 1",
    ] {
        let error = failure(&db, sql).await;
        assert!(matches!(error, DbError::ForeignKey), "{error:?}");
    }
    db.query("INSERT INTO offers (id, product) VALUES (3, NULL)")
        .execute()
        .await
        .unwrap();
}

async fn foreign_keys_of_the_parent(place: Place) {
    let db = shop(&place).await;
    for sql in [
        "DELETE FROM shelves WHERE id = 1",
        "UPDATE shelves SET id = 9 WHERE id = 1",
    ] {
        let error = failure(&db, sql).await;
        assert!(matches!(error, DbError::ForeignKey), "{error:?}");
    }
    let free = db.query("DELETE FROM shelves WHERE id = 2").execute();
    assert_eq!(free.await.unwrap(), 1);
}

async fn ids(db: &TenantDb, sql: &str) -> Vec<i64> {
    let rows: Vec<(i64,)> = db.query(sql).all().await.expect(sql);
    rows.into_iter().map(|(id,)| id).collect()
}

async fn deletes_cascade(place: Place) {
    let db = shop(&place).await;
    let gone = db.query("DELETE FROM products WHERE id = 1").execute();
    assert_eq!(gone.await.unwrap(), 1, "what goes with it is not counted");
    assert_eq!(ids(&db, "SELECT product FROM parts").await, [2]);
}

async fn deletes_set_null(place: Place) {
    let db = shop(&place).await;
    let gone = db.query("DELETE FROM products WHERE id = 1").execute();
    gone.await.unwrap();
    assert_eq!(
        ids(&db, "SELECT id FROM offers WHERE product IS NULL").await,
        [1]
    );
    assert_eq!(
        ids(&db, "SELECT id FROM offers WHERE product = 2").await,
        [2]
    );
}

async fn decimals_are_unique_by_value(place: Place) {
    let db = place.db("acme").await;
    for sql in [
        "INSERT INTO samples (id, a_decimal) VALUES (1, 1.50)",
        "INSERT INTO samples (id, a_decimal) VALUES (2, 1.5)",
    ] {
        db.query(sql).execute().await.unwrap();
    }
    let groups = "SELECT count(*) FROM samples GROUP BY a_decimal";
    assert_eq!(ids(&db, groups).await, [2]);
}

async fn updates_are_checked_too(place: Place) {
    let db = shop(&place).await;
    let error = failure(&db, "UPDATE shelves SET name = 'top' WHERE id = 2").await;
    assert!(error.is_unique("shelves", &["name"]), "{error:?}");
    let error = failure(&db, "UPDATE shelves SET name = NULL WHERE id = 2").await;
    assert!(matches!(error, DbError::NotNull(_)), "{error:?}");
    let error = failure(&db, "UPDATE products SET price = -1 WHERE id = 1").await;
    assert!(matches!(error, DbError::Check(_)), "{error:?}");
    let sample = db.query("INSERT INTO samples (id) VALUES (1)").execute();
    sample.await.unwrap();
    let error = failure(&db, "UPDATE samples SET an_integer = 'x'").await;
    assert!(
        matches!(error, DbError::Datatype(_) | DbError::Statement(_)),
        "{error:?}"
    );
}

async fn a_failed_statement_leaves_nothing(place: Place) {
    let db = shop(&place).await;
    let half = "INSERT INTO shelves (id, name) VALUES (3, 'new'), (4, 'newer'), (1, 'twice')";
    let error = failure(&db, half).await;
    assert!(error.is_unique("shelves", &["id"]));
    assert_eq!(ids(&db, "SELECT id FROM shelves ORDER BY id").await, [1, 2]);
}
