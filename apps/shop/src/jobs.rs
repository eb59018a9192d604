//! What a shop does later: products are imported, the stock is reported.

use std::{io, time::Duration};

use chrono::{SubsecRound, Utc};
use garde::Validate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry::{
    db::{DbError, TenantDb},
    routing::Site,
    scoped::{
        jobs::{BadSchedule, Job, JobContext, JobError, Jobs, Share},
        mail::Message,
    },
};
use uuid::Uuid;

use crate::{
    access::OWNER,
    models::product::{self, NewProduct, kept},
};

/// How many rows are written in a transaction.
const AT_ONCE: usize = 100;

/// Of how many rows that are refused it is told why.
const TOLD: usize = 20;

/// At two in the morning, each shop at its own moment within an hour.
const NIGHTLY: &str = "0 2 * * *";

/// Everything a shop does later.
///
/// # Panics
/// When a schedule is none, which is a mistake in the program.
pub(crate) fn jobs(site: Site) -> Jobs {
    let nightly = NIGHTLY.parse::<tenantry::scoped::jobs::Schedule>();
    let nightly = nightly.unwrap_or_else(|error: BadSchedule| panic!("{error}"));
    Jobs::new()
        .job(import)
        .job(move |job, report| report_stock(job, site.clone(), report))
        .schedule(
            "nightly-stock-report",
            nightly.spread(Duration::from_secs(60 * 60)),
            || StockReport {},
        )
        .share(|shop| match shop.plan() {
            "pro" => Share {
                at_once: 4,
                weight: 2,
            },
            _ => Share::default(),
        })
}

/// Products to be added, or changed where there is one with the code.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ImportProducts {
    /// Lines of `name`, `code` and `price`, under a line that says which is which.
    pub(crate) csv: String,
    pub(crate) by: Option<Uuid>,
}

impl Job for ImportProducts {
    const KIND: &'static str = "import-products";
    const MAX_ATTEMPTS: i32 = 5;
    const PRIORITY: i16 = 10; // somebody waits for it
}

/// What is wrong with a file from its first line on; nothing where it can be imported.
pub(crate) fn check(csv: &str) -> Result<(), String> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let headers = reader.headers().map_err(|error| error.to_string())?;
    for wanted in ["name", "code"] {
        if !headers.iter().any(|header| header.trim() == wanted) {
            return Err(format!(
                "the first line must name the columns, and none is {wanted:?}"
            ));
        }
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Outcome {
    added: u64,
    changed: u64,
    refused: Vec<String>,
}

/// It can be done again from the start, as a product is known by its code.
async fn import(job: JobContext, import: ImportProducts) -> Result<(), JobError> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(import.csv.as_bytes());
    let rows: Vec<_> = reader.deserialize::<NewProduct>().collect();
    let all = i64::try_from(rows.len())?;
    let mut outcome = Outcome::default();
    let mut read = 0;
    let mut batch = Vec::new();
    for row in rows {
        read += 1;
        match checked(row) {
            Ok(product) => batch.push(product),
            Err(why) => outcome.refused.push(format!("line {}: {why}", read + 1)),
        }
        if batch.len() == AT_ONCE {
            if job.is_cancelled() {
                return Err(JobError::again("it was cancelled"));
            }
            write(job.db(), &mut batch, import.by, &mut outcome).await?;
            job.progress(read, Some(all), outcome.in_words());
        }
    }
    write(job.db(), &mut batch, import.by, &mut outcome).await?;
    job.progress(read, Some(all), outcome.in_words());
    Ok(())
}

fn checked(row: Result<NewProduct, csv::Error>) -> Result<NewProduct, String> {
    let product = row.map_err(|error| match error.into_kind() {
        csv::ErrorKind::Deserialize { err, .. } => err.to_string(),
        kind => format!("{kind:?}"),
    })?;
    match product.validate() {
        Ok(()) => Ok(product),
        Err(wrong) => {
            let wrong: Vec<_> = wrong
                .iter()
                .map(|(path, error)| format!("{path} {error}"))
                .collect();
            Err(format!("{:?}: {}", product.code, wrong.join(", ")))
        }
    }
}

async fn write(
    db: &TenantDb,
    batch: &mut Vec<NewProduct>,
    by: Option<Uuid>,
    outcome: &mut Outcome,
) -> Result<(), DbError> {
    let mut tx = db.begin();
    let (mut added, mut changed) = (0, 0);
    for product in batch.iter() {
        let (name, code, price) = (
            product.name.trim(),
            product.code.trim(),
            kept(product.price),
        );
        let there = tx
            .query("UPDATE products SET name = $2, price = $3 WHERE code = $1")
            .bind(code)
            .bind(name)
            .bind(price)
            .execute()
            .await?;
        if there > 0 {
            changed += 1;
            continue;
        }
        // who added it may be gone by now
        tx.query(
            "INSERT INTO products (id, name, code, price, added_by, added_on)
             VALUES ($1, $2, $3, $4, (SELECT id FROM users WHERE id = $5), $6)",
        )
        .bind(Uuid::now_v7())
        .bind(name)
        .bind(code)
        .bind(price)
        .bind(by)
        .bind(Utc::now().trunc_subsecs(6))
        .execute()
        .await?;
        added += 1;
    }
    tx.publish(product::TOPIC, &json!({ "change": "imported" }))?;
    tx.commit().await?;
    batch.clear();
    outcome.added += added;
    outcome.changed += changed;
    Ok(())
}

impl Outcome {
    fn in_words(&self) -> String {
        let Self {
            added,
            changed,
            refused,
        } = self;
        let mut words = format!(
            "{added} added, {changed} changed, {} refused",
            refused.len()
        );
        for why in refused.iter().take(TOLD) {
            words.push_str("; ");
            words.push_str(why);
        }
        if refused.len() > TOLD {
            words.push_str("; …");
        }
        words
    }
}

/// Tells the owners what there is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StockReport {}

impl Job for StockReport {
    const KIND: &'static str = "stock-report";
}

async fn report_stock(job: JobContext, site: Site, _: StockReport) -> Result<(), JobError> {
    let db = job.db();
    let (count, worth): (i64, Option<Decimal>) = db
        .query("SELECT count(*), sum(price) FROM products")
        .one()
        .await?;
    let since = Utc::now() - chrono::Duration::days(1);
    let new: i64 = db
        .query("SELECT count(*) FROM products WHERE added_on > $1")
        .bind(since)
        .scalar()
        .await?;
    let owners: Vec<(String,)> = db
        .query("SELECT email FROM users WHERE role = $1 AND active = $2 ORDER BY email")
        .bind(OWNER)
        .bind(true)
        .all()
        .await?;
    let shop = job.tenant();
    for (to,) in &owners {
        let text = format!(
            "{} has {count} products, {new} of them new since yesterday. One of each would be {}.\n\n{}\n",
            shop.name(),
            worth.unwrap_or_default().round_dp(2),
            site.tenant_url(shop),
        );
        let subject = format!("What is in stock at {}", shop.name());
        let message = Message::new(to.clone(), subject, text);
        // an address that is none will be none tomorrow
        let sent = job.mail().send(message).await;
        sent.map_err(|error| match error {
            tenantry::scoped::mail::MailError::Malformed(_) => JobError::for_good(error),
            error => JobError::again(io::Error::other(error)),
        })?;
    }
    let told = i64::try_from(owners.len())?;
    job.progress(
        told,
        Some(told),
        format!("{count} products, told {told} owners"),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_file_says_which_column_is_which() {
        assert!(check("name,code,price\nMug,mug,1").is_ok());
        assert!(check("price, code ,name\n").is_ok());
        for wrong in ["", "Mug,mug,1", "name,price\nMug,1"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
