//! What a file has.

use std::sync::Arc;

use rusqlite::Connection;

use super::{Column, Kind, NOT_CARRIED, Points, Table, Trigger, Whose};
use crate::db::{
    AUDIT_TABLE, DbError,
    postgres::scope::quoted,
    sqlite::{self, Database, schema},
};

pub(super) async fn tables(database: &Arc<Database>, whose: Whose) -> Result<Vec<Table>, DbError> {
    sqlite::trusted(database, move |connection| {
        read(connection, whose).map_err(sqlite::translate)
    })
    .await
}

/// The application's triggers, but for those that fill a virtual table: nothing else carries what is in it.
pub(super) async fn triggers(database: &Arc<Database>) -> Result<Vec<Trigger>, DbError> {
    let reading = |file: &Connection| read_triggers(file).map_err(sqlite::translate);
    sqlite::trusted(database, reading).await
}

/// A virtual table with something in it that nothing would fill where the rows come to.
pub(super) async fn left_behind(database: &Arc<Database>) -> Result<Option<String>, DbError> {
    sqlite::trusted(database, |file| {
        let look = || {
            let sql = "SELECT sql FROM sqlite_schema WHERE type = 'trigger'";
            let triggers = schema::names(file, sql, [])?;
            let hearing: Vec<&String> = triggers.iter().filter(|sql| hears(sql)).collect();
            let shadows = "SELECT name FROM pragma_table_list WHERE type = 'shadow'";
            let shadows = schema::names(file, shadows, [])?;
            for table in schema::virtual_tables(file)? {
                let is_its_own = |shadow: &String| {
                    let (name, rest) = shadow
                        .split_at_checked(table.name.len())
                        .unwrap_or_default();
                    name.eq_ignore_ascii_case(&table.name) && rest.starts_with('_')
                };
                // what has none shows what others have
                if !shadows.iter().any(is_its_own)
                    || hearing.iter().any(|sql| schema::fills(sql, &table.name))
                {
                    continue;
                }
                let ask = format!("SELECT EXISTS (SELECT 1 FROM {})", quoted(&table.name));
                if file.query_row(&ask, [], |row| row.get(0))? {
                    return Ok(Some(table.name));
                }
            }
            Ok(None)
        };
        look().map_err(sqlite::translate)
    })
    .await
}

/// Whether a trigger hears of what is inserted into a table.
fn hears(sql: &str) -> bool {
    let words: Vec<String> = schema::words(sql).map(str::to_ascii_lowercase).collect();
    // instead of what is inserted into a view is nothing that comes
    let is_said = |said: &[String]| said[1..] == ["insert", "on"] && said[0] != "of";
    words.windows(3).any(is_said)
}

fn read(connection: &Connection, whose: Whose) -> rusqlite::Result<Vec<Table>> {
    let found: Vec<(String, String, bool)> = connection
        .prepare(
            "SELECT name, sql, l.type = 'shadow' FROM sqlite_schema s
                JOIN pragma_table_list l USING (name) WHERE s.type = 'table' AND l.schema = 'main'
                AND (name LIKE 'tenantry\\_%' ESCAPE '\\') = ?1 AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
                AND l.type <> 'virtual' ORDER BY name",
        )?
        .query_map([whose == Whose::Catalog], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    // what a virtual table keeps its own in comes by what fills that
    let all = schema::virtual_tables(connection)?;
    let is_own = |name: &str| !all.iter().any(|one| schema::mentions(&one.sql, name));
    found
        .into_iter()
        .filter(|(name, _, shadows)| !(*shadows && is_own(name)))
        .filter(|(name, ..)| !NOT_CARRIED.contains(&name.as_str()))
        .map(|(name, sql, _)| table(connection, name, &sql))
        .collect()
}

fn read_triggers(file: &Connection) -> rusqlite::Result<Vec<Trigger>> {
    let filled = schema::virtual_tables(file)?;
    // a trigger has the name of its table as it was said
    let sql = format!(
        "SELECT o.name, t.name, t.sql FROM sqlite_schema t JOIN sqlite_schema o
            ON o.type = 'table' AND o.name = t.tbl_name COLLATE NOCASE
         WHERE t.type = 'trigger' AND o.name NOT LIKE 'tenantry\\_%' ESCAPE '\\'
            AND t.name NOT IN ('{AUDIT_TABLE}_unchanged', '{AUDIT_TABLE}_kept') ORDER BY t.rowid"
    );
    let mut ask = file.prepare(&sql)?;
    let found = ask.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let found: Vec<(String, String, String)> = found.collect::<rusqlite::Result<_>>()?;
    let trigger = |(table, name, sql): (String, String, String)| {
        let fills = filled.iter().any(|one| schema::fills(&sql, &one.name));
        (!fills).then(|| Trigger {
            table,
            quiet: format!("DROP TRIGGER {}", quoted(&name)),
            again: sql,
            name,
            on_insert: true,
            on_update: true,
            on_delete: true,
        })
    };
    Ok(found.into_iter().filter_map(trigger).collect())
}

fn table(connection: &Connection, name: String, sql: &str) -> rusqlite::Result<Table> {
    let mut key: Vec<(i64, String)> = Vec::new();
    let mut columns = Vec::new();
    let mut ask = connection.prepare(
        "SELECT name, type, \"notnull\", pk FROM pragma_table_xinfo(?1) WHERE hidden = 0 ORDER BY cid",
    )?;
    let mut rows = ask.query([&name])?;
    while let Some(row) = rows.next()? {
        let column: String = row.get(0)?;
        let declared: String = row.get(1)?;
        let place: i64 = row.get(3)?;
        if place > 0 {
            key.push((place, column.clone()));
        }
        // the check that keeps a truth value to two numbers has the type in its name
        let is_boolean = ["BOOL", "BOOLEAN"]
            .iter()
            .any(|word| sql.contains(&format!("\"type: {column} is no {word}\"")));
        columns.push(Column {
            kind: match declared.to_ascii_uppercase().as_str() {
                _ if is_boolean => Kind::Boolean,
                "INT" | "INTEGER" => Kind::Integer,
                "REAL" => Kind::Real,
                "BLOB" => Kind::Bytes,
                _ => Kind::Text,
            },
            name: column,
            declared,
            nullable: !row.get::<_, bool>(2)?,
            counted: None,
        });
    }
    key.sort();
    let mut key: Vec<String> = key.into_iter().map(|(_, column)| column).collect();
    if key.is_empty() {
        key = columns.iter().map(|column| column.name.clone()).collect();
    }
    Ok(Table {
        points: points(connection, &name)?,
        name,
        columns,
        key,
    })
}

fn points(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Points>> {
    let mut ask = connection.prepare(
        "SELECT id, \"from\", \"table\" FROM pragma_foreign_key_list(?1) ORDER BY id, seq",
    )?;
    let mut rows = ask.query([table])?;
    let mut all: Vec<(i64, Points)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, from, to): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        match all.last_mut() {
            Some((last, points)) if *last == id => points.columns.push(from),
            _ => all.push((
                id,
                Points {
                    columns: vec![from],
                    to,
                },
            )),
        }
    }
    Ok(all.into_iter().map(|(_, points)| points).collect())
}
