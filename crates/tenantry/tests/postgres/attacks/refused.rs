//! What is nothing for a tenant to say.

use futures_util::StreamExt;
use tenantry::{db::DbError, tenant::Isolation};

use super::{Scene, denied, each, shop};
use crate::support::{Place, texts};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_statement_of_a_tenant_is_refused() {
    each(async |_, scene, isolation| {
        let db = &scene.a.1;
        let (a, b) = (scene.a.0.id(), scene.b.0.id());
        let schema = format!("t_{}", b.as_uuid().simple());
        for sql in [
            "COPY products TO STDOUT",
            "COPY products FROM STDIN",
            "TRUNCATE products",
            "CREATE TEMP TABLE products (code text)",
            "CREATE TABLE x (y int)",
            "SELECT code INTO TEMP stolen FROM products",
            "SELECT code INTO stolen FROM products",
            "SET ROLE postgres",
            "SET LOCAL ROLE postgres",
            "RESET ROLE",
            "RESET ALL",
            "SET SESSION AUTHORIZATION DEFAULT",
            "DISCARD ALL",
            "BEGIN",
            "COMMIT",
            "ROLLBACK",
            "SAVEPOINT x",
            "LISTEN tenantry",
            "NOTIFY tenantry",
            "LOCK products",
            "VACUUM products",
            "PREPARE x AS SELECT 1",
            "EXECUTE s0",
            "DEALLOCATE ALL",
            "DECLARE x CURSOR FOR SELECT 1",
            "FETCH ALL FROM tenantry_rows",
            "DO $$ BEGIN RESET ROLE; END $$",
            "CALL x()",
            "ALTER TABLE products DISABLE ROW LEVEL SECURITY",
            "DROP TABLE products",
            "GRANT ALL ON products TO PUBLIC",
            "SHOW tenantry.tenant",
            "EXPLAIN ANALYZE CREATE TEMP TABLE x AS SELECT 1",
            "EXPLAIN SELECT * FROM products",
            "SELECT set_config('role', 'none', false)",
            "SELECT pg_catalog . set_config('search_path', 'public', false)",
            "SELECT\u{c}SET_CONFIG\u{c}('role', 'none', false)",
            "SELECT \"set_config\"/**/('role', 'none', false)",
            "SELECT U&\"\\0073et_config\"('role', 'none', false)",
            "SELECT $😀$ ' $😀$, set_config('role', 'none', false), '' ''",
            "SELECT 1 #-- '\n 1, set_config('role', 'none', false) --'",
            "SELECT E'\\'', set_config('role', 'none', false) --'",
            "SELECT query_to_xml('SELECT 1', true, true, '')",
            "SELECT ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, ''b''::tsquery')",
            "SELECT * FROM ts_stat('SELECT to_tsvector(code) FROM products')",
            "SELECT pg_advisory_lock(1)",
            "SELECT pg_try_advisory_xact_lock(1)",
            "SELECT lo_creat(-1)",
            "SELECT lo_get(1)",
            "SELECT loread(1, 1)",
            "SELECT * FROM pg_stat_activity",
            "SELECT * FROM pg_stats",
            "SELECT * FROM pg_stat_get_activity(NULL)",
            "SELECT * FROM pg_stat_user_tables",
            "SELECT * FROM pg_locks",
            "SELECT * FROM pg_largeobject_metadata",
            "SELECT nspname FROM pg_catalog.pg_namespace",
            "SELECT datname FROM pg_database",
            "SELECT * FROM information_schema.tables",
            "SELECT 2200::regnamespace",
            "SELECT lastval()",
            "SELECT currval('numbers')",
            "SELECT setval('numbers', 1)",
            "SELECT setseed(0.1)",
            "SELECT pg_notify('tenantry', 'x')",
            "SELECT pg_terminate_backend(1)",
            "SELECT pg_backend_pid()",
            "SELECT code FROM tenant_rows.products",
            "SELECT * FROM tenantry.tenantry_tenants",
            "SELECT * FROM central.x",
            "SELECT * FROM public.x",
            "INSERT INTO public.x VALUES (1)",
        ] {
            denied(
                db.query(sql).execute().await,
                &format!("{isolation}: {sql}"),
            );
            let mut tx = db.begin();
            denied(
                tx.query(sql).execute().await,
                &format!("{isolation}, in a transaction: {sql}"),
            );
            let mut pipeline = db.pipeline();
            let _ = pipeline.query(sql).execute();
            denied(
                pipeline.run().await.map(drop),
                &format!("{isolation}, in a pipeline: {sql}"),
            );
        }
        for sql in [
            format!("SELECT code FROM {schema}.products"),
            format!("SELECT code FROM \"{schema}\" . products"),
            format!("DELETE FROM {schema}.products"),
            format!("SELECT NULL::{schema}.products"),
            format!("SELECT nextval('{schema}.numbers')"),
            format!("SELECT to_regclass('{schema}.products')::oid"),
            format!("SELECT set_config('tenantry.tenant', '{b}', true)"),
            format!("SET LOCAL tenantry.tenant = '{b}'"),
        ] {
            denied(
                db.query(&sql).execute().await,
                &format!("{isolation}: {sql}"),
            );
            let streamed = async {
                let mut rows = db.query(&sql).stream::<(String,)>().await?;
                rows.next().await.expect("an answer").map(drop)
            };
            denied(streamed.await, &format!("{isolation}, streamed: {sql}"));
        }
        // and what is one, is not
        assert_eq!(
            texts(db, "SELECT code FROM products ORDER BY 1")
                .await
                .unwrap(),
            ["mug", "only-a"]
        );
        for _ in 0..2 {
            let number = db.query("SELECT nextval('numbers')").scalar::<i64>().await;
            number.unwrap();
        }
        let own: Option<String> = db
            .query("SELECT current_setting('tenantry.tenant', true)")
            .scalar()
            .await
            .unwrap();
        let expected = (isolation == Isolation::Rows).then(|| a.to_string());
        assert_eq!(own.filter(|id| !id.is_empty()), expected);
    })
    .await;
}

/// What the library says to itself is not vetted, but is when somebody else says it.
#[tokio::test(flavor = "multi_thread")]
async fn the_librarys_own_statements_are_the_librarys() {
    let place = Place::with(shop(), |config| {
        config.most_connections(1.try_into().unwrap())
    })
    .await;
    let scene = Scene::new(&place, Isolation::Schema).await;
    let db = &scene.a.1;
    let sql = "SELECT code FROM products";
    let mut rows = db.query(sql).stream::<(String,)>().await.unwrap();
    rows.next().await.unwrap().unwrap();
    drop(rows);
    for said in [
        "DECLARE tenantry_rows NO SCROLL CURSOR FOR SELECT code FROM products",
        "FETCH FORWARD 256 FROM tenantry_rows",
    ] {
        denied(db.query(said).execute().await, said);
    }
    place
        .tenancy
        .tenant(scene.a.0.code())
        .await
        .unwrap()
        .unwrap();
    let catalog = "SELECT id, code, name, status, isolation, server, schema_version, created_at \
                   FROM tenantry_tenants WHERE code = $1";
    let result = db.query(catalog).bind("schema-b").execute().await;
    assert!(matches!(result, Err(DbError::Statement(_))), "{result:?}");
}
