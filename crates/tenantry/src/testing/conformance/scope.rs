//! On a tenant's handle there is that tenant, and nothing else.

use super::{Place, add_note, count_notes, count_notices, list, note};
use crate::{
    db::{CentralDb, DbError, TenantDb},
    tenant::Isolation,
};

list! { "scope":
    the_same_ids_are_other_rows, constraints_end_at_the_tenant, deletes_end_at_the_tenant,
    transactions_end_at_the_tenant, streams_end_at_the_tenant, many_tenants_at_once,
    central_and_tenants_are_apart, what_is_not_for_applications_is_refused,
    what_is_refused_stays_so_once_it_was_prepared, nothing_of_the_library_is_written,
    nothing_of_the_catalog_is_written, a_transaction_cannot_be_ended_by_hand,
    a_code_is_never_a_name,
}

async fn two(place: &Place) -> (TenantDb, TenantDb) {
    (place.db("acme").await, place.db("globex").await)
}

async fn the_same_ids_are_other_rows(place: Place) {
    let (acme, globex) = two(&place).await;
    add_note(&acme, 1, "of acme").await;
    add_note(&globex, 1, "of globex").await;
    add_note(&acme, 2, "of acme alone").await;
    add_note(&globex, 3, "of globex alone").await;
    assert_eq!(note(&acme, 1).await.as_deref(), Some("of acme"));
    assert_eq!(note(&globex, 1).await.as_deref(), Some("of globex"));
    assert_eq!(note(&acme, 2).await.as_deref(), Some("of acme alone"));
    assert_eq!(note(&globex, 2).await, None);
    assert_eq!(note(&globex, 3).await.as_deref(), Some("of globex alone"));
    assert_eq!(note(&acme, 3).await, None);
    for db in [&acme, &globex] {
        assert_eq!(count_notes(db).await, 2);
    }
}

async fn constraints_end_at_the_tenant(place: Place) {
    let (acme, globex) = two(&place).await;
    for db in [&acme, &globex] {
        for sql in [
            "INSERT INTO shelves (id, name) VALUES (1, 'top')",
            "INSERT INTO products (id, shelf, code) VALUES (1, 1, 'mug')",
        ] {
            db.query(sql).execute().await.expect(sql);
        }
    }
    let own = "INSERT INTO shelves (id, name) VALUES (2, 'bottom')";
    acme.query(own).execute().await.unwrap();
    // that shelf is acme's, and no shelf to globex
    let product = "INSERT INTO products (id, shelf, code) VALUES (2, 2, 'cup')";
    let refused = globex.query(product).execute().await;
    assert!(matches!(refused, Err(DbError::ForeignKey)), "{refused:?}");
    assert_eq!(acme.query(product).execute().await.unwrap(), 1);
    // nor does a row of acme's keep globex from deleting its own
    let upsert = "INSERT INTO shelves (id, name) VALUES (2, 'mine') ON CONFLICT DO NOTHING";
    assert_eq!(globex.query(upsert).execute().await.unwrap(), 1);
    let delete = "DELETE FROM shelves WHERE id = 2";
    assert_eq!(globex.query(delete).execute().await.unwrap(), 1);
    let refused = acme.query(delete).execute().await;
    assert!(matches!(refused, Err(DbError::ForeignKey)), "{refused:?}");
}

async fn deletes_end_at_the_tenant(place: Place) {
    let (acme, globex) = two(&place).await;
    for db in [&acme, &globex] {
        add_note(db, 1, "one").await;
        add_note(db, 2, "two").await;
    }
    let update = acme.query("UPDATE notes SET text = 'changed'").execute();
    assert_eq!(update.await.unwrap(), 2);
    assert_eq!(note(&globex, 1).await.as_deref(), Some("one"));
    let delete = globex.query("DELETE FROM notes").execute();
    assert_eq!(delete.await.unwrap(), 2);
    assert_eq!(count_notes(&acme).await, 2);
    assert_eq!(note(&acme, 1).await.as_deref(), Some("changed"));
}

async fn transactions_end_at_the_tenant(place: Place) {
    let (acme, globex) = two(&place).await;
    let (mut ours, mut theirs) = (acme.begin(), globex.begin());
    for (tx, text) in [(&mut ours, "of acme"), (&mut theirs, "of globex")] {
        tx.query("INSERT INTO notes (id, text) VALUES (1, $1)")
            .bind(text)
            .execute()
            .await
            .unwrap();
        let texts: Vec<(String,)> = tx.query("SELECT text FROM notes").all().await.unwrap();
        assert_eq!(texts, [(text.to_string(),)]);
    }
    ours.commit().await.unwrap();
    theirs.rollback().await.unwrap();
    assert_eq!(count_notes(&acme).await, 1);
    assert_eq!(count_notes(&globex).await, 0);
}

async fn streams_end_at_the_tenant(place: Place) {
    use futures_util::StreamExt;
    let (acme, globex) = two(&place).await;
    super::add_notes(&acme, 1000).await;
    add_note(&globex, 1, "one").await;
    let ask = "SELECT id FROM notes";
    let ours = acme.query(ask).stream::<(i64,)>().await.unwrap();
    let theirs = globex.query(ask).stream::<(i64,)>().await.unwrap();
    assert_eq!(theirs.count().await, 1);
    assert_eq!(ours.count().await, 1000);
}

async fn many_tenants_at_once(place: Place) {
    let tenants: Vec<_> = (0..8).map(|n| format!("tenant-{n}")).collect();
    for code in &tenants {
        let db = place.db(code).await;
        add_note(&db, 1, code).await;
    }
    let place = std::sync::Arc::new(place);
    let tasks = (0..64_usize).map(|n| {
        let (place, code) = (place.clone(), tenants[n % tenants.len()].clone());
        tokio::spawn(async move {
            let db = place.db(&code).await;
            let text = note(&db, 1).await;
            assert_eq!(text, Some(code), "never another's");
            assert_eq!(count_notes(&db).await, 1);
        })
    });
    for task in futures_util::future::join_all(tasks).await {
        task.unwrap();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what central cannot do is tested here"
)]
fn central(place: &Place) -> CentralDb {
    place.tenancy().central()
}

async fn central_and_tenants_are_apart(place: Place) {
    let (db, central) = (place.db("acme").await, central(&place));
    let notice = "INSERT INTO notices (id, text) VALUES (1, 'to all')";
    central.query(notice).execute().await.unwrap();
    assert_eq!(count_notices(&central).await, 1);
    add_note(&db, 1, "note").await;
    for (refused, sql) in [
        (
            db.query("SELECT id FROM notices").execute().await,
            "of a tenant",
        ),
        (
            db.query("SELECT id FROM tenantry_tenants").execute().await,
            "of a tenant",
        ),
        (
            central.query("SELECT id FROM notes").execute().await,
            "of central",
        ),
        (
            central.query("SELECT id FROM users").execute().await,
            "of central",
        ),
    ] {
        assert!(
            matches!(refused, Err(DbError::Statement(_) | DbError::Denied(_))),
            "{sql}: {refused:?}"
        );
    }
}

/// What a handle of that isolation must refuse, besides what all must.
fn refused_by(isolation: Isolation) -> &'static [&'static str] {
    match isolation {
        Isolation::File => &[
            "ATTACH DATABASE 'other.db' AS other",
            "ATTACH ':memory:' AS other",
            "DETACH DATABASE main",
            "PRAGMA query_only = false",
            "PRAGMA foreign_keys = off",
            "PRAGMA journal_mode = DELETE",
            "PRAGMA writable_schema = on",
            "PRAGMA user_version",
            "PRAGMA database_list",
            "SELECT name, file FROM pragma_database_list",
            "SELECT * FROM pragma_table_info('notes')",
            "VACUUM",
            "VACUUM INTO 'copy.db'",
            "REINDEX",
            "SELECT load_extension('x')",
            "CREATE VIRTUAL TABLE search USING fts5(text)",
            "CREATE TRIGGER t AFTER INSERT ON notes BEGIN DELETE FROM notes; END",
            "CREATE TEMP TRIGGER t AFTER INSERT ON notes BEGIN DELETE FROM notes; END",
            "INSERT INTO sqlite_master (name) VALUES ('x')",
            "UPDATE sqlite_master SET sql = 'x'",
            "DELETE FROM sqlite_schema",
        ],
        Isolation::Rows | Isolation::Schema | Isolation::Database => &[
            "SET search_path = public",
            "SET LOCAL tenantry.tenant = '00000000-0000-0000-0000-000000000000'",
            "RESET ROLE",
            "SET ROLE postgres",
            "SELECT set_config('search_path', 'public', true)",
            "TRUNCATE notes",
            "COPY notes TO STDOUT",
            "LOCK TABLE notes",
            "DO $$ BEGIN NULL; END $$",
            "LISTEN tenantry",
            "NOTIFY tenantry, 'x'",
            "DISCARD ALL",
            "CREATE SCHEMA more",
            "GRANT ALL ON notes TO PUBLIC",
            "SELECT relname FROM tenantry.tenantry_tenants",
            "SELECT 1 FROM public.notes",
        ],
    }
}

const REFUSED_BY_ALL: &[&str] = &[
    "BEGIN",
    "BEGIN IMMEDIATE",
    "START TRANSACTION",
    "COMMIT",
    "END",
    "ROLLBACK",
    "SAVEPOINT s1",
    "RELEASE s1",
    "ROLLBACK TO s1",
    "CREATE TABLE more (id bigint)",
    "CREATE TABLE more AS SELECT id FROM notes",
    "CREATE TEMP TABLE more (id bigint)",
    "CREATE TEMPORARY TABLE notes (id bigint)",
    "CREATE VIEW more AS SELECT id FROM notes",
    "CREATE TEMP VIEW notes AS SELECT 1 AS id",
    "CREATE INDEX more ON notes (text)",
    "CREATE UNIQUE INDEX more ON notes (text)",
    "ALTER TABLE notes ADD COLUMN more text",
    "ALTER TABLE notes RENAME TO more",
    "DROP TABLE notes",
    "DROP TABLE IF EXISTS notes",
    "DROP INDEX tokens_prefix",
    "ANALYZE",
];

async fn assert_refused(db: &TenantDb, sql: &str) {
    let refused = db.query(sql).execute().await;
    // what the engine does not even parse is not a statement to it
    let parsed = !sql.starts_with("START");
    let typed = matches!(refused, Err(DbError::Denied(_)))
        || (!parsed && matches!(refused, Err(DbError::Statement(_))));
    assert!(typed, "{sql}: {refused:?}");
}

async fn what_is_not_for_applications_is_refused(place: Place) {
    let db = place.db("acme").await;
    add_note(&db, 1, "kept").await;
    for sql in REFUSED_BY_ALL.iter().chain(refused_by(place.isolation())) {
        assert_refused(&db, sql).await;
        let mut tx = db.begin();
        let refused = tx.query(sql).execute().await;
        assert!(refused.is_err(), "{sql} within a transaction");
        let next = tx.query("SELECT id FROM notes").execute().await;
        assert!(matches!(next, Err(DbError::Aborted)), "{sql}: {next:?}");
        drop(tx);
        let streamed = match db.query(sql).stream::<(i64,)>().await {
            Err(error) => Err(error),
            Ok(mut rows) => futures_util::StreamExt::next(&mut rows)
                .await
                .unwrap_or(Ok((0,))),
        };
        assert!(streamed.is_err(), "{sql} as a stream");
        assert_eq!(note(&db, 1).await.as_deref(), Some("kept"), "{sql}");
    }
}

async fn what_is_refused_stays_so_once_it_was_prepared(place: Place) {
    let db = place.db("acme").await;
    // the library says these itself, and must not leave them lying about
    for _ in 0..3 {
        let mut tx = db.begin();
        let mut savepoint = tx.savepoint().await.unwrap();
        let insert = "INSERT INTO notes (id, text) VALUES (1, 'note')";
        savepoint.query(insert).execute().await.unwrap();
        savepoint.release().await.unwrap();
        drop(tx.savepoint().await.unwrap());
        tx.commit().await.unwrap();
        let mut tx = db.begin();
        tx.query("DELETE FROM notes").execute().await.unwrap();
        tx.rollback().await.unwrap();
        db.query("DELETE FROM notes").execute().await.unwrap();
    }
    for sql in REFUSED_BY_ALL {
        assert_refused(&db, sql).await;
    }
}

async fn a_transaction_cannot_be_ended_by_hand(place: Place) {
    let db = place.db("acme").await;
    add_note(&db, 1, "kept").await;
    for sql in ["COMMIT", "END", "ROLLBACK", "RELEASE s1", "ROLLBACK TO s1"] {
        for _ in 0..2 {
            let mut tx = db.begin();
            let delete = tx.query("DELETE FROM notes").execute();
            delete.await.unwrap();
            let mut savepoint = tx.savepoint().await.unwrap();
            let refused = savepoint.query(sql).execute().await;
            assert!(
                matches!(refused, Err(DbError::Denied(_))),
                "{sql}: {refused:?}"
            );
            drop(savepoint);
            tx.rollback().await.unwrap();
            assert_eq!(note(&db, 1).await.as_deref(), Some("kept"), "{sql}");
            let mut tx = db.begin();
            tx.query("SELECT id FROM notes").execute().await.unwrap();
            tx.commit().await.unwrap();
        }
    }
}

async fn nothing_of_the_library_is_written(place: Place) {
    let db = place.db("acme").await;
    for sql in [
        "DELETE FROM tenantry_migrations",
        "DELETE FROM TENANTRY_MIGRATIONS",
        "DELETE FROM \"tenantry_migrations\" WHERE name = 'x'",
        "UPDATE tenantry_migrations SET checksum = ''",
        "INSERT INTO tenantry_migrations (name, checksum, applied_at) VALUES ('a', 'b', '2020-01-01')",
        "WITH x AS (SELECT 1) DELETE FROM tenantry_migrations",
    ] {
        assert_refused(&db, sql).await;
    }
    let tenant = place.tenant("acme").await;
    assert!(place.tenancy().pending(&tenant).await.unwrap().is_empty());
}

async fn nothing_of_the_catalog_is_written(place: Place) {
    let tenant = place.tenant("acme").await;
    let central = central(&place);
    for sql in [
        "DELETE FROM tenantry_tenants",
        "UPDATE tenantry_tenants SET status = 'deleting'",
        "DELETE FROM tenantry_changes",
        "DELETE FROM tenantry_migrations",
        "DROP TABLE notices",
    ] {
        let refused = central.query(sql).execute().await;
        // on a server they are not even there
        assert!(
            matches!(refused, Err(DbError::Denied(_) | DbError::Statement(_))),
            "{sql}: {refused:?}"
        );
    }
    let still = place.tenancy().tenant(tenant.code()).await.unwrap();
    assert!(still.is_some());
    let notice = "INSERT INTO notices (id, text) VALUES (1, 'to all')";
    assert_eq!(central.query(notice).execute().await.unwrap(), 1);
}

async fn a_code_is_never_a_name(place: Place) {
    // none of them may reach SQL or a path as it stands
    for code in [
        "select",
        "users",
        "tenantry-x",
        "information-schema",
        "a",
        "0",
        "central-2",
    ] {
        let db = place.db(code).await;
        add_note(&db, 1, code).await;
        assert_eq!(note(&db, 1).await.as_deref(), Some(code));
    }
}
