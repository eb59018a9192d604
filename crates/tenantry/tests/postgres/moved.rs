//! What a tenant leaves to others when it is moved in or away.

use tenantry::{
    Tenancy, Tenant,
    db::TenantDb,
    lifecycle::LifecycleError,
    migrate::Migrations,
    tenant::{Isolation, Placement},
};

use crate::{
    bouncer::Bouncer,
    support::{Ground, Place},
};

/// Numbers that are as narrow as their column, and such as are not.
fn counted() -> Migrations {
    Migrations::new().sql(
        "0001_counted",
        "CREATE TABLE bills (id bigserial PRIMARY KEY, total bigint NOT NULL DEFAULT 1);
         CREATE TABLE few (id smallserial PRIMARY KEY, total bigint NOT NULL DEFAULT 1);
         CREATE SEQUENCE visit_numbers;
         CREATE TABLE visits (
            id integer PRIMARY KEY DEFAULT nextval('visit_numbers'), total bigint NOT NULL DEFAULT 1);
         ALTER SEQUENCE visit_numbers OWNED BY visits.id;
         CREATE SEQUENCE ticket_numbers MAXVALUE 9999;
         CREATE TABLE tickets (
            id bigint PRIMARY KEY DEFAULT nextval('ticket_numbers'), total bigint NOT NULL DEFAULT 1);
         ALTER SEQUENCE ticket_numbers OWNED BY tickets.id",
    )
}

/// The number that a table's next row gets.
async fn next(db: &TenantDb, table: &str) -> i64 {
    let sql = format!("INSERT INTO {table} (total) VALUES (1) RETURNING id::bigint");
    db.query(&sql).scalar().await.unwrap()
}

async fn put(db: &TenantDb, table: &str, id: i64) {
    let sql = format!("INSERT INTO {table} (id) VALUES ($1)");
    db.query(&sql).bind(id).execute().await.unwrap();
}

async fn moved_to(
    tenancy: &Tenancy,
    tenant: &Tenant,
    isolation: Isolation,
) -> Result<Tenant, LifecycleError> {
    let to = Placement::new(isolation, "local");
    tenancy.move_tenant(tenant, to).await
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_others_draw_neither_come_again_nor_run_out() {
    let place = Place::new(counted()).await;
    let globex = place.tenant("globex", Isolation::Rows).await;
    let theirs = place.tenancy.db(&globex).await.unwrap();
    for number in 1..=20 {
        assert_eq!(next(&theirs, "bills").await, number);
    }
    for (code, table, number, is_taken) in [
        ("lower", "bills", 3, true),
        ("higher", "bills", 5000, true),
        ("greatest", "bills", i64::MAX - 1, false),
        ("of-a-few", "few", 30_000, true),
        ("last-of-a-few", "few", 32_766, false),
        ("wide", "visits", 2_000_000_000, true),
        ("narrow", "visits", i64::from(i32::MAX) - 1, false),
        ("beyond-narrow", "bills", i64::from(i32::MAX) - 1, true),
        ("nearly-last", "tickets", 9000, true),
        ("no-more", "tickets", 10_000, false),
    ] {
        let tenant = place.tenant(code, Isolation::Schema).await;
        let db = place.tenancy.db(&tenant).await.unwrap();
        put(&db, table, number).await;
        let before = next(&theirs, table).await;
        let moved = moved_to(&place.tenancy, &tenant, Isolation::Rows).await;
        assert_eq!(moved.is_ok(), is_taken, "{code}: {moved:?}");
        let after = next(&theirs, table).await;
        assert!(after > before, "{code}: {after}");
        match moved {
            Ok(moved) => {
                let own = place.tenancy.db(&moved).await.unwrap();
                assert!(next(&own, table).await > number.max(after), "{code}");
            }
            Err(error) => {
                let told = error.to_string();
                assert!(
                    told.contains(&format!("table {table}: id {number}")),
                    "{told}"
                );
                // it is where it was, and nobody else has felt anything
                assert_eq!(next(&db, table).await, 1);
                assert_eq!(after, before + 1);
                // and where nobody shares its numbers it may be
                let alone = moved_to(&place.tenancy, &tenant, Isolation::Database).await;
                let own = place.tenancy.db(&alone.unwrap()).await.unwrap();
                assert!(next(&own, table).await > 1, "{code}");
            }
        }
    }
    // who has drawn the last of them oneself is no danger to anybody
    let root = place.root_of(&globex).await;
    root.batch_execute("SELECT setval('few_id_seq', 32000)")
        .await
        .unwrap();
    assert_eq!(next(&theirs, "few").await, 32_001);
    let away = moved_to(&place.tenancy, &globex, Isolation::Schema)
        .await
        .unwrap();
    moved_to(&place.tenancy, &away, Isolation::Rows)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_numbered_high_hinders_no_restore() {
    let place = Place::new(counted()).await;
    for isolation in [Isolation::Rows, Isolation::Schema] {
        let tenant = place.tenant(isolation.as_str(), isolation).await;
        let db = place.tenancy.db(&tenant).await.unwrap();
        for table in ["bills", "tickets"] {
            for number in 1..=20 {
                assert_eq!(next(&db, table).await, number);
            }
            put(&db, table, i64::MAX).await;
        }
    }
    let backup = place.ground.folder().join("backup");
    place.tenancy.backup(&backup, None, |_| {}).await.unwrap();
    let ground = place.ground.beside().await;
    let there = ground.set_up(&counted()).await.unwrap();
    there.restore_backup(&backup, |_| {}).await.unwrap();
    for code in ["rows", "schema"] {
        let tenant = there.tenant(&code.parse().unwrap()).await.unwrap().unwrap();
        let db = there.db(&tenant).await.unwrap();
        for table in ["bills", "tickets"] {
            let number = next(&db, table).await;
            assert!((21..2000).contains(&number), "{code} {table}: {number}");
        }
    }
    there.close();
}

fn notes() -> Migrations {
    Migrations::new().sql("0001_notes", "CREATE TABLE notes (id bigint PRIMARY KEY)")
}

async fn write(db: &TenantDb, id: i64) {
    let insert = db.query("INSERT INTO notes (id) VALUES ($1)").bind(id);
    insert.execute().await.unwrap();
}

async fn read(db: &TenantDb) -> Vec<i64> {
    let ids = db.query("SELECT id FROM notes ORDER BY id");
    let ids: Vec<(i64,)> = ids.all().await.unwrap();
    ids.into_iter().map(|(id,)| id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_away_is_not_taken_for_the_one_that_is_back() {
    let ground = Ground::new().await;
    let bouncer = Bouncer::before(&ground, 8);
    // behind a pooler nobody hears what others do
    let deaf = ground.config().tenant_migrations(notes());
    let deaf = deaf.database_url(bouncer.url(&ground)).pooler(true);
    let deaf = Tenancy::set_up(deaf).await.unwrap();
    let mover = ground.set_up(&notes()).await.unwrap();
    let place = Place {
        tenancy: mover.clone(),
        ground,
    };
    let acme = place.tenant("acme", Isolation::File).await;
    let seen = || async {
        let acme = deaf.tenant(acme.code()).await.unwrap().unwrap();
        deaf.db(&acme).await.unwrap()
    };
    write(&seen().await, 1).await;
    let away = moved_to(&mover, &acme, Isolation::Rows).await.unwrap();
    write(&mover.db(&away).await.unwrap(), 2).await;
    let back = moved_to(&mover, &away, Isolation::File).await.unwrap();
    // what was written while it was away is there, and what is written now is where others see it
    assert_eq!(read(&seen().await).await, [1, 2]);
    write(&seen().await, 3).await;
    assert_eq!(read(&mover.db(&back).await.unwrap()).await, [1, 2, 3]);
    deaf.close();
}
