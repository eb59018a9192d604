//! What goes over the wire: a scoped statement costs one round trip, as one without a scope does.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tenantry::{
    Tenancy, db::TenantDb, lifecycle::NewTenant, migrate::Migrations, tenant::Isolation,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
};

use crate::support::{Ground, ON_SERVERS, between};

/// How long a side must be silent for what it said to be a burst: longer than it takes to say it,
/// so that only what waits for an answer comes later.
const SILENCE: Duration = Duration::from_millis(30);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Burst {
    Client(Vec<u8>),
    Server,
}

/// What is said on one connection.
type Log = Arc<Mutex<Vec<Burst>>>;

/// Passes on what client and server say, a burst at a time.
async fn proxy(server: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<Log>>>) {
    let logs = Arc::<Mutex<Vec<Log>>>::default();
    let heard = logs.clone();
    let address = between(server, move |client, server| {
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let log = Log::default();
        heard.lock().unwrap().push(log.clone());
        drop(tokio::spawn(pass(
            from_client,
            to_server,
            log.clone(),
            Burst::Client,
        )));
        drop(tokio::spawn(pass(from_server, to_client, log, |_| {
            Burst::Server
        })));
    })
    .await;
    (address, logs)
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    log: Log,
    burst: fn(Vec<u8>) -> Burst,
) {
    let is_client = matches!(burst(Vec::new()), Burst::Client(_));
    loop {
        let mut said = Vec::new();
        if from.read_buf(&mut said).await.unwrap_or(0) == 0 {
            return;
        }
        loop {
            while let Ok(Ok(1..)) = tokio::time::timeout(SILENCE, from.read_buf(&mut said)).await {}
            // on a busy machine a message can come in parts
            let whole = !is_client || !is_cut_off(&said);
            if whole || from.read_buf(&mut said).await.unwrap_or(0) == 0 {
                break;
            }
        }
        log.lock().unwrap().push(burst(said.clone()));
        if to.write_all(&said).await.is_err() {
            return;
        }
    }
}

/// Whether a burst ends within a message. The first of a connection has no letter.
fn is_cut_off(mut burst: &[u8]) -> bool {
    if burst.first() == Some(&0) {
        return false;
    }
    while let [_, a, b, c, d, rest @ ..] = burst {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize - 4;
        match rest.get(length..) {
            Some(next) => burst = next,
            None => return true,
        }
    }
    !burst.is_empty()
}

/// The messages of a burst: their letters, and the texts of simple queries.
fn messages(mut burst: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while let [letter, a, b, c, d, rest @ ..] = burst {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize - 4;
        let (body, next) = rest.split_at(length);
        found.push(match letter {
            b'Q' => String::from_utf8_lossy(&body[..length - 1]).into_owned(),
            other => char::from(*other).to_string(),
        });
        burst = next;
    }
    found
}

struct Wire {
    tenancy: Tenancy,
    /// Of all connections. On one the catalog is listened to, where now and then nothing is said.
    logs: Arc<Mutex<Vec<Log>>>,
    _ground: Ground,
}

impl Wire {
    async fn new() -> Self {
        let ground = Ground::new().await;
        let server = SocketAddr::from(([127, 0, 0, 1], ground.server.port()));
        let (address, logs) = proxy(server).await;
        let migrations =
            Migrations::new().sql("0001_numbers", "CREATE TABLE numbers (n bigint NOT NULL)");
        // made without the detour, which takes its time
        let tenancy = ground.set_up(&migrations).await.unwrap();
        for isolation in ON_SERVERS {
            let new = NewTenant::new(isolation.as_str().parse().unwrap(), "x").isolation(isolation);
            tenancy.create(new).await.unwrap();
        }
        tenancy.close();
        let url = format!("postgres://{}@{address}/{}", ground.login, ground.database);
        let config = ground
            .config()
            .tenant_migrations(migrations)
            .database_url(url);
        Self {
            tenancy: Tenancy::open(config.most_connections(1.try_into().unwrap()))
                .await
                .unwrap(),
            logs,
            _ground: ground,
        }
    }

    async fn db(&self, isolation: Isolation) -> TenantDb {
        let code = isolation.as_str().parse().unwrap();
        let tenant = self.tenancy.tenant(&code).await.unwrap().unwrap();
        self.tenancy.db(&tenant).await.unwrap()
    }

    /// What the client says during `work`, if that takes a single round trip.
    async fn one_round_trip(&self, work: impl Future<Output = ()>) -> Vec<String> {
        for log in self.logs.lock().unwrap().iter() {
            log.lock().unwrap().clear();
        }
        work.await;
        let listening = |log: &Log| {
            let log = log.lock().unwrap();
            match log.as_slice() {
                [Burst::Client(said), ..] => messages(said) == [""],
                // the answer to what was said before
                alone => *alone == [Burst::Server],
            }
        };
        let spoken: Vec<Burst> = self
            .logs
            .lock()
            .unwrap()
            .iter()
            .filter(|log| !listening(log))
            .flat_map(|log| std::mem::take(&mut *log.lock().unwrap()))
            .collect();
        match spoken.as_slice() {
            [Burst::Client(said), Burst::Server] => messages(said),
            more => {
                let told: Vec<_> = more
                    .iter()
                    .map(|burst| match burst {
                        Burst::Client(said) => messages(said),
                        Burst::Server => vec!["(server)".into()],
                    })
                    .collect();
                panic!("not one round trip: {told:?}")
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_is_opened_for_whoever_is_used_for_the_first_time() {
    let wire = Wire::new().await;
    let tenants = wire.tenancy.tenants().await.unwrap();
    let opened = || wire.logs.lock().unwrap().len();
    let before = opened();
    for tenant in &tenants {
        if tenant.isolation() == Isolation::Database {
            continue; // it has connections to its own
        }
        let db = wire.tenancy.db(tenant).await.unwrap();
        let count = db.query("SELECT count(*) FROM numbers");
        assert_eq!(count.scalar::<i64>().await.unwrap(), 0);
    }
    assert_eq!(opened(), before);
    let own = wire.db(Isolation::Database).await;
    own.query("SELECT 1").execute().await.unwrap();
    assert_eq!(opened(), before + 1);
}

/// In a schema, what is said again is prepared once more.
async fn warm(work: &impl AsyncFn()) {
    for _ in 0..2 {
        work().await;
    }
}

const INSERT: &str = "INSERT INTO numbers (n) VALUES ($1)";

/// What begins a transaction in the scope, and what ends it; nothing where the connection is the
/// scope.
fn frame(isolation: Isolation, said: &[String]) -> &[String] {
    if isolation == Isolation::Database {
        return said;
    }
    let [begin, inner @ .., end] = said else {
        panic!("nothing said")
    };
    assert!(begin.starts_with("BEGIN"), "{said:?}");
    let scope = if isolation == Isolation::Rows {
        "SET LOCAL tenantry.tenant = '"
    } else {
        "SET LOCAL search_path = \"t_"
    };
    assert!(begin.contains(scope), "{said:?}");
    assert_eq!(end, "COMMIT");
    inner
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_statement_takes_one_round_trip() {
    let wire = Wire::new().await;
    for isolation in ON_SERVERS {
        let db = wire.db(isolation).await;
        let insert = async || assert_eq!(db.query(INSERT).bind(1).execute().await.unwrap(), 1);
        warm(&insert).await;
        for _ in 0..5 {
            let said = wire.one_round_trip(insert()).await;
            assert_eq!(frame(isolation, &said), ["B", "E", "S"], "{isolation}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_plain_read_needs_no_transaction() {
    let wire = Wire::new().await;
    for isolation in ON_SERVERS {
        let db = wire.db(isolation).await;
        let read = async || {
            let query = db.query("SELECT n FROM numbers WHERE n = $1").bind(-1);
            assert_eq!(query.all::<(i64,)>().await.unwrap(), []);
        };
        warm(&read).await;
        for _ in 0..5 {
            let said = wire.one_round_trip(read()).await;
            assert_eq!(said, ["B", "E", "S"], "{isolation}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_pipeline_takes_one_round_trip() {
    let wire = Wire::new().await;
    for isolation in ON_SERVERS {
        let db = wire.db(isolation).await;
        let five = async || {
            let mut pipeline = db.pipeline();
            let inserts: Vec<_> = (0..3)
                .map(|n| pipeline.query(INSERT).bind(n).execute())
                .collect();
            let numbers = pipeline.query("SELECT n FROM numbers").all::<(i64,)>();
            let count = pipeline
                .query("SELECT count(*) FROM numbers")
                .scalar::<i64>();
            let mut answers = pipeline.run().await.unwrap();
            for insert in inserts {
                assert_eq!(answers.take(insert).unwrap(), 1);
            }
            let numbers = answers.take(numbers).unwrap().len();
            assert_eq!(answers.take(count).unwrap(), numbers as i64);
        };
        warm(&five).await;
        for _ in 0..5 {
            let said = wire.one_round_trip(five()).await;
            let (first, rest) = said.split_first().unwrap();
            assert!(first.starts_with("BEGIN"), "{said:?}");
            let (last, inner) = rest.split_last().unwrap();
            assert_eq!(last, "COMMIT");
            assert_eq!(inner, ["B", "E", "S"].repeat(5), "{isolation}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_begins_with_its_first_statement() {
    let wire = Wire::new().await;
    for isolation in ON_SERVERS {
        let db = wire.db(isolation).await;
        let mut tx = db.begin();
        tx.query(INSERT).bind(1).execute().await.unwrap();
        tx.commit().await.unwrap();
        for _ in 0..5 {
            let mut tx = db.begin();
            let first = async { assert_eq!(tx.query(INSERT).bind(1).execute().await.unwrap(), 1) };
            let said = wire.one_round_trip(first).await;
            assert!(said[0].starts_with("BEGIN"), "{said:?}");
            assert_eq!(said[1..], ["B", "E", "S"], "{isolation}");
            let second = async { assert_eq!(tx.query(INSERT).bind(2).execute().await.unwrap(), 1) };
            assert_eq!(wire.one_round_trip(second).await, ["B", "E", "S"]);
            let end = async { tx.commit().await.unwrap() };
            assert_eq!(wire.one_round_trip(end).await, ["COMMIT"]);
        }
    }
}
