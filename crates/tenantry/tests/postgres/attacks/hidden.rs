//! Calls that a reader of statements may miss where the server does not.

use tenantry::db::DbError;

use super::{denied, each};

/// What the server reads as a call of `set_config`, and who ends the text elsewhere as two texts.
const CONTINUED: &str = "SELECT E''\n'\\'', set_config($1, $2, true), 'x' --'";

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_goes_on_in_the_next_line_hides_no_call() {
    each(async |_, scene, isolation| {
        let (a, b) = (&scene.a.1, &scene.b.0);
        let id = b.id().as_uuid().to_string();
        let mut tx = a.begin();
        let set = tx
            .query(CONTINUED)
            .bind("tenantry.tenant")
            .bind(id.as_str())
            .execute()
            .await;
        denied(set, &isolation.to_string());
        drop(tx);
        for sql in [
            CONTINUED,
            "SELECT E''  -- a comment\r\n  '\\'', set_config($1, $2, true), 'x' --'",
            "SELECT E'' -- a comment\n -- and one more\n '\\'', set_config($1, $2, true), 'x' --'",
            "SELECT E'a'\n'b'\n'\\'', set_config($1, $2, true), 'x' --'",
        ] {
            let alone = a.query(sql).bind("role").bind("none").execute().await;
            denied(alone, sql);
        }
        // what is in one piece is read as before
        let whole: String = a.query("SELECT E'\\'' || '\\'").scalar().await.unwrap();
        assert_eq!(whole, "'\\", "{isolation}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_called_like_a_column_is_called() {
    each(async |_, scene, isolation| {
        let (a, b) = (&scene.a.1, &scene.b.0);
        let schema = format!("t_{}", b.id().as_uuid().simple());
        let reads = format!("SELECT to_tsvector(code) FROM {schema}.products");
        for sql in [
            "SELECT (($1::text).ts_stat)::text",
            "SELECT (($1::text) . \"ts_stat\")::text",
            "SELECT (x.y).ts_stat::text FROM (SELECT $1::text AS y) x",
            "SELECT (x.ts_stat)::text FROM (SELECT $1::text) x",
            "SELECT (ARRAY[$1::text])[1].nextval",
        ] {
            let stolen: Result<Vec<String>, DbError> = async {
                let rows: Vec<(String,)> = a.query(sql).bind(reads.as_str()).all().await?;
                Ok(rows.into_iter().map(|(row,)| row).collect())
            }
            .await;
            denied(stolen, &format!("{isolation}: {sql}"));
        }
        // a column is one, called as an innocent function or not
        let codes: Vec<(String,)> = a
            .query("SELECT p.code FROM (SELECT code, id AS upper FROM products) p ORDER BY p.upper")
            .all()
            .await
            .unwrap();
        assert_eq!(codes.len(), 2, "{isolation}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_made_by_what_is_called_like_a_verb() {
    each(async |_, scene, isolation| {
        let a = &scene.a.1;
        for sql in [
            "SELECT code AS insert INTO TEMP loot FROM products",
            "SELECT code AS \"insert\" INTO TEMP loot FROM products",
            "SELECT (code) merge INTO TEMP loot FROM products",
            "WITH x AS (SELECT 1) SELECT (code) insert INTO TEMP loot FROM products",
            "WITH insert AS (SELECT 1) SELECT (code) insert INTO TEMP loot FROM products",
        ] {
            denied(a.query(sql).execute().await, &format!("{isolation}: {sql}"));
        }
        let added = "WITH x AS (SELECT 'y' AS code) INSERT INTO products (code) SELECT code FROM x";
        assert_eq!(a.query(added).execute().await.unwrap(), 1, "{isolation}");
    })
    .await;
}
