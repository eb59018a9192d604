//! Connections that one tenant after the other uses: nothing stays on them.

use std::time::Duration;

use futures_util::StreamExt;
use tenantry::db::{FromRow, Row};

use super::*;

#[derive(Debug)]
struct First;

impl FromRow for First {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        row.get::<String>("code").map(|_| Self)
    }
}

struct Fragile;

impl FromRow for Fragile {
    fn from_row(_: &Row<'_>) -> Result<Self, DbError> {
        panic!("on purpose")
    }
}

/// One connection for everybody: whatever one tenant does, the next finds nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_on_a_connection() {
    let place = Place::with(shop(), |config| {
        config.most_connections(1.try_into().unwrap())
    })
    .await;
    for isolation in ON_SERVERS {
        let scene = Scene::new(&place, isolation).await;
        let (db, other) = (&scene.a.1, &scene.b.1);
        let check = async |after: &str| {
            let what = format!("{isolation} after {after}");
            assert_eq!(
                texts(other, "SELECT code FROM products ORDER BY code")
                    .await
                    .expect(&what),
                ["mug", "only-b"],
                "{what}"
            );
            let mut tx = other.begin();
            assert_eq!(
                tx.query("UPDATE products SET price = 1")
                    .execute()
                    .await
                    .expect(&what),
                2,
                "{what}"
            );
            drop(tx);
            assert_eq!(place.tenancy.open_connections(), 1, "{what}");
        };
        check("nothing").await;
        let broken = db.query("SELECT 1 / 0 FROM products").execute().await;
        assert!(matches!(broken, Err(DbError::Datatype(_))), "{broken:?}");
        check("an error").await;
        let mut tx = db.begin();
        tx.query("INSERT INTO products (code) VALUES ('left')")
            .execute()
            .await
            .unwrap();
        let broken = tx.query("SELECT 1 / 0").execute().await;
        assert!(matches!(broken, Err(DbError::Datatype(_))), "{broken:?}");
        drop(tx);
        check("an error in a transaction").await;
        let mut tx = db.begin();
        tx.query("UPDATE products SET price = 99")
            .execute()
            .await
            .unwrap();
        drop(tx);
        check("a dropped transaction").await;
        let mut tx = db.begin();
        tx.query("UPDATE products SET price = 99")
            .execute()
            .await
            .unwrap();
        let slow = tx.query("SELECT pg_sleep(30)").execute();
        tokio::time::timeout(Duration::from_millis(50), slow)
            .await
            .unwrap_err();
        drop(tx);
        check("a cancellation in a transaction").await;
        let slow = db.query("SELECT pg_sleep(30)").execute();
        tokio::time::timeout(Duration::from_millis(50), slow)
            .await
            .unwrap_err();
        check("a cancellation").await;
        for within in [false, true] {
            let db = db.clone();
            let panicked = tokio::spawn(async move {
                if within {
                    let mut tx = db.begin();
                    tx.query("UPDATE products SET price = 99").execute().await?;
                    tx.query("SELECT code FROM products")
                        .all::<Fragile>()
                        .await
                        .map(drop)
                } else {
                    db.query("SELECT code FROM products")
                        .all::<Fragile>()
                        .await
                        .map(drop)
                }
            });
            assert!(panicked.await.unwrap_err().is_panic());
            check("a panic").await;
        }
        let streamed = db.clone();
        let panicked = tokio::spawn(async move {
            let mut rows = streamed
                .query("SELECT code FROM products")
                .stream::<Fragile>()
                .await?;
            while let Some(row) = rows.next().await {
                row?;
            }
            Ok::<_, DbError>(())
        });
        assert!(
            panicked.await.unwrap_err().is_panic(),
            "a stream must not seem to end well"
        );
        check("a panic in a stream").await;
        let mut rows = db
            .query("SELECT code FROM products")
            .stream::<(String,)>()
            .await
            .unwrap();
        rows.next().await.unwrap().unwrap();
        drop(rows);
        check("a dropped stream").await;
        let mut tx = db.begin();
        let mut savepoint = tx.savepoint().await.unwrap();
        savepoint
            .query("UPDATE products SET price = 99")
            .execute()
            .await
            .unwrap();
        drop(savepoint);
        let price = "SELECT max(price) FROM products";
        assert_eq!(tx.query(price).scalar::<i64>().await.unwrap(), 1);
        let mut savepoint = tx.savepoint().await.unwrap();
        savepoint.query("SELECT 1 / 0").execute().await.unwrap_err();
        drop(savepoint);
        assert_eq!(
            tx.query("UPDATE products SET price = 2")
                .execute()
                .await
                .unwrap(),
            2
        );
        tx.commit().await.unwrap();
        assert_eq!(db.query(price).scalar::<i64>().await.unwrap(), 2);
        check("savepoints").await;
        scene.is_whole(isolation).await;
    }
}

/// The same texts, prepared once on the one connection there is, by tenants of every isolation.
#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements_are_nobodys() {
    let place = Place::with(
        shop().sql("0003_moods", "CREATE TYPE mood AS ENUM ('good', 'bad'); ALTER TABLE products ADD COLUMN mood mood NOT NULL DEFAULT 'good'"),
        |config| config.most_connections(1.try_into().unwrap()),
    )
    .await;
    let mut scenes = Vec::new();
    for isolation in ON_SERVERS {
        scenes.push((isolation, Scene::new(&place, isolation).await));
    }
    let both = |scene: &Scene| [("a", scene.a.1.clone()), ("b", scene.b.1.clone())];
    for round in 0..3_i64 {
        for (isolation, scene) in &scenes {
            for (name, db) in both(scene) {
                let only = format!("only-{name}");
                let codes = texts(&db, "SELECT code FROM products ORDER BY code")
                    .await
                    .unwrap();
                assert_eq!(codes, ["mug".to_owned(), only.clone()], "{isolation}");
                let upsert = "INSERT INTO products (code, price) VALUES ('mug', $1) \
                              ON CONFLICT (code) DO UPDATE SET price = excluded.price";
                assert_eq!(
                    db.query(upsert).bind(round).execute().await.unwrap(),
                    1,
                    "{isolation}"
                );
                let lower = "INSERT INTO products (code) VALUES ('MUG') ON CONFLICT (lower(code)) DO NOTHING";
                assert_eq!(db.query(lower).execute().await.unwrap(), 0, "{isolation}");
                let mood = "UPDATE products SET mood = $1 WHERE code = $2";
                let mut tx = db.begin();
                assert_eq!(
                    tx.query(mood)
                        .bind("bad")
                        .bind(&only)
                        .execute()
                        .await
                        .unwrap(),
                    1,
                    "{isolation}"
                );
                let moods = "SELECT mood FROM products WHERE code = $1";
                assert_eq!(
                    tx.query(moods)
                        .bind(&only)
                        .scalar::<String>()
                        .await
                        .unwrap(),
                    "bad"
                );
                tx.commit().await.unwrap();
            }
        }
    }
    assert_eq!(place.tenancy.open_connections(), 1);
}

/// A statement that was prepared before a migration changed what it returns.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_does_not_break_what_was_prepared() {
    // of which a tenant has three at a time
    let place = Place::with(shop(), |config| {
        config.most_connections(6.try_into().unwrap())
    })
    .await;
    for isolation in ON_SERVERS {
        let scene = Scene::new(&place, isolation).await;
        let db = &scene.a.1;
        let wide = "SELECT * FROM products ORDER BY code";
        // on several connections
        let warm = || async {
            let mut transactions = [db.begin(), db.begin(), db.begin()];
            for tx in &mut transactions {
                tx.query(wide).all::<First>().await.unwrap();
            }
        };
        warm().await;
        let root = place.root_of(&scene.a.0).await;
        let change = async |column: &str| {
            let sql = format!("ALTER TABLE products ADD COLUMN {column} text");
            root.batch_execute(&sql).await.unwrap();
        };
        change("one").await;
        let all =
            futures_util::future::join_all((0..3).map(|_| db.query(wide).all::<First>())).await;
        for rows in all {
            assert_eq!(rows.unwrap().len(), 2, "{isolation}");
        }
        warm().await;
        change("two").await;
        for _ in 0..3 {
            let mut pipeline = db.pipeline();
            let (first, second) = (
                pipeline.query(wide).all::<First>(),
                pipeline.query(wide).all::<First>(),
            );
            let mut answers = pipeline.run().await.unwrap();
            assert_eq!(answers.take(first).unwrap().len(), 2);
            assert_eq!(answers.take(second).unwrap().len(), 2);
        }
        warm().await;
        change("three").await;
        warm().await; // at a transaction's beginning nothing is lost
        change("four").await;
        let mut tx = db.begin();
        tx.query("SELECT 1").execute().await.unwrap();
        tx.query(wide)
            .all::<First>()
            .await
            .expect_err("in its middle it is");
        tx.rollback().await.unwrap();
        let mut tx = db.begin();
        tx.query("SELECT 1").execute().await.unwrap();
        assert_eq!(
            tx.query(wide).all::<First>().await.unwrap().len(),
            2,
            "but once"
        );
    }
}
