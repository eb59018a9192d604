//! Tenants are deleted and come back, are put into archives, and moved.

use std::{fs, path::Path, time::Duration};

use super::{Place, add_note, add_notes, count_notes, list, note, users::add_user};
use crate::{
    Tenancy, Tenant,
    db::{DbError, TenantDb},
    lifecycle::{ArchiveError, Deleted, Exporting, GRACE, LifecycleError},
    tenant::{Isolation, Placement, TenantCode, TenantStatus},
    users::Tokens,
};

list! { "copies":
    deleted_and_restored, restored_under_another_code, erased_after_it_was_deleted,
    a_certificate_tells_what_was_erased, a_deleted_one_is_not_migrated_away,
    exported_and_imported, an_archive_is_the_same_again, an_archive_has_no_secrets,
    an_archive_of_nobody, a_damaged_archive_makes_nothing, an_archive_that_does_not_fit,
    moved_through_every_isolation, moved_while_in_use, moved_where_there_is_no_place,
}

pub(super) fn code(text: &str) -> TenantCode {
    text.parse().unwrap()
}

pub(super) async fn find(tenancy: &Tenancy, text: &str) -> Option<Tenant> {
    tenancy.tenant(&code(text)).await.unwrap()
}

pub(super) async fn db_of(tenancy: &Tenancy, text: &str) -> TenantDb {
    let tenant = find(tenancy, text).await.unwrap();
    tenancy.db(&tenant).await.unwrap()
}

async fn deleted(place: &Place, text: &str) -> Deleted {
    let tenant = find(place.tenancy(), text).await.unwrap();
    place.tenancy().delete(&tenant, GRACE).await.unwrap()
}

async fn deleted_and_restored(place: Place) {
    let db = place.db("acme").await;
    add_note(&db, 1, "kept").await;
    let gone = deleted(&place, "acme").await;
    assert_eq!(
        (gone.code.as_str(), gone.was),
        ("acme", TenantStatus::Active)
    );
    assert!(find(place.tenancy(), "acme").await.is_none());
    assert!(place.tenancy().tenants().await.unwrap().is_empty());
    let used = db.query("SELECT id FROM notes").execute().await;
    assert!(matches!(used, Err(DbError::Closed)), "{used:?}");
    // another start does not take it for one that was left half erased
    place.beside().await.close();
    let again = place.tenancy().delete(&gone.tenant, GRACE).await;
    assert!(
        matches!(again, Err(LifecycleError::NotPossible)),
        "{again:?}"
    );
    let back = place.tenancy().restore(&gone, None).await.unwrap();
    assert_eq!(
        (back.id(), back.status()),
        (gone.tenant.id(), TenantStatus::Active)
    );
    let db = db_of(place.tenancy(), "acme").await;
    assert_eq!(note(&db, 1).await.as_deref(), Some("kept"));
    let twice = place.tenancy().restore(&gone, None).await;
    assert!(
        matches!(twice, Err(LifecycleError::NotPossible)),
        "{twice:?}"
    );
    assert!(place.tenancy().deleted().await.unwrap().is_empty());
}

async fn restored_under_another_code(place: Place) {
    add_note(&place.db("acme").await, 1, "first").await;
    let tenant = find(place.tenancy(), "acme").await.unwrap();
    place.tenancy().suspend(&tenant).await.unwrap();
    let gone = deleted(&place, "acme").await;
    // the code is free, and taken
    add_note(&place.db("acme").await, 1, "second").await;
    let taken = place.tenancy().restore(&gone, None).await;
    assert!(matches!(taken, Err(LifecycleError::CodeTaken)), "{taken:?}");
    let other = code("acme-back");
    let back = place.tenancy().restore(&gone, Some(&other)).await.unwrap();
    assert_eq!(back.status(), TenantStatus::Suspended, "as it was");
    for (text, said) in [("acme", "second"), ("acme-back", "first")] {
        let db = db_of(place.tenancy(), text).await;
        assert_eq!(note(&db, 1).await.as_deref(), Some(said));
    }
}

async fn erased_after_it_was_deleted(place: Place) {
    add_note(&place.db("acme").await, 1, "note").await;
    let gone = deleted(&place, "acme").await;
    place.tenancy().erase(&gone.tenant).await.unwrap();
    let back = place.tenancy().restore(&gone, None).await;
    assert!(matches!(back, Err(LifecycleError::NotPossible)), "{back:?}");
    assert!(!place.tenancy().is_present(&gone.tenant).await.unwrap());
    assert!(place.tenancy().deleted().await.unwrap().is_empty());
    assert_eq!(count_notes(&place.db("acme").await).await, 0);
}

async fn a_certificate_tells_what_was_erased(place: Place) {
    let db = place.db("acme").await;
    add_notes(&db, 7).await;
    add_notes(&place.db("globex").await, 3).await;
    add_user(&place, &db, "ann@example.com").await;
    let tenant = find(place.tenancy(), "acme").await.unwrap();
    let mail = place.folder().join("mail").join(tenant.id().to_string());
    fs::create_dir_all(&mail).unwrap();
    fs::write(mail.join("1.eml"), "to ann").unwrap();
    let gone = deleted(&place, "acme").await;
    let certificate = place.tenancy().erase(&gone.tenant).await.unwrap();
    assert_eq!(
        (certificate.tenant, certificate.code.as_str()),
        (tenant.id(), "acme")
    );
    let rows = certificate.removed.rows.unwrap();
    assert_eq!((rows["notes"], rows["users"], rows["shelves"]), (7, 1, 0));
    assert_eq!(certificate.removed.files, 1);
    assert!(certificate.finished_at.unwrap() >= certificate.begun_at);
    assert!(!mail.exists());
    let kept = place.tenancy().certificates().await.unwrap();
    assert_eq!(kept.len(), 1, "and it is kept");
    assert_eq!(count_notes(&place.db("globex").await).await, 3);
}

async fn a_deleted_one_is_not_migrated_away(mut place: Place) {
    add_note(&place.db("acme").await, 1, "kept").await;
    let gone = deleted(&place, "acme").await;
    place.tenant("globex").await;
    let more = super::tables().sql("0002_more", "ALTER TABLE notes ADD COLUMN more text");
    place.reopen_as(place.config_with(more)).await;
    let behind = place.tenancy().behind().await.unwrap();
    assert!(behind.iter().all(|tenant| tenant.id() != gone.tenant.id()));
    place.db("globex").await;
    place.tenancy().restore(&gone, None).await.unwrap();
    let db = db_of(place.tenancy(), "acme").await;
    let kept = db.query("SELECT more FROM notes WHERE text = 'kept'");
    assert_eq!(kept.scalar::<Option<String>>().await.unwrap(), None);
}

/// One row of every kind of value, and of none.
pub(super) async fn fill(place: &Place, db: &TenantDb) {
    db.query(
        "INSERT INTO samples VALUES
            (1, true, -3, 7, 9000000000, 0.5, 0.1, 'ü ''; -- \\ \"', $1, $2, $3, $4, $5, $6, $7),
            (2, false, 0, 0, 0, 0, 1e300, '', $1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(vec![0_u8, 255, 10])
    .bind(uuid::Uuid::from_u128(7))
    .bind(chrono::DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap())
    .bind(chrono::NaiveDate::from_ymd_opt(1999, 12, 31).unwrap())
    .bind(rust_decimal::Decimal::new(123_456_789, 5))
    .bind(rust_decimal::Decimal::new(990, 2))
    .bind(serde_json::json!({"b": [1, 2.5, null], "a": {"ü": "\\n"}}))
    .execute()
    .await
    .unwrap();
    for sql in [
        "INSERT INTO samples (id) VALUES (3)",
        "INSERT INTO shelves (id, name) VALUES (1, 'top'), (2, 'low')",
        "INSERT INTO products (id, shelf, code, price) VALUES (1, 1, 'mug', 9), (2, 2, 'cup', 1)",
        "INSERT INTO parts (product, name) VALUES (1, 'handle'), (1, 'body')",
        "INSERT INTO offers (id, product) VALUES (1, 1), (2, NULL)",
    ] {
        db.query(sql).execute().await.expect(sql);
    }
    add_notes(db, 450).await;
    let ann = add_user(place, db, "ann@example.com").await;
    Tokens::on(db).issue(ann.id).await.unwrap();
}

/// Everything that a tenant has but what lets somebody in, to the byte.
pub(super) async fn archived(tenancy: &Tenancy, text: &str, folder: &Path) -> String {
    let tenant = find(tenancy, text).await.unwrap();
    let path = folder.join(format!("{}.archive", uuid::Uuid::now_v7()));
    let how = Exporting::default();
    tenancy.export(&tenant, &path, how).await.unwrap();
    let read = read_archive(&path);
    fs::remove_file(path).unwrap();
    read
}

fn read_archive(path: &Path) -> String {
    let mut text = String::new();
    let file = fs::File::open(path).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut text).unwrap();
    text
}

/// The lines about tables and rows, without whose they are.
pub(super) fn rows_of(archive: &str) -> Vec<&str> {
    let lines = archive.lines().skip(1);
    lines
        .filter(|line| !line.starts_with("{\"tables\""))
        .collect()
}

pub(super) async fn count(db: &TenantDb, table: &str) -> i64 {
    let ask = db.query(&format!("SELECT count(*) FROM {table}"));
    ask.scalar().await.unwrap()
}

async fn exported_and_imported(place: Place) {
    let db = place.db("acme").await;
    fill(&place, &db).await;
    let acme = find(place.tenancy(), "acme").await.unwrap();
    let path = place.folder().join("acme.archive");
    let exported = place
        .tenancy()
        .export(&acme, &path, Exporting::default())
        .await;
    let exported = exported.unwrap();
    assert!(exported.rows > 450 && exported.tables > 10, "{exported:?}");
    let isolation = place.isolation();
    let taken = place
        .tenancy()
        .import(&path, None, |new| new.isolation(isolation))
        .await;
    assert!(matches!(taken, Err(LifecycleError::CodeTaken)), "{taken:?}");
    let made = place
        .tenancy()
        .import(&path, Some(code("twin")), |new| new.isolation(isolation))
        .await
        .unwrap();
    assert_eq!((made.code().as_str(), made.name()), ("twin", acme.name()));
    let first = archived(place.tenancy(), "acme", place.folder()).await;
    let second = archived(place.tenancy(), "twin", place.folder()).await;
    assert_eq!(rows_of(&first), rows_of(&second));
    // into every other isolation that there is here, and it is the same
    for isolation in Isolation::ALL {
        let text = format!("as-{isolation}");
        let imported = place
            .tenancy()
            .import(&path, Some(code(&text)), |new| new.isolation(isolation))
            .await;
        match imported {
            Ok(_) => {
                let other = archived(place.tenancy(), &text, place.folder()).await;
                assert_eq!(rows_of(&first), rows_of(&other), "{isolation}");
            }
            Err(LifecycleError::NoPlace(_)) => assert_eq!(place.isolation(), Isolation::File),
            Err(error) => panic!("{isolation}: {error:?}"),
        }
    }
}

async fn an_archive_is_the_same_again(place: Place) {
    fill(&place, &place.db("acme").await).await;
    let first = archived(place.tenancy(), "acme", place.folder()).await;
    let again = archived(place.tenancy(), "acme", place.folder()).await;
    assert_eq!(first, again);
}

async fn an_archive_has_no_secrets(place: Place) {
    let db = place.db("acme").await;
    let ann = add_user(&place, &db, "ann@example.com").await;
    let token = Tokens::on(&db).issue(ann.id).await.unwrap();
    let archive = archived(place.tenancy(), "acme", place.folder()).await;
    assert!(archive.contains("ann@example.com"));
    assert!(!archive.contains(&token.id.to_string()), "{archive}");
    let rows = archive.lines().filter(|line| line.starts_with('['));
    assert_eq!(rows.count(), 1, "{archive}");
}

async fn an_archive_of_nobody(place: Place) {
    let db = place.db("acme").await;
    fill(&place, &db).await;
    let acme = find(place.tenancy(), "acme").await.unwrap();
    let path = place.folder().join("nobody.archive");
    let how = Exporting::anonymised();
    place.tenancy().export(&acme, &path, how).await.unwrap();
    let archive = read_archive(&path);
    for word in ["ann@", "acme", "argon2"] {
        assert!(!archive.contains(word), "{word}: {archive}");
    }
    assert!(archive.contains("@example.invalid"));
    let isolation = place.isolation();
    let made = place
        .tenancy()
        .import(&path, None, |new| new.isolation(isolation))
        .await;
    let made = place.tenancy().db(&made.unwrap()).await.unwrap();
    assert_eq!(count(&made, "users").await, 1);
    assert_eq!(count_notes(&made).await, 450, "what is nobody's is there");
}

async fn a_damaged_archive_makes_nothing(place: Place) {
    fill(&place, &place.db("acme").await).await;
    let acme = find(place.tenancy(), "acme").await.unwrap();
    let path = place.folder().join("acme.archive");
    let how = Exporting::default();
    place.tenancy().export(&acme, &path, how).await.unwrap();
    let whole = fs::read(&path).unwrap();
    let archive = read_archive(&path);
    let packed = |text: &str| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut out, text.as_bytes()).unwrap();
        out.finish().unwrap()
    };
    let without_a_row: String = archive
        .lines()
        .filter(|line| !line.starts_with("[1,\"note\""))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let newer = archive.replacen("\"version\":1", "\"version\":3", 1);
    for (what, bytes) in [
        ("cut", whole[..whole.len() - 20].to_vec()),
        ("half", whole[..middle].to_vec()),
        ("flipped", flipped),
        (
            "another value",
            packed(&archive.replacen("note", "Note", 1)),
        ),
        ("a row less", packed(&without_a_row)),
        ("newer", packed(&newer)),
        ("nothing", Vec::new()),
        ("something else", b"[core]\n".to_vec()),
    ] {
        fs::write(&path, bytes).unwrap();
        let isolation = place.isolation();
        let made = place
            .tenancy()
            .import(&path, Some(code("twin")), |new| new.isolation(isolation))
            .await;
        assert!(
            matches!(made, Err(LifecycleError::Archive(_))),
            "{what}: {made:?}"
        );
        assert_eq!(place.tenancy().tenants().await.unwrap().len(), 1, "{what}");
    }
    // whole again, it is taken
    fs::write(&path, whole).unwrap();
    let isolation = place.isolation();
    place
        .tenancy()
        .import(&path, Some(code("twin")), |new| new.isolation(isolation))
        .await
        .unwrap();
}

async fn an_archive_that_does_not_fit(mut place: Place) {
    let more = super::tables().sql("0002_more", "ALTER TABLE notes ADD COLUMN more text");
    place.tenant("older").await;
    let older = find(place.tenancy(), "older").await.unwrap();
    add_note(&place.db("older").await, 1, "old").await;
    let old = place.folder().join("old.archive");
    let how = Exporting::default();
    place.tenancy().export(&older, &old, how).await.unwrap();
    place.reopen_as(place.config_with(more)).await;
    let isolation = place.isolation();
    // what has come since is what it is by default
    let made = place
        .tenancy()
        .import(&old, Some(code("newer")), |new| new.isolation(isolation))
        .await
        .unwrap();
    let db = place.tenancy().db(&made).await.unwrap();
    assert_eq!(note(&db, 1).await.as_deref(), Some("old"));
    let new = place.folder().join("new.archive");
    place.tenancy().export(&made, &new, how).await.unwrap();
    // and what this program has no place for is not lost on the way
    let other = Place::with(isolation, super::tables()).await;
    let made = other
        .tenancy()
        .import(&new, None, |new| new.isolation(isolation))
        .await;
    assert!(
        matches!(made, Err(LifecycleError::Archive(ArchiveError::Misfit(_)))),
        "{made:?}"
    );
    assert!(other.tenancy().tenants().await.unwrap().is_empty());
}

pub(super) fn at(isolation: Isolation) -> Placement {
    Placement {
        isolation,
        server: "local".into(),
    }
}

async fn moved_through_every_isolation(place: Place) {
    let db = place.db("acme").await;
    fill(&place, &db).await;
    add_notes(&place.db("globex").await, 3).await;
    let token: i64 = count(&db, "tokens").await;
    let before = archived(place.tenancy(), "acme", place.folder()).await;
    let first = find(place.tenancy(), "acme").await.unwrap();
    let start = Isolation::ALL
        .iter()
        .position(|one| *one == place.isolation())
        .unwrap();
    for step in 1..=Isolation::ALL.len() {
        let to = Isolation::ALL[(start + step) % Isolation::ALL.len()];
        let tenant = find(place.tenancy(), "acme").await.unwrap();
        let left = tenant.isolation();
        match place.tenancy().move_tenant(&tenant, at(to)).await {
            Ok(moved) => {
                assert_eq!((moved.id(), moved.isolation()), (first.id(), to));
                assert_eq!(moved.status(), TenantStatus::Active);
                assert!(
                    left == Isolation::Rows || !place.tenancy().is_present(&tenant).await.unwrap()
                );
            }
            // without a server there is no other place
            Err(LifecycleError::NoPlace(_) | LifecycleError::NotPossible)
                if place.isolation() == Isolation::File =>
            {
                continue;
            }
            Err(error) => panic!("{left} to {to}: {error:?}"),
        }
        let now = archived(place.tenancy(), "acme", place.folder()).await;
        assert_eq!(before, now, "{left} to {to}");
        let db = db_of(place.tenancy(), "acme").await;
        assert_eq!(count(&db, "tokens").await, token, "who was in is in");
        // and it works there
        add_note(&db, 100_000, "there").await;
        db.query("DELETE FROM notes WHERE id = 100000")
            .execute()
            .await
            .unwrap();
    }
    assert_eq!(count_notes(&place.db("globex").await).await, 3);
    assert_eq!(place.tenancy().tenants().await.unwrap().len(), 2);
}

async fn moved_while_in_use(place: Place) {
    if place.isolation() == Isolation::File {
        return; // there is no other place
    }
    let to = match place.isolation() {
        Isolation::Rows => Isolation::Schema,
        _ => Isolation::Rows,
    };
    let tenant = place.tenant("acme").await;
    let other = place.beside().await;
    // two processes, each asking for the tenant anew as requests do
    let writers: Vec<_> = [place.tenancy().clone(), other.clone()]
        .into_iter()
        .enumerate()
        .map(|(number, tenancy)| {
            tokio::spawn(async move {
                let first = i64::try_from(number).unwrap() * 1_000_000;
                let mut done = Vec::new();
                let until = tokio::time::Instant::now() + Duration::from_secs(6);
                for id in first.. {
                    if tokio::time::Instant::now() > until {
                        break;
                    }
                    let found = find(&tenancy, "acme").await;
                    let active = found.filter(|one| one.status() == TenantStatus::Active);
                    let Some(tenant) = active else {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        continue;
                    };
                    let Ok(db) = tenancy.db(&tenant).await else {
                        continue;
                    };
                    let add = db.query("INSERT INTO notes (id, text) VALUES ($1, 'x')");
                    if add.bind(id).execute().await.is_ok() {
                        done.push(id);
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                done
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let moved = place.tenancy().move_tenant(&tenant, at(to)).await.unwrap();
    assert_eq!(moved.isolation(), to);
    let mut done = Vec::new();
    for writer in writers {
        done.extend(writer.await.unwrap());
    }
    let db = db_of(place.tenancy(), "acme").await;
    let mut found: Vec<i64> = db
        .query("SELECT id FROM notes")
        .all::<(i64,)>()
        .await
        .unwrap()
        .into_iter()
        .map(|(id,)| id)
        .collect();
    found.sort_unstable();
    done.sort_unstable();
    assert!(!done.is_empty());
    assert_eq!(done, found, "what was acknowledged is there");
    other.close();
}

async fn moved_where_there_is_no_place(place: Place) {
    let tenant = place.tenant("acme").await;
    add_note(&place.db("acme").await, 1, "kept").await;
    let nowhere = Placement {
        isolation: Isolation::Rows,
        server: "nowhere".into(),
    };
    let moved = place.tenancy().move_tenant(&tenant, nowhere).await;
    assert!(
        matches!(moved, Err(LifecycleError::NoPlace(_))),
        "{moved:?}"
    );
    let here = tenant.placement().clone();
    let moved = place.tenancy().move_tenant(&tenant, here).await;
    assert!(
        matches!(moved, Err(LifecycleError::NotPossible)),
        "{moved:?}"
    );
    let db = db_of(place.tenancy(), "acme").await;
    assert_eq!(note(&db, 1).await.as_deref(), Some("kept"));
}
