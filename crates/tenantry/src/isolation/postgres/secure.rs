//! The wall between tenants that share tables, built from what the database says of itself.
//!
//! Migrations are written for a single tenant. After each, this compares the tables with what they
//! must be, and lists the steps that are missing: the tenant's column, keys and indexes that lead
//! with it, foreign keys that cannot point to another tenant (constraint checks go around row-level
//! security, so a plain one would tell that another tenant has an id), policies enabled and forced.
//! An empty list means that all is as it must be, and that is what an audit looks for.

use tokio_postgres::{Client, Row};

use super::{ask, ask_one};
use crate::db::{
    AUDIT_TABLE, DbError,
    postgres::{
        scope::{ROWS_SCHEMA, TENANT_COLUMN, quoted},
        server::Roles,
    },
};

/// The name of the one policy on each table.
const POLICY: &str = "tenantry_isolation";

/// Whose a new row is.
const DEFAULT: &str = "tenantry.current_tenant()";

/// What the policy says, as PostgreSQL repeats it.
const CONDITION: &str = "(tenant_id = tenantry.current_tenant())";

/// Something that is not as it must be, and the statement that mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) what: String,
    pub(crate) sql: String,
}

/// What a migration made that cannot be kept apart between tenants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} ({hint})")]
pub(crate) struct Unsupported {
    pub(super) what: String,
    pub(super) hint: &'static str,
}

/// What planning fails with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecureError {
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The steps that are missing, in the order in which they have to be taken.
pub(crate) async fn plan(client: &Client, roles: &Roles) -> Result<Vec<Step>, SecureError> {
    let version = server_version(client).await?;
    let mut steps = Vec::new();
    let tables = tables(client, roles).await?;
    for table in &tables {
        tenant_column(table, &mut steps)?;
    }
    let keys = constraints(client, version, &mut steps).await?;
    indexes(client, &mut steps).await?;
    // what they point to leads with the tenant by now: a constraint, or an index alone
    steps.extend(keys);
    for table in &tables {
        policies(table, &mut steps)?;
    }
    views(client, version, roles, &mut steps).await?;
    for table in &tables {
        if !table.granted {
            steps.push(Step {
                what: format!("table {} cannot be used by {}", table.name, roles.app),
                sql: format!(
                    "REVOKE ALL ON TABLE {name} FROM PUBLIC, {app}; \
                     GRANT {rights} ON TABLE {name} TO {app}",
                    rights = if table.name == AUDIT_TABLE {
                        "SELECT, INSERT"
                    } else {
                        "SELECT, INSERT, UPDATE, DELETE"
                    },
                    name = table.quoted(),
                    app = quoted(&roles.app)
                ),
            });
        }
    }
    Ok(steps)
}

/// The version as a number: 150018 for 15.18.
pub(super) async fn server_version(client: &Client) -> Result<i32, DbError> {
    let sql = "SELECT current_setting('server_version_num')::int";
    Ok(ask_one(client, sql, &[]).await?.get(0))
}

struct Table {
    name: String,
    is_partition: bool,
    /// The tenant's column, if it is there: whether it is a `uuid`, cannot be NULL, and is by
    /// default the scope's tenant.
    column: Option<(bool, bool, bool)>,
    enabled: bool,
    forced: bool,
    granted: bool,
    policies: Vec<(String, bool)>,
}

impl Table {
    fn quoted(&self) -> String {
        qualified(&self.name)
    }

    fn alter(&self, what: &str, how: &str) -> Step {
        Step {
            what: format!("table {} {what}", self.name),
            sql: format!("ALTER TABLE {} {how}", self.quoted()),
        }
    }
}

fn qualified(name: &str) -> String {
    format!("{}.{}", quoted(ROWS_SCHEMA), quoted(name))
}

async fn tables(client: &Client, roles: &Roles) -> Result<Vec<Table>, DbError> {
    let app = &roles.app;
    let sql = format!(
        "SELECT c.relname::text, c.relispartition, c.relrowsecurity, c.relforcerowsecurity,
            t.attnum IS NOT NULL, t.atttypid = 'uuid'::regtype, t.attnotnull,
            coalesce(pg_get_expr(d.adbin, d.adrelid) = '{DEFAULT}', false),
            has_table_privilege('{app}', c.oid, 'SELECT') AND has_table_privilege('{app}', c.oid, 'INSERT')
                AND has_table_privilege('{app}', c.oid, 'UPDATE') = (c.relname <> '{AUDIT_TABLE}')
                AND has_table_privilege('{app}', c.oid, 'DELETE') = (c.relname <> '{AUDIT_TABLE}')
                AND NOT has_table_privilege('{app}', c.oid, 'TRUNCATE, REFERENCES, TRIGGER'),
            ARRAY(SELECT p.polname::text FROM pg_policy p WHERE p.polrelid = c.oid
                ORDER BY p.polname),
            ARRAY(SELECT coalesce(p.polpermissive AND p.polcmd = '*' AND p.polroles = '{{0}}'
                AND pg_get_expr(p.polqual, p.polrelid) = '{CONDITION}'
                AND pg_get_expr(p.polwithcheck, p.polrelid) = '{CONDITION}', false)
                FROM pg_policy p WHERE p.polrelid = c.oid ORDER BY p.polname)
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pg_attribute t ON t.attrelid = c.oid AND t.attname = '{TENANT_COLUMN}'
                AND NOT t.attisdropped
            LEFT JOIN pg_attrdef d ON d.adrelid = t.attrelid AND d.adnum = t.attnum
         WHERE n.nspname = '{ROWS_SCHEMA}' AND c.relkind IN ('r', 'p')
            AND c.relname NOT LIKE 'tenantry\\_%'
         ORDER BY c.relispartition, c.relname"
    );
    let rows = ask(client, &sql, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let names: Vec<String> = row.get(9);
            let right: Vec<bool> = row.get(10);
            Table {
                name: row.get(0),
                is_partition: row.get(1),
                enabled: row.get(2),
                forced: row.get(3),
                column: row
                    .get::<_, bool>(4)
                    .then(|| (row.get(5), row.get(6), row.get(7))),
                granted: row.get(8),
                policies: names.into_iter().zip(right).collect(),
            }
        })
        .collect())
}

fn tenant_column(table: &Table, steps: &mut Vec<Step>) -> Result<(), Unsupported> {
    match table.column {
        None if table.is_partition => {} // it gets its table's
        None => steps.push(table.alter(
            "has no tenant column",
            &format!("ADD COLUMN IF NOT EXISTS {TENANT_COLUMN} uuid NOT NULL DEFAULT {DEFAULT}"),
        )),
        Some((false, ..)) => {
            return Err(Unsupported {
                what: format!(
                    "table {} has a column {TENANT_COLUMN} of its own",
                    table.name
                ),
                hint: "that is the name of the library's own column: give it another",
            });
        }
        Some((true, required, default)) => {
            if !default {
                steps.push(table.alter(
                    "does not take its tenant from the scope",
                    &format!("ALTER COLUMN {TENANT_COLUMN} SET DEFAULT {DEFAULT}"),
                ));
            }
            if !required {
                steps.push(table.alter(
                    "can have rows of no tenant",
                    &format!("ALTER COLUMN {TENANT_COLUMN} SET NOT NULL"),
                ));
            }
        }
    }
    Ok(())
}

fn policies(table: &Table, steps: &mut Vec<Step>) -> Result<(), Unsupported> {
    if let Some((foreign, _)) = table.policies.iter().find(|(name, _)| name != POLICY) {
        return Err(Unsupported {
            what: format!("table {} has a policy of its own, {foreign}", table.name),
            hint: "policies add up, so another one may let tenants see each other: drop it",
        });
    }
    match table.policies.first() {
        Some((_, true)) => {}
        found => {
            let name = table.quoted();
            let drop = match found {
                Some(_) => format!("DROP POLICY {POLICY} ON {name}; "),
                None => String::new(),
            };
            steps.push(Step {
                what: format!("table {} lacks its policy", table.name),
                sql: format!(
                    "{drop}CREATE POLICY {POLICY} ON {name} USING {CONDITION} WITH CHECK {CONDITION}"
                ),
            });
        }
    }
    if !table.enabled {
        steps.push(table.alter("has row-level security off", "ENABLE ROW LEVEL SECURITY"));
    }
    if !table.forced {
        steps.push(table.alter(
            "lets its owner around row-level security",
            "FORCE ROW LEVEL SECURITY",
        ));
    }
    Ok(())
}

/// Drops foreign keys that span tenants, leads keys with the tenant, and returns what adds those
/// foreign keys as they must be.
async fn constraints(
    client: &Client,
    version: i32,
    steps: &mut Vec<Step>,
) -> Result<Vec<Step>, SecureError> {
    let sql = format!(
        "SELECT con.conname::text, con.contype::text, c.relname::text,
            pg_get_constraintdef(con.oid),
            ARRAY(SELECT a.attname::text FROM unnest(con.conkey) WITH ORDINALITY k(n, i)
                JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.n ORDER BY k.i),
            coalesce(f.relname::text, ''),
            ARRAY(SELECT a.attname::text FROM unnest(con.confkey) WITH ORDINALITY k(n, i)
                JOIN pg_attribute a ON a.attrelid = con.confrelid AND a.attnum = k.n ORDER BY k.i),
            con.confupdtype::text, con.confdeltype::text, con.confmatchtype::text,
            con.condeferrable, con.condeferred,
            fn.nspname IS NOT DISTINCT FROM n.nspname
         FROM pg_constraint con
            JOIN pg_class c ON c.oid = con.conrelid
            JOIN pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pg_class f ON f.oid = con.confrelid
            LEFT JOIN pg_namespace fn ON fn.oid = f.relnamespace
         WHERE n.nspname = '{ROWS_SCHEMA}' AND c.relname NOT LIKE 'tenantry\\_%'
            AND con.contype IN ('p', 'u', 'f', 'x') AND con.conparentid = 0
         ORDER BY c.relname, con.conname"
    );
    let mut keys = Vec::new();
    let mut dropped = Vec::new();
    let mut added = Vec::new();
    for row in ask(client, &sql, &[]).await? {
        let constraint = Constraint::from(&row);
        if constraint.keeps_tenants_apart() {
            continue;
        }
        match constraint.kind.as_str() {
            "f" if !constraint.within => {} // to what all tenants share
            "f" => {
                let (drop, add) = constraint.foreign_key(version)?;
                dropped.push(drop);
                added.push(add);
            }
            "x" => {
                return Err(Unsupported {
                    what: format!(
                        "table {} has an exclusion constraint, {}",
                        constraint.table, constraint.name
                    ),
                    hint: "it would compare the rows of different tenants: use a unique constraint, or another isolation",
                }
                .into());
            }
            _ => keys.push(constraint.key()),
        }
    }
    steps.extend(dropped);
    steps.extend(keys);
    Ok(added)
}

pub(super) struct Constraint {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) table: String,
    pub(super) definition: String,
    pub(super) columns: Vec<String>,
    pub(super) target: String,
    pub(super) target_columns: Vec<String>,
    pub(super) on_update: String,
    pub(super) on_delete: String,
    pub(super) matching: String,
    pub(super) deferrable: bool,
    pub(super) deferred: bool,
    /// Whether it points to a table that tenants share.
    pub(super) within: bool,
}

impl From<&Row> for Constraint {
    fn from(row: &Row) -> Self {
        Self {
            name: row.get(0),
            kind: row.get(1),
            table: row.get(2),
            definition: row.get(3),
            columns: row.get(4),
            target: row.get(5),
            target_columns: row.get(6),
            on_update: row.get(7),
            on_delete: row.get(8),
            matching: row.get(9),
            deferrable: row.get(10),
            deferred: row.get(11),
            within: row.get(12),
        }
    }
}

impl Constraint {
    /// Whether it leads with the tenant; or, of a foreign key, has the tenant point to itself.
    fn keeps_tenants_apart(&self) -> bool {
        let tenant = |columns: &[String]| columns.iter().position(|column| column == TENANT_COLUMN);
        match self.kind.as_str() {
            "f" => tenant(&self.columns).is_some_and(|at| {
                self.target_columns
                    .get(at)
                    .is_some_and(|name| name == TENANT_COLUMN)
            }),
            _ => tenant(&self.columns) == Some(0),
        }
    }

    fn drop_sql(&self) -> String {
        format!(
            "ALTER TABLE {} DROP CONSTRAINT {}",
            qualified(&self.table),
            quoted(&self.name)
        )
    }

    fn add_sql(&self, definition: &str) -> String {
        format!(
            "ALTER TABLE {} ADD CONSTRAINT {} {definition}",
            qualified(&self.table),
            quoted(&self.name)
        )
    }

    /// A primary key or unique constraint, led by the tenant.
    fn key(&self) -> Step {
        let led = self
            .definition
            .replacen('(', &format!("({TENANT_COLUMN}, "), 1);
        Step {
            what: format!("{} of table {} spans tenants", self.name, self.table),
            sql: format!("{}; {}", self.drop_sql(), self.add_sql(&led)),
        }
    }

    /// A foreign key within the tenant: what drops the plain one, and what adds the other.
    pub(super) fn foreign_key(&self, version: i32) -> Result<(Step, Step), Unsupported> {
        let refuse = |why: &str, hint| Unsupported {
            what: format!("foreign key {} of table {} {why}", self.name, self.table),
            hint,
        };
        let list = |columns: &[String]| {
            columns
                .iter()
                .map(|column| quoted(column))
                .collect::<Vec<_>>()
                .join(", ")
        };
        if self.columns.iter().any(|column| column == TENANT_COLUMN) {
            return Err(refuse(
                "points elsewhere with the tenant",
                "leave the tenant out: it is added",
            ));
        }
        if self.matching == "f" && self.columns.len() > 1 {
            return Err(refuse("is MATCH FULL", "use the default, MATCH SIMPLE"));
        }
        let on_delete = match self.on_delete.as_str() {
            "r" => " ON DELETE RESTRICT".to_owned(),
            "c" => " ON DELETE CASCADE".to_owned(),
            action @ ("n" | "d") => {
                if version < 150_000 {
                    return Err(refuse(
                        "sets columns ON DELETE",
                        "with tenants in shared tables that needs PostgreSQL 15 or later: delete or update in the application, or use another isolation",
                    ));
                }
                let what = if action == "n" { "NULL" } else { "DEFAULT" };
                format!(" ON DELETE SET {what} ({})", list(&self.columns))
            }
            _ => String::new(),
        };
        let on_update = match self.on_update.as_str() {
            "r" => " ON UPDATE RESTRICT",
            "c" => " ON UPDATE CASCADE",
            "n" | "d" => {
                return Err(refuse(
                    "sets columns ON UPDATE",
                    "it would set the tenant's too: keys should not change",
                ));
            }
            _ => "",
        };
        let deferral = match (self.deferrable, self.deferred) {
            (true, true) => " DEFERRABLE INITIALLY DEFERRED",
            (true, false) => " DEFERRABLE",
            _ => "",
        };
        let what = format!(
            "{} of table {} can point to another tenant",
            self.name, self.table
        );
        let definition = format!(
            "FOREIGN KEY ({TENANT_COLUMN}, {}) REFERENCES {} ({TENANT_COLUMN}, {}){on_update}{on_delete}{deferral}",
            list(&self.columns),
            qualified(&self.target),
            list(&self.target_columns),
        );
        Ok((
            Step {
                what: what.clone(),
                sql: self.drop_sql(),
            },
            Step {
                what,
                sql: self.add_sql(&definition),
            },
        ))
    }
}

/// Indexes that are no constraint's. Other kinds than btree hold no order to lead, and are left.
async fn indexes(client: &Client, steps: &mut Vec<Step>) -> Result<(), DbError> {
    let sql = format!(
        "SELECT i.relname::text, c.relname::text, pg_get_indexdef(x.indexrelid)
         FROM pg_index x
            JOIN pg_class i ON i.oid = x.indexrelid
            JOIN pg_class c ON c.oid = x.indrelid
            JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_am am ON am.oid = i.relam
            LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.indkey[0]
         WHERE n.nspname = '{ROWS_SCHEMA}' AND c.relname NOT LIKE 'tenantry\\_%'
            AND am.amname = 'btree' AND NOT i.relispartition
            AND a.attname IS DISTINCT FROM '{TENANT_COLUMN}'
            AND NOT EXISTS (SELECT FROM pg_constraint con WHERE con.conindid = i.oid
                AND con.contype IN ('p', 'u', 'x'))
         ORDER BY i.relname"
    );
    for row in ask(client, &sql, &[]).await? {
        let (index, table, definition): (String, String, String) =
            (row.get(0), row.get(1), row.get(2));
        let led = definition.replacen(" ON ONLY ", " ON ", 1).replacen(
            " USING btree (",
            &format!(" USING btree ({TENANT_COLUMN}, "),
            1,
        );
        steps.push(Step {
            what: format!("index {index} of table {table} spans tenants"),
            sql: format!("DROP INDEX {}; {led}", qualified(&index)),
        });
    }
    Ok(())
}

async fn views(
    client: &Client,
    version: i32,
    roles: &Roles,
    steps: &mut Vec<Step>,
) -> Result<(), SecureError> {
    let sql = format!(
        "SELECT c.relname::text, c.relkind::text,
            coalesce(array_to_string(c.reloptions, ','), '') LIKE '%security_invoker=true%',
            has_table_privilege('{app}', c.oid, 'SELECT') AND has_table_privilege('{app}', c.oid, 'INSERT')
                AND has_table_privilege('{app}', c.oid, 'UPDATE') AND has_table_privilege('{app}', c.oid, 'DELETE')
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = '{ROWS_SCHEMA}' AND c.relkind IN ('v', 'm', 'f') ORDER BY c.relname",
        app = roles.app
    );
    for row in ask(client, &sql, &[]).await? {
        let (name, kind): (String, String) = (row.get(0), row.get(1));
        if kind != "v" {
            return Err(Unsupported {
                what: format!("{name} is a materialized view or a foreign table"),
                hint: "policies do not reach into it, so it would show every tenant's rows: use a view",
            }
            .into());
        }
        let invoker: bool = row.get(2);
        // before 15 a view is read as its owner, whom forced policies bind as well
        if !invoker && version >= 150_000 {
            steps.push(Step {
                what: format!("view {name} is not read as whoever asks"),
                sql: format!(
                    "ALTER VIEW {} SET (security_invoker = true)",
                    qualified(&name)
                ),
            });
        }
        let granted: bool = row.get(3);
        if !granted {
            steps.push(Step {
                what: format!("view {name} cannot be used by {}", roles.app),
                sql: format!(
                    "GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}",
                    qualified(&name),
                    quoted(&roles.app)
                ),
            });
        }
    }
    Ok(())
}
