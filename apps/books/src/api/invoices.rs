//! What is done with invoices besides making, changing and removing them.

use tenantry::{
    resources::Shown,
    routing::{Can, Json, Result},
};

use crate::{
    actions::{SendInvoice, VoidInvoice},
    models::invoice::Invoice,
};

/// Sends it: it gets the next number, and is not changed any more.
pub(crate) async fn send(can: Can<SendInvoice>) -> Result<Json<Shown<Invoice>>> {
    let mut tx = can.db.begin();
    let mut node = can.again(&mut tx, &[]).await?;
    node.object = node.object.send(&mut tx).await?;
    tx.commit().await?;
    Ok(Json(Shown::to(node, &can.permissions)))
}

/// Voids it: it keeps its number, and nobody owes it any more.
pub(crate) async fn void(can: Can<VoidInvoice>) -> Result<Json<Shown<Invoice>>> {
    let mut tx = can.db.begin();
    let mut node = can.again(&mut tx, &[]).await?;
    node.object = node.object.void(&mut tx).await?;
    tx.commit().await?;
    Ok(Json(Shown::to(node, &can.permissions)))
}
