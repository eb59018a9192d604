//! A server that is far away: what goes to and fro takes its time.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use tenantry::{Tenancy, lifecycle::NewTenant, migrate::Migrations, tenant::Isolation};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    sync::mpsc,
};

use crate::support::{Ground, between, texts};

const LIST: &str = "SELECT name FROM items ORDER BY name";

/// How long it may take until most is shared, on a machine that does much else.
const LONGEST: Duration = Duration::from_secs(120);

/// A server behind a proxy that is so far away.
struct Far {
    tenancy: Tenancy,
    /// How long a message is on its way, in milliseconds.
    away: Arc<AtomicU64>,
    _ground: Ground,
}

impl Far {
    async fn new(away: Duration) -> Self {
        let ground = Ground::new().await;
        let migrations =
            Migrations::new().sql("0001_items", "CREATE TABLE items (name text NOT NULL)");
        // made without the detour, which takes its time
        let tenancy = ground.set_up(&migrations).await.unwrap();
        for isolation in [Isolation::Rows, Isolation::Schema] {
            for number in 0..4 {
                let code = format!("{isolation}-{number}");
                let new = NewTenant::new(code.parse().unwrap(), "x").isolation(isolation);
                let add = move |db: tenantry::db::TenantDb| async move {
                    let sql = "INSERT INTO items (name) VALUES ($1)";
                    db.query(sql).bind(code).execute().await?;
                    Ok(())
                };
                tenancy.create_with(new, add).await.unwrap();
            }
        }
        tenancy.close();
        let server = SocketAddr::from(([127, 0, 0, 1], ground.server.port()));
        let away = Arc::new(AtomicU64::new(u64::try_from(away.as_millis()).unwrap()));
        let address = proxy(server, away.clone()).await;
        let url = format!("postgres://{}@{address}/{}", ground.login, ground.database);
        let config = ground.config().tenant_migrations(migrations);
        let config = config.database_url(url);
        let config = config.most_connections(16.try_into().unwrap());
        Self {
            tenancy: Tenancy::open(config).await.unwrap(),
            away,
            _ground: ground,
        }
    }

    /// Each of the isolation's tenants reads so often, some of them at a time: which part of that was
    /// shared.
    async fn shared(&self, isolation: Isolation, times: usize, at_once: usize) -> f64 {
        let mut all = Vec::new();
        for number in 0..4 {
            let code = format!("{isolation}-{number}");
            let tenant = self.tenancy.tenant(&code.parse().unwrap()).await;
            let db = self.tenancy.db(&tenant.unwrap().unwrap()).await.unwrap();
            all.push((code, db));
        }
        let before = self.shared_reads();
        let reads = (0..times * all.len()).map(|number| {
            let (code, db) = &all[number % all.len()];
            async move {
                let names = texts(db, LIST).await?;
                assert_eq!(names, [code.as_str()]);
                Ok::<_, tenantry::db::DbError>(())
            }
        });
        let reads = stream::iter(reads).buffer_unordered(at_once);
        reads.try_collect::<()>().await.unwrap();
        (self.shared_reads() - before) as f64 / (times * all.len()) as f64
    }

    fn shared_reads(&self) -> u64 {
        let pools = self.tenancy.pools();
        pools.iter().map(|pool| pool.shared_reads).sum()
    }

    /// Reads until half of it is shared. It is all or a little, but on a busy machine some take long.
    async fn until_shared(&self, isolation: Isolation) {
        let begun = Instant::now();
        loop {
            let shared = self.shared(isolation, 20, 1).await;
            if shared > 0.5 {
                return;
            }
            assert!(begun.elapsed() < LONGEST, "{isolation}: {shared}");
        }
    }
}

/// Passes on what client and server say, later, but as often as they say it.
async fn proxy(server: SocketAddr, away: Arc<AtomicU64>) -> SocketAddr {
    between(server, move |client, server| {
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        drop(tokio::spawn(pass(from_client, to_server, away.clone())));
        drop(tokio::spawn(pass(from_server, to_client, away.clone())));
    })
    .await
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, away: Arc<AtomicU64>) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(tokio::time::Instant, Vec<u8>)>();
    let writing = tokio::spawn(async move {
        while let Some((due, said)) = receiver.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&said).await.is_err() {
                return;
            }
        }
    });
    let mut said = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut said).await {
        let away = Duration::from_millis(away.load(Ordering::Relaxed));
        let due = tokio::time::Instant::now() + away;
        if sender.send((due, said[..length].to_vec())).is_err() {
            return;
        }
    }
    drop(sender);
    drop(writing.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_long_for_the_way_is_shared_too() {
    // there and back takes longer than anybody has patience with a server beside it
    let far = Far::new(Duration::from_millis(20)).await;
    for isolation in [Isolation::Rows, Isolation::Schema] {
        let begun = Instant::now();
        loop {
            far.until_shared(isolation).await;
            let asked = Instant::now();
            let shared = far.shared(isolation, 25, 8).await;
            // a hundred one after the other would be four seconds and more
            if shared > 0.3 && asked.elapsed() < Duration::from_secs(3) {
                break;
            }
            assert!(begun.elapsed() < LONGEST, "{isolation}: {shared}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_farther_than_before_is_got_used_to() {
    let far = Far::new(Duration::ZERO).await;
    for isolation in [Isolation::Rows, Isolation::Schema] {
        let begun = Instant::now();
        loop {
            far.away.store(0, Ordering::Relaxed);
            far.until_shared(isolation).await;
            far.away.store(4, Ordering::Relaxed);
            let shared = far.shared(isolation, 20, 1).await;
            if shared < 0.5 {
                break;
            }
            // its lane was opened anew just then
            assert!(begun.elapsed() < LONGEST, "{isolation}: {shared} at once");
        }
        far.until_shared(isolation).await;
    }
}
