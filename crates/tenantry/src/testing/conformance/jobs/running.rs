//! What becomes of a job.

use super::{super::at_once, *};
use crate::scoped::jobs::Share;

list! { "jobs":
    tried_again_and_then_dead, a_panic_is_a_failure, failed_for_good, unique_while_it_waits_or_runs,
    the_urgent_first, cancelled_before_and_while_it_runs, progress_can_be_read,
    a_killed_workers_job_is_run_again, who_was_away_writes_nothing, given_back_at_the_end,
    no_more_at_once_than_may, the_small_are_not_kept_waiting, unknown_kinds_are_left_to_others,
    traced_to_the_request,
}

async fn tried_again_and_then_dead(place: Place) {
    let queue = place.tenancy().jobs(&place.tenant("acme").await);
    let job = queue.enqueue_alone(play("fails")).await.unwrap();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let jobs = Jobs::new().job({
        let seen = seen.clone();
        move |job: JobContext, _: Play| {
            let seen = seen.clone();
            async move {
                seen.lock().unwrap().push((job.id(), job.attempt()));
                Err(std::io::Error::other("as told").into())
            }
        }
    });
    let worker = AtWork::on(place.tenancy(), jobs);
    becomes(&queue, job.id, JobStatus::Dead).await;
    let tally = worker.stop().await;
    assert_eq!((tally.again, tally.dead), (2, 1));
    let info = queue.get(job.id).await.unwrap().unwrap();
    assert_eq!(
        (info.attempts, info.last_error.as_deref()),
        (3, Some("as told"))
    );
    assert!(info.finished_at.is_some());
    // its id, by which a handler knows what it did already, stays the same
    let attempts = [1, 2, 3].map(|attempt| (job.id, attempt));
    assert_eq!(*seen.lock().unwrap(), attempts);

    assert_eq!(queue.retry(&Filter::id(job.id)).await.unwrap(), 1);
    let worker = AtWork::on(
        place.tenancy(),
        Jobs::new().job(|_, _: Play| async { Ok(()) }),
    );
    becomes(&queue, job.id, JobStatus::Done).await;
    worker.stop().await;
    let info = queue.get(job.id).await.unwrap().unwrap();
    assert_eq!((info.attempts, info.last_error), (1, None));
    assert_eq!(
        queue
            .purge(&Filter::default(), Duration::ZERO)
            .await
            .unwrap(),
        1
    );
    assert!(queue.get(job.id).await.unwrap().is_none());
}

async fn a_panic_is_a_failure(place: Place) {
    let queue = place.tenancy().jobs(&place.tenant("acme").await);
    let new = NewJob::new(play("panics")).max_attempts(2);
    let job = queue.enqueue_alone(new).await.unwrap();
    let panics = |_: JobContext, play: Play| async move {
        if play.text == "panics" {
            std::panic::resume_unwind(Box::new("off the rails"));
        }
        Ok(())
    };
    let worker = AtWork::on(place.tenancy(), Jobs::new().job(panics));
    becomes(&queue, job.id, JobStatus::Dead).await;
    let info = queue.get(job.id).await.unwrap().unwrap();
    assert_eq!(
        info.last_error.as_deref(),
        Some("it panicked: off the rails")
    );
    // and the worker goes on
    let next = queue.enqueue_alone(play("does not")).await.unwrap();
    becomes(&queue, next.id, JobStatus::Done).await;
    worker.stop().await;
}

async fn failed_for_good(place: Place) {
    let queue = place.tenancy().jobs(&place.tenant("acme").await);
    let job = queue.enqueue_alone(play("for good")).await.unwrap();
    let jobs = Jobs::new().job(|_, _: Play| async { Err(JobError::for_good("no use")) });
    let worker = AtWork::on(place.tenancy(), jobs);
    becomes(&queue, job.id, JobStatus::Dead).await;
    worker.stop().await;
    assert_eq!(queue.get(job.id).await.unwrap().unwrap().attempts, 1);
}

async fn unique_while_it_waits_or_runs(place: Place) {
    let queue = place.tenancy().jobs(&place.tenant("acme").await);
    let new = |id| NewJob::new(writing(id)).unique("only");
    let first = queue.enqueue_alone(new(1)).await.unwrap();
    let second = queue.enqueue_alone(new(2)).await.unwrap();
    assert!(first.is_new && !second.is_new);
    assert_eq!(first.id, second.id);
    assert!(queue.enqueue_alone(writing(3)).await.unwrap().is_new);
    assert!(queue.enqueue_alone(writing(4)).await.unwrap().is_new);
    let worker = AtWork::on(place.tenancy(), writers());
    becomes(&queue, first.id, JobStatus::Done).await;
    worker.stop().await;
    assert!(queue.enqueue_alone(new(5)).await.unwrap().is_new);
}

async fn the_urgent_first(place: Place) {
    let queue = place.tenancy().jobs(&place.tenant("acme").await);
    for (text, priority) in [("c", 0), ("d", 0), ("e", -5), ("a", 10), ("b", 3)] {
        let new = NewJob::new(play(text)).priority(priority);
        queue.enqueue_alone(new).await.unwrap();
    }
    let later = chrono::Utc::now() + chrono::Duration::hours(1);
    let tomorrow = queue
        .enqueue_alone(NewJob::new(play("z")).priority(99).at(later))
        .await;
    let order = Arc::new(std::sync::Mutex::new(String::new()));
    let jobs = Jobs::new()
        .share(|_| Share {
            at_once: 1,
            weight: 1,
        })
        .job({
            let order = order.clone();
            move |_, play: Play| {
                order.lock().unwrap().push_str(&play.text);
                async { Ok(()) }
            }
        });
    let worker = AtWork::on(place.tenancy(), jobs.clone());
    soon("all are done", || async {
        queue.counts().await.unwrap().done == 5
    })
    .await;
    worker.stop().await;
    assert_eq!(*order.lock().unwrap(), "abcde");
    // one that is not due yet can be run by hand
    let acme = place.tenant("acme").await;
    let id = tomorrow.unwrap().id;
    let tally = quick(place.tenancy(), jobs)
        .work_off(&acme, Some(id))
        .await
        .unwrap();
    assert_eq!(tally.done, 1);
    assert_eq!(*order.lock().unwrap(), "abcdez");
}

async fn cancelled_before_and_while_it_runs(place: Place) {
    let queue = place.tenancy().jobs(&place.tenant("acme").await);
    let waits = queue.enqueue_alone(writing(1)).await.unwrap();
    assert!(queue.cancel(waits.id).await.unwrap());
    assert_eq!(status(&queue, waits.id).await, JobStatus::Cancelled);
    assert!(!queue.cancel(waits.id).await.unwrap(), "it has ended");
    let runs = queue.enqueue_alone(play("until it is told")).await.unwrap();
    let jobs = writers().job(|job: JobContext, _: Play| async move {
        job.cancelled().await;
        assert!(job.is_cancelled());
        Err(JobError::again("it was told to stop"))
    });
    let worker = AtWork::on(place.tenancy(), jobs);
    becomes(&queue, runs.id, JobStatus::Running).await;
    assert!(queue.cancel(runs.id).await.unwrap());
    becomes(&queue, runs.id, JobStatus::Cancelled).await;
    let tally = worker.stop().await;
    assert_eq!((tally.cancelled, tally.done), (1, 0));
}

async fn progress_can_be_read(place: Place) {
    let queue = place.tenancy().jobs(&place.tenant("acme").await);
    let job = queue.enqueue_alone(play("slowly")).await.unwrap();
    let go_on = Arc::new(tokio::sync::Notify::new());
    let jobs = Jobs::new().job({
        let go_on = go_on.clone();
        move |job: JobContext, _: Play| {
            let go_on = go_on.clone();
            async move {
                job.progress(3, Some(10), "three of ten");
                go_on.notified().await;
                job.progress(10, Some(10), "all ten");
                Ok(())
            }
        }
    });
    let worker = AtWork::on(place.tenancy(), jobs);
    let told = || async {
        let info = queue.get(job.id).await.unwrap().unwrap();
        (info.progress, info.progress_of, info.progress_note)
    };
    soon("it is told", || async {
        told().await == (3, Some(10), "three of ten".into())
    })
    .await;
    go_on.notify_one();
    becomes(&queue, job.id, JobStatus::Done).await;
    assert_eq!(told().await, (10, Some(10), "all ten".into()));
    worker.stop().await;
}

/// A job whose first attempt never ends, and whose second does.
fn stuck_once(begun: &Arc<AtomicU32>) -> Jobs {
    let begun = begun.clone();
    Jobs::new().job(move |_: JobContext, _: Play| {
        let attempt = begun.fetch_add(1, Ordering::SeqCst);
        async move {
            if attempt == 0 {
                std::future::pending::<()>().await;
            }
            Ok(())
        }
    })
}

async fn a_killed_workers_job_is_run_again(place: Place) {
    let queue = place.tenancy().jobs(&place.tenant("acme").await);
    let job = queue.enqueue_alone(play("stuck")).await.unwrap();
    let begun = Arc::new(AtomicU32::new(0));
    let worker = AtWork::on(place.tenancy(), stuck_once(&begun));
    soon("it is begun", || async {
        begun.load(Ordering::SeqCst) == 1
    })
    .await;
    let beside = place.beside().await;
    let other = AtWork::on(&beside, stuck_once(&begun));
    // as long as its worker lives, no other has it
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(begun.load(Ordering::SeqCst), 1);
    worker.kill().await;
    becomes(&queue, job.id, JobStatus::Done).await;
    let info = queue.get(job.id).await.unwrap().unwrap();
    assert_eq!((info.attempts, begun.load(Ordering::SeqCst)), (2, 2));
    other.stop().await;
    beside.close();
}

async fn who_was_away_writes_nothing(place: Place) {
    let queue = place.tenancy().jobs(&place.tenant("acme").await);
    let db = place.db("acme").await;
    let job = queue.enqueue_alone(writing(1)).await.unwrap();
    let taken = Arc::new(tokio::sync::Notify::new());
    let jobs = Jobs::new().job({
        let taken = taken.clone();
        move |job: JobContext, what: WriteNote| {
            let taken = taken.clone();
            async move {
                if job.attempt() == 1 {
                    // another takes it over meanwhile
                    job.db()
                        .query("UPDATE jobs SET lease = gen_random_uuid() WHERE id = $1")
                        .bind(job.id())
                        .execute()
                        .await?;
                    let late = write(job, what).await;
                    assert!(late.is_err());
                    taken.notify_one();
                    return late;
                }
                write(job, what).await
            }
        }
    });
    let worker = AtWork::on(place.tenancy(), jobs);
    at_once(taken.notified()).await;
    assert_eq!(
        note(&db, 1).await,
        None,
        "neither the job's end nor what it did"
    );
    becomes(&queue, job.id, JobStatus::Done).await;
    assert_eq!(note(&db, 1).await.as_deref(), Some("written"));
    worker.stop().await;
}

async fn given_back_at_the_end(place: Place) {
    let queue = place.tenancy().jobs(&place.tenant("acme").await);
    let job = queue.enqueue_alone(play("stuck")).await.unwrap();
    let begun = Arc::new(AtomicU32::new(0));
    let worker = Worker::new(place.tenancy(), stuck_once(&begun)).grace(Duration::from_millis(50));
    let worker = AtWork::begin(worker);
    becomes(&queue, job.id, JobStatus::Running).await;
    assert_eq!(worker.stop().await.lost, 1);
    let info = queue.get(job.id).await.unwrap().unwrap();
    assert_eq!((info.status, info.attempts), (JobStatus::Queued, 0));
    let worker = Worker::new(place.tenancy(), stuck_once(&begun));
    let worker = AtWork::begin(worker);
    // at once, and not when its lease would have ended
    becomes(&queue, job.id, JobStatus::Done).await;
    worker.stop().await;
}

async fn no_more_at_once_than_may(place: Place) {
    let queue = place.tenancy().jobs(&place.tenant("acme").await);
    for _ in 0..30 {
        queue.enqueue_alone(play("a while")).await.unwrap();
    }
    let (now, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let jobs = Jobs::new()
        .share(|_| Share {
            at_once: 3,
            weight: 1,
        })
        .job({
            let (now, most) = (now.clone(), most.clone());
            move |_, _: Play| {
                let (now, most) = (now.clone(), most.clone());
                async move {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                }
            }
        });
    let beside = place.beside().await;
    let workers = [
        AtWork::begin(quick(place.tenancy(), jobs.clone()).lease(Duration::from_secs(30))),
        AtWork::begin(quick(&beside, jobs).lease(Duration::from_secs(30))),
    ];
    soon("all are done", || async {
        queue.counts().await.unwrap().done == 30
    })
    .await;
    for worker in workers {
        worker.stop().await;
    }
    let most = most.load(Ordering::SeqCst);
    assert!((2..=3).contains(&most), "{most}");
    beside.close();
}

async fn the_small_are_not_kept_waiting(place: Place) {
    let big = place.tenancy().jobs(&place.tenant("big").await);
    let db = place.db("big").await;
    let mut tx = db.begin();
    for id in 0..400 {
        big.enqueue(&mut tx, writing(id)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut small = Vec::new();
    for number in 0..5 {
        let queue = place
            .tenancy()
            .jobs(&place.tenant(&format!("small-{number}")).await);
        for id in 0..4 {
            queue.enqueue_alone(writing(id)).await.unwrap();
        }
        small.push(queue);
    }
    let worker = Worker::new(place.tenancy(), writers()).slots(2);
    let worker = AtWork::begin(worker.slice(Duration::from_millis(5)));
    for queue in &small {
        soon("the small are done", || async {
            queue.counts().await.unwrap().done == 4
        })
        .await;
    }
    let left = big.counts().await.unwrap();
    assert!(left.queued > 0, "the big one is at it still");
    worker.stop().await;
}

async fn unknown_kinds_are_left_to_others(place: Place) {
    let queue = place.tenancy().jobs(&place.tenant("acme").await);
    let unknown = queue.enqueue_alone(play("who knows")).await.unwrap();
    let known = queue.enqueue_alone(writing(1)).await.unwrap();
    let old = AtWork::on(place.tenancy(), writers());
    becomes(&queue, known.id, JobStatus::Done).await;
    assert_eq!(status(&queue, unknown.id).await, JobStatus::Queued);
    let beside = place.beside().await;
    let new = AtWork::on(&beside, Jobs::new().job(|_, _: Play| async { Ok(()) }));
    becomes(&queue, unknown.id, JobStatus::Done).await;
    old.stop().await;
    new.stop().await;
    beside.close();
}

async fn traced_to_the_request(place: Place) {
    let queue = place.tenancy().jobs(&place.tenant("acme").await);
    let traced = queue
        .clone()
        .traced(Some("4bf92f3577b34da6a3ce929d0e0e4736".into()));
    let first = traced.enqueue_alone(play("first")).await.unwrap();
    let jobs = writers().job(|job: JobContext, _: Play| async move {
        job.queue().enqueue_alone(writing(1)).await?;
        Ok(())
    });
    let worker = AtWork::on(place.tenancy(), jobs);
    soon("both are done", || async {
        queue.counts().await.unwrap().done == 2
    })
    .await;
    worker.stop().await;
    let all = queue.list(&Filter::default(), None, 9).await.unwrap();
    let trace = all[0].trace.as_deref();
    assert_eq!(trace, Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    assert!(all.iter().all(|job| job.trace.as_deref() == trace));
    assert_eq!(all[1].id, first.id);
}
