//! What a schema has.

use tokio_postgres::Client;

use super::{Column, Kind, NOT_CARRIED, Points, Table, Whose};
use crate::db::{
    DbError,
    postgres::{
        Scope,
        scope::{self, CATALOG_SCHEMA, CENTRAL_SCHEMA, TENANT_COLUMN},
        translate,
    },
};

pub(super) async fn tables(of: &Scope, whose: Whose) -> Result<Vec<Table>, DbError> {
    let (server, database, schema) = of.place();
    let schema = match whose {
        Whose::Tenant => schema,
        Whose::Catalog => CATALOG_SCHEMA.into(),
        Whose::Central => CENTRAL_SCHEMA.into(),
    };
    let client = server.owner(&database).await?;
    client
        .batch_execute(&scope::owner(server, &schema))
        .await
        .map_err(translate)?;
    let tables = read(&client, whose).await?;
    client.batch_execute("COMMIT").await.map_err(translate)?;
    client.ended();
    Ok(tables)
}

async fn read(client: &Client, whose: Whose) -> Result<Vec<Table>, DbError> {
    // in shared tables it is the library's column, and elsewhere nobody's
    let ours = match whose {
        Whose::Tenant => TENANT_COLUMN,
        Whose::Catalog | Whose::Central => "",
    };
    let named = match whose {
        Whose::Catalog => "LIKE",
        Whose::Tenant | Whose::Central => "NOT LIKE",
    };
    let sql = format!(
        "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL),
            NOT a.attnotnull, a.attidentity <> '' OR EXISTS (SELECT FROM pg_depend s
                JOIN pg_class q ON q.oid = s.objid AND q.relkind = 'S'
                WHERE s.refobjid = c.oid AND s.refobjsubid = a.attnum AND s.deptype IN ('a', 'i')),
            coalesce(array_position(k.conkey, a.attnum), 0)
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
            LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
         WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
            AND NOT c.relispartition AND c.relname {named} 'tenantry\\_%'
            AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
            AND a.attname <> '{ours}'
         ORDER BY c.relname, a.attnum"
    );
    let rows = client.query_typed(&sql, &[]).await.map_err(translate)?;
    let mut tables: Vec<(Table, Vec<(i32, String)>)> = Vec::new();
    for row in rows
        .iter()
        .filter(|row| !NOT_CARRIED.contains(&row.get::<_, &str>(0)))
    {
        let (name, column, declared): (String, String, String) =
            (row.get(0), row.get(1), row.get(2));
        if tables.last().is_none_or(|(table, _)| table.name != name) {
            let table = Table {
                name,
                columns: Vec::new(),
                key: Vec::new(),
                points: Vec::new(),
            };
            tables.push((table, Vec::new()));
        }
        if let Some((table, key)) = tables.last_mut() {
            let place: i32 = row.get(5);
            if place > 0 {
                key.push((place, column.clone()));
            }
            table.columns.push(Column {
                kind: kind(&declared),
                name: column,
                declared,
                nullable: row.get(3),
                counted: row.get(4),
            });
        }
    }
    let mut tables: Vec<Table> = tables
        .into_iter()
        .map(|(mut table, mut key)| {
            key.sort();
            table.key = match key.is_empty() {
                true => table.columns.iter().map(|one| one.name.clone()).collect(),
                false => key.into_iter().map(|(_, column)| column).collect(),
            };
            table
        })
        .collect();
    let sql = format!(
        "SELECT c.relname::text, f.relname::text,
            ARRAY(SELECT a.attname::text FROM unnest(con.conkey) WITH ORDINALITY k(n, i)
                JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.n
                WHERE a.attname <> '{ours}' ORDER BY k.i)
         FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid
            JOIN pg_class f ON f.oid = con.confrelid AND f.relnamespace = c.relnamespace
         WHERE c.relnamespace = current_schema()::regnamespace AND con.contype = 'f'
            AND con.conparentid = 0 ORDER BY c.relname, con.conname"
    );
    for row in &client.query_typed(&sql, &[]).await.map_err(translate)? {
        let name: &str = row.get(0);
        if let Some(table) = tables.iter_mut().find(|table| table.name == name) {
            table.points.push(Points {
                to: row.get(1),
                columns: row.get(2),
            });
        }
    }
    Ok(tables)
}

fn kind(declared: &str) -> Kind {
    match declared {
        "boolean" => Kind::Boolean,
        "smallint" | "integer" | "bigint" => Kind::Integer,
        "real" | "double precision" => Kind::Real,
        "bytea" => Kind::Bytes,
        _ => Kind::Text,
    }
}
