//! Transactions: all or nothing, apart from others, and over when something fails.

use std::time::Duration;

use super::{
    A_WHILE, ENDLESS, Panics, Place, add_note, at_once, count_notes, list, note, panic_quietly,
};
use crate::db::{DbError, Executor, Savepoint, TenantDb, TenantScope, TenantTx};

list! { "transactions":
    committed, rolled_back, dropped, begin_takes_nothing, an_unused_one_ends_well,
    read_your_own_writes, unseen_until_committed, a_failure_aborts, no_row_is_no_failure,
    an_unreadable_row_aborts,
    a_released_savepoint_stays, a_dropped_savepoint_goes, nested_savepoints,
    an_outer_savepoint_takes_inner_ones_along, a_savepoint_after_a_failure,
    a_release_after_a_failure, an_aborted_one_begins_no_savepoint, savepoints_in_turn,
    a_cancelled_statement_leaves_the_handle_usable, a_cancelled_statement_rolls_back,
    a_cancelled_write_is_whole_or_nothing, cancelled_while_it_waits, a_panic_leaves_the_handle_usable,
    a_panic_rolls_back, moved_between_tasks, whatever_executes, the_same_statement_within_and_without,
}

async fn add(on: &mut impl Executor<TenantScope>, id: i64) -> Result<u64, DbError> {
    on.query("INSERT INTO notes (id, text) VALUES ($1, 'note')")
        .bind(id)
        .execute()
        .await
}

async fn count(on: &mut impl Executor<TenantScope>) -> Result<i64, DbError> {
    on.query("SELECT count(*) FROM notes").scalar().await
}

async fn ids(db: &TenantDb) -> Vec<i64> {
    let rows: Vec<(i64,)> = db
        .query("SELECT id FROM notes ORDER BY id")
        .all()
        .await
        .unwrap();
    rows.into_iter().map(|(id,)| id).collect()
}

/// Fails, as the note of that id is there.
async fn fail(on: &mut impl Executor<TenantScope>, id: i64) {
    let failed = add(on, id).await;
    assert!(matches!(failed, Err(DbError::Unique(_))), "{failed:?}");
}

async fn assert_aborted(tx: &mut TenantTx) {
    let next = count(tx).await;
    assert!(matches!(next, Err(DbError::Aborted)), "{next:?}");
}

async fn committed(place: Place) {
    let db = place.db("acme").await;
    let mut tx = db.begin();
    add(&mut tx, 1).await.unwrap();
    add(&mut tx, 2).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(ids(&db).await, [1, 2]);
}

async fn rolled_back(place: Place) {
    let db = place.db("acme").await;
    let mut tx = db.begin();
    add(&mut tx, 1).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(count_notes(&db).await, 0);
}

async fn dropped(place: Place) {
    let db = place.db("acme").await;
    for _ in 0..20 {
        let mut tx = db.begin();
        at_once(add(&mut tx, 1)).await.unwrap();
        drop(tx);
    }
    at_once(add_note(&db, 1, "note")).await;
    assert_eq!(ids(&db).await, [1]);
}

async fn begin_takes_nothing(place: Place) {
    let db = place.db("acme").await;
    let unused: Vec<_> = (0..50).map(|_| db.begin()).collect();
    at_once(add_note(&db, 1, "note")).await;
    let mut tx = db.begin();
    at_once(add(&mut tx, 2)).await.unwrap();
    at_once(tx.commit()).await.unwrap();
    drop(unused);
    assert_eq!(ids(&db).await, [1, 2]);
}

async fn an_unused_one_ends_well(place: Place) {
    let db = place.db("acme").await;
    db.begin().commit().await.unwrap();
    db.begin().rollback().await.unwrap();
    let mut tx = db.begin();
    drop(tx.query("DELETE FROM notes"));
    tx.commit().await.unwrap();
}

async fn read_your_own_writes(place: Place) {
    let db = place.db("acme").await;
    let mut tx = db.begin();
    for id in 1..=5 {
        add(&mut tx, id).await.unwrap();
        assert_eq!(count(&mut tx).await.unwrap(), id);
    }
}

async fn unseen_until_committed(place: Place) {
    let db = place.db("acme").await;
    let other = place.db("acme").await;
    let mut tx = db.begin();
    add(&mut tx, 1).await.unwrap();
    assert_eq!(at_once(count_notes(&db)).await, 0);
    assert_eq!(at_once(count_notes(&other)).await, 0);
    tx.commit().await.unwrap();
    assert_eq!(count_notes(&db).await, 1);
    assert_eq!(count_notes(&other).await, 1);
}

async fn a_failure_aborts(place: Place) {
    let db = place.db("acme").await;
    add_note(&db, 1, "note").await;
    for wrong in [
        "INSERT INTO notes (id, text) VALUES (1, 'twice')",
        "SELECT nothing FROM notes",
        "CREATE TABLE more (id bigint)",
    ] {
        let mut tx = db.begin();
        add(&mut tx, 2).await.unwrap();
        tx.query(wrong).execute().await.expect_err(wrong);
        assert_aborted(&mut tx).await;
        assert_aborted(&mut tx).await;
        let commit = tx.commit().await;
        assert!(matches!(commit, Err(DbError::Aborted)), "{commit:?}");
        assert_eq!(ids(&db).await, [1]);
        // and it may be the first statement
        let mut tx = db.begin();
        tx.query(wrong).execute().await.expect_err(wrong);
        assert_aborted(&mut tx).await;
        tx.rollback().await.unwrap();
    }
}

async fn no_row_is_no_failure(place: Place) {
    let db = place.db("acme").await;
    let mut tx = db.begin();
    add(&mut tx, 1).await.unwrap();
    add(&mut tx, 2).await.unwrap();
    let none = tx
        .query("SELECT id FROM notes WHERE id = 9")
        .one::<(i64,)>();
    assert!(matches!(none.await, Err(DbError::NotFound)));
    let more = tx.query("SELECT id FROM notes").one::<(i64,)>();
    assert!(matches!(more.await, Err(DbError::TooManyRows)));
    tx.commit().await.unwrap();
    assert_eq!(ids(&db).await, [1, 2]);
}

async fn an_unreadable_row_aborts(place: Place) {
    let db = place.db("acme").await;
    let mut tx = db.begin();
    add(&mut tx, 1).await.unwrap();
    let unreadable = tx.query("SELECT text FROM notes").scalar::<i64>().await;
    assert!(matches!(unreadable, Err(DbError::Decode { .. })));
    assert_aborted(&mut tx).await;
}

async fn a_released_savepoint_stays(place: Place) {
    let db = place.db("acme").await;
    let mut tx = db.begin();
    let mut savepoint = tx.savepoint().await.unwrap();
    add(&mut savepoint, 1).await.unwrap();
    savepoint.release().await.unwrap();
    add(&mut tx, 2).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(ids(&db).await, [1, 2]);
    // but no longer than its transaction
    let mut tx = db.begin();
    let mut savepoint = tx.savepoint().await.unwrap();
    add(&mut savepoint, 3).await.unwrap();
    savepoint.release().await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(ids(&db).await, [1, 2]);
}

async fn a_dropped_savepoint_goes(place: Place) {
    let db = place.db("acme").await;
    let mut tx = db.begin();
    add(&mut tx, 1).await.unwrap();
    let mut savepoint = tx.savepoint().await.unwrap();
    add(&mut savepoint, 2).await.unwrap();
    drop(savepoint);
    assert_eq!(count(&mut tx).await.unwrap(), 1);
    let mut savepoint = tx.savepoint().await.unwrap();
    add(&mut savepoint, 3).await.unwrap();
    drop(savepoint);
    // undone even when the commit is the next thing said
    tx.commit().await.unwrap();
    assert_eq!(ids(&db).await, [1]);
}

async fn end(savepoint: Savepoint<'_, TenantScope>, keep: bool) {
    if keep {
        savepoint.release().await.unwrap();
    }
}

async fn nested(tx: &mut TenantTx, keep_inner: bool, keep_outer: bool) {
    let mut outer = tx.savepoint().await.unwrap();
    add(&mut outer, 1).await.unwrap();
    let mut inner = outer.savepoint().await.unwrap();
    add(&mut inner, 2).await.unwrap();
    end(inner, keep_inner).await;
    add(&mut outer, 3).await.unwrap();
    end(outer, keep_outer).await;
    add(tx, 4).await.unwrap();
}

async fn nested_savepoints(place: Place) {
    let db = place.db("acme").await;
    for (keep_inner, keep_outer, expected) in [
        (true, true, &[1, 2, 3, 4][..]),
        (false, true, &[1, 3, 4]),
        (true, false, &[4]),
        (false, false, &[4]),
    ] {
        let mut tx = db.begin();
        nested(&mut tx, keep_inner, keep_outer).await;
        tx.commit().await.unwrap();
        assert_eq!(ids(&db).await, expected, "{keep_inner} {keep_outer}");
        db.query("DELETE FROM notes").execute().await.unwrap();
    }
}

async fn an_outer_savepoint_takes_inner_ones_along(place: Place) {
    let db = place.db("acme").await;
    let mut tx = db.begin();
    let mut first = tx.savepoint().await.unwrap();
    add(&mut first, 1).await.unwrap();
    let mut second = first.savepoint().await.unwrap();
    add(&mut second, 2).await.unwrap();
    let mut third = second.savepoint().await.unwrap();
    add(&mut third, 3).await.unwrap();
    drop(third);
    drop(second);
    drop(first);
    add(&mut tx, 4).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(ids(&db).await, [4]);
}

async fn a_savepoint_after_a_failure(place: Place) {
    let db = place.db("acme").await;
    let mut tx = db.begin();
    add(&mut tx, 1).await.unwrap();
    for _ in 0..3 {
        let mut savepoint = tx.savepoint().await.unwrap();
        add(&mut savepoint, 2).await.unwrap();
        fail(&mut savepoint, 1).await;
        let next = count(&mut savepoint).await;
        assert!(matches!(next, Err(DbError::Aborted)), "{next:?}");
        drop(savepoint);
        assert_eq!(count(&mut tx).await.unwrap(), 1);
    }
    // a failure that only the commit finds behind it
    let mut savepoint = tx.savepoint().await.unwrap();
    fail(&mut savepoint, 1).await;
    drop(savepoint);
    tx.commit().await.unwrap();
    assert_eq!(ids(&db).await, [1]);
}

async fn a_release_after_a_failure(place: Place) {
    let db = place.db("acme").await;
    let mut tx = db.begin();
    add(&mut tx, 1).await.unwrap();
    let mut savepoint = tx.savepoint().await.unwrap();
    add(&mut savepoint, 2).await.unwrap();
    fail(&mut savepoint, 1).await;
    let released = savepoint.release().await;
    assert!(matches!(released, Err(DbError::Aborted)), "{released:?}");
    add(&mut tx, 3).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(ids(&db).await, [1, 3]);
}

async fn an_aborted_one_begins_no_savepoint(place: Place) {
    let db = place.db("acme").await;
    let mut tx = db.begin();
    add(&mut tx, 1).await.unwrap();
    fail(&mut tx, 1).await;
    let savepoint = tx.savepoint().await;
    assert!(matches!(savepoint, Err(DbError::Aborted)));
    drop(savepoint);
    assert_aborted(&mut tx).await;
}

async fn savepoints_in_turn(place: Place) {
    let db = place.db("acme").await;
    let mut tx = db.begin();
    for id in 1..=100 {
        let mut savepoint = tx.savepoint().await.unwrap();
        add(&mut savepoint, id).await.unwrap();
        if id % 2 == 0 {
            savepoint.release().await.unwrap();
        }
    }
    tx.commit().await.unwrap();
    assert!(ids(&db).await.into_iter().eq((2..=100).step_by(2)));
}

async fn a_cancelled_statement_leaves_the_handle_usable(place: Place) {
    let db = place.db("acme").await;
    for _ in 0..6 {
        let endless = db.query(ENDLESS).scalar::<i64>();
        assert!(tokio::time::timeout(A_WHILE, endless).await.is_err());
    }
    at_once(add_note(&db, 1, "note")).await;
    assert_eq!(at_once(count_notes(&db)).await, 1);
}

async fn a_cancelled_statement_rolls_back(place: Place) {
    let db = place.db("acme").await;
    let mut tx = db.begin();
    add(&mut tx, 1).await.unwrap();
    let endless = tx.query(ENDLESS).scalar::<i64>();
    assert!(tokio::time::timeout(A_WHILE, endless).await.is_err());
    assert_aborted(&mut tx).await;
    let commit = tx.commit().await;
    assert!(matches!(commit, Err(DbError::Aborted)), "{commit:?}");
    at_once(add_note(&db, 2, "note")).await;
    assert_eq!(ids(&db).await, [2]);
}

async fn a_cancelled_write_is_whole_or_nothing(place: Place) {
    let db = place.db("acme").await;
    let endless = db
        .query(
            "WITH RECURSIVE n(i) AS (
                SELECT CAST(1 AS bigint) UNION ALL SELECT i + 1 FROM n WHERE i < 10000000000
             ) INSERT INTO notes (id, text) SELECT i, 'note' FROM n",
        )
        .execute();
    assert!(tokio::time::timeout(A_WHILE, endless).await.is_err());
    at_once(add_note(&db, 1, "note")).await;
    assert_eq!(ids(&db).await, [1]);
}

async fn cancelled_while_it_waits(place: Place) {
    let db = place.db("acme").await;
    let mut first = db.begin();
    first
        .query("INSERT INTO counters (name) VALUES ('hits')")
        .execute()
        .await
        .unwrap();
    // many wait for it to end, and give up
    for _ in 0..10 {
        let db = db.clone();
        let waiting = async move {
            let mut second = db.begin();
            second
                .query("INSERT INTO counters (name) VALUES ('hits')")
                .execute()
                .await
        };
        let waited = tokio::time::timeout(Duration::from_millis(20), waiting).await;
        assert!(waited.is_err());
    }
    at_once(first.commit()).await.unwrap();
    at_once(add_note(&db, 1, "note")).await;
}

async fn a_panic_leaves_the_handle_usable(place: Place) {
    let db = place.db("acme").await;
    add_note(&db, 1, "note").await;
    for sql in [
        "SELECT id FROM notes",
        "UPDATE notes SET id = id RETURNING id",
    ] {
        for _ in 0..6 {
            let db = db.clone();
            let panicked = tokio::spawn(async move { db.query(sql).all::<Panics>().await });
            // an error, or a panic where rows are read on the caller's own thread
            assert!(!matches!(panicked.await, Ok(Ok(_))));
        }
    }
    at_once(add_note(&db, 2, "note")).await;
    assert_eq!(at_once(count_notes(&db)).await, 2);
}

async fn a_panic_rolls_back(place: Place) {
    let db = place.db("acme").await;
    let (of_reading, of_the_caller) = (db.clone(), db.clone());
    let panicked = tokio::spawn(async move {
        let mut tx = of_reading.begin();
        add(&mut tx, 1).await.unwrap();
        let read = tx.query("SELECT id FROM notes").all::<Panics>().await;
        assert!(read.is_err());
        assert_aborted(&mut tx).await;
    });
    drop(panicked.await);
    let panicked = tokio::spawn(async move {
        let mut tx = of_the_caller.begin();
        add(&mut tx, 2).await.unwrap();
        panic_quietly()
    });
    assert!(panicked.await.is_err());
    at_once(add_note(&db, 3, "note")).await;
    assert_eq!(ids(&db).await, [3]);
}

async fn moved_between_tasks(place: Place) {
    let db = place.db("acme").await;
    let mut tx = db.begin();
    for id in 1..=5 {
        tx = tokio::spawn(async move {
            add(&mut tx, id).await.unwrap();
            tx
        })
        .await
        .unwrap();
    }
    tokio::spawn(tx.commit()).await.unwrap().unwrap();
    assert_eq!(ids(&db).await, [1, 2, 3, 4, 5]);
}

async fn whatever_executes(place: Place) {
    let mut db = place.db("acme").await;
    add(&mut db, 1).await.unwrap();
    let mut tx = db.begin();
    add(&mut tx, 2).await.unwrap();
    let mut savepoint = tx.savepoint().await.unwrap();
    add(&mut savepoint, 3).await.unwrap();
    savepoint.release().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(&mut db).await.unwrap(), 3);
}

async fn the_same_statement_within_and_without(place: Place) {
    let db = place.db("acme").await;
    add_note(&db, 1, "old").await;
    for round in 0..10 {
        let mut tx = db.begin();
        tx.query("UPDATE notes SET text = $1")
            .bind("new")
            .execute()
            .await
            .unwrap();
        assert_eq!(note(&db, 1).await.as_deref(), Some("old"), "{round}");
        drop(tx);
        let changed = db.query("UPDATE notes SET text = $1").bind("old").execute();
        assert_eq!(at_once(changed).await.unwrap(), 1);
    }
}
