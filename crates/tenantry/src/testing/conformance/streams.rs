//! Rows one by one.

use futures_util::StreamExt;

use super::{A_WHILE, Panics, Place, add_note, add_notes, at_once, count_notes, list};
use crate::db::{DbError, TenantDb};

list! { "streams":
    every_row_in_order, no_row, dropped_early, dropped_before_any_row, in_a_transaction,
    dropped_early_in_a_transaction, writes_of_a_transaction, unreadable_rows, an_error_inside,
    an_error_at_the_beginning, a_panic_is_no_end, beside_each_other, a_slow_reader_holds_up_nobody,
}

const SOME: i64 = 5_000;
const ALL: &str = "SELECT id FROM notes ORDER BY id";

async fn filled(place: &Place) -> TenantDb {
    let db = place.db("acme").await;
    add_notes(&db, SOME).await;
    db
}

async fn every_row_in_order(place: Place) {
    let db = filled(&place).await;
    let mut rows = db.query(ALL).stream::<(i64,)>().await.unwrap();
    for expected in 1..=SOME {
        assert_eq!(at_once(rows.next()).await.unwrap().unwrap(), (expected,));
    }
    assert!(at_once(rows.next()).await.is_none());
    assert!(at_once(rows.next()).await.is_none(), "and stays at its end");
}

async fn no_row(place: Place) {
    let db = place.db("acme").await;
    let mut rows = db.query(ALL).stream::<(i64,)>().await.unwrap();
    assert!(at_once(rows.next()).await.is_none());
}

async fn dropped_early(place: Place) {
    let db = filled(&place).await;
    for taken in 0..20 {
        let rows = at_once(db.query(ALL).stream::<(i64,)>()).await.unwrap();
        let first: Vec<_> = rows.take(taken).collect().await;
        assert_eq!(first.len(), taken);
    }
    at_once(add_note(&db, SOME + 1, "note")).await;
    assert_eq!(at_once(count_notes(&db)).await, SOME + 1);
}

async fn dropped_before_any_row(place: Place) {
    let db = place.db("acme").await;
    for _ in 0..10 {
        let mut rows = at_once(
            db.query(
                "WITH RECURSIVE n(i) AS (
                    SELECT CAST(1 AS bigint) UNION ALL SELECT i + 1 FROM n WHERE i < 10000000000
                 ) SELECT i FROM n WHERE i < 0",
            )
            .stream::<(i64,)>(),
        )
        .await
        .unwrap();
        assert!(tokio::time::timeout(A_WHILE, rows.next()).await.is_err());
    }
    assert_eq!(at_once(count_notes(&db)).await, 0);
}

async fn in_a_transaction(place: Place) {
    let db = place.db("acme").await;
    let mut tx = db.begin();
    for id in 1..=600_i64 {
        tx.query("INSERT INTO notes (id, text) VALUES ($1, 'note')")
            .bind(id)
            .execute()
            .await
            .unwrap();
    }
    let rows = tx.query(ALL).stream::<(i64,)>().await.unwrap();
    let ids: Vec<_> = rows.map(|row| row.unwrap().0).collect().await;
    assert!(ids.into_iter().eq(1..=600));
    at_once(tx.query("DELETE FROM notes WHERE id > 500").execute())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count_notes(&db).await, 500);
}

async fn dropped_early_in_a_transaction(place: Place) {
    let db = filled(&place).await;
    let mut tx = db.begin();
    tx.query("DELETE FROM notes WHERE id = 1")
        .execute()
        .await
        .unwrap();
    for taken in [0, 1, 300, 0, 0] {
        let rows = at_once(tx.query(ALL).stream::<(i64,)>()).await.unwrap();
        let first: Vec<_> = rows.take(taken).collect().await;
        assert_eq!(first.len(), taken);
        let left = tx.query("SELECT count(*) FROM notes").scalar::<i64>();
        assert_eq!(at_once(left).await.unwrap(), SOME - 1);
    }
    tx.commit().await.unwrap();
    assert_eq!(count_notes(&db).await, SOME - 1);
}

async fn writes_of_a_transaction(place: Place) {
    let db = filled(&place).await;
    let mut tx = db.begin();
    let rows = tx
        .query("UPDATE notes SET text = 'new' RETURNING id")
        .stream::<(i64,)>()
        .await
        .unwrap();
    let changed = rows.filter(|row| std::future::ready(row.is_ok())).count();
    assert_eq!(i64::try_from(changed.await).unwrap(), SOME);
    tx.commit().await.unwrap();
    let new = db.query("SELECT count(*) FROM notes WHERE text = 'new'");
    assert_eq!(new.scalar::<i64>().await.unwrap(), SOME);
}

async fn unreadable_rows(place: Place) {
    let db = filled(&place).await;
    let ask = "SELECT CASE WHEN id = 3 THEN NULL ELSE id END FROM notes ORDER BY notes.id";
    let mut rows = db.query(ask).stream::<(i64,)>().await.unwrap();
    assert_eq!(rows.next().await.unwrap().unwrap(), (1,));
    assert_eq!(rows.next().await.unwrap().unwrap(), (2,));
    let third = rows.next().await.unwrap();
    assert!(matches!(third, Err(DbError::Decode { .. })), "{third:?}");
    drop(rows);
    assert_eq!(at_once(count_notes(&db)).await, SOME);
}

/// Fails on the last row only.
const FAILS_INSIDE: &str =
    "SELECT abs(CASE WHEN id = 5000 THEN -9223372036854775807 - 1 ELSE id END)
     FROM notes ORDER BY id";

async fn an_error_inside(place: Place) {
    let db = filled(&place).await;
    let rows = db.query(FAILS_INSIDE).stream::<(i64,)>().await.unwrap();
    let rows: Vec<_> = at_once(rows.collect()).await;
    assert!(rows.last().unwrap().is_err());
    // within a transaction it aborts
    let mut tx = db.begin();
    let rows = tx.query(FAILS_INSIDE).stream::<(i64,)>().await.unwrap();
    let rows: Vec<_> = at_once(rows.collect()).await;
    assert!(rows.last().unwrap().is_err());
    let next = tx.query(ALL).execute().await;
    assert!(matches!(next, Err(DbError::Aborted)), "{next:?}");
    drop(tx);
    assert_eq!(at_once(count_notes(&db)).await, SOME);
}

async fn an_error_at_the_beginning(place: Place) {
    let db = place.db("acme").await;
    // told at once or as the first row, as the engine has it
    let failed = match db.query("SELECT nothing").stream::<(i64,)>().await {
        Err(error) => error,
        Ok(mut rows) => rows.next().await.unwrap().unwrap_err(),
    };
    assert!(matches!(failed, DbError::Statement(_)), "{failed:?}");
    let nul = db.query("SELECT id FROM notes WHERE text = $1").bind("\0");
    assert!(matches!(
        nul.stream::<(i64,)>().await,
        Err(DbError::NulInText)
    ));
}

async fn a_panic_is_no_end(place: Place) {
    let db = filled(&place).await;
    let reading = {
        let db = db.clone();
        tokio::spawn(async move {
            let mut rows = db.query(ALL).stream::<Panics>().await.unwrap();
            rows.next().await
        })
    };
    // an error, or a panic where rows are read on the caller's own thread
    assert!(!matches!(reading.await, Ok(None | Some(Ok(_)))));
    assert_eq!(at_once(count_notes(&db)).await, SOME);
}

async fn beside_each_other(place: Place) {
    let db = filled(&place).await;
    let readers = (0..8).map(|_| {
        let db = db.clone();
        tokio::spawn(async move {
            let rows = db.query(ALL).stream::<(i64,)>().await.unwrap();
            rows.count().await
        })
    });
    for count in at_once(futures_util::future::join_all(readers)).await {
        assert_eq!(i64::try_from(count.unwrap()).unwrap(), SOME);
    }
}

async fn a_slow_reader_holds_up_nobody(place: Place) {
    let db = filled(&place).await;
    let mut slow = db.query(ALL).stream::<(i64,)>().await.unwrap();
    slow.next().await.unwrap().unwrap();
    at_once(add_note(&db, SOME + 1, "note")).await;
    assert_eq!(at_once(count_notes(&db)).await, SOME + 1);
    // it sees what was there when it began
    let rest = at_once(slow.count()).await;
    assert_eq!(i64::try_from(rest).unwrap(), SOME - 1);
}
