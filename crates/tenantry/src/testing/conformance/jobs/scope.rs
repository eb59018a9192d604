//! A job is its tenant's, and goes where that goes.

use super::*;
use crate::{
    db::DbError,
    lifecycle::{Exporting, GRACE},
    scoped::jobs::EnqueueError,
    tenant::{Isolation, Placement},
};

list! { "jobs":
    there_with_what_it_is_about, of_no_other_tenant, not_in_another_tenants_transaction,
    each_runs_as_its_tenant, not_run_while_suspended, not_taken_along_by_a_clone_or_an_import,
    kept_by_a_move, erased_with_the_tenant, restored_with_the_whole,
}

async fn there_with_what_it_is_about(place: Place) {
    let acme = place.tenant("acme").await;
    let (queue, db) = (place.tenancy().jobs(&acme), place.db("acme").await);
    let mut tx = db.begin();
    let undone = queue.enqueue(&mut tx, writing(1)).await.unwrap();
    tx.rollback().await.unwrap();
    assert!(queue.get(undone.id).await.unwrap().is_none());
    let mut tx = db.begin();
    tx.query("INSERT INTO notes (id, text) VALUES (2, 'about')")
        .execute()
        .await
        .unwrap();
    let done = queue.enqueue(&mut tx, writing(3)).await.unwrap();
    tx.commit().await.unwrap();
    let worker = AtWork::on(place.tenancy(), writers());
    becomes(&queue, done.id, JobStatus::Done).await;
    let tally = worker.stop().await;
    assert_eq!((tally.done, tally.again, tally.lost), (1, 0, 0));
    assert_eq!(note(&db, 3).await.as_deref(), Some("written"));
    assert_eq!(count_notes(&db).await, 2);
}

async fn of_no_other_tenant(place: Place) {
    let tenancy = place.tenancy();
    let ours = tenancy.jobs(&place.tenant("acme").await);
    let theirs = tenancy.jobs(&place.tenant("globex").await);
    let waits = ours
        .enqueue_alone(NewJob::new(writing(1)).unique("one"))
        .await;
    let waits = waits.unwrap();
    let dead = ours.enqueue_alone(play("fail")).await.unwrap();
    let failing = Jobs::new().job(|_, _: Play| async { Err(JobError::for_good("as told")) });
    let worker = AtWork::on(tenancy, failing);
    becomes(&ours, dead.id, JobStatus::Dead).await;
    worker.stop().await;

    let all = Filter::default();
    let long_ago = Duration::ZERO;
    for id in [waits.id, dead.id] {
        assert!(theirs.get(id).await.unwrap().is_none());
        assert!(!theirs.cancel(id).await.unwrap());
        assert_eq!(theirs.retry(&Filter::id(id)).await.unwrap(), 0);
        assert_eq!(theirs.purge(&Filter::id(id), long_ago).await.unwrap(), 0);
    }
    assert!(theirs.list(&all, None, 10).await.unwrap().is_empty());
    assert_eq!(theirs.counts().await.unwrap(), Default::default());
    assert_eq!(theirs.retry(&all).await.unwrap(), 0);
    assert_eq!(theirs.purge(&all, long_ago).await.unwrap(), 0);
    // a key is a tenant's own, too
    let same = theirs
        .enqueue_alone(NewJob::new(writing(1)).unique("one"))
        .await;
    assert!(same.unwrap().is_new);

    // and by its own tenant each of that can be done
    assert_eq!(ours.list(&all, None, 10).await.unwrap().len(), 2);
    assert_eq!(ours.counts().await.unwrap().dead, 1);
    assert!(
        !ours
            .enqueue_alone(NewJob::new(writing(1)).unique("one"))
            .await
            .unwrap()
            .is_new
    );
    assert_eq!(ours.retry(&Filter::id(dead.id)).await.unwrap(), 1);
    assert!(ours.cancel(waits.id).await.unwrap());
    assert_eq!(
        ours.purge(&Filter::id(waits.id), long_ago).await.unwrap(),
        1
    );
}

async fn not_in_another_tenants_transaction(place: Place) {
    let queue = place.tenancy().jobs(&place.tenant("acme").await);
    let (ours, theirs) = (place.db("acme").await, place.db("globex").await);
    let mut tx = theirs.begin();
    let crossed = queue.enqueue(&mut tx, writing(1)).await;
    let is_denied = matches!(crossed, Err(EnqueueError::Db(DbError::Denied(_))));
    assert!(is_denied, "{crossed:?}");
    tx.commit().await.unwrap();
    let count = |db: crate::db::TenantDb| async move {
        let count: i64 = db
            .query("SELECT count(*) FROM jobs")
            .scalar()
            .await
            .unwrap();
        count
    };
    assert_eq!((count(ours.clone()).await, count(theirs).await), (0, 0));
    let mut tx = ours.begin();
    queue.enqueue(&mut tx, writing(1)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(ours).await, 1);
}

async fn each_runs_as_its_tenant(place: Place) {
    let codes = ["a1", "b2", "c3", "d4"];
    for code in codes {
        let queue = place.tenancy().jobs(&place.tenant(code).await);
        for id in 0..15 {
            let text = code.to_owned();
            queue.enqueue_alone(WriteNote { id, text }).await.unwrap();
        }
    }
    let beside = place.beside().await;
    let workers = [
        AtWork::on(place.tenancy(), writers()),
        AtWork::on(&beside, writers()),
    ];
    for code in codes {
        let db = place.db(code).await;
        soon("all are done", || async { count_notes(&db).await == 15 }).await;
        let others: i64 = db
            .query("SELECT count(*) FROM notes WHERE text <> $1")
            .bind(code)
            .scalar()
            .await
            .unwrap();
        assert_eq!(others, 0, "of another tenant");
    }
    let mut done = 0;
    for worker in workers {
        done += worker.stop().await.done;
    }
    assert_eq!(done, 60, "each once");
    beside.close();
}

async fn not_run_while_suspended(place: Place) {
    let tenancy = place.tenancy();
    let acme = place.tenant("acme").await;
    let queue = tenancy.jobs(&acme);
    let job = queue.enqueue_alone(writing(1)).await.unwrap();
    tenancy.suspend(&acme).await.unwrap();
    let other = tenancy.jobs(&place.tenant("globex").await);
    let worker = AtWork::on(tenancy, writers());
    // it would have had its turn before the last of these
    for id in 1..=5 {
        let control = other.enqueue_alone(writing(id)).await.unwrap();
        becomes(&other, control.id, JobStatus::Done).await;
    }
    assert_eq!(status(&queue, job.id).await, JobStatus::Queued);
    tenancy.resume(&acme).await.unwrap();
    becomes(&queue, job.id, JobStatus::Done).await;
    worker.stop().await;
}

async fn not_taken_along_by_a_clone_or_an_import(place: Place) {
    let tenancy = place.tenancy();
    let acme = place.tenant("acme").await;
    let queue = tenancy.jobs(&acme);
    let job = queue.enqueue_alone(writing(1)).await.unwrap();
    let clone = tenancy
        .clone_tenant(&acme, place.new_tenant("copy"))
        .await
        .unwrap();
    let archive = place.folder().join("acme.tenant");
    tenancy
        .export(&acme, &archive, Exporting::default())
        .await
        .unwrap();
    let imported = tenancy
        .import(&archive, Some("imported".parse().unwrap()), |new| {
            new.isolation(place.isolation())
        })
        .await
        .unwrap();
    for other in [clone, imported] {
        let jobs = tenancy.jobs(&other).list(&Filter::default(), None, 9).await;
        assert!(jobs.unwrap().is_empty(), "it would be done twice");
    }
    assert_eq!(status(&queue, job.id).await, JobStatus::Queued);
}

async fn kept_by_a_move(place: Place) {
    let tenancy = place.tenancy();
    let acme = place.tenant("acme").await;
    let job = tenancy.jobs(&acme).enqueue_alone(writing(1)).await.unwrap();
    let to = match (place.isolation(), tenancy.default_isolation()) {
        (Isolation::File, Isolation::File) => return, // there is nowhere else
        (Isolation::Rows, _) => Isolation::Schema,
        _ => Isolation::Rows,
    };
    let to = Placement {
        isolation: to,
        server: acme.placement().server.clone(),
    };
    let moved = tenancy.move_tenant(&acme, to).await.unwrap();
    let queue = tenancy.jobs(&moved);
    let worker = AtWork::on(tenancy, writers());
    becomes(&queue, job.id, JobStatus::Done).await;
    worker.stop().await;
}

async fn erased_with_the_tenant(place: Place) {
    let tenancy = place.tenancy();
    let acme = place.tenant("acme").await;
    tenancy.jobs(&acme).enqueue_alone(writing(1)).await.unwrap();
    let store = tenancy.0.catalog.store();
    assert!(store.due_at(acme.id()).await.unwrap().is_some());
    tenancy.delete(&acme, GRACE).await.unwrap();
    let worker = AtWork::on(tenancy, writers());
    let other = tenancy.jobs(&place.tenant("globex").await);
    let control = other.enqueue_alone(writing(1)).await.unwrap();
    becomes(&other, control.id, JobStatus::Done).await;
    assert_eq!(worker.stop().await.done, 1, "and none of who is deleted");
    let deleted = tenancy.deleted().await.unwrap();
    tenancy.erase(&deleted[0].tenant).await.unwrap();
    assert!(store.due_at(acme.id()).await.unwrap().is_none());
}

async fn restored_with_the_whole(place: Place) {
    let acme = place.tenant("acme").await;
    let queue = place.tenancy().jobs(&acme);
    let job = queue.enqueue_alone(writing(1)).await.unwrap();
    let folder = place.folder().join("backup");
    place.tenancy().backup(&folder, None, |_| {}).await.unwrap();
    let there = crate::testing::conformance::place(place.isolation()).await;
    let restored = there.tenancy().restore_backup(&folder, |_| {}).await;
    restored.unwrap();
    let queue = there.tenancy().jobs(&found(there.tenancy(), "acme").await);
    let worker = AtWork::on(there.tenancy(), writers());
    becomes(&queue, job.id, JobStatus::Done).await;
    worker.stop().await;
}
