//! Many tenants, some of whom fail, while programs of both versions serve.

use super::*;

list! { "migrations":
    canaries_go_first, one_broken_of_many_is_named_and_tried_again, a_rollout_goes_on_where_it_was_dropped, old_and_new_programs_serve_side_by_side, requests_wait_for_a_migration,
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
                panic_quietly();
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
