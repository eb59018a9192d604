//! Random work by many tenants on few connections, with failures and cancellations in between:
//! every answer is the tenant's own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::StreamExt;
use tenantry::{
    Config, Tenancy,
    db::{DbError, Executor, TenantDb, TenantScope},
    migrate::Migrations,
    tenant::Isolation,
};

use crate::{
    bouncer::Bouncer,
    support::{Ground, Place},
};

const TENANTS: u64 = 50;
const CONNECTIONS: usize = 8;
const WORKERS: u64 = 24;
/// How many rows each tenant begins with.
const ROWS: i64 = 10;

/// How much work is done; `TENANTRY_TRANSACTIONS=100000` does more.
fn transactions() -> u64 {
    std::env::var("TENANTRY_TRANSACTIONS")
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(10_000)
}

/// Numbers that look random, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn row(&mut self) -> i64 {
        self.below(ROWS.unsigned_abs()).cast_signed()
    }

    /// A text of one of several variants, so that statements come and go on each connection.
    fn text(&mut self, sql: &str) -> String {
        format!("{sql} /* {} */", self.below(40))
    }
}

#[derive(Default)]
struct Counts {
    done: AtomicU64,
    cancelled: AtomicU64,
    failed_as_meant: AtomicU64,
}

#[derive(Clone)]
struct Shopper {
    code: String,
    db: TenantDb,
}

fn migrations() -> Migrations {
    Migrations::new().sql(
        "0001_entries",
        "CREATE TABLE entries (
            id bigint PRIMARY KEY,
            owner text NOT NULL,
            n bigint NOT NULL CHECK (n >= 0),
            mark bigint UNIQUE)",
    )
}

type Found = Result<(), String>;

fn unexpected(what: &str, error: &DbError) -> String {
    format!("{what}: {error:?}")
}

/// One transaction of a random kind. An error is something that must not be.
async fn act(shopper: &Shopper, random: &mut Random, counts: &Counts) -> Found {
    let meant = || {
        counts.failed_as_meant.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    let db = &shopper.db;
    match random.below(9) {
        0..=2 => read(&mut db.clone(), shopper, random).await,
        3 => write(&mut db.clone(), shopper, random).await,
        4 => {
            let insert = random.text("INSERT INTO entries (id, owner, n) VALUES ($1, 'nobody', 0)");
            match db.query(&insert).bind(random.row()).execute().await {
                Err(error) if error.is_unique("entries", &["id"]) => meant(),
                other => Err(format!("a second row of the same id: {other:?}")),
            }
        }
        5 => {
            let wrong = random.text("UPDATE entries SET n = -1, owner = 'nobody'");
            match db.query(&wrong).execute().await {
                Err(DbError::Check(_)) => meant(),
                other => Err(format!("a check: {other:?}")),
            }
        }
        6 => stream(shopper, random).await,
        7 => pipeline(shopper, random, counts).await,
        _ => transaction(shopper, random, counts).await,
    }
}

fn own(rows: &[(i64, String)], shopper: &Shopper, least: usize) -> Found {
    match rows.iter().find(|(_, owner)| *owner != shopper.code) {
        Some((_, owner)) => Err(format!("{} was shown a row of {owner}", shopper.code)),
        None if rows.len() < least => Err(format!("{} misses rows: {rows:?}", shopper.code)),
        None => Ok(()),
    }
}

async fn read(
    on: &mut impl Executor<TenantScope>,
    shopper: &Shopper,
    random: &mut Random,
) -> Found {
    let sql = random.text("SELECT id, owner FROM entries WHERE id < $1 ORDER BY id");
    let rows = on.query(&sql).bind(ROWS).all().await;
    own(
        &rows.map_err(|error| unexpected("read", &error))?,
        shopper,
        ROWS.unsigned_abs() as usize,
    )
}

async fn write(
    on: &mut impl Executor<TenantScope>,
    shopper: &Shopper,
    random: &mut Random,
) -> Found {
    let sql =
        random.text("UPDATE entries SET n = n + 1, mark = id WHERE id = $1 RETURNING id, owner");
    let rows = on.query(&sql).bind(random.row()).all().await;
    own(
        &rows.map_err(|error| unexpected("write", &error))?,
        shopper,
        1,
    )
}

async fn stream(shopper: &Shopper, random: &mut Random) -> Found {
    let sql = random.text("SELECT id, owner FROM entries, generate_series(1, $1)");
    let take = random.below(400);
    let rows = shopper
        .db
        .query(&sql)
        .bind(50_i64)
        .stream::<(i64, String)>()
        .await;
    let mut rows = rows.map_err(|error| unexpected("stream", &error))?;
    for _ in 0..take {
        match rows.next().await {
            Some(Ok(row)) => own(&[row], shopper, 1)?,
            Some(Err(error)) => return Err(unexpected("stream", &error)),
            None => return Err("a stream ended early".into()),
        }
    }
    Ok(())
}

async fn pipeline(shopper: &Shopper, random: &mut Random, counts: &Counts) -> Found {
    let mut pipeline = shopper.db.pipeline();
    let fails = random.below(3) == 0;
    let update = random.text("UPDATE entries SET n = n + 1 WHERE id = $1");
    let _ = pipeline.query(&update).bind(random.row()).execute();
    let read = random.text("SELECT id, owner FROM entries WHERE id < $1");
    let rows = pipeline.query(&read).bind(ROWS).all::<(i64, String)>();
    if fails {
        let _ = pipeline.query("SELECT 1 / 0").execute();
    }
    match pipeline.run().await {
        Err(DbError::Datatype(_)) if fails => {
            counts.failed_as_meant.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        Err(error) => Err(unexpected("pipeline", &error)),
        Ok(_) if fails => Err("a pipeline should have failed".into()),
        Ok(mut answers) => own(
            &answers.take(rows).unwrap(),
            shopper,
            ROWS.unsigned_abs() as usize,
        ),
    }
}

async fn transaction(shopper: &Shopper, random: &mut Random, counts: &Counts) -> Found {
    let bad = |error: DbError| unexpected("transaction", &error);
    let mut tx = shopper.db.begin();
    // one write at most, so that two transactions cannot wait for each other
    read(&mut tx, shopper, random).await?;
    write(&mut tx, shopper, random).await?;
    for _ in 0..random.below(3) {
        let mut savepoint = tx.savepoint().await.map_err(bad)?;
        read(&mut savepoint, shopper, random).await?;
        match random.below(3) {
            0 => savepoint.release().await.map_err(bad)?,
            1 => drop(savepoint), // rolled back
            _ => {
                let failed = savepoint.query("SELECT 1 / 0").execute().await;
                drop(savepoint);
                if !matches!(failed, Err(DbError::Datatype(_))) {
                    return Err(format!("a division by zero: {failed:?}"));
                }
                counts.failed_as_meant.fetch_add(1, Ordering::Relaxed);
            }
        }
        read(&mut tx, shopper, random).await?;
    }
    match random.below(3) {
        0 => tx.rollback().await.map_err(bad),
        1 => {
            drop(tx);
            Ok(())
        }
        _ => tx.commit().await.map_err(bad),
    }
}

async fn run(tenancy: &Tenancy, shoppers: Vec<Shopper>, what: &str) {
    let seed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let (total, counts, begun) = (transactions(), Arc::new(Counts::default()), Instant::now());
    let shoppers = Arc::new(shoppers);
    let workers = (0..WORKERS).map(|worker| {
        let (shoppers, counts) = (shoppers.clone(), counts.clone());
        tokio::spawn(async move {
            let mut random = Random(seed.wrapping_add(worker << 32));
            while counts.done.fetch_add(1, Ordering::Relaxed) < total {
                let shopper = &shoppers[random.below(TENANTS) as usize];
                if random.below(5) == 0 {
                    let patience = Duration::from_micros(random.below(4_000));
                    match tokio::time::timeout(patience, act(shopper, &mut random, &counts)).await {
                        Ok(found) => found?,
                        Err(_) => {
                            counts.cancelled.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                } else {
                    act(shopper, &mut random, &counts).await?;
                }
            }
            Ok::<_, String>(())
        })
    });
    for worker in futures_util::future::join_all(workers).await {
        worker
            .unwrap()
            .unwrap_or_else(|found| panic!("seed {seed}: {found}"));
    }
    // no connection is lost for good
    let patient = Instant::now();
    while tenancy.open_connections() > CONNECTIONS {
        assert!(
            patient.elapsed() < Duration::from_secs(10),
            "too many connections stay open"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let all = shoppers.iter().take(CONNECTIONS).map(|shopper| async {
        let mut tx = shopper.db.begin();
        tx.query("SELECT pg_sleep(0.2)").execute().await
    });
    for held in futures_util::future::join_all(all).await {
        held.expect("every connection can be had");
    }
    for shopper in shoppers.iter() {
        let strangers: i64 = shopper
            .db
            .query("SELECT count(*) FROM entries WHERE owner <> $1")
            .bind(&shopper.code)
            .scalar()
            .await
            .unwrap();
        assert_eq!(strangers, 0);
        let rows: i64 = shopper
            .db
            .query("SELECT count(*) FROM entries")
            .scalar()
            .await
            .unwrap();
        assert_eq!(rows, ROWS);
    }
    println!(
        "{what}: {total} transactions in {:.1?}, {} cancelled, {} failed as they should, none wrong",
        begun.elapsed(),
        counts.cancelled.load(Ordering::Relaxed),
        counts.failed_as_meant.load(Ordering::Relaxed),
    );
}

/// Tenants in shared tables and in schemas of their own, in turn.
async fn shoppers(place: &Place) -> Vec<Shopper> {
    let mut shoppers = Vec::new();
    for number in 0..TENANTS {
        let isolation = [Isolation::Rows, Isolation::Schema][number as usize % 2];
        let code = format!("tenant-{number}");
        let tenant = place.tenant(&code, isolation).await;
        let db = place.tenancy.db(&tenant).await.unwrap();
        db.query(
            "INSERT INTO entries (id, owner, n) SELECT g, $1, 0 FROM generate_series(0, $2 - 1) g",
        )
        .bind(&code)
        .bind(ROWS)
        .execute()
        .await
        .unwrap();
        shoppers.push(Shopper { code, db });
    }
    shoppers
}

fn few(config: Config) -> Config {
    config.most_connections(CONNECTIONS.try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_the_tenants_own() {
    let place = Place::with(migrations(), few).await;
    let shoppers = shoppers(&place).await;
    run(&place.tenancy, shoppers, "directly").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_behind_a_pooler() {
    let ground = Ground::new().await;
    let bouncer = Bouncer::before(&ground, CONNECTIONS);
    let url = bouncer.url(&ground);
    let config = few(ground.config())
        .tenant_migrations(migrations())
        .database_url(url)
        .pooler(true);
    let place = Place {
        tenancy: Tenancy::set_up(config).await.unwrap(),
        ground,
    };
    let shoppers = shoppers(&place).await;
    run(&place.tenancy, shoppers, "behind a pooler").await;
    // what others change is obeyed without being told
    let other = place.ground.set_up(&migrations()).await.unwrap();
    let code = "tenant-1".parse().unwrap();
    let tenant = place.tenancy.tenant(&code).await.unwrap().unwrap();
    other.suspend(&tenant).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let tenant = place.tenancy.tenant(&code).await.unwrap().unwrap();
    assert_eq!(tenant.status().as_str(), "suspended");
    other.erase(&tenant).await.unwrap();
    other.close();
    assert_eq!(place.tenancy.audit().await.unwrap(), []);
}
