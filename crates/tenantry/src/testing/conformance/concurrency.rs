//! Many at a time, and many open.

use std::{num::NonZeroUsize, sync::Arc};

use futures_util::future::join_all;

use super::{Place, add_note, at_once, count_notes, list, note};
use crate::{
    Tenancy,
    db::{DbError, TenantDb},
    tenant::Isolation,
    tenant::TenantCode,
};

list! { "concurrency":
    no_increment_is_lost, no_increment_of_a_transaction_is_lost, two_processes_lose_nothing,
    readers_see_whole_transactions, readers_do_not_wait_for_a_writer, unique_under_contention,
    few_open_files_serve_many_tenants, few_open_files_serve_many_tenants_at_once,
    a_handle_outlives_its_eviction, closed_means_closed, closed_while_in_use,
}

const TASKS: i64 = 32;
const TIMES: i64 = 20;

async fn counter(place: &Place) -> TenantDb {
    let db = place.db("acme").await;
    let insert = db.query("INSERT INTO counters (name, value) VALUES ('hits', 0)");
    insert.execute().await.unwrap();
    db
}

async fn hits(db: &TenantDb) -> i64 {
    let ask = db.query("SELECT value FROM counters WHERE name = 'hits'");
    ask.scalar().await.unwrap()
}

const HIT: &str = "UPDATE counters SET value = value + 1 WHERE name = 'hits'";

async fn all<F>(tasks: impl Iterator<Item = F>)
where
    F: Future<Output = ()> + Send + 'static,
{
    for ended in join_all(tasks.map(tokio::spawn)).await {
        ended.unwrap();
    }
}

async fn no_increment_is_lost(place: Place) {
    let handles = [counter(&place).await, place.db("acme").await];
    all((0..TASKS)
        .zip(handles.iter().cycle().cloned())
        .map(|(_, db)| async move {
            for _ in 0..TIMES {
                assert_eq!(db.query(HIT).execute().await.unwrap(), 1);
            }
        }))
    .await;
    assert_eq!(hits(&handles[0]).await, TASKS * TIMES);
}

async fn no_increment_of_a_transaction_is_lost(place: Place) {
    let handles = [counter(&place).await, place.db("acme").await];
    all((0..TASKS)
        .zip(handles.iter().cycle().cloned())
        .map(|(task, db)| async move {
            for time in 0..4 {
                let mut tx = db.begin();
                tx.query(HIT).execute().await.unwrap();
                tx.query("INSERT INTO notes (id, text) VALUES ($1, 'hit')")
                    .bind(task * 100 + time)
                    .execute()
                    .await
                    .unwrap();
                // every second one changes its mind
                if time % 2 == 0 {
                    tx.commit().await.unwrap();
                }
            }
        }))
    .await;
    assert_eq!(hits(&handles[0]).await, TASKS * 2);
    assert_eq!(count_notes(&handles[0]).await, TASKS * 2);
}

async fn two_processes_lose_nothing(place: Place) {
    let here = counter(&place).await;
    let other = place.beside().await;
    let tenant = place.tenant("acme").await;
    let there = other.db(&tenant).await.unwrap();
    let handles = [here.clone(), there];
    all((0..8)
        .zip(handles.iter().cycle().cloned())
        .map(|(_, db)| async move {
            for _ in 0..TIMES {
                assert_eq!(db.query(HIT).execute().await.unwrap(), 1);
            }
        }))
    .await;
    other.close();
    assert_eq!(hits(&here).await, 8 * TIMES);
}

async fn readers_see_whole_transactions(place: Place) {
    let db = place.db("acme").await;
    db.query("INSERT INTO counters (name, value) VALUES ('a', 100), ('b', 0)")
        .execute()
        .await
        .unwrap();
    let writer = {
        let db = db.clone();
        tokio::spawn(async move {
            for _ in 0..50 {
                let mut tx = db.begin();
                for sql in [
                    "UPDATE counters SET value = value - 1 WHERE name = 'a'",
                    "UPDATE counters SET value = value + 1 WHERE name = 'b'",
                ] {
                    tx.query(sql).execute().await.unwrap();
                }
                tx.commit().await.unwrap();
            }
        })
    };
    while !writer.is_finished() {
        let total = db.query("SELECT sum(value) FROM counters").scalar::<i64>();
        assert_eq!(total.await.unwrap(), 100);
    }
    writer.await.unwrap();
}

async fn readers_do_not_wait_for_a_writer(place: Place) {
    let db = place.db("acme").await;
    let mut tx = db.begin();
    let write = tx.query("INSERT INTO notes (id, text) VALUES (1, 'note')");
    write.execute().await.unwrap();
    for _ in 0..20 {
        assert_eq!(at_once(count_notes(&db)).await, 0);
    }
    tx.commit().await.unwrap();
}

async fn unique_under_contention(place: Place) {
    let db = place.db("acme").await;
    let attempts = (0..20).map(|id: i64| {
        let db = db.clone();
        tokio::spawn(async move {
            db.query("INSERT INTO shelves (id, name) VALUES ($1, 'top')")
                .bind(id)
                .execute()
                .await
        })
    });
    let mut made = 0;
    for attempt in join_all(attempts).await {
        match attempt.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert!(error.is_unique("shelves", &["name"]), "{error:?}"),
        }
    }
    assert_eq!(made, 1);
}

const MOST_OPEN: usize = 4;
const MANY: usize = 50;

/// The place with 50 tenants, of whose files no more than four are to be open.
async fn crowded(mut place: Place) -> Place {
    let config = place
        .config()
        .most_open_files(NonZeroUsize::new(MOST_OPEN).unwrap());
    place.reopen_as(config).await;
    for n in 0..MANY {
        place.tenant(&code(n)).await;
    }
    place
}

fn code(n: usize) -> String {
    format!("tenant-{n}")
}

async fn note_of(tenancy: &Tenancy, code: &str) -> (TenantDb, i64) {
    let code: TenantCode = code.parse().unwrap();
    let tenant = tenancy.tenant(&code).await.unwrap().unwrap();
    let db = tenancy.db(&tenant).await.unwrap();
    let next = db
        .query(
            "INSERT INTO counters (name, value) VALUES ($1, 1)
             ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
        )
        .bind(code.as_str())
        .scalar()
        .await
        .unwrap();
    (db, next)
}

async fn few_open_files_serve_many_tenants(place: Place) {
    let place = crowded(place).await;
    for round in 1..=2 {
        for n in 0..MANY {
            let (db, times) = note_of(place.tenancy(), &code(n)).await;
            assert_eq!(times, round, "of tenant {n}");
            drop(db);
            assert!(place.tenancy().open_files() <= MOST_OPEN);
        }
    }
}

async fn few_open_files_serve_many_tenants_at_once(place: Place) {
    const AT_A_TIME: usize = 16;
    let place = Arc::new(crowded(place).await);
    let turns = Arc::new(tokio::sync::Semaphore::new(AT_A_TIME));
    all((0..MANY * 4).map(|n| {
        let (place, turns) = (place.clone(), turns.clone());
        async move {
            let _turn = turns.acquire().await.unwrap();
            let (db, _) = note_of(place.tenancy(), &code(n % MANY)).await;
            let names: Vec<(String,)> = db.query("SELECT name FROM counters").all().await.unwrap();
            assert_eq!(names, [(code(n % MANY),)]);
            let open = place.tenancy().open_files();
            assert!(open <= MOST_OPEN + AT_A_TIME, "{open} are open");
        }
    }))
    .await;
    for n in 0..MANY {
        let (_, times) = note_of(place.tenancy(), &code(n)).await;
        assert_eq!(times, 5, "of tenant {n}");
    }
    let open = place.tenancy().open_files();
    assert!(open <= MOST_OPEN + 1, "{open} are open");
}

async fn a_handle_outlives_its_eviction(place: Place) {
    let place = crowded(place).await;
    let held = place.db(&code(0)).await;
    add_note(&held, 0, "held").await;
    let mut tx = held.begin();
    let write = tx.query("INSERT INTO notes (id, text) VALUES (1, 'before')");
    write.execute().await.unwrap();
    for n in 1..MANY {
        note_of(place.tenancy(), &code(n)).await;
        assert_eq!(note(&held, 0).await.as_deref(), Some("held"));
    }
    tx.commit().await.unwrap();
    let again = place.db(&code(0)).await;
    add_note(&again, 2, "after").await;
    assert_eq!(count_notes(&held).await, 3);
    assert_eq!(count_notes(&again).await, 3);
}

fn is_closed<T: std::fmt::Debug>(used: Result<T, DbError>) {
    assert!(matches!(used, Err(DbError::Closed)), "{used:?}");
}

async fn closed_means_closed(place: Place) {
    let db = place.db("acme").await;
    let tenant = place.tenant("acme").await;
    add_note(&db, 1, "note").await;
    let tenancy = place.tenancy();
    tenancy.close();
    is_closed(db.query("SELECT id FROM notes").all::<(i64,)>().await);
    is_closed(db.query("DELETE FROM notes").execute().await);
    let streamed = db.query("SELECT id FROM notes").stream::<(i64,)>().await;
    is_closed(streamed.map(drop));
    is_closed(db.begin().query("DELETE FROM notes").execute().await);
    is_closed(db.clone().query("SELECT 1").execute().await);
    // nor is there a new handle that works
    match tenancy.db(&tenant).await {
        Err(error) => is_closed(Err::<(), _>(error)),
        Ok(db) => is_closed(db.query("SELECT id FROM notes").execute().await),
    }
    is_closed(tenancy.tenants().await.map(drop));
    assert!(tenancy.create(place.new_tenant("globex")).await.is_err());
    assert!(tenancy.migrate(&tenant).await.is_err());
    assert!(tenancy.erase(&tenant).await.is_err());
    assert_eq!(tenancy.open_files(), 0);
    tenancy.close();
}

async fn closed_while_in_use(mut place: Place) {
    let db = place.db("acme").await;
    let mut tx = db.begin();
    let write = tx.query("INSERT INTO notes (id, text) VALUES (1, 'note')");
    write.execute().await.unwrap();
    let busy: Vec<_> = (0..20_i64)
        .map(|id| {
            let db = db.clone();
            tokio::spawn(async move {
                db.query("INSERT INTO notes (id, text) VALUES ($1, 'note')")
                    .bind(id + 10)
                    .execute()
                    .await
            })
        })
        .collect();
    place.tenancy().close();
    let mut done = 0;
    for ended in at_once(join_all(busy)).await {
        match ended.unwrap() {
            // on a server nobody waits for the transaction
            Ok(added) if place.isolation() != Isolation::File => done += added,
            other => is_closed(other),
        }
    }
    // what had begun may end either way, but whole
    let committed = at_once(tx.commit()).await.is_ok();
    is_closed(db.query("SELECT id FROM notes").execute().await);
    place.reopen().await;
    let db = place.db("acme").await;
    let there = u64::try_from(count_notes(&db).await).unwrap();
    assert_eq!(there, done + u64::from(committed));
}
