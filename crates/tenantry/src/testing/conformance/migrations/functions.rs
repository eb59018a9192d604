//! Migrations that are functions, of each tenant's rows.

use super::*;

list! { "migrations":
    a_function_changes_each_tenants_rows, new_tenants_have_what_functions_make, a_failing_function_leaves_nothing, a_function_reaches_no_other_tenant,
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
                    panic_quietly();
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
