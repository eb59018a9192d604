//! What a pooler in transaction mode must not change.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use tenantry::{
    Tenancy,
    db::{DbError, TenantDb},
    migrate::Migrations,
};

use crate::{
    bouncer::Bouncer,
    support::{Ground, ON_SERVERS, Place},
};

fn migrations() -> Migrations {
    Migrations::new().sql(
        "0001_kinds",
        "CREATE TYPE mood AS ENUM ('good', 'bad');
         CREATE TABLE kinds (
            id uuid PRIMARY KEY, at timestamptz, day date, price numeric(10, 2), data jsonb, size smallint,
            ratio double precision, mood mood, code varchar(5) UNIQUE, raw bytea, ok boolean)",
    )
}

/// The same work, told by its answers.
async fn work(db: &TenantDb) -> BTreeMap<&'static str, String> {
    let mut told = BTreeMap::new();
    let mut tell = |what, answer: String| drop(told.insert(what, answer));
    let id = "0199a5b4-7b1c-7cc1-8000-000000000001";
    let insert = "INSERT INTO kinds (id, at, day, price, data, size, ratio, mood, code, raw, ok)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let inserted = |code: &'static str| {
        db.query(insert)
            .bind(id)
            .bind("2024-05-05T10:00:00Z")
            .bind("2024-05-05")
            .bind("1.50")
            .bind(r#"{"a": [1, "x"]}"#)
            .bind(7_i64)
            .bind(0.5)
            .bind("bad")
            .bind(code)
            .bind(vec![0_u8, 255])
            .bind(true)
            .execute()
    };
    tell("insert", format!("{:?}", inserted("a").await));
    tell(
        "again",
        format!(
            "{:?}",
            inserted("b")
                .await
                .map_err(|error| error.is_unique("kinds", &["id"]))
        ),
    );
    tell(
        "too long",
        format!(
            "{:?}",
            inserted("abcdefgh")
                .await
                .map_err(|error| matches!(error, DbError::Check(_)))
        ),
    );
    let by_text = "SELECT code FROM kinds WHERE id = $1 AND mood = $2 AND at > $3 AND price = $4 AND code LIKE $5";
    let found = db
        .query(by_text)
        .bind(id)
        .bind("bad")
        .bind("2024-01-01T00:00:00Z")
        .bind("1.5")
        .bind("a%")
        .all::<(String,)>()
        .await;
    tell("by text", format!("{found:?}"));
    let bad = db
        .query("SELECT code FROM kinds WHERE id = $1")
        .bind("no id")
        .all::<(String,)>()
        .await;
    tell(
        "no id",
        format!(
            "{:?}",
            bad.map_err(|error| matches!(error, DbError::Datatype(_)))
        ),
    );
    let few = db
        .query("SELECT code FROM kinds WHERE id = $1")
        .all::<(String,)>()
        .await;
    tell("too few", format!("{:?}", few.is_err()));
    let literal: Result<String, DbError> = db.query("SELECT $1").bind("it's").scalar().await;
    tell("literal", format!("{literal:?}"));
    let none: Result<Option<String>, DbError> = db
        .query("SELECT $1::text")
        .bind(None::<String>)
        .scalar()
        .await;
    tell("null", format!("{none:?}"));
    let mut rows = db
        .query("SELECT n FROM generate_series(1, $1) n")
        .bind(1000_i64)
        .stream::<(i64,)>()
        .await
        .unwrap();
    let mut sum = 0;
    while let Some(row) = rows.next().await {
        sum += row.unwrap().0;
    }
    tell("stream", sum.to_string());
    let mut tx = db.begin();
    let upsert = "INSERT INTO kinds (id, code) VALUES ($1, $2) ON CONFLICT (code) DO UPDATE SET size = 8 RETURNING size";
    let size: Result<Option<i16>, DbError> = tx
        .query(upsert)
        .bind(uuid::Uuid::nil())
        .bind("a")
        .scalar()
        .await;
    tell("upsert", format!("{size:?}"));
    tx.commit().await.unwrap();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_the_same_with_and_without() {
    let ground = Ground::new().await;
    let bouncer = Bouncer::before(&ground, 8);
    let url = bouncer.url(&ground);
    let direct = ground.set_up(&migrations()).await.unwrap();
    let config = ground.config().tenant_migrations(migrations());
    let place = Place {
        tenancy: Tenancy::set_up(config.database_url(url).pooler(true))
            .await
            .unwrap(),
        ground,
    };
    for isolation in ON_SERVERS {
        let pooled = place
            .tenant(&format!("pooled-{isolation}"), isolation)
            .await;
        let plain = place.tenant(&format!("plain-{isolation}"), isolation).await;
        let pooled = work(&place.tenancy.db(&pooled).await.unwrap()).await;
        let plain = work(&direct.db(&plain).await.unwrap()).await;
        assert_eq!(pooled, plain, "{isolation}");
        assert_eq!(plain["insert"], "Ok(1)");
        assert_eq!(plain["by text"], r#"Ok([("a",)])"#);
        assert_eq!(plain["upsert"], "Ok(Some(8))");
    }
    assert_eq!(place.tenancy.audit().await.unwrap(), []);
    direct.close();
}
