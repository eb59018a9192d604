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
pub(crate) fn words(sql: &str) -> impl Iterator<Item = &str> {
    let words = sql.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    words.filter(|word| !word.is_empty())
}

/// Whether a definition may be about something of that name.
pub(crate) fn mentions(sql: &str, name: &str) -> bool {
    if words(name).eq([name]) {
        return words(sql).any(|word| word.eq_ignore_ascii_case(name));
    }
    let (sql, name) = (sql.to_ascii_lowercase(), name.to_ascii_lowercase());
    sql.contains(&name) || sql.contains(&name.replace('"', "\"\""))
}

/// Whether a trigger inserts into a table of that name, or may.
pub(crate) fn fills(trigger: &str, name: &str) -> bool {
    if !words(name).eq([name]) {
        return mentions(trigger, name);
    }
    let said = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
    let mut pairs = words(trigger).zip(words(trigger).skip(1));
    pairs.any(|(before, word)| said(before, "into") && said(word, name))
}

/// The first column of what is asked for, as text.
pub(crate) fn names(
    file: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> rusqlite::Result<Vec<String>> {
    let mut ask = file.prepare(sql)?;
    ask.query_map(params, |row| row.get(0))?.collect()
}
