//! When a job is looked for, and that none is missed.

use chrono::Utc;

use super::*;
use crate::scoped::jobs::Schedule;

list! { "jobs":
    a_commit_that_comes_late_is_seen, a_hint_that_is_there_is_enough,
    who_moves_the_hint_waits_for_who_enqueues, a_hint_that_was_lost_is_mended, run_when_it_is_time,
    a_schedule_is_enqueued_once, a_new_schedule_begins_now,
}

/// The catalog is told before the commit; a worker that looks in between must not take that away.
async fn a_commit_that_comes_late_is_seen(place: Place) {
    let acme = place.tenant("acme").await;
    let (queue, db) = (place.tenancy().jobs(&acme), place.db("acme").await);
    let worker = AtWork::on(place.tenancy(), writers());
    let warm = queue.enqueue_alone(writing(1)).await.unwrap();
    becomes(&queue, warm.id, JobStatus::Done).await;
    let mut tx = db.begin();
    let late = queue.enqueue(&mut tx, writing(2)).await.unwrap();
    // the worker looks many times meanwhile
    tokio::time::sleep(Duration::from_millis(600)).await;
    tx.commit().await.unwrap();
    becomes(&queue, late.id, JobStatus::Done).await;
    worker.stop().await;
}

/// Who finds a hint that is early enough writes none. Between that and the commit a worker looks.
async fn a_hint_that_is_there_is_enough(place: Place) {
    let acme = place.tenant("acme").await;
    let (queue, db) = (place.tenancy().jobs(&acme), place.db("acme").await);
    let store = place.tenancy().0.catalog.store();
    // a hint of what was rolled back: there is nothing to it
    let mut tx = db.begin();
    queue.enqueue(&mut tx, writing(1)).await.unwrap();
    tx.rollback().await.unwrap();
    let hint = store.due_at(acme.id()).await.unwrap();
    assert!(hint.is_some_and(|at| at <= Utc::now()));
    let mut tx = db.begin();
    let job = queue.enqueue(&mut tx, writing(2)).await.unwrap();
    assert_eq!(
        store.due_at(acme.id()).await.unwrap(),
        hint,
        "it was enough"
    );
    let worker = AtWork::on(place.tenancy(), writers());
    tokio::time::sleep(Duration::from_millis(600)).await;
    let still = store.due_at(acme.id()).await.unwrap();
    assert_eq!(still, hint, "nobody moved it while somebody relies on it");
    tx.commit().await.unwrap();
    becomes(&queue, job.id, JobStatus::Done).await;
    soon("it is moved", || async {
        store.due_at(acme.id()).await.unwrap() > hint
    })
    .await;
    worker.stop().await;
}

/// Many enqueue one at a time while workers run the queue empty again and again: the moments at which
/// a hint is moved and relied on meet in every order.
async fn who_moves_the_hint_waits_for_who_enqueues(place: Place) {
    let acme = place.tenant("acme").await;
    let queue = place.tenancy().jobs(&acme);
    let beside = place.beside().await;
    let workers = [
        AtWork::on(place.tenancy(), writers()),
        AtWork::on(&beside, writers()),
    ];
    for round in 0..20_i64 {
        let enqueuing = (0..3).map(|one| {
            let (queue, db) = (queue.clone(), place.tenancy().clone());
            let acme = acme.clone();
            tokio::spawn(async move {
                let mut tx = db.db(&acme).await.unwrap().begin();
                queue
                    .enqueue(&mut tx, writing(round * 3 + one))
                    .await
                    .unwrap();
                let pause = u64::try_from(round * 3 + one).unwrap() % 7;
                tokio::time::sleep(Duration::from_millis(pause)).await;
                tx.commit().await.unwrap();
            })
        });
        for one in enqueuing.collect::<Vec<_>>() {
            one.await.unwrap();
        }
        // with a sweep of an hour, one whose hint was taken away would not come about
        let wanted = round * 3 + 3;
        soon("all are done", || async {
            queue.counts().await.unwrap().done == wanted
        })
        .await;
    }
    for worker in workers {
        worker.stop().await;
    }
    beside.close();
}

async fn a_hint_that_was_lost_is_mended(place: Place) {
    let acme = place.tenant("acme").await;
    let queue = place.tenancy().jobs(&acme);
    let worker = quick(place.tenancy(), writers()).sweep(Duration::from_secs(1));
    let worker = AtWork::begin(worker);
    let warm = queue.enqueue_alone(writing(1)).await.unwrap();
    becomes(&queue, warm.id, JobStatus::Done).await;
    let job =
        queue.enqueue_alone(NewJob::new(writing(2)).at(Utc::now() + chrono::Duration::seconds(2)));
    let job = job.await.unwrap();
    let store = place.tenancy().0.catalog.store();
    store
        .0
        .query("DELETE FROM tenantry_due")
        .execute()
        .await
        .unwrap();
    becomes(&queue, job.id, JobStatus::Done).await;
    worker.stop().await;
}

async fn run_when_it_is_time(place: Place) {
    let queue = place.tenancy().jobs(&place.tenant("acme").await);
    let at = Utc::now() + chrono::Duration::seconds(2);
    let job = queue
        .enqueue_alone(NewJob::new(writing(1)).at(at))
        .await
        .unwrap();
    let worker = AtWork::on(place.tenancy(), writers());
    becomes(&queue, job.id, JobStatus::Done).await;
    let info = queue.get(job.id).await.unwrap().unwrap();
    assert!(info.finished_at.unwrap() >= info.run_at);
    worker.stop().await;
}

fn hourly() -> Jobs {
    let hourly: Schedule = "0 * * * *".parse().unwrap();
    let hourly = hourly.spread(Duration::from_secs(60));
    writers().schedule_for(
        "hourly",
        hourly,
        |tenant| tenant.plan() != "none",
        || writing(1),
    )
}

async fn a_schedule_is_enqueued_once(place: Place) {
    let tenancy = place.tenancy();
    let (acme, globex) = (place.tenant("acme").await, place.tenant("globex").await);
    tenancy.set_plan(&globex, "none").await.unwrap();
    for tenant in [&acme, &globex] {
        // of many times that were missed it is done once
        let db = tenancy.db(tenant).await.unwrap();
        db.query("INSERT INTO job_schedules (name, last_tick) VALUES ('hourly', $1)")
            .bind(Utc::now() - chrono::Duration::days(3))
            .execute()
            .await
            .unwrap();
    }
    let beside = place.beside().await;
    let workers = [AtWork::on(tenancy, hourly()), AtWork::on(&beside, hourly())];
    let queue = tenancy.jobs(&acme);
    soon("it is done", || async {
        queue.counts().await.unwrap().done == 1
    })
    .await;
    let store = tenancy.0.catalog.store();
    soon("both were looked at", || async {
        let (ours, theirs) = (store.due_at(acme.id()), store.due_at(globex.id()));
        let now = Some(Utc::now());
        ours.await.unwrap() > now && theirs.await.unwrap() > now
    })
    .await;
    for worker in workers {
        worker.stop().await;
    }
    beside.close();
    assert_eq!(
        queue.list(&Filter::default(), None, 9).await.unwrap().len(),
        1
    );
    let none = tenancy
        .jobs(&globex)
        .list(&Filter::default(), None, 9)
        .await;
    assert!(none.unwrap().is_empty(), "it is not for them");
    // within the time that it is spread over
    let next = store.due_at(acme.id()).await.unwrap().unwrap();
    assert!(next <= Utc::now() + chrono::Duration::minutes(61));
}

async fn a_new_schedule_begins_now(place: Place) {
    let acme = place.tenant("acme").await;
    let queue = place.tenancy().jobs(&acme);
    let store = place.tenancy().0.catalog.store();
    let worker = AtWork::on(place.tenancy(), hourly());
    soon("it was looked at", || async {
        store.due_at(acme.id()).await.unwrap() > Some(Utc::now())
    })
    .await;
    worker.stop().await;
    assert!(
        queue
            .list(&Filter::default(), None, 9)
            .await
            .unwrap()
            .is_empty()
    );
}
