//! The server goes away under load, and comes back.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{http::StatusCode, response::IntoResponse};
use tempfile::TempDir;
use tenantry::{
    Config, Tenancy,
    db::{DbError, TenantDb},
    lifecycle::NewTenant,
    migrate::Migrations,
    routing::Problem,
    tenant::TenantStatus,
    testing::Postgres,
};
use tokio::task::block_in_place;

use crate::support::ON_SERVERS;

/// A server that can be stopped, and a deployment on it.
struct Doomed {
    server: Postgres,
    database: String,
    config: Config,
    _folder: TempDir,
}

impl Doomed {
    async fn new() -> Self {
        let server = block_in_place(Postgres::start);
        let database = server.database().await;
        server
            .execute(
                "postgres",
                &format!("CREATE ROLE somebody LOGIN CREATEROLE CREATEDB; ALTER DATABASE {database} OWNER TO somebody"),
            )
            .await;
        let folder = tempfile::tempdir().unwrap();
        Self {
            config: config(&server, &database, "doomed", folder.path()),
            server,
            database,
            _folder: folder,
        }
    }

    async fn tenancy(&self) -> Tenancy {
        Tenancy::set_up(self.config.clone()).await.unwrap()
    }

    fn crash(&self) {
        block_in_place(|| self.server.crash());
    }

    fn restart(&mut self) {
        block_in_place(|| self.server.restart());
    }
}

/// A deployment of an ordinary login.
fn config(server: &Postgres, database: &str, project: &str, folder: &Path) -> Config {
    Config::new(folder)
        .project(project)
        .database_url(server.url_as("somebody", database))
        .most_connections(8.try_into().unwrap())
        .tenant_migrations(Migrations::new().sql(
            "0001_entries",
            "CREATE TABLE entries (id bigint PRIMARY KEY)",
        ))
}

#[derive(Default)]
struct Told {
    acknowledged: Vec<i64>,
    failures: usize,
    last_failure: Option<Instant>,
    first_after: Option<Instant>,
}

/// Writes one row after the other, by itself or in a transaction, and notes what was acknowledged.
async fn write(db: TenantDb, told: Arc<Mutex<Told>>, stop: Arc<AtomicBool>) -> Result<(), String> {
    let insert = "INSERT INTO entries (id) VALUES ($1)";
    for id in 0_i64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let result = if id % 2 == 0 {
            db.query(insert).bind(id).execute().await.map(drop)
        } else {
            let mut tx = db.begin();
            match tx.query(insert).bind(id).execute().await {
                Ok(_) => tx.commit().await,
                Err(error) => Err(error),
            }
        };
        match result {
            Ok(()) => {
                let mut told = told.lock().unwrap();
                told.acknowledged.push(id);
                if told.failures > 0 {
                    told.first_after.get_or_insert_with(Instant::now);
                }
            }
            Err(error @ DbError::Unavailable(_)) => {
                let status = Problem::from(error).into_response().status();
                if status != StatusCode::SERVICE_UNAVAILABLE {
                    return Err(format!("told as {status}"));
                }
                {
                    let mut told = told.lock().unwrap();
                    told.failures += 1;
                    told.last_failure = Some(Instant::now());
                    told.first_after = None;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => return Err(format!("{error:?}")),
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_fail_and_recover_and_nothing_acknowledged_is_lost() {
    let mut doomed = Doomed::new().await;
    let tenancy = doomed.tenancy().await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for isolation in ON_SERVERS {
        for number in 0..2 {
            let code = format!("{isolation}-{number}");
            let new = NewTenant::new(code.parse().unwrap(), code).isolation(isolation);
            let tenant = tenancy.create(new).await.unwrap();
            let db = tenancy.db(&tenant).await.unwrap();
            let told = Arc::new(Mutex::new(Told::default()));
            let writer = tokio::spawn(write(db.clone(), told.clone(), stop.clone()));
            writers.push((db, told, writer));
        }
    }
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let crashed = Instant::now();
        doomed.crash();
        tokio::time::sleep(Duration::from_millis(500)).await;
        doomed.restart();
        let back = Instant::now();
        for (_, told, writer) in &writers {
            let well = || {
                assert!(!writer.is_finished(), "a writer gave up");
                let told = told.lock().unwrap();
                told.last_failure.is_some_and(|at| at > crashed) && told.first_after.is_some()
            };
            while !well() {
                assert!(back.elapsed() < Duration::from_secs(5), "not recovered");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    for (db, told, writer) in writers {
        writer.await.unwrap().unwrap();
        let found: Vec<(i64,)> = db
            .query("SELECT id FROM entries ORDER BY id")
            .all()
            .await
            .unwrap();
        let told = told.lock().unwrap();
        assert!(told.acknowledged.len() > 10 && told.failures > 0);
        for id in &told.acknowledged {
            assert!(
                found.binary_search(&(*id,)).is_ok(),
                "{id} was acknowledged and is gone"
            );
        }
    }
    tenancy.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_is_never_answered_from_a_stale_memory() {
    let mut doomed = Doomed::new().await;
    let (here, there) = (doomed.tenancy().await, doomed.tenancy().await);
    let code = "acme".parse().unwrap();
    let tenant = here
        .create(NewTenant::new("acme".parse().unwrap(), "Acme"))
        .await
        .unwrap();
    assert!(here.tenant(&code).await.unwrap().is_some());
    for status in [TenantStatus::Suspended, TenantStatus::Active] {
        doomed.crash();
        let away = Instant::now();
        loop {
            match here.tenant(&code).await {
                Err(DbError::Unavailable(_)) => break,
                // until the end of the connection is heard of
                Ok(Some(_)) => assert!(
                    away.elapsed() < Duration::from_secs(1),
                    "served from memory"
                ),
                other => panic!("{other:?}"),
            }
        }
        for _ in 0..20 {
            let result = here.tenant(&code).await;
            assert!(matches!(result, Err(DbError::Unavailable(_))), "{result:?}");
        }
        doomed.restart();
        let changed = match status {
            TenantStatus::Suspended => there.suspend(&tenant).await,
            _ => there.resume(&tenant).await,
        };
        changed.expect("a change right after the restart");
        let obeyed = Instant::now();
        loop {
            match here.tenant(&code).await {
                Ok(Some(found)) if found.status() == status => break,
                other => {
                    assert!(
                        obeyed.elapsed() < Duration::from_secs(1),
                        "not obeyed: {other:?}"
                    );
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
        // and later ones are heard of again
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(here.tenant(&code).await.unwrap().unwrap().name(), "Acme");
        let name = format!("Acme, {status}");
        there.set_name(&tenant, &name).await.unwrap();
        let named = Instant::now();
        while here.tenant(&code).await.unwrap().unwrap().name() != name {
            assert!(named.elapsed() < Duration::from_secs(1), "not heard of");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        there.set_name(&tenant, "Acme").await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    here.close();
    there.close();
}

async fn entries(tenancy: &Tenancy, code: &str) -> i64 {
    let tenant = tenancy
        .tenant(&code.parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    let db = tenancy.db(&tenant).await.unwrap();
    let count = db.query("SELECT count(*) FROM entries").scalar().await;
    count.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_none_when_the_server_goes_and_whole_when_it_is_back() {
    let mut doomed = Doomed::new().await;
    let tenancy = doomed.tenancy().await;
    for isolation in ON_SERVERS {
        let new = NewTenant::new(isolation.as_str().parse().unwrap(), "X").isolation(isolation);
        let filled = |db: TenantDb| async move {
            db.query("INSERT INTO entries (id) VALUES (1), (2)")
                .execute()
                .await?;
            Ok(())
        };
        tenancy.create_with(new, filled).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("backup");
    let mut gone = false;
    let taken = tenancy
        .backup(&to, None, |_| {
            if !std::mem::replace(&mut gone, true) {
                doomed.crash();
            }
        })
        .await;
    assert!(gone && taken.is_err(), "{taken:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    doomed.restart();
    let begun = Instant::now();
    while tenancy.tenants().await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let taken = tenancy.backup(&to, None, |_| {}).await.unwrap();
    assert!(taken.failed.is_empty(), "{taken:?}");
    assert_eq!(taken.tenants.len(), ON_SERVERS.len());

    // brought back elsewhere by an ordinary login, too
    let other = doomed.server.database().await;
    let owned = format!("ALTER DATABASE {other} OWNER TO somebody");
    doomed.server.execute("postgres", &owned).await;
    let there = tempfile::tempdir().unwrap();
    let there = config(&doomed.server, &other, "other", there.path());
    let there = Tenancy::set_up(there).await.unwrap();
    there.restore_backup(&to, |_| {}).await.unwrap();
    for isolation in ON_SERVERS {
        assert_eq!(entries(&there, isolation.as_str()).await, 2);
    }
    assert_eq!(there.orphans().await.unwrap(), []);
    there.close();

    // and such a login sees what is nobody's
    assert_eq!(tenancy.orphans().await.unwrap(), []);
    let forget = "DELETE FROM tenantry.tenantry_tenants";
    doomed.server.execute(&doomed.database, forget).await;
    let orphans = tenancy.orphans().await.unwrap();
    assert_eq!(orphans.len(), ON_SERVERS.len(), "{orphans:?}");
    for orphan in orphans.iter().filter(|one| one.is_removable) {
        assert!(tenancy.remove_orphan(orphan).await.unwrap());
    }
    let left = tenancy.orphans().await.unwrap();
    assert!(left.len() == 1 && !left[0].is_removable, "{left:?}");
    tenancy.close();
}
