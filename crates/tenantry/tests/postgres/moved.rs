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

fn bills() -> Migrations {
    Migrations::new().sql(
        "0001_bills",
        "CREATE TABLE bills (id bigserial PRIMARY KEY, total bigint NOT NULL)",
    )
}

async fn add(db: &TenantDb) -> i64 {
    db.query("INSERT INTO bills (total) VALUES (1) RETURNING id")
        .scalar()
        .await
        .unwrap()
}

async fn moved(
    tenancy: &Tenancy,
    tenant: &Tenant,
    isolation: Isolation,
) -> Result<Tenant, LifecycleError> {
    let to = Placement::new(isolation, "local");
    tenancy.move_tenant(tenant, to).await
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_others_draw_neither_come_again_nor_run_out() {
    let place = Place::new(bills()).await;
    let globex = place.tenant("globex", Isolation::Rows).await;
    let theirs = place.tenancy.db(&globex).await.unwrap();
    for number in 1..=20 {
        assert_eq!(add(&theirs).await, number);
    }
    for (code, number, is_taken) in [
        ("few", 3, true),
        ("many", 5000, true),
        ("hostile", i64::MAX - 1, false),
    ] {
        let tenant = place.tenant(code, Isolation::Schema).await;
        let db = place.tenancy.db(&tenant).await.unwrap();
        db.query("INSERT INTO bills (id, total) VALUES ($1, 1)")
            .bind(number)
            .execute()
            .await
            .unwrap();
        let before = add(&theirs).await;
        let moved = moved(&place.tenancy, &tenant, Isolation::Rows).await;
        assert_eq!(moved.is_ok(), is_taken, "{code}: {moved:?}");
        let after = add(&theirs).await;
        assert!(after > before, "{code}: {after}");
        if let Err(error) = moved {
            let told = error.to_string();
            assert!(
                told.contains("table bills: id 9223372036854775806"),
                "{told}"
            );
            // it is where it was, and nobody else has felt anything
            assert_eq!(add(&db).await, 1);
            assert_eq!(after, before + 1);
            continue;
        }
        let own = place.tenancy.db(&moved.unwrap()).await.unwrap();
        assert!(add(&own).await > number.max(after), "{code}");
    }
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
    let away = moved(&mover, &acme, Isolation::Rows).await.unwrap();
    write(&mover.db(&away).await.unwrap(), 2).await;
    let back = moved(&mover, &away, Isolation::File).await.unwrap();
    // what was written while it was away is there, and what is written now is where others see it
    assert_eq!(read(&seen().await).await, [1, 2]);
    write(&seen().await, 3).await;
    assert_eq!(read(&mover.db(&back).await.unwrap()).await, [1, 2, 3]);
    deaf.close();
}
