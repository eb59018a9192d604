//! What an application's triggers hear of: what is written, and not what is carried.

use std::time::Duration;

use super::{
    Place, add_note, add_notes,
    copies::{at, code, count, db_of, find},
    list,
};
use crate::{
    db::TenantDb,
    lifecycle::{Exporting, LifecycleError, NewTenant},
    migrate::Migrations,
    tenant::{Isolation, Tenant},
};

list! { "triggers":
    no_trigger_hears_of_what_is_carried, what_is_off_stays_so, others_are_not_kept_waiting,
    what_fills_an_index_hears_of_all, nothing_is_left_behind, nothing_is_left_of_what_is_erased,
    rows_that_a_trigger_keeps_are_erased,
}

/// How a trigger on a table that tenants share says that it is quiet while rows are carried.
const MINDING: &str = "WHEN (current_setting('tenantry.carrying', true) IS DISTINCT FROM 'on')";

/// An application that counts what is written, by triggers. What they count comes before what is counted.
fn counting(when: &str) -> Migrations {
    let tables = "CREATE TABLE counts (id bigint PRIMARY KEY, written bigint NOT NULL);
        CREATE TABLE folders (id bigint PRIMARY KEY, parent bigint REFERENCES folders (id));
        CREATE TABLE marks (id bigint PRIMARY KEY, note bigint REFERENCES notes (id)";
    let counts = "AFTER INSERT ON Notes BEGIN UPDATE counts SET written = written + 1; END";
    let each = format!("FOR EACH ROW {when} EXECUTE FUNCTION add_one()");
    super::tables().twins(
        "0002_counted",
        format!(
            "{tables});
             CREATE TRIGGER \"counted \"\"here\" {counts};
             CREATE TRIGGER marked {};
             CREATE TRIGGER filed {}",
            counts.replace("Notes", "marks"),
            counts.replace("INSERT ON Notes", "UPDATE ON folders"),
        ),
        format!(
            "{tables} DEFERRABLE INITIALLY DEFERRED);
             CREATE FUNCTION add_one() RETURNS trigger LANGUAGE plpgsql AS
             $$BEGIN UPDATE counts SET written = written + 1; RETURN NULL; END$$;
             CREATE TRIGGER \"counted \"\"here\" AFTER INSERT ON notes {each};
             CREATE TRIGGER marked AFTER INSERT ON marks {each};
             CREATE TRIGGER filed AFTER UPDATE ON folders {each}"
        ),
    )
}

/// Opens the place anew with such an application, and writes seven things in a tenant of it.
async fn with_counts(place: &mut Place, when: &str) -> TenantDb {
    place.reopen_as(place.config_with(counting(when))).await;
    let db = place.db("acme").await;
    say(&db, "INSERT INTO counts (id, written) VALUES (1, 0)").await;
    add_notes(&db, 5).await;
    say(&db, "INSERT INTO marks (id, note) VALUES (1, 5)").await;
    // which points to a later one
    say(&db, "INSERT INTO folders (id) VALUES (9), (1)").await;
    say(&db, "UPDATE folders SET parent = 9 WHERE id = 1").await;
    assert_eq!(counted(&db).await, 7);
    db
}

async fn say(db: &TenantDb, sql: &str) {
    db.query(sql).execute().await.expect(sql);
}

async fn counted(db: &TenantDb) -> i64 {
    let ask = db.query("SELECT written FROM counts");
    ask.scalar().await.unwrap()
}

/// Looks at a tenant with everything that was written, of which nothing was counted twice; and that what is
/// written there is counted.
async fn has_all_once(place: &Place, text: &str) {
    let db = db_of(place.tenancy(), text).await;
    assert_eq!(counted(&db).await, 7, "{text}");
    let there = [count(&db, "notes").await, count(&db, "marks").await];
    assert_eq!((there, count(&db, "folders").await), ([5, 1], 2), "{text}");
    add_note(&db, 100, "another").await;
    say(&db, "INSERT INTO marks (id, note) VALUES (2, 100)").await;
    say(&db, "UPDATE folders SET parent = NULL").await;
    assert_eq!(counted(&db).await, 11, "{text}");
}

async fn acme(place: &Place) -> Tenant {
    find(place.tenancy(), "acme").await.unwrap()
}

async fn clone(place: &Place, text: &str) -> Result<Tenant, LifecycleError> {
    let acme = acme(place).await;
    let new = place.new_tenant(text);
    place.tenancy().clone_tenant(&acme, new).await
}

/// Brings it back as another by way of an archive.
async fn import(place: &Place, text: &str) -> Result<Tenant, LifecycleError> {
    let (tenancy, isolation) = (place.tenancy(), place.isolation());
    let path = place.folder().join(format!("{text}.archive"));
    let how = Exporting::default();
    tenancy.export(&acme(place).await, &path, how).await?;
    let as_here = |new: NewTenant| new.isolation(isolation);
    tenancy.import(&path, Some(code(text)), as_here).await
}

/// Brings it back as another from a backup.
async fn restore(place: &Place, text: &str) {
    let tenancy = place.tenancy();
    let folder = place.folder().join("backup");
    let (acme, new) = (acme(place).await, code(text));
    tenancy.backup(&folder, Some(&acme), |_| {}).await.unwrap();
    let restored = tenancy.restore_tenant(&folder, acme.code(), Some(&new), None);
    restored.await.unwrap();
}

async fn move_to(place: &Place, to: Isolation) -> Result<Tenant, LifecycleError> {
    let acme = acme(place).await;
    place.tenancy().move_tenant(&acme, at(to)).await
}

async fn no_trigger_hears_of_what_is_carried(mut place: Place) {
    let when = match place.isolation() {
        Isolation::Rows => MINDING,
        _ => "",
    };
    with_counts(&mut place, when).await;
    clone(&place, "cloned").await.unwrap();
    import(&place, "imported").await.unwrap();
    restore(&place, "restored").await;
    for text in ["cloned", "imported", "restored"] {
        has_all_once(&place, text).await;
    }
    if place.isolation() != Isolation::File {
        move_to(&place, Isolation::File).await.unwrap();
        move_to(&place, place.isolation()).await.unwrap();
        has_all_once(&place, "acme").await;
    }
}

/// Neither is it on afterwards, nor are others kept waiting for it.
async fn what_is_off_stays_so(mut place: Place) {
    if place.isolation() == Isolation::File {
        return;
    }
    let off = counting("").twins(
        "0003_off",
        "SELECT 1",
        "ALTER TABLE notes DISABLE TRIGGER \"counted \"\"here\";
         ALTER TABLE marks DISABLE TRIGGER marked;
         ALTER TABLE folders DISABLE TRIGGER filed;
         CREATE TRIGGER told AFTER DELETE ON notes FOR EACH ROW EXECUTE FUNCTION add_one()",
    );
    place.reopen_as(place.config_with(off)).await;
    let db = place.db("acme").await;
    say(&db, "INSERT INTO counts (id, written) VALUES (1, 0)").await;
    add_notes(&db, 5).await;
    import(&place, "imported").await.unwrap();
    let imported = db_of(place.tenancy(), "imported").await;
    add_note(&imported, 100, "another").await;
    assert_eq!(counted(&imported).await, 0);
    say(&imported, "DELETE FROM notes").await;
    assert_eq!(counted(&imported).await, 6);
}

/// Where they share tables, nobody could write to them while a trigger is kept quiet.
async fn others_are_not_kept_waiting(mut place: Place) {
    if place.isolation() != Isolation::Rows {
        return;
    }
    let db = with_counts(&mut place, "").await;
    let cloned = clone(&place, "twin").await;
    let imported = import(&place, "twin").await;
    for refused in [cloned, imported] {
        let why = match refused {
            Err(LifecycleError::Seed(why)) => why.to_string(),
            Err(LifecycleError::Archive(why)) => why.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(why.contains("trigger ") && why.contains(MINDING), "{why}");
        assert!(find(place.tenancy(), "twin").await.is_none());
    }
    assert_eq!(counted(&db).await, 7);
    // a backup is of no use that cannot be restored; it goes behind who writes
    let mut tx = place.db("globex").await.begin();
    let note = tx.query("INSERT INTO notes (id, text) VALUES (1, 'theirs')");
    note.execute().await.unwrap();
    let writing = tokio::spawn(async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        tx.commit().await.unwrap();
    });
    restore(&place, "restored").await;
    assert!(writing.is_finished());
    writing.await.unwrap();
    has_all_once(&place, "restored").await;
    // it goes where it is alone, and does not come back
    move_to(&place, Isolation::Schema).await.unwrap();
    let back = move_to(&place, Isolation::Rows).await;
    assert!(matches!(back, Err(LifecycleError::Seed(_))), "{back:?}");
    assert_eq!(acme(&place).await.isolation(), Isolation::Schema);
    has_all_once(&place, "acme").await;
}

/// Nothing else carries what is in it.
async fn what_fills_an_index_hears_of_all(mut place: Place) {
    if place.isolation() != Isolation::File {
        return;
    }
    let words = super::tables().twins(
        "0002_words",
        "CREATE VIRTUAL TABLE \"all words\" USING fts5(text);
         CREATE TRIGGER fill AFTER INSERT ON notes
         BEGIN INSERT INTO \"All Words\" (text) VALUES (NEW.text); END",
        "SELECT 1",
    );
    place.reopen_as(place.config_with(words)).await;
    add_notes(&place.db("acme").await, 5).await;
    clone(&place, "cloned").await.unwrap();
    import(&place, "imported").await.unwrap();
    for text in ["acme", "cloned", "imported"] {
        let db = db_of(place.tenancy(), text).await;
        add_note(&db, 100, "another note").await;
        let found = db.query("SELECT count(*) FROM \"all words\" WHERE text MATCH 'note'");
        assert_eq!(found.scalar::<i64>().await.unwrap(), 6, "{text}");
    }
}

/// A virtual table that no trigger fills is not lost silently.
async fn nothing_is_left_behind(mut place: Place) {
    let places = super::tables().twins(
        "0002_places",
        "CREATE VIRTUAL TABLE places USING fts5(name);
         CREATE TRIGGER changed AFTER UPDATE ON notes
         BEGIN INSERT INTO places (name) VALUES (NEW.text); END",
        "SELECT 1",
    );
    place.reopen_as(place.config_with(places)).await;
    add_note(&place.db("acme").await, 1, "a note").await;
    if place.isolation() != Isolation::File {
        let moved = move_to(&place, Isolation::File).await.unwrap();
        let db = place.tenancy().db(&moved).await.unwrap();
        say(&db, "INSERT INTO places (name) VALUES ('here')").await;
        let back = move_to(&place, place.isolation()).await;
        let Err(LifecycleError::Seed(why)) = &back else {
            panic!("{back:?}");
        };
        assert!(why.to_string().contains("places"), "{why}");
    } else {
        say(
            &place.db("acme").await,
            "INSERT INTO places (name) VALUES ('here')",
        )
        .await;
    }
    let refused = import(&place, "imported").await;
    let why = format!("{:?}", refused.unwrap_err());
    assert!(why.contains("places"), "{why}");
    let db = place.tenancy().db(&acme(&place).await).await.unwrap();
    let found = db.query("SELECT count(*) FROM places WHERE name MATCH 'here'");
    assert_eq!(found.scalar::<i64>().await.unwrap(), 1);
    // a file is cloned as it is
    let acme = acme(&place).await;
    let new = NewTenant::new(code("cloned"), "Cloned").isolation(Isolation::File);
    let cloned = place.tenancy().clone_tenant(&acme, new).await.unwrap();
    let cloned = place.tenancy().db(&cloned).await.unwrap();
    let found = cloned.query("SELECT count(*) FROM places WHERE name MATCH 'here'");
    assert_eq!(found.scalar::<i64>().await.unwrap(), 1);
}

/// Also where a trigger writes what it hears of, when rows are deleted from tables that others share.
async fn nothing_is_left_of_what_is_erased(mut place: Place) {
    let lost = super::tables().twins(
        "0002_lost",
        "CREATE TABLE lost (id bigint PRIMARY KEY);
         CREATE TRIGGER note AFTER DELETE ON notes
         BEGIN INSERT INTO lost (id) VALUES (OLD.id); END",
        "CREATE TABLE lost (id bigint PRIMARY KEY);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
         $$BEGIN INSERT INTO lost (id) VALUES (OLD.id); RETURN NULL; END$$;
         CREATE TRIGGER note AFTER DELETE ON notes FOR EACH ROW EXECUTE FUNCTION note()",
    );
    place.reopen_as(place.config_with(lost)).await;
    for text in ["acme", "globex"] {
        let db = place.db(text).await;
        add_notes(&db, 3).await;
        say(&db, "DELETE FROM notes WHERE id = 1").await;
    }
    let gone = acme(&place).await;
    place.tenancy().erase(&gone).await.unwrap();
    assert_eq!(place.tenancy().orphans().await.unwrap(), []);
    let other = place.db("globex").await;
    assert_eq!(
        (count(&other, "notes").await, count(&other, "lost").await),
        (2, 1)
    );
}

/// Where they go with their place there is nothing to keep; else those triggers are quieted.
async fn rows_that_a_trigger_keeps_are_erased(mut place: Place) {
    let kept = super::tables().twins(
        "0002_kept",
        "CREATE TRIGGER keep BEFORE DELETE ON notes BEGIN SELECT raise(IGNORE); END;
         CREATE TRIGGER refuse BEFORE DELETE ON parts BEGIN SELECT raise(ABORT, 'no'); END",
        "CREATE TABLE lost (id bigint PRIMARY KEY);
         CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
         $$BEGIN RETURN NULL; END$$;
         CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS
         $$BEGIN INSERT INTO lost (id) VALUES (OLD.id); RETURN NULL; END$$;
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
         $$BEGIN RAISE EXCEPTION 'no'; END$$;
         CREATE TRIGGER keep BEFORE DELETE ON notes FOR EACH ROW EXECUTE FUNCTION keep();
         CREATE TRIGGER refuse BEFORE DELETE ON parts FOR EACH ROW EXECUTE FUNCTION refuse();
         CREATE CONSTRAINT TRIGGER lose AFTER DELETE ON shelves DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION lose()",
    );
    place.reopen_as(place.config_with(kept)).await;
    let erase = async |text: &str| {
        let gone = find(place.tenancy(), text).await.unwrap();
        place.tenancy().erase(&gone).await.unwrap();
        assert_eq!(place.tenancy().orphans().await.unwrap(), []);
    };
    for text in ["acme", "globex", "initech"] {
        let db = place.db(text).await;
        add_notes(&db, 3).await;
        say(&db, "INSERT INTO shelves (id, name) VALUES (1, 'top')").await;
    }
    erase("acme").await;
    for text in ["globex", "initech"] {
        let db = place.db(text).await;
        let product = "INSERT INTO products (id, shelf, code, price) VALUES (1, 1, 'mug', 9)";
        say(&db, product).await;
        say(
            &db,
            "INSERT INTO parts (product, name) VALUES (1, 'handle')",
        )
        .await;
    }
    erase("globex").await;
    // others' are kept as before
    let other = place.db("initech").await;
    say(&other, "DELETE FROM notes").await;
    assert_eq!(count(&other, "notes").await, 3);
    let refused = other.query("DELETE FROM parts").execute().await;
    assert!(refused.is_err(), "{refused:?}");
}
