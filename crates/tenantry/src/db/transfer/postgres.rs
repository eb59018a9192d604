//! What a schema has.

use tokio_postgres::Client;

use super::{CARRYING, Column, Counter, Kind, NOT_CARRIED, Points, Table, Trigger, Whose};
use crate::db::{
    DbError,
    postgres::{
        Scope,
        owners::OwnerConn,
        scope::{self, CATALOG_SCHEMA, CENTRAL_SCHEMA, TENANT_COLUMN, quoted},
        translate,
    },
};

pub(super) async fn tables(of: &Scope, whose: Whose) -> Result<Vec<Table>, DbError> {
    let client = as_owner(of, whose).await?;
    let tables = read(&client, whose).await?;
    end(client).await?;
    Ok(tables)
}

pub(super) async fn triggers_of(of: &Scope, whose: Whose) -> Result<Vec<Trigger>, DbError> {
    let client = as_owner(of, whose).await?;
    let triggers = triggers(&client).await?;
    end(client).await?;
    Ok(triggers)
}

async fn as_owner(of: &Scope, whose: Whose) -> Result<OwnerConn, DbError> {
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
    Ok(client)
}

async fn end(client: OwnerConn) -> Result<(), DbError> {
    client.batch_execute("COMMIT").await.map_err(translate)?;
    client.ended();
    Ok(())
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
            NOT a.attnotnull, CASE WHEN q.seqmax IS NOT NULL THEN least(q.seqmax,
                CASE coalesce(nullif(t.typbasetype, 0), t.oid)
                    WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647 END) END,
            coalesce(array_position(k.conkey, a.attnum), 0),
            pg_sequence_last_value(q.seqrelid)
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
            JOIN pg_type t ON t.oid = a.atttypid
            LEFT JOIN pg_sequence q ON q.seqincrement > 0 AND q.seqrelid =
                pg_get_serial_sequence(c.oid::regclass::text, a.attname)::regclass
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
                counted: row.get::<_, Option<i64>>(4).map(|most| Counter {
                    most,
                    last: row.get(6),
                }),
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

/// The application's triggers in the current schema that are on, but for those that mind by themselves.
pub(crate) async fn triggers(client: &Client) -> Result<Vec<Trigger>, DbError> {
    // one bit of its type for each of what it hears of: rows that are inserted, deleted, updated
    // (https://github.com/postgres/postgres/blob/REL_15_STABLE/src/include/catalog/pg_trigger.h)
    let sql = format!(
        "SELECT c.relname::text, t.tgname::text, t.tgenabled = 'A',
            t.tgtype & 4 <> 0, t.tgtype & 16 <> 0,
            coalesce((SELECT r.relname FROM pg_class r WHERE r.oid = pg_partition_root(c.oid)),
                c.relname)::text, t.tgtype & 8 <> 0
         FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc f ON f.oid = t.tgfoid
         WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
            AND c.relname NOT LIKE 'tenantry\\_%' AND NOT t.tgisinternal AND t.tgparentid = 0
            AND t.tgenabled IN ('A', 'O') AND t.tgtype & 28 <> 0
            AND strpos(pg_get_triggerdef(t.oid) || f.prosrc, '{CARRYING}') = 0
         ORDER BY c.relname, t.tgname"
    );
    let rows = client.query_typed(&sql, &[]).await.map_err(translate)?;
    let trigger = |row: &tokio_postgres::Row| {
        let name: String = row.get(1);
        let always = if row.get(2) { "ALWAYS " } else { "" };
        let (of, this) = (quoted(row.get(0)), quoted(&name));
        Trigger {
            quiet: format!("ALTER TABLE {of} DISABLE TRIGGER {this}"),
            again: format!("ALTER TABLE {of} ENABLE {always}TRIGGER {this}"),
            // of which a partition's is, too
            table: row.get(5),
            name,
            on_insert: row.get(3),
            on_update: row.get(4),
            on_delete: row.get(6),
        }
    };
    Ok(rows.iter().map(trigger).collect())
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
