//! The cases about what is cached, with Redis before them; and what becomes of an application when
//! that goes away.
#![cfg(test)]

use std::{
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tenantry::{
    Tenancy,
    db::{DbError, TenantScope},
    scoped::cache::CacheKey,
    tenant::Isolation,
    testing::conformance,
};

struct Redis {
    program: Child,
    port: u16,
    _folder: TempDir,
}

impl Redis {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let folder = tempfile::tempdir().unwrap();
        let program = Command::new(program())
            .args([
                "--save",
                "",
                "--bind",
                "127.0.0.1",
                "--port",
                &port.to_string(),
            ])
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "Redis does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            program,
            port,
            _folder: folder,
        }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|folder| ["redis-server", "valkey-server"].map(|name| folder.join(name)))
        .find(|path| path.exists())
        .expect("neither Redis nor Valkey was found on this machine; hint: `make setup` installs what tests need")
}

/// Those that the processes' own memory passes as well.
#[tokio::test(flavor = "multi_thread")]
async fn the_cases_hold_in_redis() {
    let redis = Redis::start();
    let cases: Vec<_> = conformance::cases()
        .filter(|case| case.name.starts_with("cache::"))
        .collect();
    assert!(!cases.is_empty());
    for isolation in [Isolation::File, Isolation::Rows] {
        for case in &cases {
            let mut place = conformance::place(isolation).await;
            place.reopen_as(place.config().redis(redis.url())).await;
            println!("{isolation}: {}", case.name);
            (case.run)(place).await;
        }
    }
}

struct Note;

impl CacheKey for Note {
    type Scope = TenantScope;
    type Value = String;
    const NAME: &'static str = "note";
    const LIFE: Duration = Duration::from_secs(600);
}

async fn loaded(tenancy: &Tenancy, text: &str) -> String {
    let tenant = tenancy
        .tenant(&"acme".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    let cache = tenancy.cache(&tenant);
    let loaded = cache.get_or_load(&Note, async { Ok::<_, DbError>(text.to_owned()) });
    loaded.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_it_and_deployments_do_not() {
    let redis = Redis::start();
    let mut place = conformance::place(Isolation::File).await;
    place.reopen_as(place.config().redis(redis.url())).await;
    place.tenant("acme").await;
    let other = Tenancy::open(place.config().redis(redis.url()))
        .await
        .unwrap();
    assert_eq!(loaded(place.tenancy(), "first").await, "first");
    assert_eq!(loaded(&other, "second").await, "first");
    other.close();
    let mut elsewhere = conformance::place(Isolation::File).await;
    elsewhere
        .reopen_as(elsewhere.config().redis(redis.url()))
        .await;
    elsewhere.tenant("acme").await;
    assert_eq!(loaded(elsewhere.tenancy(), "elsewhere").await, "elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_it_everything_is_loaded() {
    let redis = Redis::start();
    let mut place = conformance::place(Isolation::File).await;
    place.reopen_as(place.config().redis(redis.url())).await;
    let tenant = place.tenant("acme").await;
    assert_eq!(loaded(place.tenancy(), "first").await, "first");
    assert_eq!(
        loaded(place.tenancy(), "second").await,
        "first",
        "it is kept"
    );
    drop(redis);
    assert_eq!(loaded(place.tenancy(), "third").await, "third");
    let cache = place.tenancy().cache(&tenant);
    assert_eq!(cache.get(&Note).await, None);
    assert!(
        cache.clear().await.is_err(),
        "nobody is told that it is gone"
    );
    assert!(cache.remove(&Note).await.is_err());
}
