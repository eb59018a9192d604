//! What a file says of itself, beyond its tables' columns.

use rusqlite::Connection;

/// A table that a module of SQLite's keeps, such as full text.
pub(crate) struct VirtualTable {
    pub(crate) name: String,
    pub(crate) sql: String,
}

pub(crate) fn virtual_tables(file: &Connection) -> rusqlite::Result<Vec<VirtualTable>> {
    let mut ask = file.prepare(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL%'",
    )?;
    let found = ask.query_map([], |row| {
        Ok(VirtualTable {
            name: row.get(0)?,
            sql: row.get(1)?,
        })
    })?;
    found.collect()
}

/// The words of a definition.
pub(super) fn words(sql: &str) -> impl Iterator<Item = &str> {
    let words = sql.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    words.filter(|word| !word.is_empty())
}

/// Whether a definition may be about something of that name.
pub(crate) fn mentions(sql: &str, name: &str) -> bool {
    let is_word = words(name).eq([name]);
    match is_word {
        true => words(sql).any(|word| word.eq_ignore_ascii_case(name)),
        false => sql
            .to_ascii_lowercase()
            .contains(&name.to_ascii_lowercase()),
    }
}

/// The first column of what is asked for, as text.
pub(super) fn names(
    file: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> rusqlite::Result<Vec<String>> {
    let mut ask = file.prepare(sql)?;
    ask.query_map(params, |row| row.get(0))?.collect()
}
