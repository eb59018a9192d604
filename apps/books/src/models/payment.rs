use chrono::{NaiveDate, Utc};
use garde::Validate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tenantry::{
    db::{FromRow, TenantTx, Value},
    policy::{Node, Object, Permissions},
    resources::{OrderBy, Resource, ResourceError, Writable, Written},
};
use uuid::Uuid;

use super::{
    invoice::Invoice,
    money::{exact, exact_if_any, kept},
};
use crate::validate;

/// Something that was paid for an invoice.
#[derive(Debug, Clone, Serialize, FromRow)]
pub(crate) struct Payment {
    pub(crate) id: Uuid,
    pub(crate) invoice_id: Uuid,
    pub(crate) amount: Decimal,
    pub(crate) paid_on: NaiveDate,
    pub(crate) note: String,
    pub(crate) created_by: Uuid,
}

impl Object for Payment {
    type Parent = Invoice;
    const TYPE: &'static str = "Payment";
    const PARENT: &'static str = "invoice";
    const READ: &'static str = "readPayment";
    const ACTIONS: &'static [&'static str] = &[];

    fn id(&self) -> Uuid {
        self.id
    }
}

impl Resource for Payment {
    const TABLE: &'static str = "payments";
    const COLUMNS: &'static str = "id, invoice_id, amount, paid_on, note, created_by";
    const PARENT_COLUMN: &'static str = "invoice_id";
    const ORDERS: &'static [OrderBy<Self>] = &[OrderBy::date("paid_on", |one| one.paid_on.into())];
}

/// A payment to be recorded.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPayment {
    #[serde(deserialize_with = "exact")]
    #[garde(custom(validate::payment))]
    pub(crate) amount: Decimal,
    /// Today, unless told.
    #[serde(default)]
    #[garde(inner(custom(validate::day)))]
    pub(crate) paid_on: Option<NaiveDate>,
    #[serde(default)]
    #[garde(custom(validate::optional_line))]
    pub(crate) note: String,
}

/// What is to be changed of one.
#[derive(Debug, Default, Deserialize, Validate)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PaymentChange {
    #[serde(deserialize_with = "exact_if_any")]
    #[garde(inner(custom(validate::payment)))]
    pub(crate) amount: Option<Decimal>,
    #[garde(inner(custom(validate::day)))]
    pub(crate) paid_on: Option<NaiveDate>,
    #[garde(inner(custom(validate::optional_line)))]
    pub(crate) note: Option<String>,
}

impl Writable for Payment {
    const CREATE: &'static str = "createPayment";
    const UPDATE: &'static str = "updatePayment";
    const DELETE: &'static str = "deletePayment";

    type New = NewPayment;
    type Change = PaymentChange;

    fn new(new: NewPayment, invoice: &Node<Invoice>, by: &Permissions) -> Self {
        Self {
            id: Uuid::now_v7(),
            invoice_id: invoice.object.id,
            amount: kept(new.amount, 2),
            paid_on: new.paid_on.unwrap_or_else(|| Utc::now().date_naive()),
            note: new.note,
            created_by: by.principal().id().unwrap_or_default(),
        }
    }

    fn replace(&mut self, new: NewPayment) {
        self.change(PaymentChange {
            amount: Some(new.amount),
            paid_on: Some(new.paid_on.unwrap_or_else(|| Utc::now().date_naive())),
            note: Some(new.note),
        });
    }

    fn change(&mut self, change: PaymentChange) {
        if let Some(amount) = change.amount {
            self.amount = kept(amount, 2);
        }
        if let Some(paid_on) = change.paid_on {
            self.paid_on = paid_on;
        }
        if let Some(note) = change.note {
            self.note = note;
        }
    }

    fn values(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("id", self.id.into()),
            ("invoice_id", self.invoice_id.into()),
            ("amount", self.amount.into()),
            ("paid_on", self.paid_on.into()),
            ("note", Value::from(&self.note)),
            ("created_by", self.created_by.into()),
        ]
    }

    /// No more is paid than is owed.
    async fn check(
        tx: &mut TenantTx,
        node: &Node<Self>,
        _: &Permissions,
    ) -> Result<(), ResourceError> {
        let invoice = &node.parent.object;
        let others = Invoice::paid(tx, invoice.id, Some(node.object.id)).await?;
        let owed = invoice.total - others;
        if node.object.amount > owed {
            let message = format!("must be at most what is owed: {}", kept(owed, 2));
            return Err(ResourceError::invalid("amount", message));
        }
        Ok(())
    }

    /// An invoice is paid when nothing is owed any more.
    async fn written(
        tx: &mut TenantTx,
        what: Written<'_, Self>,
        _: &Permissions,
    ) -> Result<(), ResourceError> {
        let invoice = match what {
            Written::Created(node) | Written::Removed(node) => &node.parent.object,
            Written::Changed { after, .. } => &after.parent.object,
        };
        let paid = Invoice::paid(tx, invoice.id, None).await?;
        let state = if paid >= invoice.total {
            "paid"
        } else {
            "sent"
        };
        tx.query("UPDATE invoices SET state = $2 WHERE id = $1")
            .bind(invoice.id)
            .bind(state)
            .execute()
            .await?;
        Ok(())
    }
}
