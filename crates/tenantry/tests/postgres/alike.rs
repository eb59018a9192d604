//! Schemas that are alike are migrated in one message each, and one that is not is found out.

use std::collections::BTreeMap;

use tenantry::{
    Tenancy, Tenant,
    db::DbError,
    lifecycle::{NewTenant, Rollout},
    migrate::{MigrateError, Migrations},
    tenant::Isolation,
};

use crate::support::Ground;

fn before() -> Migrations {
    Migrations::new().sql("0001_notes", "CREATE TABLE notes (text text NOT NULL)")
}

fn after() -> Migrations {
    before()
        .sql(
            "0002_stars",
            "ALTER TABLE notes ADD COLUMN stars bigint -- how many",
        )
        .sql("0003_tags", "CREATE TABLE tags (name text NOT NULL)")
}

async fn migrated(
    ground: &Ground,
    tenants: &[Tenant],
) -> BTreeMap<String, Result<Vec<String>, MigrateError>> {
    let tenancy = ground.set_up(&after()).await.unwrap();
    let mut rollout = Rollout::default();
    rollout.keep_going = true;
    let mut results = BTreeMap::new();
    let each = |one: tenantry::lifecycle::Migrated| {
        results.insert(one.tenants[0].code().to_string(), one.result);
    };
    tenancy
        .migrate_all(tenants.to_vec(), rollout, each)
        .await
        .unwrap();
    results
}

async fn made(tenancy: &Tenancy, isolation: Isolation) -> Vec<Tenant> {
    let mut tenants = Vec::new();
    for code in ["alike", "changed", "clash", "first", "further", "gone"] {
        let new = NewTenant::new(code.parse().unwrap(), code).isolation(isolation);
        tenants.push(tenancy.create(new).await.unwrap());
    }
    // the first is migrated step by step, and the others are tried as it was
    tenants.sort_by_key(|tenant| tenant.code().as_str() != "first");
    tenants
}

fn schema(tenant: &Tenant) -> String {
    format!("t_{}", tenant.id().as_uuid().simple())
}

#[tokio::test]
async fn what_is_not_alike_is_found_out() {
    let ground = Ground::new().await;
    let tenancy = ground.set_up(&before()).await.unwrap();
    let tenants = made(&tenancy, Isolation::Schema).await;
    tenancy.close();
    let of = |code: &str| {
        schema(
            tenants
                .iter()
                .find(|one| one.code().as_str() == code)
                .unwrap(),
        )
    };
    let root = ground.root().await;
    let disturbed = format!(
        "UPDATE {}.tenantry_migrations SET checksum = 'another' WHERE name = '0001_notes';
         CREATE TABLE {}.tags (other text);
         INSERT INTO {}.tenantry_migrations VALUES ('0004_later', 'x', now());
         DROP SCHEMA {} CASCADE",
        of("changed"),
        of("clash"),
        of("further"),
        of("gone"),
    );
    root.batch_execute(&disturbed).await.unwrap();

    let results = migrated(&ground, &tenants).await;
    let both = ["0002_stars", "0003_tags"].map(String::from).to_vec();
    for code in ["first", "alike", "further"] {
        assert_eq!(results[code].as_ref().unwrap(), &both, "{code}");
    }
    assert!(
        matches!(&results["changed"], Err(MigrateError::Changed { name }) if name == "0001_notes")
    );
    assert!(
        matches!(&results["clash"], Err(MigrateError::Failed { name, .. }) if name == "0003_tags")
    );
    assert!(matches!(
        &results["gone"],
        Err(MigrateError::Db(DbError::Missing(_)))
    ));

    // each has what its ledger says, and its tables are the owner's, for requests to use
    let told = "SELECT (SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass($1 || '.notes') AND attname = 'stars'),
        (SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass($1 || '.tags') AND attname = 'name'),
        coalesce(has_table_privilege($2, to_regclass($1 || '.tags'), 'INSERT'), false)";
    let app = format!("{}_app", ground.project);
    for (code, stars, tags) in [
        ("alike", 1, 1),
        ("further", 1, 1),
        ("changed", 0, 0),
        ("clash", 1, 0),
    ] {
        let row = root.query_one(told, &[&of(code), &app]).await.unwrap();
        let found: (i64, i64, bool) = (row.get(0), row.get(1), row.get(2));
        assert_eq!(found, (stars, tags, tags == 1), "{code}");
    }
    let gone = root
        .query_one("SELECT to_regnamespace($1) IS NULL", &[&of("gone")])
        .await
        .unwrap();
    assert!(gone.get::<_, bool>(0));

    // mended, they go on where they were
    root.batch_execute(&format!("DROP TABLE {}.tags", of("clash")))
        .await
        .unwrap();
    let results = migrated(&ground, &tenants).await;
    assert_eq!(results["clash"].as_ref().unwrap(), &["0003_tags"]);
    assert_eq!(results["alike"].as_ref().unwrap(), &Vec::<String>::new());
}

#[tokio::test]
async fn alike_are_databases_too() {
    let ground = Ground::new().await;
    let tenancy = ground.set_up(&before()).await.unwrap();
    let tenants = made(&tenancy, Isolation::Database).await;
    tenancy.close();
    for (code, result) in migrated(&ground, &tenants).await {
        assert_eq!(result.unwrap().len(), 2, "{code}");
    }
    let tenancy = ground.set_up(&after()).await.unwrap();
    for tenant in &tenants {
        let db = tenancy.db(tenant).await.unwrap();
        let insert = db
            .query("INSERT INTO tags (name) VALUES ('a')")
            .execute()
            .await;
        assert_eq!(insert.unwrap(), 1);
    }
}
