//! Tenants' tables come up to date, each in one piece, and never backwards.

use futures_util::future::join_all;
use rust_decimal::Decimal;

use super::{Place, add_note, count_notes, list, note, tables};
use crate::{
    Tenancy,
    db::DbError,
    lifecycle::Rollout,
    migrate::{MigrateError, Migrations},
    tenant::{Isolation, Tenant},
};

list! { "migrations":
    applied_in_order, new_ones_on_first_use, new_ones_on_demand, a_failing_one_leaves_nothing,
    a_failing_one_leaves_those_before_it, a_failing_one_is_that_tenants_alone,
    a_changed_one_is_refused, two_programs_migrate_at_once, many_handles_migrate_at_once,
    an_older_program_leaves_it_alone, new_tenants_are_up_to_date, behind_lists_who_is,
    a_migration_may_fill_tables, central_tables_too, each_engine_has_its_twin,
    a_function_changes_each_tenants_rows, a_failing_function_leaves_nothing,
    a_function_reaches_no_other_tenant, new_tenants_have_what_functions_make,
    one_out_of_order_is_refused, one_that_is_gone_is_refused, canaries_go_first,
    one_broken_of_many_is_named_and_tried_again, a_rollout_goes_on_where_it_was_dropped,
    old_and_new_programs_serve_side_by_side, requests_wait_for_a_migration,
}

fn and(name: &'static str, sql: &'static str) -> Migrations {
    tables().sql(name, sql)
}

const TAGS: &str = "CREATE TABLE tags (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
    ALTER TABLE notes ADD COLUMN tag bigint REFERENCES tags (id);
    CREATE INDEX notes_tag ON notes (tag)";

async fn program(place: &Place, migrations: Migrations) -> Tenancy {
    let tenancy = Tenancy::set_up(place.config_with(migrations)).await;
    tenancy.unwrap()
}

async fn count(tenancy: &Tenancy, tenant: &Tenant, table: &str) -> Result<i64, DbError> {
    let db = tenancy.db(tenant).await?;
    let ask = db.query(&format!("SELECT count(*) FROM {table}"));
    ask.scalar().await
}

async fn current(tenancy: &Tenancy, tenant: &Tenant) -> Tenant {
    let found = tenancy.tenant(tenant.code()).await;
    found.unwrap().unwrap()
}

async fn applied_in_order(mut place: Place) {
    let steps = tables()
        .sql(
            "0002_a",
            "CREATE TABLE steps (id bigint PRIMARY KEY, text text NOT NULL)",
        )
        .sql("0003_b", "ALTER TABLE steps ADD COLUMN more text NOT NULL DEFAULT 'third'")
        .sql("0004_c", "UPDATE steps SET more = more || ' and fourth'; ALTER TABLE steps RENAME COLUMN more TO said");
    let tenant = place.tenant("acme").await;
    place.reopen_as(place.config_with(steps)).await;
    let pending = place.tenancy().pending(&tenant).await.unwrap();
    assert_eq!(pending, ["0002_a", "0003_b", "0004_c"]);
    let db = place.db("acme").await;
    let step = "INSERT INTO steps (id, text) VALUES (1, '') RETURNING said";
    let said: String = db.query(step).scalar().await.unwrap();
    assert_eq!(said, "third");
    assert!(place.tenancy().pending(&tenant).await.unwrap().is_empty());
}

async fn new_ones_on_first_use(mut place: Place) {
    let db = place.db("acme").await;
    add_note(&db, 1, "kept").await;
    place
        .reopen_as(place.config_with(and("0002_tags", TAGS)))
        .await;
    let db = place.db("acme").await;
    assert_eq!(note(&db, 1).await.as_deref(), Some("kept"));
    for sql in [
        "INSERT INTO tags (id, name) VALUES (7, 'red')",
        "UPDATE notes SET tag = 7",
    ] {
        db.query(sql).execute().await.expect(sql);
    }
    let wrong = db.query("UPDATE notes SET tag = 8").execute().await;
    assert!(matches!(wrong, Err(DbError::ForeignKey)), "{wrong:?}");
    // the catalog knows, so nobody looks again
    let tenant = current(place.tenancy(), &place.tenant("acme").await).await;
    assert_eq!(tenant.schema_version(), place.tenancy().tenant_version());
    place
        .reopen_as(place.config_with(and("0002_tags", TAGS)))
        .await;
    assert_eq!(
        note(&place.db("acme").await, 1).await.as_deref(),
        Some("kept")
    );
}

async fn new_ones_on_demand(mut place: Place) {
    let tenant = place.tenant("acme").await;
    place
        .reopen_as(place.config_with(and("0002_tags", TAGS)))
        .await;
    assert_eq!(
        place.tenancy().migrate(&tenant).await.unwrap(),
        ["0002_tags"]
    );
    assert!(place.tenancy().migrate(&tenant).await.unwrap().is_empty());
    assert_eq!(count(place.tenancy(), &tenant, "tags").await.unwrap(), 0);
}

fn is_failure(migrated: Result<Vec<String>, MigrateError>, of: &str) {
    match migrated {
        Err(MigrateError::Failed { name, .. }) => assert_eq!(name, of),
        other => panic!("{other:?}"),
    }
}

async fn a_failing_one_leaves_nothing(mut place: Place) {
    let tenant = place.tenant("acme").await;
    add_note(&place.db("acme").await, 1, "kept").await;
    let failing = "CREATE TABLE tags (id bigint PRIMARY KEY);
        UPDATE notes SET text = 'changed';
        INSERT INTO nowhere (id) VALUES (1)";
    place
        .reopen_as(place.config_with(and("0002_tags", failing)))
        .await;
    is_failure(place.tenancy().migrate(&tenant).await, "0002_tags");
    assert!(place.tenancy().db(&tenant).await.is_err());
    let pending = place.tenancy().pending(&tenant).await.unwrap();
    assert_eq!(pending, ["0002_tags"]);
    // the program before goes on as if nothing had been
    place.reopen().await;
    let db = place.db("acme").await;
    assert_eq!(note(&db, 1).await.as_deref(), Some("kept"));
    let gone = count(place.tenancy(), &tenant, "tags").await;
    assert!(matches!(gone, Err(DbError::Statement(_))), "{gone:?}");
    // and a mended one succeeds
    place
        .reopen_as(place.config_with(and("0002_tags", TAGS)))
        .await;
    assert_eq!(count(place.tenancy(), &tenant, "tags").await.unwrap(), 0);
}

async fn a_failing_one_leaves_those_before_it(mut place: Place) {
    let tenant = place.tenant("acme").await;
    let two = and("0002_tags", TAGS).sql("0003_wrong", "INSERT INTO nowhere (id) VALUES (1)");
    place.reopen_as(place.config_with(two)).await;
    is_failure(place.tenancy().migrate(&tenant).await, "0003_wrong");
    let pending = place.tenancy().pending(&tenant).await.unwrap();
    assert_eq!(pending, ["0003_wrong"]);
    let failed = place.tenancy().failed_migrations().await.unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].tenant, tenant.id());
    assert_eq!(failed[0].migration.as_deref(), Some("0003_wrong"));
    // mended, it is applied alone, and the failure is history
    let two = and("0002_tags", TAGS).sql("0003_wrong", "ALTER TABLE tags ADD COLUMN more text");
    place.reopen_as(place.config_with(two)).await;
    let applied = place.tenancy().migrate(&tenant).await.unwrap();
    assert_eq!(applied, ["0003_wrong"]);
    assert!(
        place
            .tenancy()
            .failed_migrations()
            .await
            .unwrap()
            .is_empty()
    );
}

async fn a_failing_one_is_that_tenants_alone(mut place: Place) {
    if place.isolation() == Isolation::Rows {
        return; // those who share tables are migrated as one, and the same text may be in both
    }
    let (acme, globex) = (place.tenant("acme").await, place.tenant("globex").await);
    add_note(&place.db("acme").await, 1, "same").await;
    add_note(&place.db("acme").await, 2, "same").await;
    let unique = and(
        "0002_unique",
        "CREATE UNIQUE INDEX notes_text ON notes (text)",
    );
    place.reopen_as(place.config_with(unique)).await;
    is_failure(place.tenancy().migrate(&acme).await, "0002_unique");
    place.tenancy().migrate(&globex).await.unwrap();
    assert_eq!(count(place.tenancy(), &globex, "notes").await.unwrap(), 0);
    let behind = place.tenancy().behind().await.unwrap();
    assert!(behind.iter().map(Tenant::id).eq([acme.id()]));
}

async fn a_changed_one_is_refused(mut place: Place) {
    let tenant = place.tenant("acme").await;
    place
        .reopen_as(place.config_with(and("0002_tags", TAGS)))
        .await;
    place.tenancy().migrate(&tenant).await.unwrap();
    let changed = and("0002_tags", "CREATE TABLE tags (id bigint PRIMARY KEY)");
    place.reopen_as(place.config_with(changed.clone())).await;
    let is_refused = |outcome| {
        assert!(matches!(outcome, Err(MigrateError::Changed { name }) if name == "0002_tags"));
    };
    is_refused(place.tenancy().migrate(&tenant).await);
    is_refused(place.tenancy().pending(&tenant).await);
    // neither is anything applied on top of it
    let more = changed.sql("0003_more", "CREATE TABLE more (id bigint PRIMARY KEY)");
    place.reopen_as(place.config_with(more)).await;
    assert!(place.tenancy().db(&tenant).await.is_err());
}

async fn two_programs_migrate_at_once(place: Place) {
    let tenants: Vec<Tenant> = join_all((0..8).map(|n| {
        let place = &place;
        async move { place.tenant(&format!("tenant-{n}")).await }
    }))
    .await;
    let programs = [
        program(&place, and("0002_tags", TAGS)).await,
        program(&place, and("0002_tags", TAGS)).await,
    ];
    let tasks = tenants.iter().flat_map(|tenant| {
        programs.iter().map(move |program| {
            let (program, tenant) = (program.clone(), tenant.clone());
            tokio::spawn(async move { count(&program, &tenant, "tags").await })
        })
    });
    for counted in join_all(tasks).await {
        assert_eq!(counted.unwrap().unwrap(), 0);
    }
    for program in programs {
        assert!(program.behind().await.unwrap().is_empty());
        program.close();
    }
}

async fn many_handles_migrate_at_once(mut place: Place) {
    let tenant = place.tenant("acme").await;
    place
        .reopen_as(place.config_with(and("0002_tags", TAGS)))
        .await;
    let tasks = (0..20).map(|_| {
        let (tenancy, tenant) = (place.tenancy().clone(), tenant.clone());
        tokio::spawn(async move { count(&tenancy, &tenant, "tags").await })
    });
    for counted in join_all(tasks).await {
        assert_eq!(counted.unwrap().unwrap(), 0);
    }
}

async fn an_older_program_leaves_it_alone(place: Place) {
    let tenant = place.tenant("acme").await;
    let newer = program(&place, and("0002_tags", TAGS)).await;
    newer.migrate(&tenant).await.unwrap();
    let version = newer.tenant_version();
    let older = place.beside().await;
    for tenancy in [place.tenancy(), &older] {
        let db = tenancy.db(&current(&older, &tenant).await).await.unwrap();
        add_note(&db, 1, "of the older").await;
        db.query("DELETE FROM notes").execute().await.unwrap();
        assert!(tenancy.migrate(&tenant).await.unwrap().is_empty());
        let known = current(&newer, &tenant).await;
        assert_eq!(known.schema_version(), version);
    }
    assert_eq!(count(&newer, &tenant, "tags").await.unwrap(), 0);
    assert!(newer.behind().await.unwrap().is_empty());
    newer.close();
    older.close();
}

async fn new_tenants_are_up_to_date(mut place: Place) {
    place.tenant("acme").await;
    place
        .reopen_as(place.config_with(and("0002_tags", TAGS)))
        .await;
    let tenant = place.tenant("globex").await;
    assert!(place.tenancy().pending(&tenant).await.unwrap().is_empty());
    assert_eq!(tenant.schema_version(), place.tenancy().tenant_version());
    assert_eq!(count(place.tenancy(), &tenant, "tags").await.unwrap(), 0);
}

async fn behind_lists_who_is(mut place: Place) {
    for code in ["acme", "globex", "initech"] {
        place.tenant(code).await;
    }
    assert!(place.tenancy().behind().await.unwrap().is_empty());
    place
        .reopen_as(place.config_with(and("0002_tags", TAGS)))
        .await;
    place.db("globex").await;
    let behind = place.tenancy().behind().await.unwrap();
    let behind: Vec<_> = behind.iter().map(|tenant| tenant.code().as_str()).collect();
    // those who share tables are migrated as one
    let expected: &[&str] = match place.isolation() {
        Isolation::Rows => &[],
        _ => &["acme", "initech"],
    };
    assert_eq!(behind, expected);
}

async fn a_migration_may_fill_tables(mut place: Place) {
    let filled = and(
        "0002_filled",
        "INSERT INTO notes (id, text) VALUES (1, 'it''s; -- so'), (2, '$1');
         INSERT INTO samples (id, a_boolean, a_price, a_text)
            VALUES (1, true, 9.90, 'a'), (2, false, -1.50, 'ü');",
    );
    let before = place.tenant("acme").await;
    place.reopen_as(place.config_with(filled)).await;
    if place.isolation() == Isolation::Rows {
        // in shared tables they would be nobody's
        is_failure(place.tenancy().migrate(&before).await, "0002_filled");
        return;
    }
    let after = place.tenant("globex").await;
    for tenant in [before, after] {
        let db = place.tenancy().db(&tenant).await.unwrap();
        assert_eq!(note(&db, 1).await.as_deref(), Some("it's; -- so"));
        assert_eq!(count_notes(&db).await, 2);
        let sum = db.query("SELECT sum(a_price) FROM samples");
        assert_eq!(sum.scalar::<Decimal>().await.unwrap(), Decimal::new(840, 2));
    }
}

async fn central_tables_too(place: Place) {
    let with = |migrations| {
        let config = place.config().central_migrations(migrations);
        async { Tenancy::set_up(config).await }
    };
    let more =
        super::central_tables().sql("0002_more", "CREATE TABLE more (id bigint PRIMARY KEY)");
    with(more).await.unwrap().close();
    let changed = Migrations::new().sql("0001_notices", "CREATE TABLE notices (id bigint)");
    assert!(with(changed).await.is_err());
    // the older program still starts
    with(super::central_tables()).await.unwrap().close();
}

async fn each_engine_has_its_twin(mut place: Place) {
    let tenant = place.tenant("acme").await;
    add_note(&place.db("acme").await, 1, "two words").await;
    let twins = and("0002_words", "ALTER TABLE notes ADD COLUMN words bigint").twins(
        "0003_count",
        "UPDATE notes SET words = length(text) - length(replace(text, ' ', '')) + 1",
        "UPDATE notes SET words = cardinality(string_to_array(text, ' '))",
    );
    place.reopen_as(place.config_with(twins.clone())).await;
    place.tenancy().migrate(&tenant).await.unwrap();
    let db = place.db("acme").await;
    let words = db.query("SELECT words FROM notes").scalar::<i64>().await;
    assert_eq!(words.unwrap(), 2);
    place.reopen_as(place.config_with(twins)).await;
    assert!(place.tenancy().pending(&tenant).await.unwrap().is_empty());
}

/// A function in between, which greets each note by what it says.
fn greeting() -> Migrations {
    and(
        "0002_greeting",
        "ALTER TABLE notes ADD COLUMN greeting text",
    )
    .function("0003_greet", |tx| {
        Box::pin(async move {
            let notes: Vec<(i64, String)> = tx.query("SELECT id, text FROM notes").all().await?;
            for (id, text) in notes {
                tx.query("UPDATE notes SET greeting = $2 WHERE id = $1")
                    .bind(id)
                    .bind(format!("hello {text}"))
                    .execute()
                    .await?;
            }
            Ok(())
        })
    })
    .sql("0004_more", "ALTER TABLE notes ADD COLUMN more text")
}

async fn greetings(db: &crate::db::TenantDb) -> Vec<(String,)> {
    let ask = db.query("SELECT greeting FROM notes ORDER BY id");
    ask.all().await.unwrap()
}

async fn a_function_changes_each_tenants_rows(mut place: Place) {
    for code in ["acme", "globex"] {
        add_note(&place.db(code).await, 1, code).await;
    }
    place.reopen_as(place.config_with(greeting())).await;
    let behind = place.tenancy().behind().await.unwrap();
    let mut done = Vec::new();
    let left = place
        .tenancy()
        .migrate_all(behind, Rollout::default(), |migrated| {
            done.push(migrated.result.unwrap());
        })
        .await;
    assert_eq!(left.unwrap(), 0);
    let all = ["0002_greeting", "0003_greet", "0004_more"];
    assert!(done.iter().all(|applied| *applied == all), "{done:?}");
    for code in ["acme", "globex"] {
        let said = greetings(&place.db(code).await).await;
        assert_eq!(said, [(format!("hello {code}"),)]);
    }
    assert!(place.tenancy().behind().await.unwrap().is_empty());
}

async fn new_tenants_have_what_functions_make(mut place: Place) {
    let filling = and("0002_tags", TAGS).function("0003_fill", |tx| {
        Box::pin(async move {
            let add = "INSERT INTO notes (id, text) VALUES (7, 'made')";
            tx.query(add).execute().await?;
            Ok(())
        })
    });
    let before = place.tenant("acme").await;
    place.reopen_as(place.config_with(filling)).await;
    place.tenancy().migrate(&before).await.unwrap();
    assert_eq!(
        note(&place.db("acme").await, 7).await.as_deref(),
        Some("made")
    );
    // in shared tables it has run for all there were, and a new tenant has nothing to change
    let made = note(&place.db("globex").await, 7).await;
    match place.isolation() {
        Isolation::Rows => assert_eq!(made, None),
        _ => assert_eq!(made.as_deref(), Some("made")),
    }
    let pending = place.tenancy().pending(&place.tenant("globex").await).await;
    assert!(pending.unwrap().is_empty());
}

async fn a_failing_function_leaves_nothing(mut place: Place) {
    let tenant = place.tenant("acme").await;
    add_note(&place.db("acme").await, 1, "kept").await;
    for panics in [false, true] {
        let failing = and("0002_tags", TAGS).function("0003_fails", move |tx| {
            Box::pin(async move {
                tx.query("UPDATE notes SET text = 'changed'")
                    .execute()
                    .await?;
                if panics {
                    super::panic_quietly();
                }
                Err("as the case wants it".into())
            })
        });
        place.reopen_as(place.config_with(failing)).await;
        is_failure(place.tenancy().migrate(&tenant).await, "0003_fails");
        let pending = place.tenancy().pending(&tenant).await.unwrap();
        assert_eq!(pending, ["0003_fails"]);
        place
            .reopen_as(place.config_with(and("0002_tags", TAGS)))
            .await;
        let kept = note(&place.db("acme").await, 1).await;
        assert_eq!(kept.as_deref(), Some("kept"));
    }
}

async fn a_function_reaches_no_other_tenant(mut place: Place) {
    for code in ["acme", "globex"] {
        add_note(&place.db(code).await, 1, "one").await;
    }
    // it counts what it sees, and tries what a handle may not
    let counting =
        and("0002_seen", "ALTER TABLE notes ADD COLUMN seen bigint").function("0003_look", |tx| {
            Box::pin(async move {
                let seen: i64 = tx.query("SELECT count(*) FROM notes").scalar().await?;
                tx.query("UPDATE notes SET seen = $1")
                    .bind(seen)
                    .execute()
                    .await?;
                Ok(())
            })
        });
    place.reopen_as(place.config_with(counting)).await;
    for code in ["acme", "globex"] {
        let db = place.db(code).await;
        let seen: i64 = db.query("SELECT seen FROM notes").scalar().await.unwrap();
        assert_eq!(seen, 1, "its own, and no other's");
    }
    for denied in ["DELETE FROM tenantry_migrations", "DROP TABLE notes"] {
        let reaching = and("0002_seen", "ALTER TABLE notes ADD COLUMN seen bigint")
            .function("0003_look", |_| Box::pin(async { Ok(()) }))
            .function("0004_reach", move |tx| {
                Box::pin(async move { Ok(tx.query(denied).execute().await.map(drop)?) })
            });
        place.reopen_as(place.config_with(reaching)).await;
        let tenant = place.tenant("acme").await;
        is_failure(place.tenancy().migrate(&tenant).await, "0004_reach");
    }
}

async fn one_out_of_order_is_refused(mut place: Place) {
    let tenant = place.tenant("acme").await;
    place
        .reopen_as(place.config_with(and("0003_tags", TAGS)))
        .await;
    place.tenancy().migrate(&tenant).await.unwrap();
    let late = and("0002_late", "CREATE TABLE late (id bigint PRIMARY KEY)").sql("0003_tags", TAGS);
    place.reopen_as(place.config_with(late)).await;
    let refused = place.tenancy().migrate(&tenant).await;
    assert!(
        matches!(&refused, Err(MigrateError::OutOfOrder { name, .. }) if name == "0002_late"),
        "{refused:?}"
    );
}

async fn one_that_is_gone_is_refused(mut place: Place) {
    let tenant = place.tenant("acme").await;
    let two = and("0002_tags", TAGS).sql("0003_more", "ALTER TABLE tags ADD COLUMN more text");
    place.reopen_as(place.config_with(two)).await;
    place.tenancy().migrate(&tenant).await.unwrap();
    let without = and("0003_more", "ALTER TABLE tags ADD COLUMN more text");
    place.reopen_as(place.config_with(without)).await;
    let refused = place.tenancy().migrate(&tenant).await;
    assert!(
        matches!(&refused, Err(MigrateError::Gone { name }) if name == "0002_tags"),
        "{refused:?}"
    );
}

fn rollout(parallel: usize, canary: usize, keep_going: bool) -> Rollout {
    Rollout {
        parallel: parallel.try_into().unwrap(),
        canary,
        keep_going,
    }
}

/// Ten tenants, some of which have what the next migration does not allow.
async fn with_broken_ones(place: &mut Place, broken: &[&str]) -> Vec<Tenant> {
    for n in 0..10 {
        place.tenant(&format!("tenant-{n}")).await;
    }
    for code in broken {
        let db = place.db(code).await;
        add_note(&db, 1, "same").await;
        add_note(&db, 2, "same").await;
    }
    let unique = and(
        "0002_unique",
        "CREATE UNIQUE INDEX notes_text ON notes (text)",
    );
    place.reopen_as(place.config_with(unique)).await;
    place.tenancy().behind().await.unwrap()
}

async fn run(
    place: &Place,
    tenants: Vec<Tenant>,
    rollout: Rollout,
) -> (Vec<String>, Vec<String>, usize) {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    let left = place
        .tenancy()
        .migrate_all(tenants, rollout, |migrated| {
            let codes = migrated.tenants.iter().map(|one| one.code().to_string());
            match migrated.result {
                Ok(_) => done.extend(codes),
                Err(_) => failed.extend(codes),
            }
        })
        .await
        .unwrap();
    done.sort();
    (done, failed, left)
}

async fn canaries_go_first(mut place: Place) {
    if place.isolation() == Isolation::Rows {
        return; // those who share tables are migrated as one
    }
    let behind = with_broken_ones(&mut place, &["tenant-1"]).await;
    let (done, failed, left) = run(&place, behind, rollout(4, 3, true)).await;
    assert_eq!(done, ["tenant-0", "tenant-2"]);
    assert_eq!(failed, ["tenant-1"]);
    assert_eq!(left, 7, "nobody else was begun");
    // the broken one is left out, and canaries that succeed let the others in
    let mut behind = place.tenancy().behind().await.unwrap();
    behind.retain(|tenant| tenant.code().as_str() != "tenant-1");
    let (done, failed, left) = run(&place, behind, rollout(4, 2, false)).await;
    assert_eq!((done.len(), failed.len(), left), (7, 0, 0));
}

async fn one_broken_of_many_is_named_and_tried_again(mut place: Place) {
    if place.isolation() == Isolation::Rows {
        return; // those who share tables are migrated as one
    }
    let behind = with_broken_ones(&mut place, &["tenant-0", "tenant-8"]).await;
    let (done, failed, left) = run(&place, behind, rollout(3, 0, true)).await;
    assert_eq!((done.len(), failed.len(), left), (8, 2, 0));
    let noted = place.tenancy().failed_migrations().await.unwrap();
    assert_eq!(noted.len(), 2);
    assert!(
        noted
            .iter()
            .all(|one| one.migration.as_deref() == Some("0002_unique"))
    );
    // mended under the program before, whom a failed migration has left everything
    let unique = place.config_with(and(
        "0002_unique",
        "CREATE UNIQUE INDEX notes_text ON notes (text)",
    ));
    place.reopen().await;
    let db = place.db("tenant-8").await;
    db.query("DELETE FROM notes WHERE id = 2")
        .execute()
        .await
        .unwrap();
    place.reopen_as(unique).await;
    let behind = place.tenancy().behind().await.unwrap();
    let (done, failed, _) = run(&place, behind, rollout(3, 0, true)).await;
    assert_eq!(
        (done, failed),
        (vec!["tenant-8".into()], vec!["tenant-0".into()])
    );
    assert_eq!(place.tenancy().failed_migrations().await.unwrap().len(), 1);
}

async fn a_rollout_goes_on_where_it_was_dropped(mut place: Place) {
    let behind = with_broken_ones(&mut place, &[]).await;
    let mut done = 0;
    let stopped = place
        .tenancy()
        .migrate_all(behind, rollout(2, 0, false), |_| {
            done += 1;
            if done == 3 {
                super::panic_quietly();
            }
        });
    let stopped = std::panic::AssertUnwindSafe(stopped);
    drop(futures_util::FutureExt::catch_unwind(stopped).await);
    let behind = place.tenancy().behind().await.unwrap();
    let (_, failed, left) = run(&place, behind, rollout(2, 0, false)).await;
    assert_eq!((failed.len(), left), (0, 0));
    assert!(place.tenancy().behind().await.unwrap().is_empty());
    for n in 0..10 {
        let tenant = place.tenant(&format!("tenant-{n}")).await;
        assert!(place.tenancy().pending(&tenant).await.unwrap().is_empty());
    }
}

/// Everybody works all the while that tenants are migrated, in the program before and after.
async fn old_and_new_programs_serve_side_by_side(place: Place) {
    let tenant = place.tenant("acme").await;
    let more = "ALTER TABLE notes ADD COLUMN more text NOT NULL DEFAULT 'more'";
    let newer = program(&place, and("0002_more", more)).await;
    let work = |tenancy: &Tenancy, first: i64| {
        let (tenancy, tenant) = (tenancy.clone(), tenant.clone());
        tokio::spawn(async move {
            for id in first..first + 100 {
                let db = tenancy.db(&tenant).await.unwrap();
                let add = db.query("INSERT INTO notes (id, text) VALUES ($1, 'x')");
                add.bind(id).execute().await.unwrap();
                assert_eq!(note(&db, id).await.as_deref(), Some("x"));
            }
        })
    };
    let old = work(place.tenancy(), 1000);
    newer.migrate(&tenant).await.unwrap();
    let new = work(&newer, 2000);
    old.await.unwrap();
    new.await.unwrap();
    let db = newer.db(&tenant).await.unwrap();
    let counted = db.query("SELECT count(*) FROM notes WHERE more = 'more'");
    assert_eq!(counted.scalar::<i64>().await.unwrap(), 200);
    newer.close();
}

async fn requests_wait_for_a_migration(mut place: Place) {
    let tenant = place.tenant("acme").await;
    add_note(&place.db("acme").await, 1, "one").await;
    let slow =
        and("0002_more", "ALTER TABLE notes ADD COLUMN more text").function("0003_slow", |tx| {
            Box::pin(async move {
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                tx.query("UPDATE notes SET more = 'filled'")
                    .execute()
                    .await?;
                Ok(())
            })
        });
    place.reopen_as(place.config_with(slow)).await;
    // the first goes away, and the others see the whole of it
    let first = tokio::time::timeout(
        std::time::Duration::from_millis(50),
        place.tenancy().db(&tenant),
    );
    assert!(first.await.is_err(), "it waits");
    let asking = (0..10).map(|_| {
        let (tenancy, tenant) = (place.tenancy().clone(), tenant.clone());
        tokio::spawn(async move {
            let db = tenancy.db(&tenant).await?;
            db.query("SELECT more FROM notes").scalar::<String>().await
        })
    });
    for said in join_all(asking).await {
        assert_eq!(said.unwrap().unwrap(), "filled");
    }
}
