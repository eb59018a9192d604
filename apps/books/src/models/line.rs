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
    money::{amount, exact, exact_if_any, kept},
};
use crate::validate;

/// What an invoice is for: so many of something at a price.
#[derive(Debug, Clone, Serialize, FromRow)]
#[serde(into = "View")]
pub(crate) struct Line {
    pub(crate) id: Uuid,
    pub(crate) invoice_id: Uuid,
    pub(crate) position: i32,
    pub(crate) text: String,
    pub(crate) quantity: Decimal,
    pub(crate) unit_price: Decimal,
}

/// As it is shown: with what it comes to.
#[derive(Serialize)]
struct View {
    id: Uuid,
    invoice_id: Uuid,
    position: i32,
    text: String,
    quantity: Decimal,
    unit_price: Decimal,
    amount: Decimal,
}

impl From<Line> for View {
    fn from(line: Line) -> Self {
        Self {
            amount: line.amount(),
            id: line.id,
            invoice_id: line.invoice_id,
            position: line.position,
            text: line.text,
            quantity: line.quantity,
            unit_price: line.unit_price,
        }
    }
}

impl Line {
    /// What it comes to.
    pub(crate) fn amount(&self) -> Decimal {
        amount(self.quantity, self.unit_price)
    }
}

impl Object for Line {
    type Parent = Invoice;
    const TYPE: &'static str = "Line";
    const PARENT: &'static str = "invoice";
    const READ: &'static str = "readLine";
    const ACTIONS: &'static [&'static str] = &[];

    fn id(&self) -> Uuid {
        self.id
    }
}

impl Resource for Line {
    const TABLE: &'static str = "invoice_lines";
    const COLUMNS: &'static str = "id, invoice_id, position, text, quantity, unit_price";
    const PARENT_COLUMN: &'static str = "invoice_id";
    const SEARCHED: &'static [&'static str] = &["text"];
    const ORDERS: &'static [OrderBy<Self>] =
        &[OrderBy::long("position", |one| one.position.into())];
}

/// A line to be added.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLine {
    /// Where it stands: before those with a greater one, and after earlier ones with the same.
    #[serde(default)]
    #[garde(skip)]
    pub(crate) position: i32,
    #[garde(custom(validate::line))]
    pub(crate) text: String,
    #[serde(deserialize_with = "exact")]
    #[garde(custom(validate::quantity))]
    pub(crate) quantity: Decimal,
    #[serde(deserialize_with = "exact")]
    #[garde(custom(validate::price))]
    pub(crate) unit_price: Decimal,
}

/// What is to be changed of one.
#[derive(Debug, Default, Deserialize, Validate)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LineChange {
    #[garde(skip)]
    pub(crate) position: Option<i32>,
    #[garde(inner(custom(validate::line)))]
    pub(crate) text: Option<String>,
    #[serde(deserialize_with = "exact_if_any")]
    #[garde(inner(custom(validate::quantity)))]
    pub(crate) quantity: Option<Decimal>,
    #[serde(deserialize_with = "exact_if_any")]
    #[garde(inner(custom(validate::price)))]
    pub(crate) unit_price: Option<Decimal>,
}

impl Writable for Line {
    const CREATE: &'static str = "createLine";
    const UPDATE: &'static str = "updateLine";
    const DELETE: &'static str = "deleteLine";

    type New = NewLine;
    type Change = LineChange;

    fn new(new: NewLine, invoice: &Node<Invoice>, _: &Permissions) -> Self {
        Self {
            id: Uuid::now_v7(),
            invoice_id: invoice.object.id,
            position: new.position,
            text: new.text.trim().into(),
            quantity: kept(new.quantity, 3),
            unit_price: kept(new.unit_price, 2),
        }
    }

    fn replace(&mut self, new: NewLine) {
        self.change(LineChange {
            position: Some(new.position),
            text: Some(new.text),
            quantity: Some(new.quantity),
            unit_price: Some(new.unit_price),
        });
    }

    fn change(&mut self, change: LineChange) {
        if let Some(position) = change.position {
            self.position = position;
        }
        if let Some(text) = change.text {
            self.text = text.trim().into();
        }
        if let Some(quantity) = change.quantity {
            self.quantity = kept(quantity, 3);
        }
        if let Some(unit_price) = change.unit_price {
            self.unit_price = kept(unit_price, 2);
        }
    }

    fn values(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("id", self.id.into()),
            ("invoice_id", self.invoice_id.into()),
            ("position", self.position.into()),
            ("text", Value::from(&self.text)),
            ("quantity", self.quantity.into()),
            ("unit_price", self.unit_price.into()),
        ]
    }

    /// The invoice's total is the sum of its lines.
    async fn written(
        tx: &mut TenantTx,
        what: Written<'_, Self>,
        _: &Permissions,
    ) -> Result<(), ResourceError> {
        let (id, more) = match what {
            Written::Created(node) => (node.object.invoice_id, node.object.amount()),
            Written::Changed { before, after } => (
                after.object.invoice_id,
                after.object.amount() - before.amount(),
            ),
            Written::Removed(node) => (node.object.invoice_id, -node.object.amount()),
        };
        Invoice::add(tx, id, more).await
    }
}
