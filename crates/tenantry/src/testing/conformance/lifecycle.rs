//! Tenants come, change and go, and everybody learns of it.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::{Place, add_note, at_once, count_notes, list, note, panic_quietly, soon};
use crate::{
    Tenancy, Tenant,
    db::DbError,
    lifecycle::{LifecycleError, NewTenant},
    tenant::{TenantCode, TenantStatus},
};

list! { "lifecycle":
    created, a_code_is_taken_once, a_code_taken_by_many_at_once, seeded, unseen_until_seeded,
    a_failing_seed_leaves_nothing, a_panicking_seed_leaves_nothing, a_dropped_create_is_completed,
    suspended_and_resumed, renamed, renamed_to_a_taken_code, named, deleted, deleted_while_in_use,
    deleted_once, a_deleted_one_comes_back_empty, gone_before_it_was_opened,
    others_learn_of_a_suspension, others_learn_of_a_new_code, others_learn_of_a_new_tenant,
    others_learn_of_a_deletion, unknown_codes, everything_is_there_after_a_restart,
    listed_by_code,
}

fn code(text: &str) -> TenantCode {
    text.parse().unwrap()
}

async fn find(tenancy: &Tenancy, text: &str) -> Option<Tenant> {
    tenancy.tenant(&code(text)).await.unwrap()
}

async fn created(place: Place) {
    let new = NewTenant::new(code("acme"), "Acme & Søns").isolation(place.isolation());
    let made = place.tenancy().create(new).await.unwrap();
    assert_eq!(made.code().as_str(), "acme");
    assert_eq!(made.name(), "Acme & Søns");
    assert_eq!(made.status(), TenantStatus::Active);
    assert_eq!(made.isolation(), place.isolation());
    let found = find(place.tenancy(), "acme").await.unwrap();
    assert_eq!(found.id(), made.id());
    assert_eq!(found.created_at(), made.created_at());
    assert!(place.tenancy().is_present(&found).await.unwrap());
    let db = place.tenancy().db(&found).await.unwrap();
    assert_eq!(count_notes(&db).await, 0);
}

async fn a_code_is_taken_once(place: Place) {
    let acme = place.tenant("acme").await;
    let again = place.tenancy().create(place.new_tenant("acme")).await;
    assert!(matches!(again, Err(LifecycleError::CodeTaken)), "{again:?}");
    assert_eq!(find(place.tenancy(), "acme").await.unwrap().id(), acme.id());
    assert_eq!(place.tenancy().tenants().await.unwrap().len(), 1);
}

async fn a_code_taken_by_many_at_once(place: Place) {
    let other = place.beside().await;
    for round in 0..5 {
        let text = format!("tenant-{round}");
        let attempts = (0..20).map(|n| {
            let tenancy = if n % 2 == 0 { place.tenancy() } else { &other };
            let (tenancy, new) = (tenancy.clone(), place.new_tenant(&text));
            tokio::spawn(async move {
                let seed = |db: crate::db::TenantDb| async move {
                    add_note(&db, 1, "seeded").await;
                    Ok(())
                };
                tenancy.create_with(new, seed).await
            })
        });
        let mut made = Vec::new();
        for attempt in join_all(attempts).await {
            match attempt.unwrap() {
                Ok((tenant, ())) => made.push(tenant),
                Err(LifecycleError::CodeTaken) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(made.len(), 1);
        // and the winner keeps what it won
        let db = place.tenancy().db(&made[0]).await.unwrap();
        assert_eq!(note(&db, 1).await.as_deref(), Some("seeded"));
        assert_eq!(find(&other, &text).await.unwrap().id(), made[0].id());
    }
    other.close();
}

async fn seeded(place: Place) {
    let (tenant, answer) = place
        .tenancy()
        .create_with(place.new_tenant("acme"), |db| async move {
            add_note(&db, 1, "seeded").await;
            Ok(42)
        })
        .await
        .unwrap();
    assert_eq!(answer, 42);
    let db = place.tenancy().db(&tenant).await.unwrap();
    assert_eq!(note(&db, 1).await.as_deref(), Some("seeded"));
}

async fn unseen_until_seeded(place: Place) {
    assert!(find(place.tenancy(), "acme").await.is_none());
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (go, may_go) = tokio::sync::oneshot::channel::<()>();
    let (tenancy, new) = (place.tenancy().clone(), place.new_tenant("acme"));
    let making = tokio::spawn(async move {
        tenancy
            .create_with(new, |_| async move {
                begun.send(()).unwrap();
                may_go.await.unwrap();
                Ok(())
            })
            .await
    });
    has_begun.await.unwrap();
    assert!(find(place.tenancy(), "acme").await.is_none());
    let meanwhile = place.tenancy().create(place.new_tenant("acme")).await;
    assert!(
        matches!(meanwhile, Err(LifecycleError::CodeTaken)),
        "{meanwhile:?}"
    );
    // nor does a start of another process take it for one that was left half made
    place.beside().await.close();
    go.send(()).unwrap();
    let (tenant, ()) = making.await.unwrap().unwrap();
    assert!(place.tenancy().is_present(&tenant).await.unwrap());
    assert!(find(place.tenancy(), "acme").await.is_some());
}

async fn nothing_is_left(place: &Place) {
    assert!(find(place.tenancy(), "acme").await.is_none());
    assert!(place.tenancy().tenants().await.unwrap().is_empty());
    let tenant = place.tenancy().create(place.new_tenant("acme")).await;
    let db = place.tenancy().db(&tenant.unwrap()).await.unwrap();
    assert_eq!(count_notes(&db).await, 0);
}

async fn a_failing_seed_leaves_nothing(place: Place) {
    let (keep, mut kept) = tokio::sync::mpsc::unbounded_channel();
    let failed = place
        .tenancy()
        .create_with(place.new_tenant("acme"), |db| async move {
            add_note(&db, 1, "seeded").await;
            keep.send(db).unwrap();
            Err::<(), _>("as the case wants it".into())
        })
        .await;
    match failed {
        Err(LifecycleError::Seed(error)) => assert_eq!(error.to_string(), "as the case wants it"),
        other => panic!("{other:?}"),
    }
    // the handle that the seed kept is good for nothing
    let kept = kept.recv().await.unwrap();
    let used = kept.query("SELECT id FROM notes").execute().await;
    assert!(
        matches!(used, Err(DbError::Closed | DbError::Missing(_))),
        "{used:?}"
    );
    nothing_is_left(&place).await;
}

async fn a_panicking_seed_leaves_nothing(place: Place) {
    let failed = place
        .tenancy()
        .create_with(place.new_tenant("acme"), |db| async move {
            add_note(&db, 1, "seeded").await;
            panic_quietly();
            #[expect(unreachable_code, reason = "it tells what the seed would return")]
            Ok(())
        })
        .await;
    assert!(matches!(failed, Err(LifecycleError::Seed(_))), "{failed:?}");
    nothing_is_left(&place).await;
}

async fn a_dropped_create_is_completed(place: Place) {
    let seed = |db: crate::db::TenantDb| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        add_note(&db, 1, "seeded").await;
        Ok(())
    };
    let making = place.tenancy().create_with(place.new_tenant("acme"), seed);
    assert!(
        tokio::time::timeout(Duration::from_millis(10), making)
            .await
            .is_err()
    );
    soon("the tenant", || async {
        find(place.tenancy(), "acme").await.is_some()
    })
    .await;
    let db = place.db("acme").await;
    assert_eq!(note(&db, 1).await.as_deref(), Some("seeded"));
}

async fn status(tenancy: &Tenancy, text: &str) -> Option<TenantStatus> {
    find(tenancy, text).await.map(|tenant| tenant.status())
}

async fn suspended_and_resumed(place: Place) {
    let tenant = place.tenant("acme").await;
    add_note(&place.db("acme").await, 1, "kept").await;
    for _ in 0..2 {
        place.tenancy().suspend(&tenant).await.unwrap();
        assert_eq!(
            status(place.tenancy(), "acme").await,
            Some(TenantStatus::Suspended)
        );
    }
    for _ in 0..2 {
        place.tenancy().resume(&tenant).await.unwrap();
        assert_eq!(
            status(place.tenancy(), "acme").await,
            Some(TenantStatus::Active)
        );
    }
    let db = place.db("acme").await;
    assert_eq!(note(&db, 1).await.as_deref(), Some("kept"));
}

async fn renamed(place: Place) {
    let tenant = place.tenant("acme").await;
    let db = place.db("acme").await;
    add_note(&db, 1, "kept").await;
    let location = place.tenancy().location(&tenant);
    assert!(!location.contains("acme"), "{location}");
    assert!(find(place.tenancy(), "initech").await.is_none());
    place
        .tenancy()
        .rename(&tenant, &code("initech"))
        .await
        .unwrap();
    assert!(find(place.tenancy(), "acme").await.is_none());
    let found = find(place.tenancy(), "initech").await.unwrap();
    assert_eq!(found.id(), tenant.id());
    assert_eq!(place.tenancy().location(&found), location);
    // nothing moved: the handle from before sees what the new one writes
    add_note(&place.db("initech").await, 2, "new").await;
    assert_eq!(note(&db, 2).await.as_deref(), Some("new"));
    // and the old code is free
    let other = place.db("acme").await;
    assert_eq!(count_notes(&other).await, 0);
}

async fn renamed_to_a_taken_code(place: Place) {
    let acme = place.tenant("acme").await;
    place.tenant("globex").await;
    let taken = place.tenancy().rename(&acme, &code("globex")).await;
    assert!(matches!(taken, Err(LifecycleError::CodeTaken)), "{taken:?}");
    assert_eq!(find(place.tenancy(), "acme").await.unwrap().id(), acme.id());
    place.tenancy().rename(&acme, &code("acme")).await.unwrap();
    assert_eq!(find(place.tenancy(), "acme").await.unwrap().id(), acme.id());
}

async fn named(place: Place) {
    let tenant = place.tenant("acme").await;
    place.tenancy().set_name(&tenant, "Ácme Ltd").await.unwrap();
    let found = find(place.tenancy(), "acme").await.unwrap();
    assert_eq!(found.name(), "Ácme Ltd");
}

async fn deleted(place: Place) {
    let tenant = place.tenant("acme").await;
    let db = place.db("acme").await;
    add_note(&db, 1, "note").await;
    let other = place.db("globex").await;
    add_note(&other, 1, "kept").await;
    place.tenancy().erase(&tenant).await.unwrap();
    assert!(find(place.tenancy(), "acme").await.is_none());
    assert!(!place.tenancy().is_present(&tenant).await.unwrap());
    assert_eq!(place.tenancy().tenants().await.unwrap().len(), 1);
    for _ in 0..2 {
        let used = db
            .query("INSERT INTO notes (id, text) VALUES (2, 'late')")
            .execute()
            .await;
        assert!(
            matches!(used, Err(DbError::Closed | DbError::Missing(_))),
            "{used:?}"
        );
        let opened = match place.tenancy().db(&tenant).await {
            Err(error) => Err(error),
            Ok(db) => db.query("SELECT id FROM notes").execute().await,
        };
        assert!(
            matches!(opened, Err(DbError::Closed | DbError::Missing(_))),
            "{opened:?}"
        );
        let migrated = place.tenancy().migrate(&tenant).await;
        assert!(migrated.is_err());
    }
    assert!(
        !place.tenancy().is_present(&tenant).await.unwrap(),
        "and nothing made it anew"
    );
    assert_eq!(note(&other, 1).await.as_deref(), Some("kept"));
}

async fn deleted_while_in_use(place: Place) {
    let tenant = place.tenant("acme").await;
    let db = place.db("acme").await;
    let writers: Vec<_> = (0..8_i64)
        .map(|task| {
            let db = db.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let id = task * 1_000_000 + n;
                    let insert = db.query("INSERT INTO notes (id, text) VALUES ($1, 'x')");
                    if let Err(error) = insert.bind(id).execute().await {
                        return error;
                    }
                }
                DbError::NotFound
            })
        })
        .collect();
    soon("a note", || async { count_notes(&db).await > 10 }).await;
    place.tenancy().erase(&tenant).await.unwrap();
    for ended in at_once(join_all(writers)).await {
        let error = ended.unwrap();
        assert!(
            matches!(error, DbError::Closed | DbError::Missing(_)),
            "{error:?}"
        );
    }
    assert!(!place.tenancy().is_present(&tenant).await.unwrap());
}

async fn deleted_once(place: Place) {
    let tenant = place.tenant("acme").await;
    let other = place.beside().await;
    let attempts = (0..10).map(|n| {
        let tenancy = if n % 2 == 0 { place.tenancy() } else { &other };
        let (tenancy, tenant) = (tenancy.clone(), tenant.clone());
        tokio::spawn(async move { tenancy.erase(&tenant).await })
    });
    let mut done = 0;
    for attempt in join_all(attempts).await {
        match attempt.unwrap() {
            Ok(_) => done += 1,
            Err(LifecycleError::NotPossible | LifecycleError::UnderWay) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(done, 1);
    for outcome in [
        place.tenancy().suspend(&tenant).await,
        place.tenancy().resume(&tenant).await,
        place.tenancy().rename(&tenant, &code("initech")).await,
        place.tenancy().set_name(&tenant, "x").await,
        place.tenancy().erase(&tenant).await.map(drop),
    ] {
        assert!(
            matches!(outcome, Err(LifecycleError::NotPossible)),
            "{outcome:?}"
        );
    }
    other.close();
}

async fn a_deleted_one_comes_back_empty(place: Place) {
    for _ in 0..3 {
        let tenant = place.tenant("acme").await;
        let db = place.db("acme").await;
        assert_eq!(count_notes(&db).await, 0);
        add_note(&db, 1, "note").await;
        place.tenancy().erase(&tenant).await.unwrap();
    }
}

async fn gone_before_it_was_opened(place: Place) {
    // a snapshot from before, and a process that never opened it
    let tenant = place.tenant("acme").await;
    let other = place.beside().await;
    place.tenancy().erase(&tenant).await.unwrap();
    let opened = match other.db(&tenant).await {
        Err(error) => Err(error),
        Ok(db) => db.query("SELECT id FROM notes").execute().await,
    };
    assert!(
        matches!(opened, Err(DbError::Closed | DbError::Missing(_))),
        "{opened:?}"
    );
    assert!(!place.tenancy().is_present(&tenant).await.unwrap());
    other.close();
}

async fn others_learn_of_a_suspension(place: Place) {
    let other = place.beside().await;
    let tenant = place.tenant("acme").await;
    assert_eq!(status(&other, "acme").await, Some(TenantStatus::Active));
    place.tenancy().suspend(&tenant).await.unwrap();
    soon("suspended", || async {
        status(&other, "acme").await == Some(TenantStatus::Suspended)
    })
    .await;
    place.tenancy().resume(&tenant).await.unwrap();
    soon("resumed", || async {
        status(&other, "acme").await == Some(TenantStatus::Active)
    })
    .await;
    other.close();
}

async fn others_learn_of_a_new_code(place: Place) {
    let other = place.beside().await;
    let tenant = place.tenant("acme").await;
    assert!(find(&other, "acme").await.is_some());
    assert!(find(&other, "initech").await.is_none());
    place
        .tenancy()
        .rename(&tenant, &code("initech"))
        .await
        .unwrap();
    soon("renamed", || async {
        find(&other, "acme").await.is_none() && find(&other, "initech").await.is_some()
    })
    .await;
    other.close();
}

async fn others_learn_of_a_new_tenant(place: Place) {
    let other = place.beside().await;
    assert!(find(&other, "acme").await.is_none());
    place.tenant("acme").await;
    soon("created", || async { find(&other, "acme").await.is_some() }).await;
    other.close();
}

async fn others_learn_of_a_deletion(place: Place) {
    let other = place.beside().await;
    let tenant = place.tenant("acme").await;
    let there = other
        .db(&find(&other, "acme").await.unwrap())
        .await
        .unwrap();
    add_note(&there, 1, "note").await;
    place.tenancy().erase(&tenant).await.unwrap();
    soon("deleted", || async {
        find(&other, "acme").await.is_none()
            && matches!(
                there.query("SELECT id FROM notes").execute().await,
                Err(DbError::Closed | DbError::Missing(_))
            )
    })
    .await;
    assert!(!other.is_present(&tenant).await.unwrap());
    other.close();
}

async fn unknown_codes(place: Place) {
    let place = Arc::new(place);
    let tasks = (0..4).map(|task| {
        let place = place.clone();
        tokio::spawn(async move {
            for n in 0..100 {
                let text = format!("unknown-{task}-{n}");
                assert!(find(place.tenancy(), &text).await.is_none());
            }
        })
    });
    for ended in join_all(tasks).await {
        ended.unwrap();
    }
    // having been asked for does not keep it from coming
    place.tenant("unknown-1-1").await;
    assert!(find(place.tenancy(), "unknown-1-1").await.is_some());
}

async fn everything_is_there_after_a_restart(mut place: Place) {
    let acme = place.tenant("acme").await;
    add_note(&place.db("acme").await, 1, "kept").await;
    place.tenancy().suspend(&acme).await.unwrap();
    let globex = place.tenant("globex").await;
    place.tenancy().erase(&globex).await.unwrap();
    place.reopen().await;
    assert_eq!(
        status(place.tenancy(), "acme").await,
        Some(TenantStatus::Suspended)
    );
    assert!(find(place.tenancy(), "globex").await.is_none());
    let db = place.db("acme").await;
    assert_eq!(note(&db, 1).await.as_deref(), Some("kept"));
}

async fn listed_by_code(place: Place) {
    for text in ["globex", "acme", "initech"] {
        place.tenant(text).await;
    }
    let acme = place.tenant("acme").await;
    place.tenancy().suspend(&acme).await.unwrap();
    let tenants = place.tenancy().tenants().await.unwrap();
    let listed: Vec<_> = tenants
        .iter()
        .map(|tenant| (tenant.code().as_str(), tenant.status()))
        .collect();
    assert_eq!(
        listed,
        [
            ("acme", TenantStatus::Suspended),
            ("globex", TenantStatus::Active),
            ("initech", TenantStatus::Active),
        ]
    );
}
