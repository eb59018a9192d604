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

fn read(connection: &Connection, whose: Whose) -> rusqlite::Result<Vec<Table>> {
    // nor those that a virtual table keeps what it has in
    let found: Vec<(String, String)> = connection
        .prepare(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'table'
                AND (name LIKE 'tenantry\\_%' ESCAPE '\\') = ?1 AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
                AND name IN (SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table')
             ORDER BY name",
        )?
        .query_map([whose == Whose::Catalog], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    found
        .into_iter()
        .filter(|(name, _)| !NOT_CARRIED.contains(&name.as_str()))
        .map(|(name, sql)| table(connection, name, &sql))
        .collect()
}

fn read_triggers(file: &Connection) -> rusqlite::Result<Vec<Trigger>> {
    let filled = schema::virtual_tables(file)?;
    // a trigger has the name of its table as it was said
    let sql = format!(
        "SELECT o.name, t.name, t.sql FROM sqlite_schema t JOIN sqlite_schema o
            ON o.type = 'table' AND lower(o.name) = lower(t.tbl_name)
         WHERE t.type = 'trigger' AND o.name NOT LIKE 'tenantry\\_%' ESCAPE '\\'
            AND o.name <> '{AUDIT_TABLE}' ORDER BY t.rowid"
    );
    let mut ask = file.prepare(&sql)?;
    let found = ask.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let found: Vec<(String, String, String)> = found.collect::<rusqlite::Result<_>>()?;
    let trigger = |(table, name, sql): (String, String, String)| {
        let fills = filled.iter().any(|one| schema::mentions(&sql, &one.name));
        (!fills).then(|| Trigger {
            table,
            quiet: format!("DROP TRIGGER {}", quoted(&name)),
            again: sql,
            name,
            on_insert: true,
            on_update: true,
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
            counted: false,
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
