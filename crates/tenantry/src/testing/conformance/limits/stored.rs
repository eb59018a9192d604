//! What is stored: files and waiting jobs, counted for all processes.

use futures_util::{future::join_all, stream};
use serde::{Deserialize, Serialize};

use super::*;
use crate::{
    db::DbError,
    scoped::{
        files::{FileError, Stored},
        jobs::{EnqueueError, Job},
    },
};

list! { "limits":
    files_are_limited_also_when_two_come_at_once, a_file_makes_room_for_the_one_that_replaces_it,
    jobs_that_wait_are_limited_also_when_two_come_at_once, jobs_are_limited_in_a_time,
}

async fn put(
    tenancy: &Tenancy,
    tenant: &Tenant,
    name: &str,
    bytes: usize,
) -> Result<Stored, FileError> {
    // in pieces, so that it does not come in at once
    let pieces = (0..bytes).step_by(100).map(|at| {
        let length = (bytes - at).min(100);
        Ok::<_, std::io::Error>(axum::body::Bytes::from(vec![b'x'; length]))
    });
    let files = tenancy.files(tenant);
    let name = name.parse().unwrap();
    files
        .put(&name, stream::iter(pieces.collect::<Vec<_>>()), 1 << 20)
        .await
}

async fn used(tenancy: &Tenancy, tenant: &Tenant) -> u64 {
    tenancy.files(tenant).usage().await.unwrap().bytes
}

async fn files_are_limited_also_when_two_come_at_once(mut place: Place) {
    let limits = Limits::none().with_storage(1_000);
    let (acme, globex) = limited(&mut place, limits).await;
    let plans = place.config().plan(Plan::new("small").with_limits(limits));
    let other = Tenancy::set_up(plans).await.unwrap();
    let tenancies = [place.tenancy(), &other];
    let puts = (0..10).map(|at| {
        let (tenancy, acme) = (tenancies[at % 2], &acme);
        async move { put(tenancy, acme, &format!("{at}.txt"), 300).await }
    });
    let results = join_all(puts).await;
    let (stored, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((stored.len(), refused.len()), (3, 7));
    for refused in refused {
        let most = match refused {
            Err(FileError::Storage { most }) => most,
            other => panic!("{other:?}"),
        };
        assert_eq!(most, 1_000);
    }
    let tenancy = place.tenancy();
    assert_eq!(used(tenancy, &acme).await, 900);
    // what fits does
    put(tenancy, &acme, "last.txt", 100).await.unwrap();
    let refused = put(tenancy, &acme, "more.txt", 1).await;
    assert!(matches!(refused, Err(FileError::Storage { .. })));
    // another's are its own
    put(tenancy, &globex, "a.txt", 5_000).await.unwrap();
    let acme = on(&place, "large").await;
    put(place.tenancy(), &acme, "more.txt", 5_000)
        .await
        .unwrap();
    other.close();
}

async fn a_file_makes_room_for_the_one_that_replaces_it(mut place: Place) {
    let limits = Limits::none().with_storage(1_000);
    let (acme, _) = limited(&mut place, limits).await;
    let tenancy = place.tenancy();
    put(tenancy, &acme, "a.txt", 900).await.unwrap();
    put(tenancy, &acme, "a.txt", 1_000).await.unwrap();
    let refused = put(tenancy, &acme, "a.txt", 1_001).await;
    assert!(matches!(refused, Err(FileError::Storage { .. })));
    assert_eq!(used(tenancy, &acme).await, 1_000, "what was there stays");
    // one that is too large by itself is told so
    let refused = put(tenancy, &acme, "a.txt", (1 << 20) + 1).await;
    assert!(matches!(refused, Err(FileError::Storage { .. })));
    let acme = on(&place, "large").await;
    let refused = put(place.tenancy(), &acme, "a.txt", (1 << 20) + 1).await;
    assert!(matches!(refused, Err(FileError::TooLarge { .. })));
}

#[derive(Serialize, Deserialize)]
struct Nothing;

impl Job for Nothing {
    const KIND: &'static str = "nothing";
}

async fn jobs_that_wait_are_limited_also_when_two_come_at_once(mut place: Place) {
    let limits = Limits::none().with_jobs_waiting(3);
    let (acme, globex) = limited(&mut place, limits).await;
    let tenancy = place.tenancy();
    let queue = tenancy.jobs(&acme);
    let results = join_all((0..10).map(|_| queue.enqueue_alone(Nothing))).await;
    let refused = results
        .iter()
        .filter(|result| matches!(result, Err(EnqueueError::Full { most: 3 })));
    assert_eq!(refused.count(), 7, "{results:?}");
    assert_eq!(queue.counts().await.unwrap().queued, 3);
    // the transaction is as it was
    let db = tenancy.db(&acme).await.unwrap();
    let mut tx = db.begin();
    assert!(queue.enqueue(&mut tx, Nothing).await.is_err());
    tx.query("INSERT INTO notes (id, text) VALUES (1, 'kept')")
        .execute()
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count_notes(&db).await, 1);
    // one that has ended makes room, and another tenant has its own
    let first = queue.list(&Default::default(), None, 1).await.unwrap();
    assert!(queue.cancel(first[0].id).await.unwrap());
    queue.enqueue_alone(Nothing).await.unwrap();
    let theirs = tenancy.jobs(&globex);
    for _ in 0..5 {
        theirs.enqueue_alone(Nothing).await.unwrap();
    }
    // nor does anybody count in another's database
    let mut foreign = tenancy.db(&globex).await.unwrap().begin();
    let refused = queue.enqueue(&mut foreign, Nothing).await;
    assert!(matches!(refused, Err(EnqueueError::Db(DbError::Denied(_)))));
}

async fn jobs_are_limited_in_a_time(mut place: Place) {
    let limits = Limits::none().with_jobs(Rate::per_minute(2));
    let (acme, globex) = limited(&mut place, limits).await;
    let tenancy = place.tenancy();
    for _ in 0..2 {
        tenancy.jobs(&acme).enqueue_alone(Nothing).await.unwrap();
    }
    match tenancy.jobs(&acme).enqueue_alone(Nothing).await {
        Err(EnqueueError::TooMany(wait)) => assert!(wait <= Duration::from_secs(30), "{wait:?}"),
        other => panic!("{other:?}"),
    }
    for _ in 0..4 {
        tenancy.jobs(&globex).enqueue_alone(Nothing).await.unwrap();
    }
}
