//! Values go in and come out as they were, or are refused.

use std::fmt::Debug;

use chrono::{DateTime, NaiveDate, TimeZone, Utc};
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use super::{Place, list};
use crate::db::{DbError, FromValue, TenantDb, Value, ValueError};

list! { "values":
    booleans, small_integers, integers, big_integers, reals, doubles, texts, bytes, uuids, times,
    dates, decimals, documents, null_of_each, five_megabytes, nanoseconds_are_cut_off,
    years_of_other_than_four_digits_are_refused, nan_is_refused, nul_is_refused_before_the_engine,
    decimals_are_kept_to_the_digit, decimals_are_ordered_by_value, decimals_are_compared_by_value,
    sums_of_decimals_are_exact, sums_of_integers_and_of_nothing, integers_outside_a_column_are_refused,
    booleans_are_not_any_number, text_is_no_number_to_a_column, lossless_conversions,
    other_conversions_are_refused, literals_are_what_is_bound,
}

async fn put(db: &TenantDb, column: &str, value: Value) -> Result<u64, DbError> {
    db.query("DELETE FROM samples").execute().await?;
    db.query(&format!(
        "INSERT INTO samples (id, {column}) VALUES (1, $1)"
    ))
    .bind(value)
    .execute()
    .await
}

async fn get<T: FromValue + Send + 'static>(db: &TenantDb, column: &str) -> Result<T, DbError> {
    db.query(&format!("SELECT {column} FROM samples WHERE id = 1"))
        .scalar()
        .await
}

/// Each of `values` is stored and read, as itself and as an option.
async fn round_trip<T>(place: &Place, column: &str, values: impl IntoIterator<Item = T>)
where
    T: Into<Value> + FromValue + Clone + PartialEq + Debug + Send + 'static,
{
    let db = place.db("acme").await;
    for value in values {
        let shown = format!("{:.80}", format!("{value:?}"));
        put(&db, column, value.clone().into()).await.expect(&shown);
        let same = |read: T| assert!(read == value, "{shown} became {read:?}");
        same(get(&db, column).await.expect(&shown));
        same(get::<Option<T>>(&db, column).await.unwrap().unwrap());
        put(&db, column, Some(value.clone()).into()).await.unwrap();
        same(get(&db, column).await.unwrap());
    }
    put(&db, column, None::<T>.into()).await.unwrap();
    assert_eq!(get::<Option<T>>(&db, column).await.unwrap(), None);
}

/// Whether each of `values` is found by itself.
async fn found<T: Into<Value> + Clone + Debug>(
    place: &Place,
    column: &str,
    values: impl IntoIterator<Item = T>,
) {
    let db = place.db("acme").await;
    for value in values {
        put(&db, column, value.clone().into()).await.unwrap();
        let found: i64 = db
            .query(&format!("SELECT count(*) FROM samples WHERE {column} = $1"))
            .bind(value.clone())
            .scalar()
            .await
            .unwrap();
        assert_eq!(found, 1, "{value:?}");
    }
}

async fn booleans(place: Place) {
    round_trip(&place, "a_boolean", [true, false]).await;
    found(&place, "a_boolean", [true, false]).await;
}

async fn small_integers(place: Place) {
    let values = [0, 1, -1, i16::MIN, i16::MAX];
    round_trip(&place, "a_smallint", values).await;
    found(&place, "a_smallint", values).await;
}

async fn integers(place: Place) {
    let values = [0, 1, -1, i32::MIN, i32::MAX];
    round_trip(&place, "an_integer", values).await;
    found(&place, "an_integer", values).await;
}

async fn big_integers(place: Place) {
    let values = [0, 1, -1, i64::MIN, i64::MAX, (1 << 53) + 1];
    round_trip(&place, "a_bigint", values).await;
    found(&place, "a_bigint", values).await;
}

async fn reals(place: Place) {
    let values = [
        0.0,
        -1.5,
        0.1,
        f32::MIN,
        f32::MAX,
        f32::MIN_POSITIVE,
        f32::EPSILON,
        f32::INFINITY,
        f32::NEG_INFINITY,
    ];
    round_trip(&place, "a_real", values).await;
    found(&place, "a_real", values).await;
}

async fn doubles(place: Place) {
    let values = [
        0.0,
        -1.5,
        0.1,
        1e15,
        f64::MIN,
        f64::MAX,
        f64::MIN_POSITIVE,
        f64::EPSILON,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    round_trip(&place, "a_double", values).await;
    found(&place, "a_double", values).await;
}

const TEXTS: &[&str] = &[
    "",
    " ",
    "plain",
    "it's \"quoted\" \\ and %_",
    "line\nbreak\ttab\r\n",
    "123",
    "1e5",
    "null",
    "$1",
    "e\u{301}",
    "\u{e9}",
    "ﬃ ß ẞ İ",
    "👩‍👩‍👧‍👦 🇪🇺",
    "שלום عربي",
    "\u{202e}backwards",
    "\u{feff}mark",
    "\u{10ffff}\u{1}\u{7f}",
];

async fn texts(place: Place) {
    let values: Vec<_> = TEXTS.iter().map(|text| String::from(*text)).collect();
    round_trip::<String>(&place, "a_text", values.clone()).await;
    found(&place, "a_text", values).await;
    // a combined letter and a composed one are two texts
    let db = place.db("acme").await;
    put(&db, "a_text", "e\u{301}".into()).await.unwrap();
    let composed: i64 = db
        .query("SELECT count(*) FROM samples WHERE a_text = $1")
        .bind("\u{e9}")
        .scalar()
        .await
        .unwrap();
    assert_eq!(composed, 0);
}

async fn bytes(place: Place) {
    let values = [
        vec![],
        vec![0],
        vec![0, 255, 0],
        b"text".to_vec(),
        (0..=255).collect(),
        vec![0xff, 0xfe, 0xc0],
    ];
    round_trip::<Vec<u8>>(&place, "some_bytes", values.clone()).await;
    found(&place, "some_bytes", values).await;
}

async fn uuids(place: Place) {
    let values = [Uuid::nil(), Uuid::max(), Uuid::now_v7()];
    round_trip(&place, "a_uuid", values).await;
    found(&place, "a_uuid", values).await;
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

async fn times(place: Place) {
    let values = [
        "1970-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999999Z",
        "2024-02-29T12:34:56.000001Z",
        "2024-03-31T02:30:00+01:00",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
    ]
    .map(time);
    round_trip(&place, "a_time", values).await;
    found(&place, "a_time", values).await;
}

async fn dates(place: Place) {
    let values = ["1970-01-01", "2024-02-29", "0001-01-01", "9999-12-31"]
        .map(|text| text.parse::<NaiveDate>().unwrap());
    round_trip(&place, "a_date", values).await;
    found(&place, "a_date", values).await;
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

async fn decimals(place: Place) {
    let mut values: Vec<_> = [
        "0",
        "1",
        "-1",
        "10.00",
        "-0.01",
        "0.1",
        "123456789.987654321",
    ]
    .map(decimal)
    .into();
    values.extend([Decimal::MAX, Decimal::MIN, Decimal::new(1, 28)]);
    round_trip(&place, "a_decimal", values.clone()).await;
    found(&place, "a_decimal", values).await;
    round_trip(
        &place,
        "a_price",
        ["0.00", "9999999999.99", "-0.01"].map(decimal),
    )
    .await;
}

async fn documents(place: Place) {
    round_trip(
        &place,
        "a_document",
        [
            json!(null),
            json!(true),
            json!(-1),
            json!(9_007_199_254_740_993_i64),
            json!(0.5),
            json!(""),
            json!([]),
            json!({}),
            json!({"a": [1, {"b": null}], "": "'\"\\", "שלום": "👩‍👩‍👧‍👦"}),
        ],
    )
    .await;
}

const COLUMNS: &[&str] = &[
    "a_boolean",
    "a_smallint",
    "an_integer",
    "a_bigint",
    "a_real",
    "a_double",
    "a_text",
    "some_bytes",
    "a_uuid",
    "a_time",
    "a_date",
    "a_decimal",
    "a_price",
    "a_document",
];

async fn null_of_each(place: Place) {
    let db = place.db("acme").await;
    for column in COLUMNS {
        put(&db, column, Value::Null).await.expect(column);
        let found: i64 = db
            .query(&format!(
                "SELECT count(*) FROM samples WHERE {column} IS NULL"
            ))
            .scalar()
            .await
            .unwrap();
        assert_eq!(found, 1, "{column}");
    }
    // a NULL equals nothing, not even another
    let equal: i64 = db
        .query("SELECT count(*) FROM samples WHERE a_text = $1")
        .bind(None::<String>)
        .scalar()
        .await
        .unwrap();
    assert_eq!(equal, 0);
}

async fn five_megabytes(place: Place) {
    const SIZE: usize = 5 << 20;
    let text = "é".repeat(SIZE / 2);
    round_trip(&place, "a_text", [text]).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(SIZE).collect();
    round_trip(&place, "some_bytes", [bytes]).await;
}

async fn nanoseconds_are_cut_off(place: Place) {
    let db = place.db("acme").await;
    for (given, kept) in [
        (
            "2024-01-01T00:00:00.123456789Z",
            "2024-01-01T00:00:00.123456Z",
        ),
        (
            "2024-01-01T00:00:00.999999999Z",
            "2024-01-01T00:00:00.999999Z",
        ),
        (
            "1969-12-31T23:59:59.999999999Z",
            "1969-12-31T23:59:59.999999Z",
        ),
    ] {
        put(&db, "a_time", time(given).into()).await.unwrap();
        assert_eq!(
            get::<DateTime<Utc>>(&db, "a_time").await.unwrap(),
            time(kept)
        );
    }
}

async fn years_of_other_than_four_digits_are_refused(place: Place) {
    let db = place.db("acme").await;
    for year in [-4712, 0, 10_000] {
        let date = NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
        let refused = put(&db, "a_date", date.into()).await;
        assert!(matches!(refused, Err(DbError::Datatype(_))), "{refused:?}");
        let time = Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).unwrap();
        let refused = put(&db, "a_time", time.into()).await;
        assert!(matches!(refused, Err(DbError::Datatype(_))), "{refused:?}");
    }
}

async fn nan_is_refused(place: Place) {
    let db = place.db("acme").await;
    for (column, value) in [
        ("a_real", Value::from(f32::NAN)),
        ("a_double", f64::NAN.into()),
    ] {
        let refused = put(&db, column, value).await;
        assert!(matches!(refused, Err(DbError::Datatype(_))), "{refused:?}");
    }
}

async fn nul_is_refused_before_the_engine(place: Place) {
    let db = place.db("acme").await;
    for value in [
        Value::from("\0"),
        "a\0b".into(),
        json!(["\0"]).into(),
        json!({"\0": 1}).into(),
    ] {
        let mut tx = db.begin();
        let refused = tx
            .query("INSERT INTO notes (id, text) VALUES (1, $1)")
            .bind(value)
            .execute()
            .await;
        assert!(matches!(refused, Err(DbError::NulInText)), "{refused:?}");
        // the engine has not seen it, so the transaction is as it was
        tx.query("INSERT INTO notes (id, text) VALUES (2, 'kept')")
            .execute()
            .await
            .unwrap();
    }
}

async fn decimals_are_kept_to_the_digit(place: Place) {
    let db = place.db("acme").await;
    for text in ["10.00", "0.10", "-0.050", "79228162514264337593543950335"] {
        put(&db, "a_decimal", decimal(text).into()).await.unwrap();
        let read: Decimal = get(&db, "a_decimal").await.unwrap();
        assert_eq!(read.to_string(), text);
    }
}

async fn put_prices(db: &TenantDb, column: &str, prices: &[&str]) {
    db.query("DELETE FROM samples").execute().await.unwrap();
    for (id, price) in (1_i64..).zip(prices) {
        db.query(&format!(
            "INSERT INTO samples (id, {column}) VALUES ($1, $2)"
        ))
        .bind(id)
        .bind(decimal(price))
        .execute()
        .await
        .unwrap();
    }
}

async fn decimals_are_ordered_by_value(place: Place) {
    let db = place.db("acme").await;
    put_prices(
        &db,
        "a_decimal",
        &["10", "9.5", "-1", "100", "-20", "9.49", "0"],
    )
    .await;
    let ordered: Vec<(Decimal,)> = db
        .query("SELECT a_decimal FROM samples ORDER BY a_decimal")
        .all()
        .await
        .unwrap();
    let ordered: Vec<_> = ordered.iter().map(|(price,)| price.to_string()).collect();
    assert_eq!(ordered, ["-20", "-1", "0", "9.49", "9.5", "10", "100"]);
    let (least, most): (Decimal, Decimal) = db
        .query("SELECT min(a_decimal), max(a_decimal) FROM samples")
        .one()
        .await
        .unwrap();
    assert_eq!((least, most), (decimal("-20"), decimal("100")));
}

async fn decimals_are_compared_by_value(place: Place) {
    let db = place.db("acme").await;
    put_prices(&db, "a_price", &["9.00", "10.00", "-1.00", "100.00"]).await;
    for (condition, expected) in [
        ("a_price = $1", 1),
        ("a_price > $1", 2),
        ("$1 >= a_price", 2),
        ("a_price BETWEEN $1 AND 50", 2),
        ("a_price IN ($1, 10)", 2),
        ("a_price <> $1", 3),
    ] {
        let count: i64 = db
            .query(&format!("SELECT count(*) FROM samples WHERE {condition}"))
            .bind(decimal("9"))
            .scalar()
            .await
            .expect(condition);
        assert_eq!(count, expected, "{condition}");
    }
    let distinct: i64 = db
        .query("SELECT count(DISTINCT a_decimal) FROM samples")
        .scalar()
        .await
        .unwrap();
    assert_eq!(distinct, 0);
    put_prices(&db, "a_decimal", &["1", "1.0", "1.00", "2"]).await;
    let groups: Vec<(i64,)> = db
        .query("SELECT count(*) FROM samples GROUP BY a_decimal ORDER BY a_decimal")
        .all()
        .await
        .unwrap();
    assert_eq!(groups, [(3,), (1,)]);
}

async fn sums_of_decimals_are_exact(place: Place) {
    let db = place.db("acme").await;
    let sum = || {
        db.query("SELECT sum(a_decimal) FROM samples")
            .scalar::<Decimal>()
    };
    put_prices(&db, "a_decimal", &["0.1"; 10]).await;
    assert_eq!(sum().await.unwrap().to_string(), "1.0");
    put_prices(
        &db,
        "a_decimal",
        &["9007199254740993", "0.01", "-9007199254740992"],
    )
    .await;
    assert_eq!(sum().await.unwrap().to_string(), "1.01");
}

async fn sums_of_integers_and_of_nothing(place: Place) {
    let db = place.db("acme").await;
    let nothing: Option<Decimal> = db
        .query("SELECT sum(a_decimal) FROM samples")
        .scalar()
        .await
        .unwrap();
    assert_eq!(nothing, None);
    for (id, number) in [(1_i64, i32::MAX), (2, i32::MAX), (3, -1)] {
        db.query("INSERT INTO samples (id, an_integer, a_bigint) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(number)
            .bind(i64::from(number))
            .execute()
            .await
            .unwrap();
    }
    let (narrow, wide): (i64, i64) = db
        .query("SELECT sum(an_integer), sum(a_bigint) FROM samples")
        .one()
        .await
        .unwrap();
    let expected = 2 * i64::from(i32::MAX) - 1;
    assert_eq!((narrow, wide), (expected, expected));
}

async fn integers_outside_a_column_are_refused(place: Place) {
    let db = place.db("acme").await;
    for (column, value) in [
        ("a_smallint", i64::from(i16::MAX) + 1),
        ("a_smallint", i64::from(i16::MIN) - 1),
        ("an_integer", i64::from(i32::MAX) + 1),
        ("an_integer", i64::from(i32::MIN) - 1),
    ] {
        let refused = put(&db, column, value.into()).await;
        assert!(matches!(refused, Err(DbError::Datatype(_))), "{refused:?}");
    }
    // bound wider than the column, but within it
    put(&db, "a_smallint", i64::from(i16::MAX).into())
        .await
        .unwrap();
}

async fn booleans_are_not_any_number(place: Place) {
    let db = place.db("acme").await;
    let refused = put(&db, "a_boolean", 2_i64.into()).await;
    assert!(matches!(refused, Err(DbError::Datatype(_))), "{refused:?}");
}

async fn text_is_no_number_to_a_column(place: Place) {
    let db = place.db("acme").await;
    for column in ["a_bigint", "a_double", "some_bytes", "a_boolean"] {
        let refused = put(&db, column, "five".into()).await;
        assert!(matches!(refused, Err(DbError::Datatype(_))), "{refused:?}");
    }
}

async fn lossless_conversions(place: Place) {
    let db = place.db("acme").await;
    put(&db, "a_smallint", 7_i16.into()).await.unwrap();
    assert_eq!(get::<i64>(&db, "a_smallint").await.unwrap(), 7);
    assert_eq!(get::<Decimal>(&db, "a_smallint").await.unwrap(), 7.into());
    put(&db, "a_bigint", 7_i64.into()).await.unwrap();
    assert_eq!(get::<i16>(&db, "a_bigint").await.unwrap(), 7);
    let id = Uuid::now_v7();
    put(&db, "a_uuid", id.into()).await.unwrap();
    assert_eq!(get::<String>(&db, "a_uuid").await.unwrap(), id.to_string());
    put(&db, "a_real", 0.5_f32.into()).await.unwrap();
    assert!((get::<f64>(&db, "a_real").await.unwrap() - 0.5).abs() < f64::EPSILON);
    put(
        &db,
        "a_date",
        time("2024-02-29T00:00:00Z").date_naive().into(),
    )
    .await
    .unwrap();
    assert_eq!(get::<String>(&db, "a_date").await.unwrap(), "2024-02-29");
    put(&db, "a_price", decimal("9.90").into()).await.unwrap();
    assert_eq!(get::<String>(&db, "a_price").await.unwrap(), "9.90");
}

async fn other_conversions_are_refused(place: Place) {
    let db = place.db("acme").await;
    fn reason<T: Debug>(read: Result<T, DbError>, asked_of: &str) -> ValueError {
        match read {
            Err(DbError::Decode { column, source }) => {
                assert_eq!(column, asked_of);
                source
            }
            other => panic!("{asked_of}: {other:?}"),
        }
    }
    put(&db, "a_bigint", i64::MAX.into()).await.unwrap();
    for source in [
        reason(get::<i32>(&db, "a_bigint").await, "a_bigint"),
        reason(get::<i16>(&db, "a_bigint").await, "a_bigint"),
    ] {
        assert!(matches!(source, ValueError::Form(_)), "{source:?}");
    }
    for source in [
        reason(get::<String>(&db, "a_bigint").await, "a_bigint"),
        reason(get::<Vec<u8>>(&db, "a_bigint").await, "a_bigint"),
        reason(get::<Uuid>(&db, "a_bigint").await, "a_bigint"),
        reason(get::<DateTime<Utc>>(&db, "a_bigint").await, "a_bigint"),
    ] {
        assert!(matches!(source, ValueError::Kind { .. }), "{source:?}");
    }
    put(&db, "a_text", "five".into()).await.unwrap();
    for source in [
        reason(get::<i64>(&db, "a_text").await, "a_text"),
        reason(get::<bool>(&db, "a_text").await, "a_text"),
        reason(get::<f64>(&db, "a_text").await, "a_text"),
        reason(get::<Vec<u8>>(&db, "a_text").await, "a_text"),
    ] {
        assert!(matches!(source, ValueError::Kind { .. }), "{source:?}");
    }
    put(&db, "a_double", f64::MAX.into()).await.unwrap();
    let source = reason(get::<f32>(&db, "a_double").await, "a_double");
    assert!(matches!(source, ValueError::Form(_)), "{source:?}");
    for column in COLUMNS {
        put(&db, column, Value::Null).await.unwrap();
        let source = reason(get::<String>(&db, column).await, column);
        assert!(matches!(source, ValueError::Null(_)), "{source:?}");
    }
}

async fn literals_are_what_is_bound(place: Place) {
    let db = place.db("acme").await;
    let id = Uuid::now_v7();
    db.query(&format!(
        "INSERT INTO samples (id, a_boolean, a_uuid, a_time, a_date, a_price, a_text)
         VALUES (1, true, '{id}', '2024-02-29T12:00:00.000000Z', '2024-02-29', 9.90, 'it''s')"
    ))
    .execute()
    .await
    .unwrap();
    let found: i64 = db
        .query(
            "SELECT count(*) FROM samples WHERE a_boolean = $1 AND a_uuid = $2 AND a_time = $3
             AND a_date = $4 AND a_price = $5 AND a_text = $6 AND a_boolean",
        )
        .bind(true)
        .bind(id)
        .bind(time("2024-02-29T12:00:00Z"))
        .bind(time("2024-02-29T12:00:00Z").date_naive())
        .bind(decimal("9.90"))
        .bind("it's")
        .scalar()
        .await
        .unwrap();
    assert_eq!(found, 1);
}
