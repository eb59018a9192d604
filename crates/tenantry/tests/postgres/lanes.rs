//! Brief reads of many tenants, one behind the other on the same connections.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use tenantry::{
    db::{AnyRow, DbError, TenantDb},
    migrate::Migrations,
    tenant::Isolation,
    usage::Quantity,
};

use crate::support::{Place, texts};

const LIST: &str = "SELECT name FROM items ORDER BY name";

/// Takes long where there are a thousand items, and no time where there are few.
const HEAVY: &str = "SELECT count(*)::text FROM items a, items b, items c
    WHERE a.name || b.name || c.name = 'x'";

const SHARED: [Isolation; 2] = [Isolation::Rows, Isolation::Schema];

async fn place() -> Place {
    let migrations = Migrations::new().sql("0001_items", "CREATE TABLE items (name text NOT NULL)");
    Place::with(migrations, |config| {
        config.most_connections(16.try_into().unwrap())
    })
    .await
}

/// As many tenants, with two items each that nobody else has.
async fn tenants(place: &Place, isolation: Isolation, count: usize) -> Vec<(String, TenantDb)> {
    let mut all = Vec::new();
    for number in 0..count {
        let code = format!("{isolation}-{number}");
        let tenant = place.tenant(&code, isolation).await;
        let db = place.tenancy.db(&tenant).await.unwrap();
        let add = "INSERT INTO items (name) VALUES ($1 || '-1'), ($1 || '-2')";
        db.query(add).bind(&code).execute().await.unwrap();
        all.push((code, db));
    }
    all
}

fn shared_reads(place: &Place) -> u64 {
    place
        .tenancy
        .pools()
        .iter()
        .map(|pool| pool.shared_reads)
        .sum()
}

/// Says it until that is done where others read, too.
async fn warm(place: &Place, db: &TenantDb, sql: &str) {
    let begun = Instant::now();
    let before = shared_reads(place);
    while shared_reads(place) < before + 3 {
        texts(db, sql).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(60), "it never is");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_has_its_own_rows() {
    for isolation in SHARED {
        let place = place().await;
        let all = tenants(&place, isolation, 20).await;
        for (_, db) in &all {
            warm(&place, db, LIST).await;
        }
        let before = shared_reads(&place);
        let reads = (0..2_000).map(|number| {
            let (code, db) = &all[number % all.len()];
            async move {
                // parameters of one's own, too
                let own = db
                    .query("SELECT name FROM items WHERE name <> $1 ORDER BY name")
                    .bind(format!("{code}-2"))
                    .all::<(String,)>()
                    .await?;
                assert_eq!(own, [(format!("{code}-1"),)]);
                let names = texts(db, LIST).await?;
                assert_eq!(names, [format!("{code}-1"), format!("{code}-2")]);
                Ok::<_, DbError>(())
            }
        });
        let reads = stream::iter(reads).buffer_unordered(6);
        reads.try_collect::<()>().await.unwrap();
        let shared = shared_reads(&place) - before;
        assert!(shared > 100, "{isolation}: only {shared} were shared");
        assert!(place.tenancy.open_connections() <= 16);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_what_takes_long() {
    for isolation in SHARED {
        let place = place().await;
        let all = tenants(&place, isolation, 8).await;
        for (_, db) in &all {
            warm(&place, db, LIST).await;
            warm(&place, db, HEAVY).await;
        }
        let (_, slow) = &all[0];
        let many = "INSERT INTO items (name) SELECT 'n' || n FROM generate_series(1, 300) n";
        slow.query(many).execute().await.unwrap();
        let begun = Instant::now();
        let heavy = {
            let slow = slow.clone();
            tokio::spawn(async move {
                let answer = texts(&slow, HEAVY).await;
                (answer, begun.elapsed())
            })
        };
        let mut longest = Duration::ZERO;
        while !heavy.is_finished() {
            for (code, db) in &all[1..] {
                let asked = Instant::now();
                let names = texts(db, LIST).await.unwrap();
                assert_eq!(names, [format!("{code}-1"), format!("{code}-2")]);
                longest = longest.max(asked.elapsed());
            }
        }
        let (answer, took) = heavy.await.unwrap();
        assert_eq!(answer.unwrap(), ["0"], "{isolation}");
        assert!(took > Duration::from_millis(500), "not slow: {took:?}");
        assert!(longest < took / 2, "{isolation}: {longest:?} of {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_away_leaves_nothing_running() {
    for isolation in SHARED {
        let place = place().await;
        let all = tenants(&place, isolation, 2).await;
        let (code, db) = &all[0];
        warm(&place, db, HEAVY).await;
        let many = "INSERT INTO items (name) SELECT 'n' || n FROM generate_series(1, 1000) n";
        db.query(many).execute().await.unwrap();
        let gone = tokio::time::timeout(Duration::from_millis(5), texts(db, HEAVY)).await;
        assert!(gone.is_err(), "{isolation}: {gone:?} already");
        let root = place.ground.server.client("postgres").await;
        let begun = Instant::now();
        loop {
            let sql = "SELECT count(*) FROM pg_stat_activity
                WHERE usename = $1 AND state = 'active' AND query LIKE '%items a%'";
            let row = root.query_one(sql, &[&place.ground.login]).await.unwrap();
            if row.get::<_, i64>(0) == 0 {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{isolation}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // and others are served
        let (other, theirs) = &all[1];
        let names = texts(theirs, LIST).await.unwrap();
        assert_eq!(names, [format!("{other}-1"), format!("{other}-2")]);
        let own = format!("SELECT name FROM items WHERE name LIKE '{isolation}%' ORDER BY name");
        let names = texts(db, &own).await.unwrap();
        assert_eq!(names, [format!("{code}-1"), format!("{code}-2")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_as_ever() {
    for isolation in SHARED {
        let place = place().await;
        let all = tenants(&place, isolation, 2).await;
        let (code, db) = &all[0];
        let tenant = place.tenancy.tenant(&code.parse().unwrap()).await;
        let tenant = tenant.unwrap().unwrap();
        let meter = place.tenancy.meter(&tenant);
        warm(&place, db, LIST).await;
        let divided = "SELECT (1 / (length(name) - length(name)))::text FROM items";
        for _ in 0..4 {
            let wrong = texts(db, divided).await;
            assert!(wrong.is_err(), "{wrong:?}");
            let wrong = db.query(LIST).all::<(i64,)>().await;
            assert!(matches!(wrong, Err(DbError::Decode { .. })), "{wrong:?}");
            let few = db.query("SELECT name FROM items WHERE name = $1");
            let wrong = few.all::<(String,)>().await;
            assert!(
                matches!(wrong, Err(DbError::Parameters { .. })),
                "{wrong:?}"
            );
        }
        // counted once each, and on their account
        let before = meter.amounts();
        let shared = shared_reads(&place);
        for _ in 0..10 {
            texts(db, LIST).await.unwrap();
        }
        let used = meter.amounts().since(&before);
        assert_eq!(used.get(Quantity::Statements), 10);
        assert_eq!(used.get(Quantity::Rows), 20);
        assert!(used.get(Quantity::DbTime) > 0);
        assert!(shared_reads(&place) > shared);
        // what a statement returns changes under it
        let root = place.root_of(&tenant).await;
        root.batch_execute("ALTER TABLE items ALTER COLUMN name TYPE varchar(50)")
            .await
            .unwrap();
        for _ in 0..4 {
            assert_eq!(texts(db, LIST).await.unwrap().len(), 2);
        }
        // the connections go
        let login = &place.ground.login;
        let kill = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{login}'"
        );
        root.batch_execute(&kill).await.unwrap();
        let begun = Instant::now();
        while texts(db, LIST).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10));
        }
        warm(&place, db, LIST).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_have_become_others_are_read_as_they_are() {
    const ALL: &str = "SELECT * FROM items";
    for isolation in SHARED {
        let place = place().await;
        let all = tenants(&place, isolation, 1).await;
        let (code, db) = &all[0];
        let tenant = place.tenancy.tenant(&code.parse().unwrap()).await;
        let root = place.root_of(&tenant.unwrap().unwrap()).await;
        root.batch_execute("ALTER TABLE items ADD COLUMN other text NOT NULL DEFAULT 'o'")
            .await
            .unwrap();
        for (change, column, value) in [
            ("ADD COLUMN more text DEFAULT 'm'", "more", "m"),
            ("RENAME name TO was", "other", "o"),
            ("RENAME other TO name", "name", "o"),
        ] {
            warm(&place, db, ALL).await;
            let change = format!("ALTER TABLE items {change}");
            root.batch_execute(&change).await.unwrap();
            for _ in 0..4 {
                let rows: Vec<AnyRow> = db.query(ALL).all().await.unwrap();
                assert_eq!(rows.len(), 2);
                let at = rows[0].columns.iter().position(|name| name == column);
                assert_eq!(rows[0].values[at.unwrap()], value, "{isolation}: {change}");
            }
        }
    }
}
