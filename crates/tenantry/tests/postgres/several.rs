//! Several processes on one database, and several means and servers in one deployment.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tenantry::{
    Tenancy, Tenant,
    db::DbError,
    lifecycle::{LifecycleError, NewTenant},
    migrate::{MigrateError, Migrations},
    tenant::{Isolation, TenantStatus},
    testing::Postgres,
};

use crate::support::{Ground, ON_SERVERS, Place};

/// Tables of which one refers to itself, and the other to that.
fn line() -> Migrations {
    Migrations::new().sql(
        "0001_line",
        "CREATE TABLE heads (id bigint PRIMARY KEY, tail bigint, above bigint REFERENCES heads (id) ON DELETE RESTRICT);
         CREATE TABLE tails (id bigint PRIMARY KEY, head bigint NOT NULL REFERENCES heads (id) ON DELETE RESTRICT);",
    )
}

/// The same, and back: then there is no order in which they can be emptied one by one.
fn circle() -> Migrations {
    line().sql(
        "0002_circle",
        "ALTER TABLE heads ADD FOREIGN KEY (tail) REFERENCES tails (id);",
    )
}

/// Fills tables that refer to themselves and to each other.
async fn fill(tenancy: &Tenancy, tenant: &Tenant) {
    let mut tx = tenancy.db(tenant).await.unwrap().begin();
    for sql in [
        "INSERT INTO heads (id) VALUES (1)",
        "INSERT INTO tails (id, head) VALUES (1, 1)",
        "INSERT INTO heads (id, tail, above) VALUES (2, 1, 1)",
        "UPDATE heads SET tail = 1, above = 2 WHERE id = 1",
    ] {
        tx.query(sql).execute().await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn count(tenancy: &Tenancy, tenant: &Tenant) -> Result<i64, DbError> {
    tenancy
        .db(tenant)
        .await?
        .query("SELECT count(*) FROM heads")
        .scalar()
        .await
}

/// Waits until it is so, for no longer than a second.
async fn soon(what: &str, so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !so().await {
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "not within a second: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_changes_the_others_see_within_a_second() {
    let ground = Ground::new().await;
    let (here, there) = (
        ground.set_up(&circle()).await.unwrap(),
        ground.set_up(&circle()).await.unwrap(),
    );
    for isolation in ON_SERVERS {
        let [code, new_code] =
            [format!("{isolation}"), format!("new-{isolation}")].map(|code| code.parse().unwrap());
        let seen = async |code| there.tenant(code).await.unwrap();
        assert!(seen(&code).await.is_none(), "and that is remembered");
        let tenant = here
            .create(
                NewTenant::new(format!("{isolation}").parse().unwrap(), "x").isolation(isolation),
            )
            .await
            .unwrap();
        soon("created", async || seen(&code).await.is_some()).await;
        fill(&there, &seen(&code).await.unwrap()).await;
        assert_eq!(count(&here, &tenant).await.unwrap(), 2);
        here.suspend(&tenant).await.unwrap();
        soon("suspended", async || {
            seen(&code)
                .await
                .is_some_and(|tenant| tenant.status() == TenantStatus::Suspended)
        })
        .await;
        here.resume(&tenant).await.unwrap();
        soon("resumed", async || {
            seen(&code)
                .await
                .is_some_and(|tenant| tenant.status() == TenantStatus::Active)
        })
        .await;
        assert!(seen(&new_code).await.is_none());
        here.rename(&tenant, &new_code).await.unwrap();
        soon("renamed", async || {
            seen(&code).await.is_none() && seen(&new_code).await.is_some()
        })
        .await;
        let db = there.db(&tenant).await.unwrap();
        here.erase(&tenant).await.unwrap();
        soon("deleted", async || seen(&new_code).await.is_none()).await;
        // a handle that outlived its tenant finds nothing, and no other's
        soon("closed", async || {
            let left = db.query("SELECT count(*) FROM heads").scalar::<i64>().await;
            matches!(left, Err(DbError::Closed))
        })
        .await;
    }
    here.close();
    there.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_create_the_same_one_wins() {
    let ground = Ground::new().await;
    let both = [
        ground.set_up(&circle()).await.unwrap(),
        ground.set_up(&circle()).await.unwrap(),
    ];
    for isolation in ON_SERVERS {
        let attempts = (0..20).map(|number| {
            let tenancy = both[number % 2].clone();
            let new = NewTenant::new(
                format!("same-{isolation}").parse().unwrap(),
                number.to_string(),
            );
            tokio::spawn(async move { tenancy.create(new.isolation(isolation)).await })
        });
        let mut won = Vec::new();
        for attempt in join_all(attempts).await {
            match attempt.unwrap() {
                Ok(tenant) => won.push(tenant),
                Err(LifecycleError::CodeTaken) => {}
                Err(error) => panic!("{isolation}: {error:?}"),
            }
        }
        let [winner] = won.as_slice() else {
            panic!("{isolation}: {} have won", won.len())
        };
        assert_eq!(count(&both[1], winner).await.unwrap(), 0);
    }
    assert_eq!(both[0].tenants().await.unwrap().len(), 3);
    for tenancy in both {
        tenancy.close();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_set_up_at_once() {
    for _ in 0..3 {
        let ground = Ground::new().await;
        let migrations = circle();
        let all = join_all((0..4).map(|_| ground.set_up(&migrations))).await;
        let all: Vec<Tenancy> = all.into_iter().map(Result::unwrap).collect();
        for (number, tenancy) in all.iter().enumerate() {
            let code = format!("t{number}").parse().unwrap();
            let tenant = tenancy.create(NewTenant::new(code, "x")).await.unwrap();
            fill(tenancy, &tenant).await;
        }
        assert_eq!(all[0].audit().await.unwrap(), []);
        for tenancy in all {
            tenancy.close();
        }
    }
}

/// Everything of a tenant is gone, and nothing of the others.
#[tokio::test(flavor = "multi_thread")]
async fn deleting_leaves_nothing() {
    leaves_nothing(line(), &[Isolation::File]).await;
    leaves_nothing(circle(), &ON_SERVERS).await;
}

async fn leaves_nothing(migrations: Migrations, isolations: &[Isolation]) {
    let place = Place::new(migrations).await;
    let mut tenants = Vec::new();
    for isolation in isolations {
        for name in ["gone", "stays"] {
            let tenant = place
                .tenant(&format!("{name}-{isolation}"), *isolation)
                .await;
            fill(&place.tenancy, &tenant).await;
            tenants.push(tenant);
        }
    }
    let root = place.ground.root().await;
    let is_there = async |tenant: &Tenant| -> bool {
        let id = tenant.id();
        let simple = id.as_uuid().simple();
        let sql = match tenant.isolation() {
            Isolation::File => return place.tenancy.is_present(tenant).await.unwrap(),
            Isolation::Rows => format!(
                "SELECT EXISTS (SELECT FROM tenant_rows.heads WHERE tenant_id = '{id}')
                     OR EXISTS (SELECT FROM tenant_rows.tails WHERE tenant_id = '{id}')"
            ),
            Isolation::Schema => {
                format!("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 't_{simple}')")
            }
            _ => format!(
                "SELECT EXISTS (SELECT FROM pg_database WHERE datname = '{}_t_{simple}')",
                place.ground.project
            ),
        };
        root.query_one(&sql, &[]).await.unwrap().get(0)
    };
    for pair in tenants.chunks(2) {
        let isolation = pair[0].isolation();
        assert!(is_there(&pair[0]).await, "{isolation}");
        place.tenancy.erase(&pair[0]).await.unwrap();
        assert!(!is_there(&pair[0]).await, "{isolation}");
        assert!(is_there(&pair[1]).await, "{isolation}");
        assert_eq!(
            count(&place.tenancy, &pair[1]).await.unwrap(),
            2,
            "{isolation}"
        );
        assert!(matches!(
            place.tenancy.erase(&pair[0]).await,
            Err(LifecycleError::NotPossible)
        ));
    }
    assert_eq!(
        place.tenancy.tenants().await.unwrap().len(),
        isolations.len()
    );
}

/// What a killed process left half made or half erased is found by its record, with nobody's lock.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_half_done_is_ended() {
    let place = Place::new(circle()).await;
    let root = place.ground.root().await;
    let mut tenants = Vec::new();
    for isolation in ON_SERVERS {
        for status in ["creating", "deleting"] {
            let tenant = place
                .tenant(&format!("{status}-{isolation}"), isolation)
                .await;
            fill(&place.tenancy, &tenant).await;
            let sql = format!(
                "UPDATE tenantry.tenantry_tenants SET status = '{status}' WHERE id = '{}'",
                tenant.id()
            );
            root.batch_execute(&sql).await.unwrap();
            tenants.push(tenant);
        }
    }
    // one is being worked on: whoever holds the lock lives
    let held = &tenants[0];
    let (high, low) = held.id().as_uuid().as_u64_pair();
    let lock = format!(
        "BEGIN; SELECT pg_advisory_xact_lock({})",
        (high ^ low).cast_signed()
    );
    root.batch_execute(&lock).await.unwrap();
    let mut next = place.ground.set_up(&circle()).await.unwrap();
    let mut left = next.tenants().await.unwrap();
    // what a busy server does not let be ended is ended at the next start
    if left.len() > 1 {
        next.close();
        next = place.ground.set_up(&circle()).await.unwrap();
        left = next.tenants().await.unwrap();
    }
    assert_eq!(
        left.iter().map(|tenant| tenant.id()).collect::<Vec<_>>(),
        [held.id()]
    );
    for tenant in &tenants[1..] {
        match tenant.isolation() {
            Isolation::Rows => {
                let sql = format!(
                    "SELECT FROM tenant_rows.heads WHERE tenant_id = '{}'",
                    tenant.id()
                );
                assert!(root.query(&sql, &[]).await.unwrap().is_empty());
            }
            _ => assert!(!next.is_present(tenant).await.unwrap()),
        }
    }
    // its code is taken as long as it is worked on, and free afterwards
    let again = || NewTenant::new(held.code().as_str().parse().unwrap(), "x");
    let result = next.create(again()).await;
    assert!(
        matches!(result, Err(LifecycleError::CodeTaken)),
        "{result:?}"
    );
    root.batch_execute("COMMIT").await.unwrap();
    let tenant = next.create(again()).await.unwrap();
    assert_eq!(count(&next, &tenant).await.unwrap(), 0);
    next.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_who_was_to_be_where_nothing_is_set_up() {
    let ground = Ground::new().await;
    ground.set_up(&line()).await.unwrap().close();
    // roles are a server's, so it is another one
    let other = Box::leak(Box::new(Postgres::start()));
    let other = Ground::on(other, "CREATEROLE CREATEDB").await;
    let config = ground.config().tenant_migrations(line());
    let tenancy = Tenancy::open(config.server("two", other.url()))
        .await
        .unwrap();
    for isolation in ON_SERVERS {
        let code = format!("{isolation}");
        let new = NewTenant::new(code.parse().unwrap(), "x").isolation(isolation);
        let refused = tenancy.create(new.clone().server("two")).await;
        assert!(refused.is_err(), "{isolation}");
        assert!(tenancy.tenants().await.unwrap().is_empty(), "{isolation}");
        // the code is free
        let tenant = tenancy.create(new).await.unwrap();
        tenancy.erase(&tenant).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_on_the_server_they_were_placed_on() {
    let second = Ground::new().await;
    let url = second.url();
    // the roles are the deployment's, and to make them belongs to a login of the other server
    let place = Place::with(circle(), |config| config.server("two", url)).await;
    let mut tenants = Vec::new();
    for isolation in ON_SERVERS {
        for server in ["local", "two"] {
            let new = NewTenant::new(format!("{server}-{isolation}").parse().unwrap(), "x");
            let tenant = place
                .tenancy
                .create(new.isolation(isolation).server(server))
                .await
                .unwrap();
            fill(&place.tenancy, &tenant).await;
            assert_eq!(tenant.placement().server, server);
            tenants.push(tenant);
        }
    }
    let at_home = |tenant: &&Tenant| tenant.placement().server == "local";
    for (ground, mine) in [
        (
            &place.ground,
            tenants.iter().filter(at_home).collect::<Vec<_>>(),
        ),
        (
            &second,
            tenants.iter().filter(|tenant| !at_home(tenant)).collect(),
        ),
    ] {
        let root = ground.root().await;
        let ids: Vec<uuid::Uuid> = root
            .query("SELECT DISTINCT tenant_id FROM tenant_rows.heads", &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        assert_eq!(ids, [*mine[0].id().as_uuid()]);
        let schemas: i64 = root
            .query_one(
                r"SELECT count(*) FROM pg_namespace WHERE nspname LIKE 't\_%'",
                &[],
            )
            .await
            .unwrap()
            .get(0);
        assert_eq!(schemas, 1);
        for tenant in mine {
            assert_eq!(count(&place.tenancy, tenant).await.unwrap(), 2);
        }
    }
    assert_eq!(place.tenancy.audit().await.unwrap(), []);
    let nowhere = NewTenant::new("nowhere".parse().unwrap(), "x").server("three");
    assert!(matches!(
        place.tenancy.create(nowhere).await,
        Err(LifecycleError::NoPlace(_))
    ));
    for tenant in tenants {
        place.tenancy.erase(&tenant).await.unwrap();
    }
    let left: i64 = second
        .root()
        .await
        .query_one("SELECT count(*) FROM tenant_rows.heads", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(left, 0);
}

/// Another deployment with the same project and the same tenant, as a copy of the catalog makes it.
async fn copy_of(ground: &Ground, tenant: &Tenant) -> (Ground, Tenancy, Tenant) {
    let other = ground.beside().await;
    let tenancy = other.set_up(&line()).await.unwrap();
    let row = format!(
        "INSERT INTO tenantry.tenantry_tenants
            (id, code, name, status, isolation, server, schema_version, created_at, plan)
         VALUES ('{}', 'acme', 'x', 'active', '{}', 'local', '{}', now(), '')",
        tenant.id(),
        tenant.isolation(),
        tenant.schema_version(),
    );
    other.root().await.batch_execute(&row).await.unwrap();
    let code = "acme".parse().unwrap();
    let twin = tenancy.tenant(&code).await.unwrap().unwrap();
    (other, tenancy, twin)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_one_deployments_alone() {
    let ground = Ground::new().await;
    let ours = ground.set_up(&line()).await.unwrap();
    let new = NewTenant::new("acme".parse().unwrap(), "x").isolation(Isolation::Database);
    let tenant = ours.create(new).await.unwrap();
    let db = ours.db(&tenant).await.unwrap();
    let one = db
        .query("INSERT INTO heads (id) VALUES (1)")
        .execute()
        .await;
    assert_eq!(one.unwrap(), 1);

    let (_other, theirs, twin) = copy_of(&ground, &tenant).await;
    let denied = |result: Result<(), DbError>| matches!(result, Err(DbError::Denied(_)));
    assert!(denied(theirs.db(&twin).await.map(drop)), "used");
    assert!(matches!(
        theirs.migrate(&twin).await,
        Err(MigrateError::Db(DbError::Denied(_)))
    ));
    assert!(theirs.erase(&twin).await.is_err(), "erased");
    assert_eq!(theirs.orphans().await.unwrap(), []);
    assert_eq!(count(&ours, &tenant).await.unwrap(), 1, "it is there");
    ours.erase(&tenant).await.unwrap();
    assert!(!ours.is_present(&tenant).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_orphans_in_a_folder_of_several() {
    let ground = Ground::new().await;
    let ours = ground.set_up(&line()).await.unwrap();
    let new = NewTenant::new("acme".parse().unwrap(), "x").isolation(Isolation::File);
    let lost = ours.create(new).await.unwrap();
    let forget = format!(
        "DELETE FROM tenantry.tenantry_tenants WHERE id = '{}'",
        lost.id()
    );
    ground.root().await.batch_execute(&forget).await.unwrap();
    assert_eq!(ours.orphans().await.unwrap().len(), 1);
    let other = Ground::new().await;
    let theirs = other.set_up_in(ground.folder(), &line()).await.unwrap();
    assert_eq!(theirs.orphans().await.unwrap(), []);
    assert_eq!(ours.orphans().await.unwrap(), []);
}
