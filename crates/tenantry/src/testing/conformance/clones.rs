//! Tenants are cloned: with all they have, and without what lets anybody in.

use super::{
    Place, add_note, add_notes,
    copies::{archived, count, db_of, fill, find, rows_of},
    count_notes, list, note,
    users::add_user,
};
use crate::{
    Tenancy,
    db::{DbError, TenantDb, sqlite},
    lifecycle::LifecycleError,
    migrate::Migrations,
    tenant::{Isolation, Tenant},
    users::Tokens,
};

list! { "clones":
    cloned_with_all_it_has, a_clone_lets_nobody_in, a_clone_is_of_one_tenant_alone,
    a_clone_goes_its_own_way, cloned_while_somebody_writes, rows_that_point_to_each_other,
    what_points_to_what_is_left_out, nobody_hears_of_what_is_left_out,
    a_file_is_cloned_as_a_file, a_clone_is_of_no_place_that_others_have_open,
}

async fn cloned_with_all_it_has(place: Place) {
    let db = place.db("acme").await;
    fill(&place, &db).await;
    let acme = find(place.tenancy(), "acme").await.unwrap();
    let clone = place
        .tenancy()
        .clone_tenant(&acme, place.new_tenant("twin"))
        .await;
    let clone = clone.unwrap();
    assert_ne!(clone.id(), acme.id());
    let first = archived(place.tenancy(), "acme", place.folder()).await;
    let second = archived(place.tenancy(), "twin", place.folder()).await;
    assert_eq!(rows_of(&first), rows_of(&second));
    assert!(rows_of(&first).len() > 450, "and it is not nothing");
}

/// Whether those bytes are anywhere in the tenant's file, or in its log.
pub(super) fn has_bytes(place: &Place, tenant: &Tenant, bytes: &[u8]) -> bool {
    let path = place.tenancy().0.places.files().path(tenant.id());
    let log = path.with_extension("db-wal");
    let read = |path| std::fs::read(path).unwrap_or_default();
    let has = |file: Vec<u8>| file.windows(bytes.len()).any(|part| part == bytes);
    has(read(path)) || has(read(log))
}

async fn a_clone_lets_nobody_in(place: Place) {
    let db = place.db("acme").await;
    let ann = add_user(&place, &db, "ann@example.com").await;
    let token = Tokens::on(&db).issue(ann.id).await.unwrap();
    let acme = find(place.tenancy(), "acme").await.unwrap();
    let new = place.new_tenant("twin");
    place.tenancy().clone_tenant(&acme, new).await.unwrap();
    let twin = db_of(place.tenancy(), "twin").await;
    let in_twin = Tokens::on(&twin).authenticate(&token.secret).await.unwrap();
    assert!(in_twin.is_none());
    let in_acme = Tokens::on(&db).authenticate(&token.secret).await.unwrap();
    assert!(in_acme.is_some());
    assert_eq!(count(&twin, "users").await, 1);
    if place.isolation() == Isolation::File {
        let digest = db.query("SELECT digest FROM tokens");
        let digest: Vec<u8> = digest.scalar().await.unwrap();
        let twin = find(place.tenancy(), "twin").await.unwrap();
        assert!(!has_bytes(&place, &twin, &digest));
        assert!(has_bytes(&place, &acme, &digest), "as it would be found");
    }
    for table in [
        "tokens",
        "sessions",
        "links",
        "jwt_keys",
        "jwt_families",
        "api_keys",
    ] {
        assert_eq!(count(&twin, table).await, 0, "{table}");
    }
}

async fn a_clone_is_of_one_tenant_alone(place: Place) {
    add_note(&place.db("acme").await, 1, "acme's").await;
    add_note(&place.db("globex").await, 2, "globex's").await;
    let acme = find(place.tenancy(), "acme").await.unwrap();
    let new = place.new_tenant("twin");
    place.tenancy().clone_tenant(&acme, new).await.unwrap();
    let twin = db_of(place.tenancy(), "twin").await;
    assert_eq!(note(&twin, 1).await.as_deref(), Some("acme's"));
    assert_eq!(count_notes(&twin).await, 1, "and nothing of globex's");
    assert_eq!(count_notes(&place.db("globex").await).await, 1);
}

async fn a_clone_goes_its_own_way(place: Place) {
    let db = place.db("acme").await;
    add_note(&db, 1, "both").await;
    let acme = find(place.tenancy(), "acme").await.unwrap();
    let new = place.new_tenant("twin");
    place.tenancy().clone_tenant(&acme, new).await.unwrap();
    let twin = db_of(place.tenancy(), "twin").await;
    add_note(&twin, 2, "twin's").await;
    db.query("DELETE FROM notes").execute().await.unwrap();
    assert_eq!(count_notes(&twin).await, 2);
    let gone = find(place.tenancy(), "acme").await.unwrap();
    place.tenancy().erase(&gone).await.unwrap();
    assert_eq!(count_notes(&twin).await, 2);
}

async fn cloned_while_somebody_writes(place: Place) {
    let db = place.db("acme").await;
    add_notes(&db, 500).await;
    // a pair at a time: a clone has both of each or none
    let writing = tokio::spawn({
        let db = db.clone();
        async move {
            for id in 1..200_i64 {
                let mut tx = db.begin();
                for id in [id * 1000, id * 1000 + 1] {
                    let add = tx.query("INSERT INTO notes (id, text) VALUES ($1, 'pair')");
                    add.bind(id).execute().await.unwrap();
                }
                tx.commit().await.unwrap();
            }
        }
    });
    let acme = find(place.tenancy(), "acme").await.unwrap();
    for number in 0..3 {
        let new = place.new_tenant(&format!("twin-{number}"));
        let twin = place.tenancy().clone_tenant(&acme, new).await.unwrap();
        let twin = place.tenancy().db(&twin).await.unwrap();
        assert_eq!((count_notes(&twin).await - 500) % 2, 0);
    }
    writing.await.unwrap();
}

async fn rows_that_point_to_each_other(mut place: Place) {
    let circle = super::tables().sql(
        "0002_circle",
        "CREATE TABLE folders (id bigint PRIMARY KEY, parent bigint REFERENCES folders (id), cover bigint);
         CREATE TABLE files (id bigint PRIMARY KEY, folder bigint NOT NULL REFERENCES folders (id))",
    );
    let circle = circle.twins(
        "0003_cover",
        "SELECT 1",
        "ALTER TABLE folders ADD FOREIGN KEY (cover) REFERENCES files (id)",
    );
    place.reopen_as(place.config_with(circle)).await;
    let db = place.db("acme").await;
    // the parent comes after its child, and a folder's cover after the folder
    for sql in [
        "INSERT INTO folders (id) VALUES (9), (1)",
        "UPDATE folders SET parent = 9 WHERE id = 1",
        "INSERT INTO files (id, folder) VALUES (5, 1)",
        "UPDATE folders SET cover = 5 WHERE id = 1",
    ] {
        db.query(sql).execute().await.expect(sql);
    }
    let acme = find(place.tenancy(), "acme").await.unwrap();
    let new = place.new_tenant("twin");
    let twin = place.tenancy().clone_tenant(&acme, new).await.unwrap();
    let twin = place.tenancy().db(&twin).await.unwrap();
    let ask = twin.query("SELECT id, parent, cover FROM folders ORDER BY id");
    let rows: Vec<(i64, Option<i64>, Option<i64>)> = ask.all().await.unwrap();
    assert_eq!(rows, [(1, Some(9), Some(5)), (9, None, None)]);
}

const KEYS: &str = "CREATE TABLE keys (id bigint PRIMARY KEY, text text NOT NULL)";

/// Opens the place anew with an application that has keys of its own, which let somebody in, and one of
/// them.
async fn with_keys(place: &mut Place, keys: Migrations) -> TenantDb {
    let config = place.config_with(keys).credential_tables(["Keys"]);
    place.reopen_as(config).await;
    let db = place.db("acme").await;
    let key = db.query("INSERT INTO keys (id, text) VALUES (1, 'sesame')");
    key.execute().await.unwrap();
    db
}

async fn what_points_to_what_is_left_out(mut place: Place) {
    let keys = super::tables().sql("0002_keys", KEYS).sql(
        "0003_uses",
        "CREATE TABLE uses (id bigint PRIMARY KEY, key bigint REFERENCES keys (id) ON DELETE CASCADE)",
    );
    let db = with_keys(&mut place, keys).await;
    let say = async |sql: &str| db.query(sql).execute().await.unwrap();
    say("INSERT INTO uses (id, key) VALUES (1, 1), (2, NULL)").await;
    let acme = find(place.tenancy(), "acme").await.unwrap();
    let new = place.new_tenant("twin");
    let refused = place.tenancy().clone_tenant(&acme, new).await;
    // what stays is not to be less than it was
    let Err(LifecycleError::Seed(why)) = &refused else {
        panic!("{refused:?}");
    };
    let why = why.to_string();
    assert!(why.contains(&DbError::ForeignKey.to_string()), "{why}");
    assert!(find(place.tenancy(), "twin").await.is_none());
    say("UPDATE uses SET key = NULL").await;
    let new = place.new_tenant("twin");
    place.tenancy().clone_tenant(&acme, new).await.unwrap();
    let twin = db_of(place.tenancy(), "twin").await;
    assert_eq!(
        (count(&twin, "uses").await, count(&twin, "keys").await),
        (2, 0)
    );
    assert_eq!(count(&db, "keys").await, 1);
}

async fn nobody_hears_of_what_is_left_out(mut place: Place) {
    let keys = super::tables().sql("0002_keys", KEYS).twins(
        "0003_noted",
        "CREATE TABLE lost (id bigint PRIMARY KEY);
         CREATE TRIGGER noted AFTER DELETE ON keys
         BEGIN INSERT INTO lost (id) VALUES (OLD.id); END",
        "CREATE TABLE lost (id bigint PRIMARY KEY);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
         $$BEGIN INSERT INTO lost (id) VALUES (OLD.id); RETURN NULL; END$$;
         CREATE TRIGGER noted AFTER DELETE ON keys FOR EACH ROW EXECUTE FUNCTION note()",
    );
    let db = with_keys(&mut place, keys).await;
    let acme = find(place.tenancy(), "acme").await.unwrap();
    let new = place.new_tenant("twin");
    place.tenancy().clone_tenant(&acme, new).await.unwrap();
    let twin = db_of(place.tenancy(), "twin").await;
    assert_eq!(
        (count(&twin, "lost").await, count(&twin, "keys").await),
        (0, 0)
    );
    // of what is deleted it is still told
    let done = db.query("DELETE FROM keys").execute().await.unwrap();
    assert_eq!((done, count(&db, "lost").await), (1, 1));
}

/// Says something in the tenant's file that only the library may.
async fn say_in_file(place: &Place, tenant: &Tenant, sql: &'static str) {
    let file = place.tenancy().0.places.files().open(tenant.id()).unwrap();
    let said = sqlite::trusted(&file.database, |file| {
        file.execute_batch(sql).map_err(sqlite::translate)
    });
    said.await.unwrap();
}

/// Unless it has other migrations than the program: then its rows are cloned, into what the program makes.
async fn a_file_is_cloned_as_a_file(place: Place) {
    if place.isolation() != Isolation::File {
        return;
    }
    add_note(&place.db("acme").await, 1, "both").await;
    let acme = find(place.tenancy(), "acme").await.unwrap();
    say_in_file(&place, &acme, "CREATE INDEX by_hand ON notes (text)").await;
    let ask = "SELECT count(*) FROM sqlite_schema WHERE name = 'by_hand'";
    for (code, by_hand) in [("twin", 1_i64), ("other", 0)] {
        let new = place.new_tenant(code);
        place.tenancy().clone_tenant(&acme, new).await.unwrap();
        let clone = db_of(place.tenancy(), code).await;
        assert_eq!(note(&clone, 1).await.as_deref(), Some("both"));
        let found: i64 = clone.query(ask).scalar().await.unwrap();
        assert_eq!(found, by_hand, "{code}");
        let ahead = "INSERT OR IGNORE INTO tenantry_migrations (name, checksum, applied_at)
            VALUES ('9999_ahead', '', now())";
        say_in_file(&place, &acme, ahead).await;
    }
}

/// One that was made ahead may be open in another process, which goes on writing to what it has.
async fn a_clone_is_of_no_place_that_others_have_open(place: Place) {
    add_note(&place.db("acme").await, 1, "both").await;
    let acme = find(place.tenancy(), "acme").await.unwrap();
    let config = place.config().isolation(place.isolation());
    let tenancy = Tenancy::set_up(config).await.unwrap();
    assert_eq!(tenancy.fill_pending(1).await.unwrap(), 1);
    let pending = tenancy.0.catalog.store().pending().await.unwrap();
    // as it does after a release
    let ledger = tenancy.0.places.pending(&pending[0]).await.unwrap();
    assert_eq!(ledger.pending, [""; 0]);
    let new = place.new_tenant("twin");
    let twin = place.tenancy().clone_tenant(&acme, new).await.unwrap();
    let was_ahead = twin.id() == pending[0].id();
    assert_eq!(was_ahead, place.isolation() != Isolation::File);
    let db = tenancy.db(&twin).await.unwrap();
    add_note(&db, 2, "written by the other").await;
    assert_eq!(count_notes(&db).await, 2);
    assert_eq!(count_notes(&db_of(place.tenancy(), "twin").await).await, 2);
    tenancy.close();
    assert_eq!(
        count_notes(&place.beside().await.db(&twin).await.unwrap()).await,
        2
    );
}
