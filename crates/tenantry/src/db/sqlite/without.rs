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
};
use crate::db::{DbError, postgres::scope::quoted};

/// Writes what the file `from` has into the file `to`, which is not there yet, without the rows of those
/// of `tables` that there are: no byte of them is in it. Nobody else has `from`, which is of no use after.
///
/// It is as if the rows had never been: no trigger hears of them, and nothing else goes with them.
///
/// # Errors
/// [`DbError::ForeignKey`] when a row that stays points to one of them.
pub(crate) fn copy_without(
    from: &Path,
    to: &Path,
    tables: &HashSet<String>,
) -> Result<(), DbError> {
    let copied = || {
        let from = Connection::open_with_flags(
            from,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        // indexes are made by them
        register(&from, &Clock::default())?;
        from.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        // if this does not come to its end it is begun anew, with another file
        from.pragma_update(None, "journal_mode", "OFF")?;
        from.pragma_update(None, "foreign_keys", false)?;
        let there = names(
            &from,
            "SELECT name FROM sqlite_schema WHERE type = 'table'",
            "",
        )?;
        let (without, kept): (Vec<_>, Vec<_>) =
            there.into_iter().partition(|name| tables.contains(name));
        for table in &without {
            from.execute_batch(&format!("DELETE FROM {}", quoted(table)))?;
        }
        for table in &kept {
            if points_nowhere(&from, table, &without)? {
                return Ok(false);
            }
        }
        from.execute("VACUUM INTO ?1", [Name(to)])?;
        Ok(true)
    };
    match copied().map_err(translate)? {
        true => Ok(()),
        false => Err(DbError::ForeignKey),
    }
}

/// Whether a row of the table points to one that is not there, of those tables.
fn points_nowhere(file: &Connection, table: &str, without: &[String]) -> rusqlite::Result<bool> {
    let pointed_at = names(
        file,
        "SELECT \"table\" FROM pragma_foreign_key_list(?1)",
        table,
    )?;
    let is_without = |name: &String| without.iter().any(|one| one.eq_ignore_ascii_case(name));
    if !pointed_at.iter().any(is_without) {
        return Ok(false);
    }
    let parents = "SELECT DISTINCT parent FROM pragma_foreign_key_check(?1)";
    Ok(names(file, parents, table)?.iter().any(is_without))
}

fn names(file: &Connection, sql: &str, of: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = file.prepare(sql)?;
    let of: &[&dyn ToSql] = match statement.parameter_count() {
        0 => &[],
        _ => &[&of],
    };
    statement.query_map(of, |row| row.get(0))?.collect()
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

    use super::{Clock, copy_without, register};
    use crate::db::DbError;

    fn open(path: &Path) -> Connection {
        let file = Connection::open(path).unwrap();
        register(&file, &Clock::default()).unwrap();
        file
    }

    /// Makes a file of people, each with a token, and writes it anew without tokens.
    fn without_tokens(folder: &Path, more: &str) -> Result<Connection, DbError> {
        let [from, to] = ["from.db", "to.db"].map(|name| folder.join(name));
        let file = open(&from);
        file.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE people (id integer PRIMARY KEY, name text, price text COLLATE decimal);
             CREATE INDEX by_name ON people (lower(name));
             CREATE INDEX by_price ON people (price);
             CREATE TABLE tokens (id integer PRIMARY KEY, text text,
                person integer REFERENCES people (id));
             CREATE TABLE uses (token integer REFERENCES Tokens (id) ON DELETE CASCADE);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
             INSERT INTO people SELECT i, 'person of number ' || i, i || '.50' FROM n;
             INSERT INTO tokens SELECT id, 'token of number ' || id, id FROM people",
        )
        .unwrap();
        file.execute_batch(more).unwrap();
        drop(file);
        let tables = ["tokens", "none"].map(str::to_owned);
        copy_without(&from, &to, &HashSet::from(tables)).map(|()| open(&to))
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
        let has = |name: &str, text: &str| {
            let file = fs::read(folder.path().join(name)).unwrap();
            file.windows(text.len()).any(|part| part == text.as_bytes())
        };
        assert!(has("to.db", "person of number"));
        assert!(!has("to.db", "token of number"));
        assert!(has("from.db", "token of number"), "as it would be found");
    }

    #[test]
    fn nothing_hears_of_it_or_goes_with_it() {
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
        assert!(!folder.path().join("to.db").exists());
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
