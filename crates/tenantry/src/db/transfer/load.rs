//! Writing rows into a tenant's place, in its own scope.

use std::collections::{BTreeMap, BTreeSet};

use super::{CARRYING, Cell, Column, Kind, Structure, Table, Trigger, Whose, triggers};
use crate::db::{
    DbError, EngineKind, TenantDb, TenantTx,
    postgres::scope::{literal, quoted},
};

/// Rows that are being written, in one transaction, into tables that are empty.
pub(crate) struct Loader {
    tx: TenantTx,
    structure: Structure,
    on_server: bool,
    /// Where the request role's rights are, and the owner's.
    roles: Option<(String, String)>,
    /// The tables that were there, by name.
    seen: Vec<String>,
    now: Option<Target>,
    /// What is to be set when every row is there, as it points to later ones.
    later: Vec<String>,
    /// The triggers that would hear of rows, and what makes those as they were that were quieted.
    triggers: Vec<Trigger>,
    again: Vec<String>,
    /// Others who write to the same tables.
    neighbours: Option<Neighbours>,
}

/// The table that rows are written to now.
struct Target {
    table: Table,
    /// For each value that comes, the column that it is for.
    columns: Vec<Column>,
    /// The positions of those that are only set at the end.
    later: Vec<usize>,
    key: Vec<usize>,
    /// Whether its triggers are quiet.
    is_quiet: bool,
}

/// Whether those who share tables with the tenant may be kept waiting: nobody else can write to a table while
/// its triggers are kept quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Neighbours {
    /// Where they would have to wait, nothing is written.
    GoOn,
    /// They wait until all is written.
    Wait,
}

/// Why rows cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// Tenants share a table with a trigger that would hear of what is carried.
    #[error(
        "table {table} has the trigger {trigger}, which would run for each row that is carried, and others \
         write to the table; say in it WHEN (current_setting('{}', true) IS DISTINCT FROM 'on')",
        CARRYING
    )]
    Trigger { table: String, trigger: String },
    /// Tenants share a table, and a number in what is carried leaves its sequence too few.
    #[error(
        "table {table}: {column} {number} would use up the numbers of all who share the table; give the \
         row a lower one"
    )]
    TooFar {
        table: String,
        column: String,
        number: i64,
    },
    /// The place has no such table, or the table no such column.
    #[error("there is no place for {0}")]
    NoPlace(String),
    #[error("table {table}: {source}")]
    Table {
        table: String,
        #[source]
        source: DbError,
    },
    #[error(transparent)]
    Db(#[from] DbError),
}

/// How much is said in one statement.
const MOST_BYTES: usize = 1 << 18;
const MOST_PARAMETERS: usize = 500;

/// How many numbers others may draw from a sequence between two looks at it.
const DRAWN_MEANWHILE: i64 = 1000;

/// What part of a sequence's numbers is left to all who draw from it, whatever one of them brings along.
const LEFT_TO_ALL: i64 = 16;

/// How often tables are tried to be locked.
const TRIES: usize = 10;

impl Loader {
    pub(crate) async fn begin(db: &TenantDb, neighbours: Neighbours) -> Result<Self, LoadError> {
        Self::begin_with(db, Whose::Tenant, neighbours).await
    }

    /// As [`begin`](Self::begin), into a part of what the handle speaks to, which is nobody's in particular.
    pub(crate) async fn begin_in(db: &TenantDb, whose: Whose) -> Result<Self, LoadError> {
        Self::begin_with(db, whose, Neighbours::Wait).await
    }

    async fn begin_with(
        db: &TenantDb,
        whose: Whose,
        neighbours: Neighbours,
    ) -> Result<Self, LoadError> {
        let structure = Structure::of_part(db, whose).await?;
        let triggers = triggers(db, whose).await?;
        let mut busy = None;
        for _ in 0..TRIES {
            let begun = (structure.clone(), triggers.clone());
            let mut loader = Self::begin_once(db, whose, neighbours, begun).await?;
            match loader.lock(&mut busy).await {
                Ok(()) => return Ok(loader),
                Err(DbError::Busy) if busy.is_some() => loader.tx.rollback().await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(DbError::Busy.into())
    }

    async fn begin_once(
        db: &TenantDb,
        whose: Whose,
        neighbours: Neighbours,
        (structure, triggers): (Structure, Vec<Trigger>),
    ) -> Result<Self, LoadError> {
        let mut tx = db.begin();
        let (roles, is_shared) = match &db.engine().kind {
            EngineKind::Sqlite(_) => {
                tx.say(vec!["PRAGMA defer_foreign_keys = ON".into()])
                    .await?;
                (None, false)
            }
            EngineKind::Postgres(scope) => {
                tx.say(vec![
                    "SET CONSTRAINTS ALL DEFERRED".into(),
                    "SET LOCAL statement_timeout = 0".into(),
                    format!("SET LOCAL {CARRYING} = 'on'"),
                ])
                .await?;
                let roles = scope.place().0.roles();
                let roles = (roles.owner.clone(), roles.app.clone());
                (Some(roles), whose == Whose::Tenant && scope.is_shared())
            }
        };
        Ok(Self {
            tx,
            structure,
            on_server: roles.is_some(),
            roles,
            seen: Vec::new(),
            now: None,
            later: Vec::new(),
            triggers,
            again: Vec::new(),
            neighbours: is_shared.then_some(neighbours),
        })
    }

    /// Locks the tables that others may have to wait for. Only for the one that was `busy` before it waits, and
    /// while it has no other, so that nobody who has one waits for this.
    async fn lock(&mut self, busy: &mut Option<String>) -> Result<(), DbError> {
        if self.neighbours != Some(Neighbours::Wait) {
            return Ok(());
        }
        let hears = |one: &&Trigger| {
            one.on_insert || (one.on_update && self.structure.points_ahead(&one.table))
        };
        let hearing = self.triggers.iter().filter(hears);
        let tables: BTreeSet<String> = hearing.map(|one| quoted(&one.table)).collect();
        let lock = |table: &str| format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE");
        if let Some(first) = busy.take() {
            self.as_owner(patiently(vec![lock(&first)])).await?;
        }
        for table in tables {
            tracing::warn!(table, "has a trigger: others who write to it wait");
            let locked = self
                .as_owner(vec![format!("{} NOWAIT", lock(&table))])
                .await;
            if let Err(error) = locked {
                *busy = Some(table);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Empties every table, those first that point to others.
    pub(crate) async fn clear(&mut self) -> Result<(), LoadError> {
        let all = std::mem::take(&mut self.triggers);
        self.quiet(all).await?;
        let tables = self.structure.tables.iter().rev();
        let statements = tables.map(|table| format!("DELETE FROM {}", quoted(&table.name)));
        Ok(self.tx.say(statements.collect()).await?)
    }

    /// Keeps those triggers quiet that would hear of rows of the table.
    async fn quiet_for(&mut self, target: &Target) -> Result<(), LoadError> {
        let is_set_later = !target.later.is_empty();
        let hears = |one: &Trigger| one.on_insert || (one.on_update && is_set_later);
        let (hearing, others) = std::mem::take(&mut self.triggers)
            .into_iter()
            .partition(|one| one.table == target.table.name && hears(one));
        self.triggers = others;
        self.quiet(hearing).await
    }

    async fn quiet(&mut self, triggers: Vec<Trigger>) -> Result<(), LoadError> {
        if let (Some(Neighbours::GoOn), Some(first)) = (self.neighbours, triggers.first()) {
            return Err(LoadError::Trigger {
                table: first.table.clone(),
                trigger: first.name.clone(),
            });
        }
        let (mut quiet, again): (Vec<_>, Vec<_>) = triggers
            .into_iter()
            .map(|one| (one.quiet, one.again))
            .unzip();
        if self.on_server && !quiet.is_empty() {
            quiet = patiently(quiet);
        }
        self.as_owner(quiet).await?;
        self.again.extend(again);
        Ok(())
    }

    /// Says statements as the owner of the tables.
    async fn as_owner(&mut self, mut statements: Vec<String>) -> Result<(), DbError> {
        if statements.is_empty() {
            return Ok(());
        }
        if let Some((owner, app)) = &self.roles {
            statements.insert(0, format!("SET LOCAL ROLE {}", quoted(owner)));
            statements.push(format!("SET LOCAL ROLE {}", quoted(app)));
        }
        self.tx.say(statements).await
    }

    /// Says statements of the library's own in the same transaction.
    pub(crate) async fn say(&mut self, statements: Vec<String>) -> Result<(), LoadError> {
        Ok(self.tx.say(statements).await?)
    }

    /// The rows that follow are of this table, with values for these columns.
    pub(crate) fn table(&mut self, name: &str, columns: &[String]) -> Result<(), LoadError> {
        let table = self
            .structure
            .table(name)
            .ok_or_else(|| LoadError::NoPlace(format!("table {name}")))?
            .clone();
        let columns = columns
            .iter()
            .map(|column| {
                let found = table.columns.iter().find(|known| known.name == *column);
                found
                    .cloned()
                    .ok_or_else(|| LoadError::NoPlace(format!("column {column} of table {name}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let place = |wanted: &String| columns.iter().position(|one| one.name == *wanted);
        // what points to rows that are not there yet; SQLite looks at the end
        let later = table
            .points
            .iter()
            .filter(|points| self.on_server && !self.seen.contains(&points.to))
            .flat_map(|points| &points.columns)
            .filter_map(place)
            .filter(|at| columns.get(*at).is_some_and(|column| column.nullable))
            .collect();
        let key = table.key.iter().filter_map(place).collect();
        self.seen.push(table.name.clone());
        self.now = Some(Target {
            columns,
            later,
            key,
            table,
            is_quiet: false,
        });
        Ok(())
    }

    /// Writes some of them.
    pub(crate) async fn rows(&mut self, rows: Vec<Vec<Cell>>) -> Result<(), LoadError> {
        let Some(mut target) = self.now.take() else {
            return Err(LoadError::NoPlace("rows of no table".into()));
        };
        if !target.is_quiet && !rows.is_empty() {
            self.quiet_for(&target).await?;
            target.is_quiet = true;
        }
        let written = match self.on_server {
            true => self.rows_on_server(&target, rows).await,
            false => self.rows_in_file(&target, rows).await,
        };
        let table = target.table.name.clone();
        self.now = Some(target);
        written.map_err(|source| LoadError::Table { table, source })
    }

    async fn rows_in_file(&mut self, target: &Target, rows: Vec<Vec<Cell>>) -> Result<(), DbError> {
        let width = target.columns.len().max(1);
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let some: Vec<Vec<Cell>> = rows
                .by_ref()
                .take((MOST_PARAMETERS / width).max(1))
                .collect();
            let mut next = 0;
            let tuples: Vec<String> = some
                .iter()
                .map(|_| {
                    let values: Vec<String> = (0..width)
                        .map(|_| {
                            next += 1;
                            format!("${next}")
                        })
                        .collect();
                    format!("({})", values.join(", "))
                })
                .collect();
            let sql = format!("{} VALUES {}", target.insert(), tuples.join(", "));
            let query = some
                .into_iter()
                .flatten()
                .fold(self.tx.query(&sql), |query, cell| {
                    query.bind(cell.into_value())
                });
            query.execute().await?;
        }
        Ok(())
    }

    async fn rows_on_server(
        &mut self,
        target: &Target,
        rows: Vec<Vec<Cell>>,
    ) -> Result<(), DbError> {
        let mut array = String::from("[");
        for mut row in rows {
            if !target.later.is_empty() {
                self.later.extend(target.set_later(&row));
                for at in &target.later {
                    if let Some(cell) = row.get_mut(*at) {
                        *cell = Cell::Null;
                    }
                }
            }
            let texts: Vec<Option<String>> = row.into_iter().map(Cell::into_text).collect();
            if array.len() > 1 {
                array.push(',');
            }
            array.push_str(&serde_json::to_string(&texts).map_err(|e| DbError::Engine(e.into()))?);
            if array.len() > MOST_BYTES {
                self.insert(target, std::mem::replace(&mut array, "[".into()))
                    .await?;
            }
        }
        match array.len() {
            1 => Ok(()),
            _ => self.insert(target, array).await,
        }
    }

    async fn insert(&mut self, target: &Target, mut array: String) -> Result<(), DbError> {
        array.push(']');
        let values: Vec<String> = target
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| typed(&format!("r->>{at}"), column))
            .collect();
        let sql = format!(
            "{} OVERRIDING SYSTEM VALUE SELECT {} FROM jsonb_array_elements({}::jsonb) r",
            target.insert(),
            values.join(", "),
            literal(&array)
        );
        self.tx.say(vec![sql]).await
    }

    /// Makes all of it lasting. What sequences give next is after what is there.
    pub(crate) async fn commit(mut self) -> Result<(), LoadError> {
        for some in self.later.chunks(100) {
            self.tx.say(some.to_vec()).await?;
        }
        let mut statements = std::mem::take(&mut self.again);
        if self.on_server && !statements.is_empty() {
            // a table cannot be altered while something of it is still to be looked at
            let look = "SET CONSTRAINTS ALL IMMEDIATE".into();
            self.tx.say(vec![look]).await?;
        }
        statements.extend(self.catch_up().await?);
        self.as_owner(statements).await?;
        Ok(self.tx.commit().await?)
    }

    /// What lets the sequences go on after what was written. One that others draw from is neither set back by
    /// what they draw meanwhile nor led near its end.
    async fn catch_up(&mut self) -> Result<Vec<String>, LoadError> {
        let mut statements = Vec::new();
        for table in &self.structure.tables {
            if !self.seen.contains(&table.name) {
                continue;
            }
            for column in &table.columns {
                let Some(counter) = column.counted else {
                    continue;
                };
                let end = match self.neighbours {
                    Some(_) => counter.most - counter.most / LEFT_TO_ALL,
                    None => counter.most - 1,
                };
                let (name, of) = (quoted(&column.name), quoted(&table.name));
                let sql = format!(
                    "SELECT max({name})::bigint, max({name}) FILTER (WHERE {name} <= {end})::bigint FROM {of}"
                );
                let (greatest, before_end): (Option<i64>, Option<i64>) =
                    self.tx.query(&sql).one().await?;
                let leads_on = |number: &i64| counter.last.is_none_or(|last| *number > last);
                if let Some(number) = greatest.filter(leads_on).filter(|number| *number > end) {
                    let (table, column) = (table.name.clone(), column.name.clone());
                    if self.neighbours == Some(Neighbours::GoOn) {
                        return Err(LoadError::TooFar {
                            table,
                            column,
                            number,
                        });
                    }
                    // it was there before
                    tracing::warn!(
                        table,
                        column,
                        number,
                        "the sequence is not led as far as that"
                    );
                }
                let Some(number) = before_end.filter(leads_on) else {
                    continue;
                };
                let next = match self.neighbours {
                    Some(_) => number.saturating_add(DRAWN_MEANWHILE).min(end),
                    None => number,
                };
                let sequence = format!(
                    "pg_get_serial_sequence({}, {})",
                    literal(&of),
                    literal(&column.name)
                );
                // of two who do so one waits for the other
                statements.push(format!(
                    "SELECT pg_advisory_xact_lock(hashtextextended({sequence}, 0))"
                ));
                statements.push(format!(
                    "SELECT setval({sequence}, {next}) FROM nextval({sequence}) drawn
                     WHERE drawn <= {number}"
                ));
            }
        }
        Ok(statements)
    }
}

impl Target {
    fn insert(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|one| quoted(&one.name)).collect();
        format!(
            "INSERT INTO {} ({})",
            quoted(&self.table.name),
            columns.join(", ")
        )
    }

    /// What sets the values of a row that point to later ones.
    fn set_later(&self, row: &[Cell]) -> Option<String> {
        let value = |at: &usize| {
            let column = self.columns.get(*at)?;
            let text = row.get(*at)?.clone().into_text()?;
            Some((quoted(&column.name), typed(&literal(&text), column)))
        };
        let set: Vec<String> = self
            .later
            .iter()
            .filter_map(value)
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        let this: Vec<String> = self
            .key
            .iter()
            .filter_map(value)
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        (!set.is_empty() && !this.is_empty()).then(|| {
            format!(
                "UPDATE {} SET {} WHERE {}",
                quoted(&self.table.name),
                set.join(", "),
                this.join(" AND ")
            )
        })
    }
}

/// Those statements, which wait for tables for so long: meanwhile everybody who comes after waits as well.
fn patiently(mut statements: Vec<String>) -> Vec<String> {
    statements.insert(0, "SET LOCAL lock_timeout = '3s'".into());
    statements.push("SET LOCAL lock_timeout TO DEFAULT".into());
    statements
}

/// A text as a value of the column's type. Its length is the column's to look at.
fn typed(text: &str, column: &Column) -> String {
    match column.kind {
        Kind::Bytes => format!("decode({text}, 'hex')"),
        _ => format!("({text})::{}", column.declared),
    }
}

/// How many rows there are in each table of a tenant.
pub(crate) async fn counts(db: &TenantDb) -> Result<BTreeMap<String, i64>, DbError> {
    let mut counts = BTreeMap::new();
    for table in Structure::of(db).await?.tables {
        let sql = format!("SELECT count(*) FROM {}", quoted(&table.name));
        counts.insert(table.name, db.query(&sql).scalar().await?);
    }
    Ok(counts)
}
