//! Time: how long a statement takes, and how long the database works for a tenant.

use std::time::Instant;

use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{super::add_notes, *};
use crate::{
    db::DbError,
    scoped::jobs::{Job, JobContext, JobStatus, Jobs, Worker},
};

list! { "limits":
    a_statement_that_takes_too_long_is_stopped, a_timeout_is_its_tenants_alone,
    a_longer_timeout_than_the_deployments_holds, a_timeout_is_told_over_http,
    jobs_take_as_long_as_they_take, database_time_is_limited_and_anothers_is_not,
}

/// Less than what is slow takes, and more than a statement waits for a moment.
const SHORT: Duration = Duration::from_millis(250);

/// Takes a second or so where there are as many notes as [`fill`] adds. It is a plain read, so on
/// servers it is sent without a transaction where that can be.
const SLOW: &str =
    "SELECT count(*) FROM notes a, notes b, notes c WHERE a.id < b.id OR b.id < c.id";

async fn fill(db: &TenantDb) {
    add_notes(db, 300).await;
}

async fn db(place: &Place, tenant: &Tenant) -> TenantDb {
    place.tenancy().db(tenant).await.unwrap()
}

/// Both tenants with notes, of whom `acme` has no statement that takes longer.
async fn hurried(place: &mut Place, longest: Duration) -> (Tenant, Tenant) {
    for code in ["acme", "globex"] {
        fill(&place.db(code).await).await;
    }
    limited(place, Limits::none().with_statement_timeout(longest)).await
}

#[track_caller]
fn is_stopped<T: std::fmt::Debug>(result: Result<T, DbError>) {
    assert!(matches!(result, Err(DbError::Timeout)), "{result:?}");
}

async fn slow(db: &TenantDb) -> Result<i64, DbError> {
    db.query(SLOW).scalar().await
}

async fn a_statement_that_takes_too_long_is_stopped(mut place: Place) {
    let (acme, _) = hurried(&mut place, SHORT).await;
    let hurried = db(&place, &acme).await;
    let begun = Instant::now();
    // as often as it takes to be prepared in each of the ways
    for _ in 0..3 {
        is_stopped(at_once(slow(&hurried)).await);
        is_stopped(at_once(hurried.query(ENDLESS).scalar::<i64>()).await);
    }
    assert!(begun.elapsed() >= SHORT * 6);
    let rows =
        hurried.query("SELECT a.id FROM notes a, notes b, notes c ORDER BY a.id + b.id + c.id");
    let rows = rows.stream::<(i64,)>().await.unwrap();
    is_stopped(at_once(rows.try_collect::<Vec<_>>()).await);
    let mut pipeline = hurried.pipeline();
    let slot = pipeline.query(SLOW).scalar::<i64>();
    is_stopped(
        at_once(pipeline.run())
            .await
            .and_then(|mut answers| answers.take(slot)),
    );
    // in a transaction it is a failure like any other: nothing of it is left
    let mut tx = hurried.begin();
    let insert = tx.query("INSERT INTO notes (id, text) VALUES (0, 'undone')");
    insert.execute().await.unwrap();
    is_stopped(at_once(tx.query(SLOW).scalar::<i64>()).await);
    let after = tx.query("SELECT count(*) FROM notes").scalar::<i64>();
    assert!(matches!(after.await, Err(DbError::Aborted)));
    assert!(matches!(tx.commit().await, Err(DbError::Aborted)));
    let write = "UPDATE notes SET text = (SELECT CAST(count(*) AS text) FROM notes a, notes b, notes c, notes d)";
    is_stopped(at_once(hurried.query(write).execute()).await);
    // another plan holds for whoever asks for a handle then
    let acme = on(&place, "large").await;
    let unhurried = db(&place, &acme).await;
    assert!(slow(&unhurried).await.unwrap() > 0);
    let texts = "SELECT count(*) FROM notes WHERE text <> 'note' OR id = 0";
    assert_eq!(unhurried.query(texts).scalar::<i64>().await.unwrap(), 0);
}

async fn a_timeout_is_its_tenants_alone(mut place: Place) {
    let (acme, globex) = hurried(&mut place, SHORT).await;
    let (hurried, others) = (db(&place, &acme).await, db(&place, &globex).await);
    for _ in 0..2 {
        is_stopped(at_once(slow(&hurried)).await);
        assert!(slow(&others).await.unwrap() > 0);
        // on connections that transactions with a timeout were on
        let mut tx = hurried.begin();
        is_stopped(at_once(tx.query(SLOW).scalar::<i64>()).await);
        drop(tx);
        let mut tx = others.begin();
        assert!(tx.query(SLOW).scalar::<i64>().await.unwrap() > 0);
        tx.commit().await.unwrap();
    }
}

async fn a_longer_timeout_than_the_deployments_holds(mut place: Place) {
    for code in ["acme", "globex"] {
        fill(&place.db(code).await).await;
    }
    let long = Limits::none().with_statement_timeout(Duration::from_secs(60));
    let config = place.config().plan(Plan::new("long").with_limits(long));
    place
        .reopen_as(config.plan(Plan::new("plain")).statement_timeout(SHORT))
        .await;
    let acme = on(&place, "long").await;
    let globex = place.tenant("globex").await;
    for _ in 0..3 {
        assert!(slow(&db(&place, &acme).await).await.unwrap() > 0);
    }
    is_stopped(slow(&db(&place, &globex).await).await);
}

async fn count(db: TenantDb) -> Result<String> {
    Ok(slow(&db).await?.to_string())
}

async fn a_timeout_is_told_over_http(mut place: Place) {
    hurried(&mut place, SHORT).await;
    let app = App::of(
        place.tenancy(),
        Routes::new().tenant(Method::GET, "/count", count),
    );
    let stopped = app.get("acme", "/count").await;
    assert_eq!(stopped.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(stopped.problem()["type"], "/problems/timeout");
    assert_eq!(app.get("globex", "/count").await.status, StatusCode::OK);
}

#[derive(Serialize, Deserialize)]
struct Count;

impl Job for Count {
    const KIND: &'static str = "count";
    const MAX_ATTEMPTS: i32 = 1;
}

async fn jobs_take_as_long_as_they_take(mut place: Place) {
    let acme = place.tenant("acme").await;
    let job = place.tenancy().jobs(&acme).enqueue_alone(Count).await;
    let id: Uuid = job.unwrap().id;
    let (acme, _) = hurried(&mut place, SHORT).await;
    is_stopped(slow(&db(&place, &acme).await).await);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let jobs = Jobs::new().job(move |job: JobContext, _: Count| {
        let tell = tell.clone();
        async move {
            tell.send(slow(job.db()).await).unwrap();
            Ok(())
        }
    });
    let worker = Worker::new(place.tenancy(), jobs).poll(Duration::from_millis(50));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let working = tokio::spawn(worker.run(async { drop(stopped.await) }));
    let counted = at_once(told.recv()).await.unwrap();
    assert!(counted.unwrap() > 0);
    stop.send(()).unwrap();
    working.await.unwrap();
    let acme = on(&place, "large").await;
    let job = place.tenancy().jobs(&acme).get(id).await.unwrap();
    assert_eq!(job.unwrap().status, JobStatus::Done);
}

async fn database_time_is_limited_and_anothers_is_not(mut place: Place) {
    for code in ["acme", "globex"] {
        fill(&place.db(code).await).await;
    }
    let little =
        Limits::none().with_database_time(Duration::from_millis(1), Duration::from_millis(10));
    limited(&mut place, little).await;
    let hello = || async { "hello" };
    let app = App::of(
        place.tenancy(),
        Routes::new()
            .tenant(Method::GET, "/count", count)
            .tenant(Method::GET, "/hello", hello),
    );
    // it is charged when it is known
    assert_eq!(app.get("acme", "/count").await.status, StatusCode::OK);
    let refused = app.get("acme", "/hello").await;
    let wait = refused.is_too_much();
    assert!((2..=62).contains(&wait.as_secs()), "{wait:?}");
    let policy = r#""database-time";q=10;qu="tenantry-milliseconds";w=10"#;
    assert_eq!(refused.header("ratelimit-policy"), Some(policy));
    for _ in 0..2 {
        assert_eq!(app.get("globex", "/count").await.status, StatusCode::OK);
    }
    assert_eq!(app.get("globex", "/hello").await.status, StatusCode::OK);
    on(&place, "large").await;
    assert_eq!(app.get("acme", "/count").await.status, StatusCode::OK);
}
