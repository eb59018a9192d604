//! Migrations in order, once, and whole.

use super::*;

list! { "migrations":
    applied_in_order, new_ones_on_first_use, new_ones_on_demand, a_failing_one_leaves_nothing, a_failing_one_leaves_those_before_it, a_failing_one_is_that_tenants_alone, a_changed_one_is_refused, two_programs_migrate_at_once, many_handles_migrate_at_once, an_older_program_leaves_it_alone, new_tenants_are_up_to_date, behind_lists_who_is, a_migration_may_fill_tables, central_tables_too, each_engine_has_its_twin, one_out_of_order_is_refused, one_that_is_gone_is_refused,
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
    let more = central_tables().sql("0002_more", "CREATE TABLE more (id bigint PRIMARY KEY)");
    with(more).await.unwrap().close();
    let changed = Migrations::new().sql("0001_notices", "CREATE TABLE notices (id bigint)");
    assert!(with(changed).await.is_err());
    // the older program still starts
    with(central_tables()).await.unwrap().close();
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
