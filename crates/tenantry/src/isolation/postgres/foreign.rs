//! Keys of a new migration that meet tables which tenants already share.
//!
//! A plain `REFERENCES users (id)` finds no key to point to once the key of `users` leads with the
//! tenant. So it is taken out of the definition, and added after it as it must be: with the tenant
//! on both sides. And a new unique key of such a table leads with the tenant from the start, as two
//! tenants may have the same already. What cannot be parsed runs as it stands, and fails with
//! PostgreSQL's own words.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use sqlparser::{
    ast::{
        AlterTableOperation, ColumnDef, ColumnOption, ConstraintReferenceMatchKind,
        DeferrableInitial, Expr, ForeignKeyConstraint, Ident, IndexColumn, ObjectName,
        ReferentialAction, Statement, TableConstraint,
    },
    dialect::PostgreSqlDialect,
    parser::Parser,
};
use tokio_postgres::Client;

use super::{
    ask,
    secure::{Constraint, Unsupported},
};
use crate::db::{
    DbError,
    postgres::scope::{ROWS_SCHEMA, TENANT_COLUMN, quoted},
};

/// What there is before a migration.
#[derive(Default)]
pub(super) struct Led {
    /// The tables whose keys lead with the tenant, and the rest of their primary keys.
    tables: HashMap<String, Vec<String>>,
    /// The names of constraints.
    names: HashSet<String>,
}

impl Led {
    /// The name that PostgreSQL would have given.
    fn name(&mut self, table: &str, columns: &[String], ending: &str) -> String {
        let mut stem = table.to_owned();
        for column in columns {
            stem.push('_');
            stem.push_str(column);
        }
        let mut end = stem.len().min(61 - ending.len());
        while !stem.is_char_boundary(end) {
            end -= 1;
        }
        stem.truncate(end);
        let first = format!("{stem}_{ending}");
        let others = (1..).map(|number| format!("{first}{number}"));
        let name = std::iter::once(first.clone())
            .chain(others)
            .find(|name| !self.names.contains(name))
            .expect("there are more numbers than constraints");
        self.names.insert(name.clone());
        name
    }
}

pub(super) async fn led(client: &Client) -> Result<Led, DbError> {
    let sql = format!(
        "SELECT c.relname::text, ARRAY(
            SELECT k.attname::text FROM pg_constraint con
                CROSS JOIN unnest(con.conkey) WITH ORDINALITY n(num, i)
                JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = n.num
            WHERE con.conrelid = c.oid AND con.contype = 'p' AND k.attname <> '{TENANT_COLUMN}'
            ORDER BY n.i)
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = '{TENANT_COLUMN}'
         WHERE c.relnamespace = '{ROWS_SCHEMA}'::regnamespace AND c.relkind IN ('r', 'p')
            AND NOT a.attisdropped"
    );
    let rows = ask(client, &sql, &[]).await?;
    let tables = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let sql = format!(
        "SELECT conname::text FROM pg_constraint WHERE connamespace = '{ROWS_SCHEMA}'::regnamespace"
    );
    let rows = ask(client, &sql, &[]).await?;
    let names = rows.iter().map(|row| row.get(0)).collect();
    Ok(Led { tables, names })
}

/// The migration, with its foreign keys to such tables as they must be.
pub(super) fn rewrite(sql: &str, mut led: Led, version: i32) -> Result<Cow<'_, str>, Unsupported> {
    let Ok(statements) = Parser::parse_sql(&PostgreSqlDialect {}, sql) else {
        return Ok(sql.into());
    };
    let mut text = String::new();
    let mut changed = false;
    for mut statement in statements {
        let keys = take_keys(&mut statement, &mut led);
        changed |= lead_keys(&mut statement, &mut led) || !keys.is_empty();
        let empty =
            matches!(&statement, Statement::AlterTable(alter) if alter.operations.is_empty());
        if !empty {
            text.push_str(&statement.to_string());
            text.push_str(";\n");
        }
        for key in keys {
            text.push_str(&format!(
                "ALTER TABLE {}.{} ADD COLUMN IF NOT EXISTS {TENANT_COLUMN} uuid NOT NULL \
                 DEFAULT tenantry.current_tenant();\n{};\n",
                quoted(ROWS_SCHEMA),
                quoted(&key.table),
                key.foreign_key(version)?.1.sql
            ));
        }
    }
    Ok(if changed { text.into() } else { sql.into() })
}

fn take_keys(statement: &mut Statement, led: &mut Led) -> Vec<Constraint> {
    let mut keys = Vec::new();
    match statement {
        Statement::CreateTable(create) => {
            let Some(table) = ours(&create.name) else {
                return keys;
            };
            for column in &mut create.columns {
                take_from_column(&table, column, led, &mut keys);
            }
            create
                .constraints
                .retain(|constraint| !take_constraint(&table, constraint, led, &mut keys));
        }
        Statement::AlterTable(alter) => {
            let Some(table) = ours(&alter.name) else {
                return keys;
            };
            alter.operations.retain_mut(|operation| match operation {
                AlterTableOperation::AddColumn { column_def, .. } => {
                    take_from_column(&table, column_def, led, &mut keys);
                    true
                }
                AlterTableOperation::AddConstraint { constraint, .. } => {
                    !take_constraint(&table, constraint, led, &mut keys)
                }
                _ => true,
            });
        }
        _ => {}
    }
    keys
}

/// Leads new unique keys of led tables with the tenant, and tells whether there were any.
fn lead_keys(statement: &mut Statement, led: &mut Led) -> bool {
    match statement {
        Statement::CreateIndex(index) if index.unique => {
            let led = ours(&index.table_name).is_some_and(|table| led.tables.contains_key(&table));
            led && lead(&mut index.columns)
        }
        Statement::AlterTable(alter) => {
            let Some(table) = ours(&alter.name).filter(|table| led.tables.contains_key(table))
            else {
                return false;
            };
            let mut changed = false;
            let mut more = Vec::new();
            for operation in &mut alter.operations {
                match operation {
                    AlterTableOperation::AddConstraint { constraint, .. } => {
                        changed |= lead_constraint(&table, constraint, led);
                    }
                    AlterTableOperation::AddColumn { column_def, .. } => {
                        more.extend(keys_of_column(&table, column_def, led));
                    }
                    _ => {}
                }
            }
            changed |= !more.is_empty();
            alter.operations.extend(more);
            changed
        }
        _ => false,
    }
}

fn lead(columns: &mut Vec<IndexColumn>) -> bool {
    let there = columns
        .iter()
        .any(|column| column_name(column) == TENANT_COLUMN);
    if !there {
        columns.insert(0, Ident::new(TENANT_COLUMN).into());
    }
    !there
}

fn lead_constraint(table: &str, constraint: &mut TableConstraint, led: &mut Led) -> bool {
    let (given, columns, ending) = match constraint {
        TableConstraint::PrimaryKey(key) => (&mut key.name, &mut key.columns, "pkey"),
        TableConstraint::Unique(key) => (&mut key.name, &mut key.columns, "key"),
        _ => return false,
    };
    let names: Vec<String> = columns.iter().map(column_name).collect();
    let mut name = || match ending {
        "pkey" => led.name(table, &[], ending),
        _ => led.name(table, &names, ending),
    };
    given.get_or_insert_with(|| Ident::with_quote('"', name()));
    lead(columns)
}

/// Takes the keys out of a new column's definition, and returns what adds them.
fn keys_of_column(table: &str, column: &mut ColumnDef, led: &mut Led) -> Vec<AlterTableOperation> {
    let own: IndexColumn = column.name.clone().into();
    let mut keys = Vec::new();
    column.options.retain(|option| {
        let mut constraint = match option.option.clone() {
            ColumnOption::PrimaryKey(mut key) => {
                key.columns = vec![own.clone()];
                key.name = key.name.or(option.name.clone());
                TableConstraint::PrimaryKey(key)
            }
            ColumnOption::Unique(mut key) => {
                key.columns = vec![own.clone()];
                key.name = key.name.or(option.name.clone());
                TableConstraint::Unique(key)
            }
            _ => return true,
        };
        lead_constraint(table, &mut constraint, led);
        keys.push(AlterTableOperation::AddConstraint {
            constraint,
            not_valid: false,
        });
        false
    });
    keys
}

fn column_name(column: &IndexColumn) -> String {
    match &column.column.expr {
        Expr::Identifier(ident) => name(ident),
        _ => String::new(),
    }
}

fn take_from_column(
    table: &str,
    column: &mut ColumnDef,
    led: &mut Led,
    keys: &mut Vec<Constraint>,
) {
    let own = [name(&column.name)];
    column.options.retain(|option| match &option.option {
        ColumnOption::ForeignKey(key) => {
            let given = option.name.as_ref().or(key.name.as_ref());
            match to_led(table, key, &own, given, led) {
                Some(constraint) => {
                    keys.push(constraint);
                    false
                }
                None => true,
            }
        }
        _ => true,
    });
}

fn take_constraint(
    table: &str,
    constraint: &TableConstraint,
    led: &mut Led,
    keys: &mut Vec<Constraint>,
) -> bool {
    let TableConstraint::ForeignKey(key) = constraint else {
        return false;
    };
    let own: Vec<String> = key.columns.iter().map(name).collect();
    match to_led(table, key, &own, key.name.as_ref(), led) {
        Some(constraint) => {
            keys.push(constraint);
            true
        }
        None => false,
    }
}

/// The key, if it points to a table whose keys lead with the tenant.
fn to_led(
    table: &str,
    key: &ForeignKeyConstraint,
    columns: &[String],
    given: Option<&Ident>,
    led: &mut Led,
) -> Option<Constraint> {
    let target = ours(&key.foreign_table)?;
    let primary = led.tables.get(&target)?;
    let target_columns = if key.referred_columns.is_empty() {
        primary.clone()
    } else {
        key.referred_columns.iter().map(name).collect()
    };
    let characteristics = key.characteristics.as_ref();
    let deferred = characteristics
        .is_some_and(|all| matches!(all.initially, Some(DeferrableInitial::Deferred)));
    Some(Constraint {
        name: given.map_or_else(|| led.name(table, columns, "fkey"), name),
        kind: "f".into(),
        table: table.into(),
        definition: String::new(),
        columns: columns.to_vec(),
        target,
        target_columns,
        on_update: letter(key.on_update),
        on_delete: letter(key.on_delete),
        matching: match key.match_kind {
            Some(ConstraintReferenceMatchKind::Full) => "f".into(),
            _ => "s".into(),
        },
        deferrable: deferred || characteristics.is_some_and(|all| all.deferrable == Some(true)),
        deferred,
        within: true,
    })
}

/// PostgreSQL's letter for an action, in `pg_constraint`.
fn letter(action: Option<ReferentialAction>) -> String {
    match action {
        Some(ReferentialAction::Restrict) => "r",
        Some(ReferentialAction::Cascade) => "c",
        Some(ReferentialAction::SetNull) => "n",
        Some(ReferentialAction::SetDefault) => "d",
        Some(ReferentialAction::NoAction) | None => "a",
    }
    .into()
}

/// A table of the schema that is being migrated, by its name alone.
fn ours(table: &ObjectName) -> Option<String> {
    let parts: Vec<&Ident> = table.0.iter().filter_map(|part| part.as_ident()).collect();
    match parts.as_slice() {
        [table] => Some(name(table)),
        [schema, table] if name(schema) == ROWS_SCHEMA => Some(name(table)),
        _ => None,
    }
}

/// The name as PostgreSQL folds it.
fn name(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_to_led_tables_are_taken_out_and_added_with_the_tenant() {
        let led = || Led {
            tables: HashMap::from([("users".into(), vec!["id".into()])]),
            names: HashSet::from(["users_email_key".into()]),
        };
        let sql = "CREATE TABLE orders (id uuid PRIMARY KEY, by_user uuid REFERENCES users ON DELETE SET NULL, other uuid REFERENCES new_table (id));
            ALTER TABLE notes ADD CONSTRAINT by FOREIGN KEY (author) REFERENCES Users (id) ON DELETE CASCADE;";
        let text = rewrite(sql, led(), 150_000).unwrap();
        assert!(text.contains("by_user UUID, other"), "{text}");
        assert!(
            text.contains("REFERENCES new_table(id)") || text.contains("REFERENCES new_table (id)"),
            "{text}"
        );
        assert!(text.contains(r#"ADD CONSTRAINT "orders_by_user_fkey" FOREIGN KEY (tenant_id, "by_user") REFERENCES "tenant_rows"."users" (tenant_id, "id") ON DELETE SET NULL ("by_user")"#), "{text}");
        assert!(
            text.contains(r#"ADD CONSTRAINT "by" FOREIGN KEY (tenant_id, "author")"#),
            "{text}"
        );
        let sql_keys = "ALTER TABLE users ADD UNIQUE (email), ADD COLUMN nick text UNIQUE NOT NULL; CREATE UNIQUE INDEX i ON users (lower(x)) WHERE y; ALTER TABLE others ADD UNIQUE (x)";
        let text = rewrite(sql_keys, led(), 150_000).unwrap();
        for part in [
            r#"ADD CONSTRAINT "users_email_key1" UNIQUE (tenant_id, email), ADD COLUMN nick TEXT NOT NULL, ADD CONSTRAINT "users_nick_key" UNIQUE (tenant_id, nick)"#,
            "(tenant_id, lower(x)) WHERE y",
            "others ADD UNIQUE (x)",
        ] {
            assert!(text.contains(part), "{text}");
        }
        rewrite(sql, led(), 140_000).expect_err("14 cannot set single columns");
        assert_eq!(rewrite(sql, Led::default(), 140_000).unwrap(), sql);
    }
}
