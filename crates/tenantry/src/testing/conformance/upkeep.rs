//! Backups, what belongs to nobody, and tenants that are made before anybody wants them.

use std::{collections::BTreeSet, fs};

use futures_util::future::join_all;

use super::{Place, add_note, clones::has_bytes, count_notes, list, note, users::add_user};
use crate::{
    Tenancy, Tenant,
    catalog::Change,
    db::TenantDb,
    lifecycle::{
        LifecycleError, NewTenant,
        backup::{BackupError, inspect},
    },
    tenant::{Isolation, Placement, TenantCode, TenantId, TenantStatus},
    users::Tokens,
};

list! { "upkeep":
    a_backup_goes_into_every_isolation, one_is_restored_beside_itself,
    a_restore_meets_nobody, a_backup_is_of_one_moment,
    orphans_are_found_and_removed, whoever_is_known_is_no_orphan,
    a_pending_one_is_nobody, a_pending_one_is_taken, each_is_taken_once,
    a_failing_seed_takes_one_away, a_taken_code_takes_none, pending_ones_are_kept_ready,
    a_pending_one_of_another_version_is_not_taken,
}

fn code(text: &str) -> TenantCode {
    text.parse().unwrap()
}

async fn find(tenancy: &Tenancy, text: &str) -> Option<Tenant> {
    tenancy.tenant(&code(text)).await.unwrap()
}

async fn db_of(tenancy: &Tenancy, text: &str) -> TenantDb {
    let tenant = find(tenancy, text).await.unwrap();
    tenancy.db(&tenant).await.unwrap()
}

async fn a_backup_goes_into_every_isolation(place: Place) {
    for (text, noted) in [("acme", "ours"), ("globex", "theirs")] {
        add_note(&place.db(text).await, 1, noted).await;
    }
    let globex = find(place.tenancy(), "globex").await.unwrap();
    place.tenancy().suspend(&globex).await.unwrap();
    let user = add_user(&place, &place.db("acme").await, "ann@example.com").await;
    let token = Tokens::on(&place.db("acme").await).issue(user.id).await;
    let token = token.unwrap();
    let folder = place.folder().join("backup");
    let taken = place.tenancy().backup(&folder, None, |_| {}).await.unwrap();
    assert!(taken.whole && taken.failed.is_empty());
    assert_eq!(taken.tenants, [code("acme"), code("globex")]);
    assert_eq!(inspect(&folder).await.unwrap().tenants, taken.tenants);
    for isolation in Isolation::ALL {
        // a tenant's database is called by its id, which is the same in all of them
        let there = super::place_apart(isolation).await;
        there
            .tenancy()
            .restore_backup(&folder, |_| {})
            .await
            .unwrap();
        for (text, noted, status) in [
            ("acme", "ours", TenantStatus::Active),
            ("globex", "theirs", TenantStatus::Suspended),
        ] {
            let db = db_of(there.tenancy(), text).await;
            assert_eq!(note(&db, 1).await.as_deref(), Some(noted), "{isolation}");
            assert_eq!(count_notes(&db).await, 1, "nobody else's");
            let tenant = find(there.tenancy(), text).await.unwrap();
            assert_eq!(tenant.status(), status);
            let was = find(place.tenancy(), text).await.unwrap();
            assert_eq!(tenant.id(), was.id());
            assert_eq!(tenant.created_at(), was.created_at());
        }
        let acme = db_of(there.tenancy(), "acme").await;
        assert!(
            Tokens::on(&acme)
                .authenticate(&token.secret)
                .await
                .unwrap()
                .is_some()
        );
        let globex = db_of(there.tenancy(), "globex").await;
        assert!(
            Tokens::on(&globex)
                .authenticate(&token.secret)
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(there.tenancy().orphans().await.unwrap(), []);
        let again = there.tenancy().restore_backup(&folder, |_| {}).await;
        assert!(matches!(again, Err(BackupError::NotEmpty)), "{again:?}");
    }
}

async fn one_is_restored_beside_itself(place: Place) {
    add_note(&place.db("acme").await, 1, "before").await;
    add_note(&place.db("globex").await, 1, "theirs").await;
    let acme = find(place.tenancy(), "acme").await.unwrap();
    let user = add_user(&place, &place.db("acme").await, "ann@example.com").await;
    let token = Tokens::on(&place.db("acme").await).issue(user.id).await;
    let token = token.unwrap();
    let folder = place.folder().join("backup");
    let tenancy = place.tenancy();
    let taken = tenancy.backup(&folder, Some(&acme), |_| {}).await.unwrap();
    assert!(!taken.whole);
    add_note(&place.db("acme").await, 2, "after").await;

    let taken = tenancy
        .restore_tenant(&folder, &code("acme"), None, None)
        .await;
    let is_taken = |error: &BackupError| {
        matches!(error, BackupError::Tenant { source, .. }
            if matches!(**source, LifecycleError::CodeTaken))
    };
    assert!(taken.as_ref().is_err_and(is_taken), "{taken:?}");
    let beside = code("beside");
    let made = tenancy
        .restore_tenant(&folder, &code("acme"), Some(&beside), None)
        .await;
    let made = made.unwrap();
    assert_ne!(made.id(), acme.id());
    assert_eq!(made.isolation(), place.isolation());
    let db = db_of(tenancy, "beside").await;
    assert_eq!(note(&db, 1).await.as_deref(), Some("before"));
    assert_eq!(count_notes(&db).await, 1);
    assert_eq!(count_notes(&db_of(tenancy, "acme").await).await, 2);
    // who is signed in to the one is not to the other
    let acme_db = db_of(tenancy, "acme").await;
    assert!(
        Tokens::on(&acme_db)
            .authenticate(&token.secret)
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        Tokens::on(&db)
            .authenticate(&token.secret)
            .await
            .unwrap()
            .is_none()
    );
    if place.isolation() == Isolation::File {
        let digest = acme_db.query("SELECT digest FROM tokens");
        let digest: Vec<u8> = digest.scalar().await.unwrap();
        assert!(!has_bytes(&place, &made, &digest));
        assert!(has_bytes(&place, &acme, &digest), "as it would be found");
    }
    // nor by way of an import, which would take the archive in it for an exported one
    if place.isolation() != Isolation::File {
        let archive = folder.join(format!("tenants/{}.archive", acme.id()));
        let placed = |new: NewTenant| new.isolation(place.isolation());
        let imported = tenancy
            .import(&archive, Some(code("imported")), placed)
            .await;
        let db = tenancy.db(&imported.unwrap()).await.unwrap();
        assert_eq!(note(&db, 1).await.as_deref(), Some("before"));
        let in_it = Tokens::on(&db).authenticate(&token.secret).await;
        assert!(in_it.unwrap().is_none());
    }
    // nor does the whole come from one
    let whole = tenancy.restore_backup(&folder, |_| {}).await;
    assert!(matches!(whole, Err(BackupError::Partial)), "{whole:?}");
    for isolation in Isolation::ALL {
        let to = Placement::new(isolation, "local");
        let other = code(&format!("as-{isolation}"));
        let made = tenancy
            .restore_tenant(&folder, &code("acme"), Some(&other), Some(to))
            .await;
        if place.isolation() == Isolation::File && isolation != Isolation::File {
            assert!(made.is_err(), "there is no such place");
            continue;
        }
        made.unwrap();
        let db = db_of(tenancy, other.as_str()).await;
        assert_eq!(note(&db, 1).await.as_deref(), Some("before"));
        assert!(
            Tokens::on(&db)
                .authenticate(&token.secret)
                .await
                .unwrap()
                .is_none()
        );
    }
    assert_eq!(tenancy.orphans().await.unwrap(), []);
}

async fn a_restore_meets_nobody(place: Place) {
    place.tenant("acme").await;
    let folder = place.folder().join("backup");
    place.tenancy().backup(&folder, None, |_| {}).await.unwrap();
    let again = place.tenancy().backup(&folder, None, |_| {}).await;
    assert!(matches!(again, Err(BackupError::Exists(_))), "{again:?}");
    let there = super::place(place.isolation()).await;
    there.tenant("zoo").await;
    let met = there.tenancy().restore_backup(&folder, |_| {}).await;
    assert!(matches!(met, Err(BackupError::NotEmpty)), "{met:?}");
    assert_eq!(there.tenancy().tenants().await.unwrap().len(), 1);
    let none = inspect(place.folder()).await;
    assert!(matches!(none, Err(BackupError::NotOne(_))), "{none:?}");
    // nor is what a catalog that was lost has left, which may be newer
    if place.isolation() == Isolation::File {
        let acme = find(place.tenancy(), "acme").await.unwrap();
        let there = super::place(Isolation::File).await;
        let left = there.tenancy().0.places.files().path(acme.id());
        fs::create_dir_all(left.parent().unwrap()).unwrap();
        fs::write(&left, "precious").unwrap();
        let met = there.tenancy().restore_backup(&folder, |_| {}).await;
        assert!(matches!(met, Err(BackupError::Occupied(_))), "{met:?}");
        assert_eq!(fs::read(&left).unwrap(), b"precious");
        fs::remove_file(&left).unwrap();
        let again = there.tenancy().restore_backup(&folder, |_| {}).await;
        again.unwrap();
        assert_eq!(count_notes(&db_of(there.tenancy(), "acme").await).await, 0);
    }
    // somebody's folder is not written over
    let theirs = place.folder().join("theirs.part");
    fs::create_dir(&theirs).unwrap();
    fs::write(theirs.join("precious"), "x").unwrap();
    let to = place.folder().join("theirs");
    let met = place.tenancy().backup(&to, None, |_| {}).await;
    assert!(matches!(met, Err(BackupError::Exists(_))), "{met:?}");
    assert!(theirs.join("precious").exists());
}

/// Two rows that are always written together are both in it, or neither.
async fn a_backup_is_of_one_moment(place: Place) {
    let db = place.db("acme").await;
    let writing = tokio::spawn(async move {
        for n in 0..400 {
            let mut tx = db.begin();
            for id in [2 * n, 2 * n + 1] {
                let insert = tx
                    .query("INSERT INTO notes (id, text) VALUES ($1, 'x')")
                    .bind(id);
                insert.execute().await.unwrap();
            }
            tx.commit().await.unwrap();
        }
    });
    let acme = find(place.tenancy(), "acme").await.unwrap();
    let mut most = 0;
    for round in 0..5 {
        let folder = place.folder().join(format!("backup-{round}"));
        place
            .tenancy()
            .backup(&folder, Some(&acme), |_| {})
            .await
            .unwrap();
        let restored = code(&format!("restored-{round}"));
        let made = place
            .tenancy()
            .restore_tenant(&folder, acme.code(), Some(&restored), None)
            .await;
        let db = place.tenancy().db(&made.unwrap()).await.unwrap();
        let count = count_notes(&db).await;
        assert_eq!(count % 2, 0);
        assert!(count >= most);
        most = count;
    }
    writing.await.unwrap();
}

/// The record goes, and what it was of stays: as when the catalog comes from a time before.
async fn forget(place: &Place, text: &str) -> TenantId {
    let id = find(place.tenancy(), text).await.unwrap().id();
    let catalog = &place.tenancy().0.catalog;
    assert!(catalog.change(id, Change::Forget).await.unwrap());
    id
}

async fn orphans_are_found_and_removed(place: Place) {
    add_note(&place.db("acme").await, 1, "ours").await;
    add_note(&place.db("lost").await, 1, "theirs").await;
    let tenancy = place.tenancy();
    assert_eq!(tenancy.orphans().await.unwrap(), []);
    let lost = forget(&place, "lost").await;
    let wall = tenancy.audit().await.unwrap();
    let found = tenancy.orphans().await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].tenant, lost);
    let removed = tenancy.remove_orphan(&found[0]).await.unwrap();
    if place.isolation() == Isolation::Database {
        // it could be another deployment's
        assert!(!removed && !found[0].is_removable);
        assert_eq!(tenancy.orphans().await.unwrap(), found);
    } else {
        assert!(removed);
        assert_eq!(tenancy.orphans().await.unwrap(), []);
        assert!(!tenancy.remove_orphan(&found[0]).await.unwrap(), "twice");
    }
    assert_eq!(
        note(&place.db("acme").await, 1).await.as_deref(),
        Some("ours")
    );
    assert_eq!(
        tenancy.audit().await.unwrap(),
        wall,
        "the wall stands as it did"
    );
}

async fn whoever_is_known_is_no_orphan(place: Place) {
    let tenancy = place.tenancy();
    for text in ["acme", "stopped", "gone"] {
        add_note(&place.db(text).await, 1, "x").await;
    }
    let stopped = find(tenancy, "stopped").await.unwrap();
    tenancy.suspend(&stopped).await.unwrap();
    let gone = find(tenancy, "gone").await.unwrap();
    tenancy
        .delete(&gone, crate::lifecycle::GRACE)
        .await
        .unwrap();
    tenancy.fill_pending(2).await.unwrap();
    assert_eq!(tenancy.orphans().await.unwrap(), []);
    let seeded = |_| async {
        tokio::time::sleep(super::A_WHILE).await;
        Ok(())
    };
    let (made, looked) = tokio::join!(
        tenancy.create_with(place.new_tenant("new"), seeded),
        async {
            let mut looked = Vec::new();
            for _ in 0..5 {
                looked.extend(tenancy.orphans().await.unwrap());
            }
            looked
        }
    );
    made.unwrap();
    assert_eq!(looked, []);
}

/// A place whose default is its own isolation, with so many tenants ready.
async fn with_ready(place: &Place, ready: usize) -> Tenancy {
    let config = place.config().isolation(place.isolation());
    let tenancy = Tenancy::set_up(config).await.unwrap();
    assert_eq!(tenancy.fill_pending(ready).await.unwrap(), ready);
    assert_eq!(tenancy.pending_tenants().await.unwrap(), ready);
    tenancy
}

async fn pending_ids(tenancy: &Tenancy) -> BTreeSet<TenantId> {
    let pending = tenancy.0.catalog.store().pending().await.unwrap();
    pending.iter().map(Tenant::id).collect()
}

async fn a_pending_one_is_nobody(place: Place) {
    let tenancy = with_ready(&place, 2).await;
    assert!(tenancy.tenants().await.unwrap().is_empty());
    assert!(tenancy.behind().await.unwrap().is_empty());
    for id in pending_ids(&tenancy).await {
        let text = format!("pending-{}", id.as_uuid().simple());
        assert!(find(&tenancy, &text).await.is_none());
        let stored = tenancy
            .0
            .catalog
            .store()
            .by_code(&code(&text))
            .await
            .unwrap();
        let stored = stored.unwrap();
        assert!(tenancy.suspend(&stored).await.is_err());
        assert!(
            tenancy
                .delete(&stored, crate::lifecycle::GRACE)
                .await
                .is_err()
        );
        assert!(tenancy.erase(&stored).await.is_err());
    }
    // a start does not take them for half made ones
    place.beside().await.close();
    assert_eq!(tenancy.pending_tenants().await.unwrap(), 2);
    assert_eq!(tenancy.fill_pending(2).await.unwrap(), 0);
    assert_eq!(tenancy.drop_pending().await.unwrap(), 2);
    assert_eq!(tenancy.pending_tenants().await.unwrap(), 0);
    assert_eq!(tenancy.orphans().await.unwrap(), []);
    tenancy.close();
}

async fn a_pending_one_is_taken(place: Place) {
    let tenancy = with_ready(&place, 1).await;
    let ready = pending_ids(&tenancy).await;
    let other = place.beside().await;
    assert!(find(&other, "acme").await.is_none());
    let seed = |db: TenantDb| async move {
        add_note(&db, 1, "seeded").await;
        Ok(())
    };
    let before = chrono::Utc::now();
    let (acme, ()) = tenancy
        .create_with(place.new_tenant("acme"), seed)
        .await
        .unwrap();
    assert!(ready.contains(&acme.id()), "it was there");
    assert_eq!((acme.code().as_str(), acme.name()), ("acme", "acme"));
    assert_eq!(acme.status(), TenantStatus::Active);
    assert!(acme.created_at() >= before - chrono::Duration::milliseconds(1));
    assert_eq!(tenancy.pending_tenants().await.unwrap(), 0);
    super::soon("others learn of it", || async {
        find(&other, "acme").await.is_some()
    })
    .await;
    let db = db_of(&other, "acme").await;
    assert_eq!(note(&db, 1).await.as_deref(), Some("seeded"));
    assert_eq!(count_notes(&db).await, 1);
    // and with none ready it is made as ever
    let globex = tenancy.create(place.new_tenant("globex")).await.unwrap();
    let db = tenancy.db(&globex).await.unwrap();
    assert_eq!(count_notes(&db).await, 0);
    other.close();
    tenancy.close();
}

async fn each_is_taken_once(place: Place) {
    let tenancy = with_ready(&place, 6).await;
    let other = Tenancy::set_up(place.config().isolation(place.isolation()))
        .await
        .unwrap();
    let ready = pending_ids(&tenancy).await;
    let attempts = (0..16).map(|n| {
        let tenancy = if n % 2 == 0 { &tenancy } else { &other };
        let (tenancy, new) = (tenancy.clone(), place.new_tenant(&format!("tenant-{n}")));
        tokio::spawn(async move {
            let seed = move |db: TenantDb| async move {
                // whoever has the same place as another meets its note
                add_note(&db, 1, &format!("of {n}")).await;
                Ok(())
            };
            tenancy.create_with(new, seed).await
        })
    });
    let mut ids = BTreeSet::new();
    for (n, made) in join_all(attempts).await.into_iter().enumerate() {
        let (tenant, ()) = made.unwrap().unwrap();
        assert!(ids.insert(tenant.id()), "two got the same");
        let db = tenancy.db(&tenant).await.unwrap();
        assert_eq!(note(&db, 1).await, Some(format!("of {n}")));
        assert_eq!(count_notes(&db).await, 1);
    }
    assert_eq!(ids.len(), 16);
    assert!(ids.is_superset(&ready), "all that were ready were taken");
    assert_eq!(tenancy.orphans().await.unwrap(), []);
    other.close();
    tenancy.close();
}

async fn a_failing_seed_takes_one_away(place: Place) {
    let tenancy = with_ready(&place, 2).await;
    let failing = |db: TenantDb| async move {
        add_note(&db, 1, "half").await;
        Err::<(), _>("no".into())
    };
    let failed = tenancy.create_with(place.new_tenant("acme"), failing).await;
    assert!(matches!(failed, Err(LifecycleError::Seed(_))), "{failed:?}");
    assert!(find(&tenancy, "acme").await.is_none());
    assert_eq!(tenancy.pending_tenants().await.unwrap(), 1);
    let acme = tenancy.create(place.new_tenant("acme")).await.unwrap();
    assert_eq!(count_notes(&tenancy.db(&acme).await.unwrap()).await, 0);
    assert_eq!(tenancy.orphans().await.unwrap(), []);
    tenancy.close();
}

async fn a_taken_code_takes_none(place: Place) {
    place.tenant("acme").await;
    let tenancy = with_ready(&place, 1).await;
    let taken = tenancy.create(place.new_tenant("acme")).await;
    assert!(matches!(taken, Err(LifecycleError::CodeTaken)), "{taken:?}");
    assert_eq!(tenancy.pending_tenants().await.unwrap(), 1);
    tenancy.close();
}

async fn pending_ones_are_kept_ready(place: Place) {
    let config = place
        .config()
        .isolation(place.isolation())
        .pending_tenants(2);
    let tenancy = Tenancy::set_up(config).await.unwrap();
    let full = || async { tenancy.pending_tenants().await.unwrap() == 2 };
    super::soon("two are ready", full).await;
    tenancy.create(place.new_tenant("acme")).await.unwrap();
    super::soon("two are ready again", full).await;
    tenancy.close();
}

async fn a_pending_one_of_another_version_is_not_taken(place: Place) {
    let tenancy = with_ready(&place, 1).await;
    let old = pending_ids(&tenancy).await;
    let more = super::tables().sql("0002_more", "CREATE TABLE more (id bigint PRIMARY KEY)");
    let config = place.config_with(more).isolation(place.isolation());
    let newer = Tenancy::set_up(config).await.unwrap();
    assert_eq!(newer.pending_tenants().await.unwrap(), 0);
    let acme = newer.create(place.new_tenant("acme")).await.unwrap();
    assert!(!old.contains(&acme.id()));
    // it is brought up to date, and is as good as a new one
    assert_eq!(newer.fill_pending(1).await.unwrap(), 0);
    let globex = newer.create(place.new_tenant("globex")).await.unwrap();
    assert!(old.contains(&globex.id()));
    let count = newer.db(&globex).await.unwrap();
    let more: i64 = count
        .query("SELECT count(*) FROM more")
        .scalar()
        .await
        .unwrap();
    assert_eq!(more, 0);
    newer.close();
    tenancy.close();
}
