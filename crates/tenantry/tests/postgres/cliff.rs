//! Many tenants at work at once, on few connections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use tenantry::{db::TenantDb, migrate::Migrations, tenant::Isolation};

use crate::support::{ON_SERVERS, Place};

const CONNECTIONS: usize = 20;

/// How many tenants; `TENANTRY_TENANTS=1000` for more.
fn tenants(isolation: Isolation) -> usize {
    let asked = std::env::var("TENANTRY_TENANTS")
        .ok()
        .and_then(|number| number.parse().ok());
    asked.unwrap_or(match isolation {
        Isolation::Database => 60, // it takes the server long to make one
        _ => 300,
    })
}

fn migrations() -> Migrations {
    Migrations::new().sql("0001_entries", "CREATE TABLE entries (owner text NOT NULL)")
}

/// Counts what the place's login has open, again and again.
fn watch(place: &Place, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<usize> {
    let (server, login) = (place.ground.server, place.ground.login.clone());
    let tenancy = place.tenancy.clone();
    tokio::spawn(async move {
        let root = server.client("postgres").await;
        let mut most = 0;
        while !stop.load(Ordering::Relaxed) {
            assert!(tenancy.open_connections() <= CONNECTIONS);
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1";
            let count: i64 = root.query_one(sql, &[&login]).await.unwrap().get(0);
            most = most.max(count as usize);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        most
    })
}

async fn work(db: &TenantDb, code: &str) {
    db.query("INSERT INTO entries (owner) VALUES ($1)")
        .bind(code)
        .execute()
        .await
        .unwrap();
    let mut tx = db.begin();
    let owners: Vec<(String,)> = tx
        .query("SELECT DISTINCT owner FROM entries")
        .all()
        .await
        .unwrap();
    assert_eq!(owners, [(code.to_owned(),)]);
    tx.commit().await.unwrap();
}

async fn all_at_once(isolation: Isolation) {
    let place = Place::with(migrations(), |config| {
        config.most_connections(CONNECTIONS.try_into().unwrap())
    })
    .await;
    // that many, and one that listens
    let limit = CONNECTIONS + 1;
    let begun = Instant::now();
    let all: Vec<_> = stream::iter(0..tenants(isolation))
        .map(|number| {
            let place = &place;
            async move {
                let code = format!("{isolation}-{number}");
                let tenant = place.tenant(&code, isolation).await;
                (place.tenancy.db(&tenant).await.unwrap(), code)
            }
        })
        .buffer_unordered(4)
        .collect()
        .await;
    let made = begun.elapsed();
    place
        .ground
        .server
        .execute(
            "postgres",
            &format!("ALTER ROLE {} CONNECTION LIMIT {limit}", place.ground.login),
        )
        .await;
    let stop = Arc::new(AtomicBool::new(false));
    let watching = watch(&place, stop.clone());
    let longest = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let workers = all.into_iter().map(|(db, code)| {
        let longest = longest.clone();
        tokio::spawn(async move {
            for _ in 0..5 {
                let begun = Instant::now();
                work(&db, &code).await;
                longest.fetch_max(begun.elapsed().as_millis() as usize, Ordering::Relaxed);
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    let worked = begun.elapsed();
    stop.store(true, Ordering::Relaxed);
    let most = watching.await.unwrap();
    assert!(most <= limit, "{isolation}: {most} connections");
    println!(
        "{isolation}: {} tenants made in {made:.1?}, 10 statements each in {worked:.1?}, the longest two in {} ms, at most {most} connections",
        tenants(isolation),
        longest.load(Ordering::Relaxed),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tenants_in_shared_tables() {
    all_at_once(Isolation::Rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tenants_in_schemas() {
    all_at_once(Isolation::Schema).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tenants_in_databases() {
    all_at_once(Isolation::Database).await;
}

/// All connections idle, each to another tenant's database: the next tenant does not wait.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_make_room() {
    let place = Place::with(migrations(), |config| {
        config.most_connections(2.try_into().unwrap())
    })
    .await;
    let mut all = Vec::new();
    for isolation in ON_SERVERS
        .into_iter()
        .chain([Isolation::Database, Isolation::Database])
    {
        let code = format!("t{}", all.len());
        let tenant = place.tenant(&code, isolation).await;
        all.push((place.tenancy.db(&tenant).await.unwrap(), code));
    }
    let limit = format!("ALTER ROLE {} CONNECTION LIMIT 3", place.ground.login);
    place.ground.server.execute("postgres", &limit).await;
    for _ in 0..20 {
        for (db, code) in &all {
            let begun = Instant::now();
            work(db, code).await;
            assert!(begun.elapsed() < Duration::from_secs(2), "{code} waited");
            assert!(place.tenancy.open_connections() <= 2);
        }
    }
}
