//! Reading a tenant's rows, in one snapshot.

use std::{collections::HashSet, sync::Arc};

use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::{
    Cell, Column, Kind, Structure, Table,
    cell::{Cells, canonical},
};
use crate::db::{DbError, EngineKind, TenantDb, is_among, postgres::scope::quoted};

/// A piece of what is read, in order.
#[derive(Debug)]
pub(crate) enum Item {
    /// The rows of this table follow.
    Table(Arc<Table>),
    /// Some of its rows.
    Rows(Vec<Vec<Cell>>),
    /// All has been read.
    End,
}

/// Which rows are read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// Tables that are there, but whose rows stay where they are.
    pub(crate) without: HashSet<String>,
}

const ROWS_AT_ONCE: usize = 200;

/// Reads all of a tenant's tables by a task of its own. A failure is the last that comes.
///
/// On SQLite the handle is to be of a copy that nobody writes to; PostgreSQL has snapshots.
pub(crate) fn read(
    db: TenantDb,
    structure: Structure,
    selection: Selection,
) -> mpsc::Receiver<Result<Item, DbError>> {
    let (sender, receiver) = mpsc::channel(4);
    drop(tokio::spawn(async move {
        if let Err(error) = read_all(&db, structure, &selection, &sender).await {
            // whoever reads no more needs no error
            drop(sender.send(Err(error)).await);
        }
    }));
    receiver
}

type Sender = mpsc::Sender<Result<Item, DbError>>;

async fn read_all(
    db: &TenantDb,
    structure: Structure,
    selection: &Selection,
    sender: &Sender,
) -> Result<(), DbError> {
    let on_server = matches!(db.engine().kind, EngineKind::Postgres(_));
    let mut tx = db.begin();
    if on_server {
        let snapshot = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
        let patient = "SET LOCAL statement_timeout = 0";
        tx.say(vec![snapshot.into(), patient.into()]).await?;
    }
    for table in structure.tables {
        let sql = select(&table, on_server);
        let table = Arc::new(table);
        if send(sender, Item::Table(table.clone())).await.is_none() {
            return Ok(());
        }
        if is_among(&selection.without, &table.name) {
            continue;
        }
        let rows = tx.query(&sql).stream::<Cells>().await?;
        let mut chunks = rows.chunks(ROWS_AT_ONCE);
        while let Some(chunk) = chunks.next().await {
            let rows = chunk
                .into_iter()
                .map(|row| Ok(mean(&table, row?.0)))
                .collect::<Result<_, DbError>>()?;
            if send(sender, Item::Rows(rows)).await.is_none() {
                return Ok(());
            }
        }
    }
    tx.rollback().await?;
    send(sender, Item::End).await;
    Ok(())
}

async fn send(sender: &Sender, item: Item) -> Option<()> {
    sender.send(Ok(item)).await.ok()
}

/// The values as both engines mean them.
fn mean(table: &Table, cells: Vec<Cell>) -> Vec<Cell> {
    let columns = table
        .columns
        .iter()
        .map(Some)
        .chain(std::iter::repeat(None));
    cells
        .into_iter()
        .zip(columns)
        .map(|(cell, column)| match (column, cell) {
            (Some(column), Cell::Text(text))
                if matches!(column.declared.as_str(), "jsonb" | "json") =>
            {
                Cell::Text(canonical(&text).unwrap_or(text))
            }
            (Some(column), cell) => cell.of_kind(column.kind),
            (None, cell) => cell,
        })
        .collect()
}

fn select(table: &Table, on_server: bool) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| said(column, on_server))
        .collect();
    let order: Vec<String> = table
        .key
        .iter()
        .map(|name| {
            let column = table.columns.iter().find(|column| column.name == *name);
            ordered(name, column, on_server)
        })
        .collect();
    format!(
        "SELECT {} FROM {} ORDER BY {}",
        columns.join(", "),
        quoted(&table.name),
        order.join(", ")
    )
}

/// A column in the words that it is carried in.
fn said(column: &Column, on_server: bool) -> String {
    let name = quoted(&column.name);
    if !on_server {
        return name;
    }
    match column.kind {
        Kind::Boolean | Kind::Bytes => name,
        Kind::Integer => format!("{name}::bigint"),
        Kind::Real => format!("{name}::double precision"),
        Kind::Text if column.declared == "timestamp with time zone" => {
            format!(r#"to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#)
        }
        Kind::Text => format!("{name}::text"),
    }
}

/// What rows are ordered by: the same order wherever they are.
fn ordered(name: &str, column: Option<&Column>, on_server: bool) -> String {
    let quoted = quoted(name);
    match column {
        Some(column) if on_server && column.kind == Kind::Text => {
            format!("{} COLLATE \"C\" NULLS FIRST", said(column, true))
        }
        // of decimals the text, as on a server
        Some(column) if column.kind == Kind::Text => {
            format!("{quoted} COLLATE binary NULLS FIRST")
        }
        _ => format!("{quoted} NULLS FIRST"),
    }
}
