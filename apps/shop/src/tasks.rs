//! What `shop run` does.

use rust_decimal::{Decimal, RoundingStrategy};
use tenantry::{
    lifecycle::SeedError,
    scoped::jobs::{Job, NewJob},
};
use tenantry_manage::Task;
use uuid::Uuid;

use crate::jobs::StockReport;

/// Changes all prices of a shop by some per cent, to the cent.
pub(crate) fn reprice() -> Task {
    let about = "Change all prices by so many per cent: reprice 2.5";
    Task::new("reprice", about, |tenancy, tenant, arguments| async move {
        let factor = factor(&arguments)?;
        let mut tx = tenancy.db(&tenant).await?.begin();
        let products: Vec<(Uuid, Decimal)> =
            tx.query("SELECT id, price FROM products").all().await?;
        for (id, price) in &products {
            let price =
                (price * factor).round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
            tx.query("UPDATE products SET price = $2 WHERE id = $1")
                .bind(*id)
                .bind(price)
                .execute()
                .await?;
        }
        tx.commit().await?;
        Ok(format!("{} prices changed", products.len()))
    })
}

/// Has the stock reported to a shop's owners, as every night.
pub(crate) fn stock_report() -> Task {
    let about = "Mail the owners what is in stock, as every night";
    Task::new("stock-report", about, |tenancy, tenant, _| async move {
        let job = NewJob::new(StockReport {}).unique(StockReport::KIND);
        let enqueued = tenancy.jobs(&tenant).enqueue_alone(job).await?;
        Ok(format!("job {}", enqueued.id))
    })
}

fn factor(arguments: &[String]) -> Result<Decimal, SeedError> {
    let [per_cent] = arguments else {
        return Err("it takes one argument, the per cent: `reprice 2.5`".into());
    };
    let per_cent: Decimal = per_cent.parse()?;
    if !(Decimal::from(-99)..=Decimal::from(1000)).contains(&per_cent) {
        return Err("the per cent must be from -99 to 1000".into());
    }
    Ok(Decimal::ONE + per_cent / Decimal::ONE_HUNDRED)
}
