use chrono::{DateTime, Days, NaiveDate, SubsecRound, Utc};
use garde::Validate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tenantry::{
    db::{DbError, FromRow, TenantTx, Value},
    policy::{Attribute, Node, Object, Permissions},
    resources::{FilterBy, OrderBy, Resource, ResourceError, Writable, require_related},
};
use uuid::Uuid;

use super::customer::Customer;
use crate::validate;

/// How long after its day an invoice is due, unless told.
const DUE_AFTER: Days = Days::new(14);

/// An invoice. Its number, state and total are the program's alone.
#[derive(Debug, Clone, Serialize, FromRow)]
pub(crate) struct Invoice {
    pub(crate) id: Uuid,
    pub(crate) number: Option<i32>,
    pub(crate) state: String,
    pub(crate) customer_id: Uuid,
    pub(crate) issued_on: NaiveDate,
    pub(crate) due_on: NaiveDate,
    pub(crate) currency: String,
    pub(crate) note: String,
    pub(crate) total: Decimal,
    pub(crate) created_by: Uuid,
    pub(crate) created_at: DateTime<Utc>,
}

impl Object for Invoice {
    type Parent = ();
    const TYPE: &'static str = "Invoice";
    const READ: &'static str = "readInvoice";
    const ACTIONS: &'static [&'static str] = &["sendInvoice", "voidInvoice"];
    const ATTRIBUTES: &'static [Attribute<Self>] = &[
        Attribute::text("state", |one| Value::from(&one.state)),
        Attribute::entity("created_by", "User", |one| one.created_by.into()),
    ];

    fn id(&self) -> Uuid {
        self.id
    }
}

impl Resource for Invoice {
    const TABLE: &'static str = "invoices";
    const COLUMNS: &'static str = "id, number, state, customer_id, issued_on, due_on, currency, \
        note, total, created_by, created_at";
    const SEARCHED: &'static [&'static str] = &["note"];
    const ORDERS: &'static [OrderBy<Self>] = &[
        OrderBy::time("created_at", |one| one.created_at.into()),
        OrderBy::date("issued_on", |one| one.issued_on.into()),
        OrderBy::date("due_on", |one| one.due_on.into()),
        OrderBy::decimal("total", |one| one.total.into()),
    ];
    const FILTERS: &'static [FilterBy] = &[
        FilterBy::text("state"),
        FilterBy::uuid("customer").column("customer_id"),
        FilterBy::date("issued_from").column("issued_on").at_least(),
        FilterBy::date("issued_to").column("issued_on").at_most(),
    ];
}

fn euro() -> String {
    "EUR".into()
}

/// A draft to be made.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewInvoice {
    #[garde(skip)]
    pub(crate) customer_id: Uuid,
    /// Today, unless told.
    #[serde(default)]
    #[garde(inner(custom(validate::day)))]
    pub(crate) issued_on: Option<NaiveDate>,
    /// Two weeks later, unless told.
    #[serde(default)]
    #[garde(inner(custom(validate::day)))]
    pub(crate) due_on: Option<NaiveDate>,
    #[serde(default = "euro")]
    #[garde(custom(validate::currency))]
    pub(crate) currency: String,
    #[serde(default)]
    #[garde(custom(validate::lines))]
    pub(crate) note: String,
}

impl NewInvoice {
    fn days(&self) -> (NaiveDate, NaiveDate) {
        let issued_on = self.issued_on.unwrap_or_else(|| Utc::now().date_naive());
        let due_on = self.due_on.unwrap_or(issued_on + DUE_AFTER);
        (issued_on, due_on)
    }
}

/// What is to be changed of a draft.
#[derive(Debug, Default, Deserialize, Validate)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct InvoiceChange {
    #[garde(skip)]
    pub(crate) customer_id: Option<Uuid>,
    #[garde(inner(custom(validate::day)))]
    pub(crate) issued_on: Option<NaiveDate>,
    #[garde(inner(custom(validate::day)))]
    pub(crate) due_on: Option<NaiveDate>,
    #[garde(inner(custom(validate::currency)))]
    pub(crate) currency: Option<String>,
    #[garde(inner(custom(validate::lines)))]
    pub(crate) note: Option<String>,
}

impl Writable for Invoice {
    const CREATE: &'static str = "createInvoice";
    const UPDATE: &'static str = "updateInvoice";
    const DELETE: &'static str = "deleteInvoice";

    type New = NewInvoice;
    type Change = InvoiceChange;

    fn new(new: NewInvoice, (): &(), by: &Permissions) -> Self {
        let (issued_on, due_on) = new.days();
        Self {
            id: Uuid::now_v7(),
            number: None,
            state: "draft".into(),
            customer_id: new.customer_id,
            issued_on,
            due_on,
            currency: new.currency,
            note: new.note,
            total: Decimal::new(0, 2),
            created_by: by.principal().id().unwrap_or_default(),
            created_at: Utc::now().trunc_subsecs(6),
        }
    }

    fn replace(&mut self, new: NewInvoice) {
        let (issued_on, due_on) = new.days();
        self.change(InvoiceChange {
            customer_id: Some(new.customer_id),
            issued_on: Some(issued_on),
            due_on: Some(due_on),
            currency: Some(new.currency),
            note: Some(new.note),
        });
    }

    fn change(&mut self, change: InvoiceChange) {
        if let Some(customer_id) = change.customer_id {
            self.customer_id = customer_id;
        }
        if let Some(issued_on) = change.issued_on {
            self.issued_on = issued_on;
        }
        if let Some(due_on) = change.due_on {
            self.due_on = due_on;
        }
        if let Some(currency) = change.currency {
            self.currency = currency;
        }
        if let Some(note) = change.note {
            self.note = note;
        }
    }

    fn values(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("id", self.id.into()),
            ("number", self.number.into()),
            ("state", Value::from(&self.state)),
            ("customer_id", self.customer_id.into()),
            ("issued_on", self.issued_on.into()),
            ("due_on", self.due_on.into()),
            ("currency", Value::from(&self.currency)),
            ("note", Value::from(&self.note)),
            ("total", self.total.into()),
            ("created_by", self.created_by.into()),
            ("created_at", self.created_at.into()),
        ]
    }

    async fn check(
        tx: &mut TenantTx,
        node: &Node<Self>,
        by: &Permissions,
    ) -> Result<(), ResourceError> {
        if node.object.due_on < node.object.issued_on {
            let message = "must not be before the day of the invoice";
            return Err(ResourceError::invalid("due_on", message));
        }
        require_related::<Customer>(tx, "customer_id", node.object.customer_id, by).await?;
        Ok(())
    }
}

impl Invoice {
    /// Gives it the next number and makes it sent. `self` is locked by the transaction.
    pub(crate) async fn send(self, tx: &mut TenantTx) -> Result<Self, ResourceError> {
        let lines: i64 = tx
            .query("SELECT count(*) FROM invoice_lines WHERE invoice_id = $1")
            .bind(self.id)
            .scalar()
            .await?;
        if lines == 0 {
            let detail = "An invoice without lines cannot be sent.";
            return Err(ResourceError::conflict("no-lines", detail));
        }
        let number: i32 = tx
            .query(
                "INSERT INTO invoice_numbers (id, latest) VALUES (1, 1)
                 ON CONFLICT (id) DO UPDATE SET latest = invoice_numbers.latest + 1
                 RETURNING latest",
            )
            .scalar()
            .await?;
        let sql = format!(
            "UPDATE invoices SET state = 'sent', number = $2 WHERE id = $1 RETURNING {}",
            Self::COLUMNS
        );
        Ok(tx.query(&sql).bind(self.id).bind(number).one().await?)
    }

    /// Makes it void. `self` is locked by the transaction.
    pub(crate) async fn void(self, tx: &mut TenantTx) -> Result<Self, ResourceError> {
        let paid: i64 = tx
            .query("SELECT count(*) FROM payments WHERE invoice_id = $1")
            .bind(self.id)
            .scalar()
            .await?;
        if paid > 0 {
            let detail = "Something was paid for it: take the payments back first.";
            return Err(ResourceError::conflict("has-payments", detail));
        }
        let sql = format!(
            "UPDATE invoices SET state = 'void' WHERE id = $1 RETURNING {}",
            Self::COLUMNS
        );
        Ok(tx.query(&sql).bind(self.id).one().await?)
    }

    /// Adds to its total. It is locked by the transaction.
    pub(super) async fn add(
        tx: &mut TenantTx,
        id: Uuid,
        amount: Decimal,
    ) -> Result<(), ResourceError> {
        // summed up here, as SQLite would do it in floating-point numbers
        let before: Decimal = tx
            .query("SELECT total FROM invoices WHERE id = $1")
            .bind(id)
            .scalar()
            .await?;
        let total = super::money::kept(before + amount, 2);
        if total >= super::money::most() {
            let message = "makes the invoice's total too large";
            return Err(ResourceError::invalid("unit_price", message));
        }
        tx.query("UPDATE invoices SET total = $2 WHERE id = $1")
            .bind(id)
            .bind(total)
            .execute()
            .await?;
        Ok(())
    }

    /// What was paid for it, besides the payment `but`.
    pub(crate) async fn paid(
        on: &mut impl tenantry::db::Executor<tenantry::db::TenantScope>,
        id: Uuid,
        but: Option<Uuid>,
    ) -> Result<Decimal, DbError> {
        let payments: Vec<(Uuid, Decimal)> = on
            .query("SELECT id, amount FROM payments WHERE invoice_id = $1")
            .bind(id)
            .all()
            .await?;
        let counted = payments.into_iter().filter(|(id, _)| Some(*id) != but);
        Ok(counted.map(|(_, amount)| amount).sum())
    }
}
