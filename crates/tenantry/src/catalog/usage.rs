//! What tenants have used, by the hour, and by the day once that is long ago.
//!
//! It is what bills are made of, so it points to no tenant's record, and stays when that goes.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::Store;
use crate::{
    db::{Amounts, CentralTx, DbError, FromRow, Quantity, Row, Value},
    tenant::TenantId,
};

/// The columns of the hours and the days are the same, so that one becomes the other. Times are in
/// nanoseconds. `tenantry_usage_writers` has how far each process is, so that nothing is added twice.
pub(super) const SCHEMA: &str = "
CREATE TABLE tenantry_usage (
    tenant_id uuid NOT NULL,
    begins timestamptz NOT NULL,
    requests bigint NOT NULL,
    requests_failed bigint NOT NULL,
    bytes_in bigint NOT NULL,
    bytes_out bigint NOT NULL,
    statements bigint NOT NULL,
    db_rows bigint NOT NULL,
    db_nanoseconds bigint NOT NULL,
    db_waiting_nanoseconds bigint NOT NULL,
    files_put bigint NOT NULL,
    file_bytes_in bigint NOT NULL,
    file_bytes_out bigint NOT NULL,
    jobs_done bigint NOT NULL,
    jobs_failed bigint NOT NULL,
    job_nanoseconds bigint NOT NULL,
    mails_sent bigint NOT NULL,
    mails_failed bigint NOT NULL,
    cache_hits bigint NOT NULL,
    cache_misses bigint NOT NULL,
    database_bytes bigint NOT NULL,
    file_bytes bigint NOT NULL,
    PRIMARY KEY (tenant_id, begins)
);
CREATE INDEX tenantry_usage_begins ON tenantry_usage (begins);
CREATE TABLE tenantry_usage_days (
    tenant_id uuid NOT NULL,
    begins timestamptz NOT NULL,
    requests bigint NOT NULL,
    requests_failed bigint NOT NULL,
    bytes_in bigint NOT NULL,
    bytes_out bigint NOT NULL,
    statements bigint NOT NULL,
    db_rows bigint NOT NULL,
    db_nanoseconds bigint NOT NULL,
    db_waiting_nanoseconds bigint NOT NULL,
    files_put bigint NOT NULL,
    file_bytes_in bigint NOT NULL,
    file_bytes_out bigint NOT NULL,
    jobs_done bigint NOT NULL,
    jobs_failed bigint NOT NULL,
    job_nanoseconds bigint NOT NULL,
    mails_sent bigint NOT NULL,
    mails_failed bigint NOT NULL,
    cache_hits bigint NOT NULL,
    cache_misses bigint NOT NULL,
    database_bytes bigint NOT NULL,
    file_bytes bigint NOT NULL,
    PRIMARY KEY (tenant_id, begins)
);
CREATE INDEX tenantry_usage_days_begins ON tenantry_usage_days (begins);
CREATE TABLE tenantry_usage_writers (
    id uuid PRIMARY KEY,
    batch bigint NOT NULL,
    at timestamptz NOT NULL
);
";

const HOURS: &str = "tenantry_usage";
const DAYS: &str = "tenantry_usage_days";

/// What is not summed: the most of it that was seen counts.
const STORED: [&str; 2] = ["database_bytes", "file_bytes"];

/// How many rows a statement has: as many as that, or what is left in fours and ones, so that there
/// are few statements to prepare.
const AT_ONCE: [usize; 3] = [32, 4, 1];

/// How long a process is known that writes nothing any more.
const WRITERS_KEPT: TimeDelta = TimeDelta::days(7);

/// What a tenant has used in an hour or a day.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Written {
    pub(crate) tenant: TenantId,
    pub(crate) begins: DateTime<Utc>,
    pub(crate) amounts: Amounts,
    /// The most bytes that were seen of its database, and of its files.
    pub(crate) stored: [u64; 2],
}

impl FromRow for Written {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        let number = |at| Ok::<_, DbError>(u64::try_from(row.at::<i64>(at)?).unwrap_or(0));
        let mut amounts = Amounts::default();
        for (at, quantity) in Quantity::ALL.into_iter().enumerate() {
            amounts.add(quantity, number(2 + at)?);
        }
        let after = 2 + Quantity::ALL.len();
        Ok(Self {
            tenant: row.at::<Uuid>(0)?.into(),
            begins: row.at(1)?,
            amounts,
            stored: [number(after)?, number(after + 1)?],
        })
    }
}

/// The column of a quantity.
fn column(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::Rows => "db_rows", // the other is a word of SQL
        Quantity::DbTime => "db_nanoseconds",
        Quantity::DbWaiting => "db_waiting_nanoseconds",
        Quantity::JobTime => "job_nanoseconds",
        other => other.name(),
    }
}

fn columns() -> impl Iterator<Item = &'static str> {
    Quantity::ALL.into_iter().map(column).chain(STORED)
}

fn listed() -> String {
    columns().collect::<Vec<_>>().join(", ")
}

/// Adds so many rows to what is there.
fn add_sql(table: &str, rows: usize) -> String {
    let width = 2 + columns().count();
    let row = |at: usize| {
        let numbers = (1..=width).map(|number| format!("${}", at * width + number));
        format!("({})", numbers.collect::<Vec<_>>().join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    let sums = Quantity::ALL.into_iter().map(|quantity| {
        let column = column(quantity);
        format!("{column} = {table}.{column} + excluded.{column}")
    });
    let most = STORED.into_iter().map(|column| {
        format!(
            "{column} = CASE WHEN excluded.{column} > {table}.{column}
                THEN excluded.{column} ELSE {table}.{column} END"
        )
    });
    format!(
        "INSERT INTO {table} (tenant_id, begins, {}) VALUES {}
         ON CONFLICT (tenant_id, begins) DO UPDATE SET {}",
        listed(),
        rows.join(", "),
        sums.chain(most).collect::<Vec<_>>().join(", ")
    )
}

fn bigint(number: u64) -> Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

/// Adds to what is there. In the order of tenants, so that two who do it do not wait for each other in
/// a circle.
async fn add(tx: &mut CentralTx, table: &str, mut rows: &[Written]) -> Result<(), DbError> {
    for size in AT_ONCE {
        if rows.len() < size {
            continue;
        }
        let sql = add_sql(table, size);
        while let Some((some, rest)) = rows.split_at_checked(size) {
            let query = some.iter().fold(tx.query(&sql), |query, row| {
                let query = query.bind(*row.tenant.as_uuid()).bind(row.begins);
                let amounts = row.amounts.iter().map(|(_, amount)| amount);
                amounts
                    .chain(row.stored)
                    .fold(query, |query, amount| query.bind(bigint(amount)))
            });
            query.execute().await?;
            rows = rest;
        }
    }
    Ok(())
}

impl Store {
    /// Adds a batch of a process to what is there, unless it has been added: then nothing is changed.
    /// Batches are numbered, and so it may be tried again when it is not known how it ended.
    pub(crate) async fn add_usage(
        &self,
        writer: Uuid,
        batch: i64,
        rows: &[Written],
    ) -> Result<(), DbError> {
        let now = Utc::now();
        let mut tx = self.0.begin();
        let is_new = tx
            .query(
                "INSERT INTO tenantry_usage_writers (id, batch, at) VALUES ($1, $2, $3)
                 ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, at = excluded.at
                 WHERE tenantry_usage_writers.batch < excluded.batch",
            )
            .bind(writer)
            .bind(batch)
            .bind(now)
            .execute()
            .await?
            > 0;
        if !is_new {
            return tx.rollback().await;
        }
        if batch == 1 {
            tx.query("DELETE FROM tenantry_usage_writers WHERE at < $1")
                .bind(now - WRITERS_KEPT)
                .execute()
                .await?;
        }
        add(&mut tx, HOURS, rows).await?;
        tx.commit().await
    }

    /// What was used between two moments, summed up for each tenant: of all, or one. It begins where
    /// the first of it does.
    pub(crate) async fn usage_sums(
        &self,
        tenant: Option<TenantId>,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<Written>, DbError> {
        let sums = Quantity::ALL.into_iter().map(|quantity| {
            // PostgreSQL sums to a decimal
            format!("CAST(sum({}) AS bigint)", column(quantity))
        });
        let most = STORED.into_iter().map(|column| format!("max({column})"));
        let wanted: Vec<String> = sums.chain(most).collect();
        let (condition, tenant) = only(tenant, 3);
        let sql = format!(
            "SELECT tenant_id, min(begins), {} FROM (
                SELECT tenant_id, begins, {columns} FROM {HOURS}
                    WHERE begins >= $1 AND begins < $2 {condition}
                UNION ALL
                SELECT tenant_id, begins, {columns} FROM {DAYS}
                    WHERE begins >= $1 AND begins < $2 {condition}) used
             GROUP BY tenant_id ORDER BY tenant_id",
            wanted.join(", "),
            columns = listed(),
        );
        let query = self.0.query(&sql).bind(from).bind(to);
        tenant
            .into_iter()
            .fold(query, |query, id| query.bind(id))
            .all()
            .await
    }

    /// What was used between two moments, by the hour, and by the day where that is all there is.
    pub(crate) async fn usage_rows(
        &self,
        tenant: Option<TenantId>,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<Written>, DbError> {
        let (condition, tenant) = only(tenant, 3);
        let sql = format!(
            "SELECT tenant_id, begins, {columns} FROM {HOURS}
                WHERE begins >= $1 AND begins < $2 {condition}
             UNION ALL
             SELECT tenant_id, begins, {columns} FROM {DAYS}
                WHERE begins >= $1 AND begins < $2 {condition}
             ORDER BY 2, 1",
            columns = listed(),
        );
        let query = self.0.query(&sql).bind(from).bind(to);
        tenant
            .into_iter()
            .fold(query, |query, id| query.bind(id))
            .all()
            .await
    }

    /// The first and the last of what is written down.
    pub(crate) async fn usage_range(
        &self,
    ) -> Result<Option<(DateTime<Utc>, DateTime<Utc>)>, DbError> {
        type At = Option<DateTime<Utc>>;
        // each by itself, as an index has it
        let (hour, last_hour, day, last_day): (At, At, At, At) = self
            .0
            .query(&format!(
                "SELECT (SELECT min(begins) FROM {HOURS}), (SELECT max(begins) FROM {HOURS}),
                    (SELECT min(begins) FROM {DAYS}), (SELECT max(begins) FROM {DAYS})"
            ))
            .one()
            .await?;
        let first = [hour, day].into_iter().flatten().min();
        Ok(first.zip(last_hour.max(last_day)))
    }

    /// Makes one day of the hours of a day, the first that ends by `before`: whether there was one.
    pub(crate) async fn roll_up_usage(&self, before: DateTime<Utc>) -> Result<bool, DbError> {
        let first: Option<DateTime<Utc>> = self
            .0
            .query(&format!("SELECT min(begins) FROM {HOURS}"))
            .scalar()
            .await?;
        let Some(day) = first.map(start_of_day) else {
            return Ok(false);
        };
        let next = day + TimeDelta::days(1);
        if next > before {
            return Ok(false);
        }
        let mut tx = self.0.begin();
        // taken out first: of two processes that do it one has none of them
        let mut hours: Vec<Written> = tx
            .query(&format!(
                "DELETE FROM {HOURS} WHERE begins >= $1 AND begins < $2
                 RETURNING tenant_id, begins, {}",
                listed()
            ))
            .bind(day)
            .bind(next)
            .all()
            .await?;
        let mut days: Vec<Written> = Vec::new();
        hours.sort_by_key(|hour| hour.tenant);
        for hour in hours {
            match days.last_mut() {
                Some(last) if last.tenant == hour.tenant => {
                    last.amounts = last.amounts.plus(&hour.amounts);
                    last.stored = [0, 1].map(|at| last.stored[at].max(hour.stored[at]));
                }
                _ => days.push(Written {
                    begins: day,
                    ..hour
                }),
            }
        }
        add(&mut tx, DAYS, &days).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// For how many hours or days there is something of the tenant's.
    pub(crate) async fn count_usage(&self, tenant: TenantId) -> Result<u64, DbError> {
        let count: i64 = self
            .0
            .query(&format!(
                "SELECT (SELECT count(*) FROM {HOURS} WHERE tenant_id = $1)
                    + (SELECT count(*) FROM {DAYS} WHERE tenant_id = $1)"
            ))
            .bind(*tenant.as_uuid())
            .scalar()
            .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

/// The condition that it is the tenant's, with the parameter of that number.
fn only(tenant: Option<TenantId>, number: usize) -> (String, Option<Uuid>) {
    match tenant {
        None => (String::new(), None),
        Some(id) => (format!("AND tenant_id = ${number}"), Some(*id.as_uuid())),
    }
}

fn start_of_day(at: DateTime<Utc>) -> DateTime<Utc> {
    at.date_naive().and_time(chrono::NaiveTime::MIN).and_utc()
}
