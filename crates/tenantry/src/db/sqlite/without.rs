//! A file written anew, without what is not to be in it.

use std::{collections::HashSet, path::Path};

use rusqlite::{
    Connection, OpenFlags,
    config::DbConfig,
    types::{ToSql, ToSqlOutput, ValueRef},
};

use super::{
    error::translate,
    functions::{Clock, register},
    schema::{VirtualTable, mentions, names, virtual_tables, words},
};
use crate::db::{DbError, is_among, postgres::scope::quoted};

/// Writes what the file `from` has into the file `to`, which is empty, without the rows of those of
/// `tables` that there are: no byte of them is in it. Nobody else has `from`, which is of no use after.
///
/// It is as if the rows had never been: no trigger hears of them, and nothing else goes with them.
///
/// # Errors
/// [`DbError::ForeignKey`] when a row that stays points to one of them; and when a virtual table may have
/// something of them: what an index has is its own affair.
pub(crate) fn copy_without(
    from: &Path,
    to: &Path,
    tables: &HashSet<String>,
) -> Result<(), DbError> {
    let from = open(from).map_err(translate)?;
    empty(&from, tables)?;
    let written = from.execute("VACUUM INTO ?1", [Name(to)]);
    written.map_err(translate)?;
    // as all others are, so that the first who open it need not wait for each other
    let mode = "PRAGMA journal_mode = WAL";
    let prepared = || open(to)?.query_row(mode, [], |row| row.get::<_, String>(0));
    match prepared().map_err(translate)?.as_str() {
        "wal" => Ok(()),
        other => Err(DbError::Engine(format!("{other} in place of a log").into())),
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(path, flags)?;
    // indexes are made by them
    register(&file, &Clock::default())?;
    Ok(file)
}

/// Takes the rows of those tables away, and what the file knows of them.
fn empty(file: &Connection, tables: &HashSet<String>) -> Result<(), DbError> {
    let is_left_out = |name: &str| is_among(tables, name);
    let emptied = || {
        file.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        // if this does not come to its end it is begun anew, with another file
        file.pragma_update(None, "journal_mode", "OFF")?;
        file.pragma_update(None, "foreign_keys", false)?;
        let (left_out, kept): (Vec<_>, Vec<_>) = virtual_tables(file)?
            .into_iter()
            .partition(|table| is_left_out(&table.name));
        for VirtualTable { name, sql } in &left_out {
            file.execute_batch(&format!("DROP TABLE {}; {sql}", quoted(name)))?;
        }
        let ordinary = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'";
        let (without, others): (Vec<_>, Vec<_>) = names(file, ordinary, [])?
            .into_iter()
            .partition(|name| is_left_out(name));
        let triggers = triggers_of(file, &without)?;
        let left_out = left_out.into_iter().map(|table| table.name);
        let found: HashSet<String> = without.iter().cloned().chain(left_out).collect();
        let mut about = kept.iter().filter(|one| may_have(one, &found, &triggers));
        if let Some(VirtualTable { name, .. }) = about.next() {
            return Ok(Err(DbError::Engine(
                format!("the virtual table {name} may have what is to be left out").into(),
            )));
        }
        for table in &without {
            file.execute_batch(&format!("DELETE FROM {}", quoted(table)))?;
        }
        for table in &others {
            match table.as_str() {
                // samples of keys are in it
                "sqlite_stat1" | "sqlite_stat3" | "sqlite_stat4" => {
                    file.execute_batch(&format!("DELETE FROM {table}"))?;
                }
                "sqlite_sequence" => {
                    for name in &without {
                        file.execute("DELETE FROM sqlite_sequence WHERE name = ?1", [name])?;
                    }
                }
                table => {
                    if let Some(to) = points_nowhere(file, table, is_left_out)? {
                        tracing::warn!(table, to, "rows point to rows that are to be left out");
                        return Ok(Err(DbError::ForeignKey));
                    }
                }
            }
        }
        Ok(Ok(()))
    };
    emptied().map_err(translate)?
}

fn triggers_of(file: &Connection, tables: &[String]) -> rusqlite::Result<Vec<String>> {
    let sql =
        "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = lower(?1)";
    let of_each = tables.iter().map(|table| names(file, sql, [table]));
    Ok(of_each
        .collect::<rusqlite::Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect())
}

/// Whether a virtual table has something of one of those tables, whose triggers these are, or may have.
fn may_have(table: &VirtualTable, of: &HashSet<String>, triggers: &[String]) -> bool {
    let fills = |trigger: &String| mentions(trigger, &table.name);
    is_about(&table.sql, |name| is_among(of, name)) || triggers.iter().any(fills)
}

/// Whether a virtual table has another table's content, by its definition. Of full text that is told by an
/// option; of a module that is not known any word may be the table's name.
fn is_about(sql: &str, is_one: impl Fn(&str) -> bool) -> bool {
    let sql = sql.to_ascii_lowercase();
    let using = sql.split_once("using").map_or("", |(_, using)| using);
    if !using.trim_start().starts_with("fts") {
        return words(using).any(is_one);
    }
    using.split("content").skip(1).any(|after| {
        let option = after.trim_start().strip_prefix('=');
        let named = option.and_then(|option| words(option).next());
        named.is_some_and(&is_one)
    })
}

/// Which of those tables a row of this one points to that is not there.
fn points_nowhere(
    file: &Connection,
    table: &str,
    is_left_out: impl Fn(&str) -> bool,
) -> rusqlite::Result<Option<String>> {
    let to = "SELECT \"table\" FROM pragma_foreign_key_list(?1)";
    if !names(file, to, [table])?.iter().any(|to| is_left_out(to)) {
        return Ok(None);
    }
    let missed = "SELECT DISTINCT parent FROM pragma_foreign_key_check(?1)";
    let missed = names(file, missed, [table])?;
    Ok(missed.into_iter().find(|to| is_left_out(to)))
}

/// The name of a file, which need not be UTF-8.
struct Name<'a>(&'a Path);

impl ToSql for Name<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let name = self.0.as_os_str().as_encoded_bytes();
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(name)))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, fs, path::Path};

    use rusqlite::Connection;

    use super::{copy_without, open};
    use crate::db::DbError;

    /// Makes a file of people, each with a token, and writes it anew without tokens.
    fn without_tokens(folder: &Path, more: &str) -> Result<Connection, DbError> {
        let [from, to] = ["from.db", "to.db"].map(|name| folder.join(name));
        fs::File::create(&from).unwrap();
        let file = open(&from).unwrap();
        file.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE people (id integer PRIMARY KEY, name text, price text COLLATE decimal);
             CREATE INDEX by_name ON people (lower(name));
             CREATE INDEX by_price ON people (price);
             CREATE TABLE Tokens (id integer PRIMARY KEY AUTOINCREMENT, text text UNIQUE,
                person integer REFERENCES people (id));
             CREATE TABLE uses (token integer REFERENCES Tokens (id) ON DELETE CASCADE);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
             INSERT INTO people SELECT i, 'person of number ' || i, i || '.50' FROM n;
             INSERT INTO tokens SELECT id, 'token of number ' || id, id FROM people;
             ANALYZE",
        )
        .unwrap();
        file.execute_batch(more).unwrap();
        drop(file);
        fs::File::create(&to).unwrap();
        let tables = ["tokens", "none"].map(str::to_owned);
        copy_without(&from, &to, &HashSet::from(tables)).map(|()| open(&to).unwrap())
    }

    fn count(file: &Connection, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        file.query_row(&sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn not_a_byte_is_left_of_what_is_not_to_be_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = without_tokens(folder.path(), "").unwrap();
        assert_eq!((count(&file, "people"), count(&file, "tokens")), (500, 0));
        let checked: String = file
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(checked, "ok");
        assert_eq!(
            (
                count(&file, "sqlite_stat4"),
                count(&file, "sqlite_sequence")
            ),
            (0, 0)
        );
        let has = |name: &str, text: &str| {
            let file = fs::read(folder.path().join(name)).unwrap();
            file.windows(text.len()).any(|part| part == text.as_bytes())
        };
        assert!(has("to.db", "person of number"));
        assert!(!has("to.db", "token of number"));
        assert!(has("from.db", "token of number"), "as it would be found");
        // nothing stands beside it, and it is one with a log, as its header says
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert_eq!(
            fs::read(folder.path().join("to.db")).unwrap()[18..20],
            [2, 2]
        );
    }

    #[test]
    fn nothing_hears_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let trigger = "CREATE TABLE heard (id);
            CREATE TRIGGER hear AFTER DELETE ON tokens BEGIN INSERT INTO heard VALUES (1); END;
            CREATE TRIGGER keep BEFORE DELETE ON tokens BEGIN SELECT raise(FAIL, 'kept'); END;
            INSERT INTO uses VALUES (NULL)";
        let file = without_tokens(folder.path(), trigger).unwrap();
        assert_eq!((count(&file, "heard"), count(&file, "uses")), (0, 1));
        // they are still there
        let kept = file.execute_batch("INSERT INTO tokens VALUES (1, '', 1); DELETE FROM tokens");
        assert!(kept.unwrap_err().to_string().contains("kept"));
    }

    #[test]
    fn what_stays_may_not_point_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let used = without_tokens(folder.path(), "INSERT INTO uses VALUES (7)");
        assert!(matches!(used, Err(DbError::ForeignKey)), "{used:?}");
    }

    #[test]
    fn what_may_have_something_of_it_is_refused() {
        for about in [
            "CREATE VIRTUAL TABLE words USING fts5(text, content = \"tokens\")",
            "CREATE VIRTUAL TABLE words USING fts4(content='TOKENS', text)",
            "CREATE VIRTUAL TABLE words USING fts5(text);
             CREATE TRIGGER fill AFTER INSERT ON Tokens
             BEGIN INSERT INTO words (text) VALUES (new.text); END",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let refused = without_tokens(folder.path(), about);
            let Err(DbError::Engine(why)) = &refused else {
                panic!("{about}: {refused:?}");
            };
            assert!(why.to_string().contains("words"), "{why}");
        }
    }

    #[test]
    fn what_is_virtual_and_has_nothing_of_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let words =
            "CREATE VIRTUAL TABLE words USING fts5(name, tokens UNINDEXED, content, prefix=2);
            INSERT INTO words (name) SELECT name FROM people;
            CREATE VIRTUAL TABLE none USING fts5(text, content='');
            INSERT INTO none (text) SELECT text FROM tokens";
        let file = without_tokens(folder.path(), words).unwrap();
        assert_eq!(count(&file, "words WHERE words MATCH 'number'"), 500);
        // it is one of those that are left out
        assert_eq!(count(&file, "none WHERE none MATCH 'number'"), 0);
        let add = "INSERT INTO none (text) VALUES ('number')";
        file.execute_batch(add).unwrap();
        assert_eq!(count(&file, "none WHERE none MATCH 'number'"), 1);
        let bytes = fs::read(folder.path().join("to.db")).unwrap();
        assert!(!bytes.windows(8).any(|part| part == b"token of"));
    }

    #[test]
    #[cfg(unix)]
    fn a_name_need_not_be_utf_8() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join(OsStr::from_bytes(b"a'\xff"));
        fs::create_dir(&inner).unwrap();
        assert_eq!(count(&without_tokens(&inner, "").unwrap(), "people"), 500);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
