//! Statements: their parameters, what they answer, and the SQL that every engine understands alike.

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use sea_query::{Expr, ExprTrait, OnConflict, Order, Query};
use uuid::Uuid;

use super::{Place, add_note, add_notes, count_notes, list, note};
use crate::db::{DbError, FromRow, Row, TenantDb, ValueError};

list! { "statements":
    parameters_go_by_their_number, one_parameter_twice, parameters_must_be_as_many,
    many_rows, no_rows, one_optional_scalar, scalar_of_null, columns_by_name, columns_by_position,
    execute_counts, returning, a_write_is_done_whole_however_little_is_read,
    a_write_may_begin_like_a_read, comments_and_semicolons, several_statements_are_refused,
    wrong_statements_are_typed, built_selects, built_writes, built_limits, built_values_are_checked,
    like_minds_case, lower_and_upper_know_unicode, now_is_the_time, now_stands_still,
    random_uuids_differ, defaults, upsert_updates, upsert_does_nothing, texts_are_ordered_as_they_stand,
    common_functions,
}

async fn parameters_go_by_their_number(place: Place) {
    let db = place.db("acme").await;
    db.query("INSERT INTO notes (text, id) VALUES ($2, $1)")
        .bind(1_i64)
        .bind("one")
        .execute()
        .await
        .unwrap();
    assert_eq!(note(&db, 1).await.as_deref(), Some("one"));
    // more than nine of them, in no order
    let many: i64 = db
        .query(
            "SELECT count(*) FROM notes WHERE id = $11 AND text <> $10 AND text <> $9 AND text <> $8
             AND text <> $7 AND text <> $6 AND text <> $5 AND text <> $4 AND text <> $3
             AND text <> $2 AND text = $1",
        )
        .bind("one")
        .bind("2")
        .bind("3")
        .bind("4")
        .bind("5")
        .bind("6")
        .bind("7")
        .bind("8")
        .bind("9")
        .bind("10")
        .bind(1_i64)
        .scalar()
        .await
        .unwrap();
    assert_eq!(many, 1);
}

async fn one_parameter_twice(place: Place) {
    let db = place.db("acme").await;
    add_note(&db, 1, "one").await;
    add_note(&db, 2, "two").await;
    let either: i64 = db
        .query("SELECT count(*) FROM notes WHERE (text = $1 AND id = 1) OR text < $1 OR text > $1")
        .bind("one")
        .scalar()
        .await
        .unwrap();
    assert_eq!(either, 2);
}

async fn parameters_must_be_as_many(place: Place) {
    let db = place.db("acme").await;
    let none = db.query("SELECT id FROM notes WHERE id = $1").execute();
    assert!(matches!(
        none.await,
        Err(DbError::Parameters {
            expected: 1,
            given: 0
        })
    ));
    let two = db.query("SELECT id FROM notes WHERE id = $1");
    assert!(matches!(
        two.bind(1_i64).bind(2_i64).execute().await,
        Err(DbError::Parameters {
            expected: 1,
            given: 2
        })
    ));
    let unasked = db.query("DELETE FROM notes").bind(1_i64).execute();
    assert!(matches!(
        unasked.await,
        Err(DbError::Parameters {
            expected: 0,
            given: 1
        })
    ));
}

async fn many_rows(place: Place) {
    let db = place.db("acme").await;
    add_notes(&db, 20_000).await;
    let ids: Vec<(i64,)> = db
        .query("SELECT id FROM notes ORDER BY id")
        .all()
        .await
        .unwrap();
    assert!(ids.iter().map(|(id,)| *id).eq(1..=20_000));
}

async fn no_rows(place: Place) {
    let db = place.db("acme").await;
    let rows: Vec<(i64,)> = db.query("SELECT id FROM notes").all().await.unwrap();
    assert!(rows.is_empty());
}

async fn one_optional_scalar(place: Place) {
    let db = place.db("acme").await;
    let ask = || db.query("SELECT id FROM notes");
    assert!(matches!(
        ask().one::<(i64,)>().await,
        Err(DbError::NotFound)
    ));
    assert!(matches!(ask().optional::<(i64,)>().await, Ok(None)));
    assert!(matches!(
        ask().scalar::<i64>().await,
        Err(DbError::NotFound)
    ));
    add_note(&db, 1, "one").await;
    assert!(matches!(ask().one::<(i64,)>().await, Ok((1,))));
    assert!(matches!(ask().optional::<(i64,)>().await, Ok(Some((1,)))));
    assert!(matches!(ask().scalar::<i64>().await, Ok(1)));
    add_note(&db, 2, "two").await;
    add_note(&db, 3, "three").await;
    assert!(matches!(
        ask().one::<(i64,)>().await,
        Err(DbError::TooManyRows)
    ));
    assert!(matches!(
        ask().optional::<(i64,)>().await,
        Err(DbError::TooManyRows)
    ));
    assert!(matches!(
        ask().scalar::<i64>().await,
        Err(DbError::TooManyRows)
    ));
}

async fn scalar_of_null(place: Place) {
    let db = place.db("acme").await;
    let ask = || db.query("SELECT max(id) FROM notes");
    assert_eq!(ask().scalar::<Option<i64>>().await.unwrap(), None);
    assert!(matches!(
        ask().scalar::<i64>().await,
        Err(DbError::Decode {
            source: ValueError::Null(_),
            ..
        })
    ));
}

#[derive(Debug, PartialEq)]
struct Note {
    id: i64,
    text: String,
}

impl FromRow for Note {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            id: row.get("id")?,
            text: row.field(1, "text")?,
        })
    }
}

async fn columns_by_name(place: Place) {
    let db = place.db("acme").await;
    add_note(&db, 1, "one").await;
    let expected = Note {
        id: 1,
        text: "one".into(),
    };
    for columns in ["id, text", "text, id", "mark, written_at, text, id"] {
        let read: Note = db
            .query(&format!("SELECT {columns} FROM notes"))
            .one()
            .await
            .unwrap();
        assert_eq!(read, expected, "{columns}");
    }
    let missing = db.query("SELECT id FROM notes").one::<Note>().await;
    assert!(matches!(&missing, Err(DbError::NoColumn(name)) if name == "text"));
}

async fn columns_by_position(place: Place) {
    let db = place.db("acme").await;
    add_note(&db, 1, "one").await;
    let two = db.query("SELECT id FROM notes").one::<(i64, i64)>().await;
    assert!(matches!(two, Err(DbError::NoColumn(_))), "{two:?}");
    let first: (i64,) = db.query("SELECT id, text FROM notes").one().await.unwrap();
    assert_eq!(first, (1,));
}

async fn count(db: &TenantDb, sql: &str) -> u64 {
    db.query(sql).execute().await.expect(sql)
}

async fn execute_counts(place: Place) {
    let db = place.db("acme").await;
    let insert = "INSERT INTO notes (id, text) VALUES (1, 'a'), (2, 'b'), (3, 'c')";
    assert_eq!(count(&db, insert).await, 3);
    assert_eq!(count(&db, "SELECT id FROM notes").await, 3);
    assert_eq!(count(&db, "SELECT id FROM notes WHERE id > 9").await, 0);
    assert_eq!(
        count(&db, "UPDATE notes SET text = 'x' WHERE id > 1").await,
        2
    );
    assert_eq!(
        count(&db, "UPDATE notes SET text = 'x' WHERE id > 9").await,
        0
    );
    let returning = "UPDATE notes SET text = 'y' RETURNING id";
    assert_eq!(count(&db, returning).await, 3);
    let nothing = "INSERT INTO notes (id, text) VALUES (1, 'a') ON CONFLICT DO NOTHING";
    assert_eq!(count(&db, nothing).await, 0);
    assert_eq!(count(&db, "DELETE FROM notes WHERE id = 1").await, 1);
    assert_eq!(count(&db, "DELETE FROM notes").await, 2);
    assert_eq!(count(&db, "DELETE FROM notes").await, 0);
}

async fn returning(place: Place) {
    let db = place.db("acme").await;
    let added: Vec<(i64, String)> = db
        .query("INSERT INTO notes (id, text) VALUES (1, 'a'), (2, 'b') RETURNING id, text")
        .all()
        .await
        .unwrap();
    assert_eq!(added, [(1, "a".into()), (2, "b".into())]);
    let changed: String = db
        .query("UPDATE notes SET text = text || $2 WHERE id = $1 RETURNING text")
        .bind(1_i64)
        .bind("!")
        .scalar()
        .await
        .unwrap();
    assert_eq!(changed, "a!");
    let gone: Option<(i64,)> = db
        .query("DELETE FROM notes WHERE id = 9 RETURNING id")
        .optional()
        .await
        .unwrap();
    assert_eq!(gone, None);
}

async fn a_write_is_done_whole_however_little_is_read(place: Place) {
    let db = place.db("acme").await;
    add_notes(&db, 10).await;
    let ask = db.query("UPDATE notes SET text = 'new' RETURNING id");
    assert!(matches!(
        ask.one::<(i64,)>().await,
        Err(DbError::TooManyRows)
    ));
    let old: i64 = db
        .query("SELECT count(*) FROM notes WHERE text <> 'new'")
        .scalar()
        .await
        .unwrap();
    assert_eq!(old, 0);
}

async fn a_write_may_begin_like_a_read(place: Place) {
    let db = place.db("acme").await;
    add_notes(&db, 3).await;
    assert_eq!(count_notes(&db).await, 3);
}

async fn comments_and_semicolons(place: Place) {
    let db = place.db("acme").await;
    for sql in [
        "-- SELECT\nINSERT INTO notes (id, text) VALUES (1, 'a')",
        "/* SELECT */ UPDATE notes SET text = '; -- $1 /*' WHERE id = 1;",
        "  \n UPDATE notes SET text = text -- at the end",
    ] {
        assert_eq!(count(&db, sql).await, 1, "{sql}");
    }
    assert_eq!(note(&db, 1).await.as_deref(), Some("; -- $1 /*"));
}

async fn several_statements_are_refused(place: Place) {
    let db = place.db("acme").await;
    add_note(&db, 1, "one").await;
    for sql in [
        "DELETE FROM notes; DELETE FROM notes",
        "SELECT id FROM notes; DELETE FROM notes",
        "DELETE FROM notes; DROP TABLE notes",
        "DELETE FROM notes; COMMIT",
    ] {
        let refused = db.query(sql).execute().await;
        assert!(
            matches!(refused, Err(DbError::Statement(_) | DbError::Denied(_))),
            "{sql}: {refused:?}"
        );
    }
    assert_eq!(count_notes(&db).await, 1);
}

async fn wrong_statements_are_typed(place: Place) {
    let db = place.db("acme").await;
    for sql in [
        "SELEKT id FROM notes",
        "SELECT id FROM nowhere",
        "SELECT nothing FROM notes",
        "SELECT id FROM notes WHERE",
        "SELECT no_such_function(id) FROM notes",
        "INSERT INTO notes (id, nothing) VALUES (1, 2)",
        "SELECT \"not a column\" FROM notes",
        "UPDATE notes SET",
        "",
        " ; ",
        "-- nothing",
    ] {
        let refused = db.query(sql).execute().await;
        assert!(
            matches!(refused, Err(DbError::Statement(_))),
            "{sql}: {refused:?}"
        );
    }
}

async fn built_selects(place: Place) {
    let db = place.db("acme").await;
    add_note(&db, 1, "one").await;
    add_note(&db, 2, "it's").await;
    add_note(&db, 3, "three").await;
    let select = Query::select()
        .columns(["id", "text"])
        .from("notes")
        .and_where(Expr::col("text").is_in(["one", "it's"]))
        .and_where(Expr::col("id").gt(0_i64))
        .order_by("id", Order::Desc)
        .take();
    let found: Vec<(i64, String)> = db.statement(&select).all().await.unwrap();
    assert_eq!(found, [(2, "it's".into()), (1, "one".into())]);
    let none = Query::select()
        .column("id")
        .from("notes")
        .and_where(Expr::col("id").is_in([0_i64; 0]))
        .take();
    assert!(
        db.statement(&none)
            .all::<(i64,)>()
            .await
            .unwrap()
            .is_empty()
    );
}

async fn built_writes(place: Place) {
    let db = place.db("acme").await;
    let mark = Uuid::now_v7();
    let insert = Query::insert()
        .into_table("notes")
        .columns(["id", "text", "mark"])
        .values_panic([1_i64.into(), "one".into(), mark.into()])
        .values_panic([2_i64.into(), "two".into(), mark.into()])
        .take();
    assert_eq!(db.statement(&insert).execute().await.unwrap(), 2);
    let update = Query::update()
        .table("notes")
        .value("text", "changed")
        .and_where(Expr::col("id").eq(1_i64))
        .take();
    let mut tx = db.begin();
    assert_eq!(tx.statement(&update).execute().await.unwrap(), 1);
    let mut savepoint = tx.savepoint().await.unwrap();
    let delete = Query::delete()
        .from_table("notes")
        .and_where(Expr::col("mark").eq(mark))
        .and_where(Expr::col("id").eq(2_i64))
        .take();
    assert_eq!(savepoint.statement(&delete).execute().await.unwrap(), 1);
    savepoint.release().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(note(&db, 1).await.as_deref(), Some("changed"));
    assert_eq!(note(&db, 2).await, None);
    let upsert = Query::insert()
        .into_table("notes")
        .columns(["id", "text"])
        .values_panic([1_i64.into(), "again".into()])
        .on_conflict(OnConflict::column("id").update_column("text").to_owned())
        .take();
    assert_eq!(db.statement(&upsert).execute().await.unwrap(), 1);
    assert_eq!(note(&db, 1).await.as_deref(), Some("again"));
}

async fn built_limits(place: Place) {
    let db = place.db("acme").await;
    add_notes(&db, 10).await;
    let page = Query::select()
        .column("id")
        .from("notes")
        .order_by("id", Order::Asc)
        .limit(3)
        .offset(4)
        .take();
    let ids: Vec<(i64,)> = db.statement(&page).all().await.unwrap();
    assert_eq!(ids, [(5,), (6,), (7,)]);
    let bound: Vec<(i64,)> = db
        .query("SELECT id FROM notes ORDER BY id LIMIT $1 OFFSET $2")
        .bind(2_i64)
        .bind(8_i64)
        .all()
        .await
        .unwrap();
    assert_eq!(bound, [(9,), (10,)]);
}

async fn built_values_are_checked(place: Place) {
    let db = place.db("acme").await;
    let with = |value: Expr| {
        Query::insert()
            .into_table("notes")
            .columns(["id", "text"])
            .values_panic([value, "text".into()])
            .take()
    };
    let too_large = db.statement(&with(u64::MAX.into())).execute().await;
    assert!(
        matches!(too_large, Err(DbError::Datatype(_))),
        "{too_large:?}"
    );
    let nul = db.statement(&with("\0".into())).execute().await;
    assert!(matches!(nul, Err(DbError::NulInText)), "{nul:?}");
}

async fn matching(db: &TenantDb, condition: &str) -> Vec<i64> {
    let ids: Vec<(i64,)> = db
        .query(&format!(
            "SELECT id FROM notes WHERE {condition} ORDER BY id"
        ))
        .all()
        .await
        .expect(condition);
    ids.into_iter().map(|(id,)| id).collect()
}

async fn like_minds_case(place: Place) {
    let db = place.db("acme").await;
    for (id, text) in [
        (1, "Mug"),
        (2, "mug"),
        (3, "100%"),
        (4, "1000"),
        (5, "smug"),
    ] {
        add_note(&db, id, text).await;
    }
    assert_eq!(matching(&db, "text LIKE 'mug'").await, [2]);
    assert_eq!(matching(&db, "text LIKE '_ug'").await, [1, 2]);
    assert_eq!(matching(&db, "text LIKE '%mug'").await, [2, 5]);
    assert_eq!(matching(&db, "text NOT LIKE '%ug'").await, [3, 4]);
    assert_eq!(matching(&db, r"text LIKE '100\%' ESCAPE '\'").await, [3]);
    assert_eq!(matching(&db, "lower(text) LIKE lower('MUG')").await, [1, 2]);
}

async fn lower_and_upper_know_unicode(place: Place) {
    let db = place.db("acme").await;
    add_note(&db, 1, "ÉCOLE ŻÓŁW ДОМ").await;
    let (lower, upper): (String, String) = db
        .query("SELECT lower(text), upper(lower(text)) FROM notes")
        .one()
        .await
        .unwrap();
    assert_eq!(lower, "école żółw дом");
    assert_eq!(upper, "ÉCOLE ŻÓŁW ДОМ");
    assert_eq!(matching(&db, "lower(text) = 'école żółw дом'").await, [1]);
}

async fn now_is_the_time(place: Place) {
    let db = place.db("acme").await;
    let before = Utc::now() - TimeDelta::seconds(1);
    let (now, current): (DateTime<Utc>, DateTime<Utc>) = db
        .query("SELECT now(), CURRENT_TIMESTAMP")
        .one()
        .await
        .unwrap();
    assert!(before < now && now < Utc::now() + TimeDelta::seconds(1));
    assert_eq!(now, current);
}

async fn now_stands_still(place: Place) {
    let db = place.db("acme").await;
    let now = "SELECT now()";
    let mut tx = db.begin();
    let first: DateTime<Utc> = tx.query(now).scalar().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let second: DateTime<Utc> = tx.query(now).scalar().await.unwrap();
    assert_eq!(first, second, "within a transaction");
    tx.commit().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let later: DateTime<Utc> = db.query(now).scalar().await.unwrap();
    assert!(later > first, "but not beyond");
    add_notes(&db, 1000).await;
    let times: i64 = db
        .query("SELECT count(DISTINCT written_at) FROM notes")
        .scalar()
        .await
        .unwrap();
    assert_eq!(times, 1, "within a statement");
}

async fn random_uuids_differ(place: Place) {
    let db = place.db("acme").await;
    add_notes(&db, 100).await;
    let different: i64 = db
        .query("SELECT count(DISTINCT mark) FROM notes")
        .scalar()
        .await
        .unwrap();
    assert_eq!(different, 100);
    let id: Uuid = db.query("SELECT gen_random_uuid()").scalar().await.unwrap();
    assert_eq!(id.get_version_num(), 4);
}

async fn defaults(place: Place) {
    let db = place.db("acme").await;
    let (value,): (i64,) = db
        .query("INSERT INTO counters (name) VALUES ('hits') RETURNING value")
        .one()
        .await
        .unwrap();
    assert_eq!(value, 0);
    db.query("INSERT INTO shelves (id, name) VALUES (1, 'top')")
        .execute()
        .await
        .unwrap();
    let price: Decimal = db
        .query("INSERT INTO products (id, shelf, code) VALUES (1, 1, 'mug') RETURNING price")
        .scalar()
        .await
        .unwrap();
    assert!(price.is_zero());
}

async fn upsert_updates(place: Place) {
    let db = place.db("acme").await;
    let hit = || {
        db.query(
            "INSERT INTO counters (name, value) VALUES ('hits', $1)
             ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value
             RETURNING value",
        )
        .bind(5_i64)
        .scalar::<i64>()
    };
    assert_eq!(hit().await.unwrap(), 5);
    assert_eq!(hit().await.unwrap(), 10);
    let unmet = db
        .query(
            "INSERT INTO counters (name, value) VALUES ('hits', 1)
             ON CONFLICT (name) DO UPDATE SET value = 0 WHERE counters.value < 10",
        )
        .execute()
        .await
        .unwrap();
    assert_eq!(unmet, 0);
}

async fn upsert_does_nothing(place: Place) {
    let db = place.db("acme").await;
    add_note(&db, 1, "first").await;
    for target in ["(id)", ""] {
        let sql = format!(
            "INSERT INTO notes (id, text) VALUES (1, 'second'), (2, 'other')
             ON CONFLICT {target} DO NOTHING"
        );
        db.query(&sql).execute().await.unwrap();
    }
    assert_eq!(note(&db, 1).await.as_deref(), Some("first"));
    assert_eq!(note(&db, 2).await.as_deref(), Some("other"));
    // a conflict with another constraint than the one named is an error still
    db.query("INSERT INTO shelves (id, name) VALUES (1, 'top')")
        .execute()
        .await
        .unwrap();
    let other = db
        .query("INSERT INTO shelves (id, name) VALUES (2, 'top') ON CONFLICT (id) DO NOTHING")
        .execute()
        .await;
    assert!(other.unwrap_err().is_unique("shelves", &["name"]));
}

async fn texts_are_ordered_as_they_stand(place: Place) {
    let db = place.db("acme").await;
    for (id, text) in [(1, "b"), (2, "B"), (3, "a"), (4, "é"), (5, "Z"), (6, "")] {
        add_note(&db, id, text).await;
    }
    let ordered: Vec<(String,)> = db
        .query("SELECT text FROM notes ORDER BY text")
        .all()
        .await
        .unwrap();
    let ordered: Vec<_> = ordered.iter().map(|(text,)| text.as_str()).collect();
    assert_eq!(ordered, ["", "B", "Z", "a", "b", "é"]);
    assert_eq!(matching(&db, "text = 'B'").await, [2]);
}

async fn common_functions(place: Place) {
    let db = place.db("acme").await;
    add_note(&db, 1, "  Köln ").await;
    add_note(&db, 2, "Ulm").await;
    for (expression, expected) in [
        ("length(trim(text))", "4"),
        ("substr(trim(text), 2, 2)", "öl"),
        ("replace(trim(text), 'K', 'k')", "köln"),
        ("coalesce(NULL, text, 'x')", "  Köln "),
        ("nullif(text, 'x')", "  Köln "),
        ("CASE WHEN id = 1 THEN 'one' ELSE 'other' END", "one"),
        ("text || '!'", "  Köln !"),
        ("CAST(id AS text)", "1"),
        ("abs(id - 5)", "4"),
        ("7 / 2", "3"),
        ("id % 2", "1"),
        ("count(*) OVER ()", "1"),
        ("(SELECT count(*) FROM notes)", "2"),
        ("row_number() OVER (ORDER BY id)", "1"),
    ] {
        let read: String = db
            .query(&format!(
                "SELECT CAST({expression} AS text) FROM notes WHERE id = 1"
            ))
            .scalar()
            .await
            .expect(expression);
        assert_eq!(read, expected, "{expression}");
    }
    let (groups, rows): (i64, i64) = db
        .query(
            "SELECT count(*), coalesce(sum(rows), 0) FROM (
                SELECT id % 2, count(*) AS rows FROM notes GROUP BY id % 2
                HAVING count(*) > 0) AS g",
        )
        .one()
        .await
        .unwrap();
    assert_eq!((groups, rows), (2, 2));
    let nulls: Vec<(Option<i64>,)> = db
        .query(
            "SELECT value FROM (SELECT id AS value FROM notes UNION ALL SELECT NULL) AS v
             ORDER BY value DESC NULLS LAST",
        )
        .all()
        .await
        .unwrap();
    assert_eq!(nulls, [(Some(2),), (Some(1),), (None,)]);
}
