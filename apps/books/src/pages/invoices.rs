//! Invoices as they are looked at, sent and paid.

use std::collections::HashMap;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use chrono::Utc;
use rust_decimal::Decimal;
use tenantry::{
    db::TenantDb,
    policy::{Node, Parent, Permissions},
    resources::{self, Level, Resource, Wanted, Writable},
    routing::{Can, Collection, Form, Item, Query, Result, Site},
};
use uuid::Uuid;

use super::{Fields, Frame, Given, Submitted, html, problem_of};
use crate::{
    actions::{SendInvoice, VoidInvoice},
    api,
    models::{
        customer::Customer,
        invoice::Invoice,
        line::Line,
        money,
        payment::{NewPayment, Payment},
    },
    validate,
};

/// How many invoices are on a page.
const ON_A_PAGE: u32 = 20;

/// By which states the list is narrowed.
const STATES: [&str; 4] = ["draft", "sent", "paid", "void"];

/// An invoice in the list.
struct Row {
    invoice: Invoice,
    customer: String,
}

#[derive(Template)]
#[template(path = "invoices.html")]
struct List {
    frame: Frame,
    rows: Vec<Row>,
    state: String,
    states: [&'static str; 4],
    next: Option<String>,
}

pub(crate) async fn list(
    frame: Frame,
    collection: Collection<Invoice>,
    Query(mut parameters): Query<Fields>,
) -> Result<Response> {
    // what a form leaves empty narrows nothing
    parameters.retain(|(_, value)| !value.is_empty());
    let mut wanted = Wanted::parse(parameters)?;
    wanted.limit.get_or_insert(ON_A_PAGE);
    wanted.order.get_or_insert_with(|| "-created_at".into());
    let state = wanted.filters.iter().find(|(name, _)| name == "state");
    let state = state.map(|(_, state)| state.clone()).unwrap_or_default();
    let Collection {
        db, permissions, ..
    } = collection;
    let page = resources::page::<Invoice>(&db, &permissions, &(), &wanted).await?;
    let names = names(&db, &page.items).await?;
    let row = |invoice: Invoice| Row {
        customer: names.get(&invoice.customer_id).cloned().unwrap_or_default(),
        invoice,
    };
    let rows = page.items.into_iter().map(row).collect();
    let list = List {
        frame,
        rows,
        state,
        states: STATES,
        next: page.next,
    };
    html(StatusCode::OK, &list)
}

/// The names of the customers whom these are for.
async fn names(db: &TenantDb, invoices: &[Invoice]) -> Result<HashMap<Uuid, String>> {
    if invoices.is_empty() {
        return Ok(HashMap::new());
    }
    let places: Vec<_> = (1..=invoices.len()).map(|n| format!("${n}")).collect();
    let sql = format!(
        "SELECT id, name FROM customers WHERE id IN ({})",
        places.join(", ")
    );
    let query = invoices
        .iter()
        .fold(db.query(&sql), |query, one| query.bind(one.customer_id));
    let found: Vec<(Uuid, String)> = query.all().await?;
    Ok(found.into_iter().collect())
}

async fn customer(db: &TenantDb, invoice: &Invoice) -> Result<Customer> {
    let path = [invoice.customer_id];
    let node = Customer::load(&mut db.clone(), &path, false).await?;
    Ok(node.object)
}

/// All of a list, page by page: a document that ends in the middle is wrong.
pub(super) async fn all<R: Resource>(
    db: &TenantDb,
    by: &Permissions,
    parent: &<R::Parent as Parent>::Node,
) -> Result<Vec<R>> {
    let mut wanted = Wanted::parse(vec![("limit".into(), "200".into())])?;
    let mut items = Vec::new();
    loop {
        let page = resources::page::<R>(db, by, parent, &wanted).await?;
        items.extend(page.items);
        wanted.cursor = page.next;
        if wanted.cursor.is_none() {
            return Ok(items);
        }
    }
}

/// An invoice with all that is in it.
pub(super) struct Whole {
    pub(super) invoice: Invoice,
    pub(super) customer: Customer,
    pub(super) lines: Vec<Line>,
    pub(super) payments: Vec<Payment>,
    pub(super) owed: Decimal,
}

impl Whole {
    pub(super) async fn of(db: &TenantDb, by: &Permissions, node: &Node<Invoice>) -> Result<Self> {
        let invoice = node.object.clone();
        let paid = Invoice::paid(&mut db.clone(), invoice.id, None).await?;
        Ok(Self {
            customer: customer(db, &invoice).await?,
            lines: all::<Line>(db, by, node).await?,
            payments: all::<Payment>(db, by, node).await?,
            owed: money::kept(invoice.total - paid, 2),
            invoice,
        })
    }
}

#[derive(Template)]
#[template(path = "invoice.html")]
struct Page {
    frame: Frame,
    whole: Whole,
    shows_iban: bool,
    can_edit: bool,
    can_send: bool,
    can_void: bool,
    can_pay: bool,
    form: Submitted,
}

async fn page(
    status: StatusCode,
    frame: Frame,
    db: &TenantDb,
    node: &Node<Invoice>,
    form: Submitted,
) -> Result<Response> {
    let may = frame.may.clone();
    let whole = Whole::of(db, &may, node).await?;
    let customer = Node {
        object: whole.customer.clone(),
        parent: (),
    };
    let page = Page {
        shows_iban: may.allows("readBankDetails", &customer),
        can_edit: may.allows("updateInvoice", node),
        can_send: may.allows("sendInvoice", node) && !whole.lines.is_empty(),
        can_void: may.allows("voidInvoice", node),
        can_pay: may.allows("createPayment", node),
        frame,
        whole,
        form,
    };
    html(status, &page)
}

pub(crate) async fn show(frame: Frame, item: Item<Invoice>) -> Result<Response> {
    let form = Submitted::of([("paid_on", Utc::now().date_naive().to_string())]);
    page(StatusCode::OK, frame, &item.db, &item.node, form).await
}

#[derive(Template)]
#[template(path = "print.html")]
struct Print {
    frame: Frame,
    whole: Whole,
    url: String,
}

pub(crate) async fn print(
    frame: Frame,
    State(site): State<Site>,
    item: Item<Invoice>,
) -> Result<Response> {
    let whole = Whole::of(&item.db, &item.permissions, &item.node).await?;
    let url = site.central_url();
    html(StatusCode::OK, &Print { frame, whole, url })
}

fn place(invoice: &Invoice) -> String {
    format!("/invoices/{}", invoice.id)
}

pub(crate) async fn send(frame: Frame, can: Can<SendInvoice>) -> Result<Response> {
    let place = place(&can.node.object);
    api::invoices::send(can).await?;
    Ok(frame.to(&place))
}

pub(crate) async fn void(frame: Frame, can: Can<VoidInvoice>) -> Result<Response> {
    let place = place(&can.node.object);
    api::invoices::void(can).await?;
    Ok(frame.to(&place))
}

pub(crate) async fn pay(
    frame: Frame,
    collection: Collection<Payment>,
    Form(fields): Form<Fields>,
) -> Result<Response> {
    let Collection { parent, db, .. } = collection;
    frame.may.require_on(Payment::CREATE, &parent, &[])?;
    let mut given = Given::new(fields);
    let recorded = async {
        let amount = given.read("amount", money::parsed);
        let paid_on = given.read("paid_on", |text| text.parse().ok());
        let new = amount.zip(paid_on).map(|(amount, paid_on)| NewPayment {
            amount,
            paid_on: Some(paid_on),
            note: given.text("note"),
        });
        let new = given.finish(new)?;
        validate::check(&new)?;
        let new = vec![(new, Vec::new())];
        let path = [parent.object.id];
        let made = resources::create::<Payment>(&db, &frame.may, &path, new, None).await;
        made.map(drop).map_err(problem_of)
    };
    match recorded.await {
        Ok(()) => Ok(frame.to(&place(&parent.object))),
        Err(problem) => {
            let status = problem.status();
            let form = given.again(problem)?;
            page(status, frame, &db, &parent, form).await
        }
    }
}
