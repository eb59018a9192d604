//! Drafts as they are written: the invoice, then line by line.

use askama::Template;
use axum::{http::StatusCode, response::Response};
use chrono::{Days, Utc};
use tenantry::{
    db::TenantDb,
    policy::{Node, Permissions},
    resources::{self, Answered, Match, Writable},
    routing::{Collection, Form, Item, Result},
};

use super::{
    Fields, Frame, Given, Submitted, html,
    invoices::{Whole, all},
    problem_of,
};
use crate::{
    models::{
        customer::Customer,
        invoice::{Invoice, NewInvoice},
        line::{Line, NewLine},
        money,
    },
    validate,
};

#[derive(Template)]
#[template(path = "draft.html")]
struct Draft {
    frame: Frame,
    /// None yet for a new one.
    whole: Option<Whole>,
    customers: Vec<Customer>,
    form: Submitted,
    /// The line that is to be added, or was refused.
    line: Submitted,
}

async fn customers(db: &TenantDb, may: &Permissions) -> Result<Vec<Customer>> {
    all::<Customer>(db, may, &()).await
}

fn as_it_is(invoice: &Invoice) -> Submitted {
    Submitted::of([
        ("customer_id", invoice.customer_id.to_string()),
        ("issued_on", invoice.issued_on.to_string()),
        ("due_on", invoice.due_on.to_string()),
        ("currency", invoice.currency.clone()),
        ("note", invoice.note.clone()),
    ])
}

fn read(given: &mut Given) -> Result<NewInvoice> {
    let customer_id = given.read("customer_id", |text| text.parse().ok());
    let issued_on = given.read("issued_on", |text| text.parse().ok());
    let due_on = given.read("due_on", |text| text.parse().ok());
    let new = customer_id
        .zip(issued_on.zip(due_on))
        .map(|(customer_id, (issued_on, due_on))| NewInvoice {
            customer_id,
            issued_on: Some(issued_on),
            due_on: Some(due_on),
            currency: given.text("currency"),
            note: given.text("note"),
        });
    let new = given.finish(new)?;
    validate::check(&new)?;
    Ok(new)
}

fn read_line(given: &mut Given) -> Result<NewLine> {
    let quantity = given.read("quantity", money::parsed);
    let unit_price = given.read("unit_price", money::parsed);
    let new = quantity
        .zip(unit_price)
        .map(|(quantity, unit_price)| NewLine {
            position: given.text("position").parse().unwrap_or(0),
            text: given.text("text"),
            quantity,
            unit_price,
        });
    let new = given.finish(new)?;
    validate::check(&new)?;
    Ok(new)
}

pub(crate) async fn blank(frame: Frame, collection: Collection<Invoice>) -> Result<Response> {
    frame.may.require(Invoice::CREATE, &[])?;
    let today = Utc::now().date_naive();
    let form = Submitted::of([
        ("issued_on", today.to_string()),
        ("due_on", (today + Days::new(14)).to_string()),
        ("currency", "EUR".into()),
    ]);
    let draft = Draft {
        whole: None,
        customers: customers(&collection.db, &frame.may).await?,
        form,
        line: Submitted::default(),
        frame,
    };
    html(StatusCode::OK, &draft)
}

pub(crate) async fn create(
    frame: Frame,
    collection: Collection<Invoice>,
    Form(fields): Form<Fields>,
) -> Result<Response> {
    frame.may.require(Invoice::CREATE, &[])?;
    let db = collection.db;
    let mut given = Given::new(fields);
    let made = async {
        let new = vec![(read(&mut given)?, Vec::new())];
        let made = resources::create::<Invoice>(&db, &frame.may, &[], new, None).await;
        made.map_err(problem_of)
    };
    match made.await {
        Ok(Answered::Now(made)) => {
            let id = made.first().map(|node| node.object.id).unwrap_or_default();
            Ok(frame.to(&format!("/invoices/{id}/edit")))
        }
        Ok(Answered::Before(_)) => Ok(frame.to("/invoices")),
        Err(problem) => {
            let status = problem.status();
            let draft = Draft {
                whole: None,
                customers: customers(&db, &frame.may).await?,
                form: given.again(problem)?,
                line: Submitted::default(),
                frame,
            };
            html(status, &draft)
        }
    }
}

async fn page(
    status: StatusCode,
    frame: Frame,
    db: &TenantDb,
    node: &Node<Invoice>,
    form: Option<Submitted>,
    line: Submitted,
) -> Result<Response> {
    let draft = Draft {
        whole: Some(Whole::of(db, &frame.may, node).await?),
        customers: customers(db, &frame.may).await?,
        form: form.unwrap_or_else(|| as_it_is(&node.object)),
        line,
        frame,
    };
    html(status, &draft)
}

pub(crate) async fn edit(frame: Frame, item: Item<Invoice>) -> Result<Response> {
    frame.may.require_on(Invoice::UPDATE, &item.node, &[])?;
    let line = Submitted::default();
    page(StatusCode::OK, frame, &item.db, &item.node, None, line).await
}

fn place(invoice: &Invoice) -> String {
    format!("/invoices/{}/edit", invoice.id)
}

pub(crate) async fn update(
    frame: Frame,
    item: Item<Invoice>,
    Form(fields): Form<Fields>,
) -> Result<Response> {
    frame.may.require_on(Invoice::UPDATE, &item.node, &[])?;
    let Item { node, db, .. } = item;
    let mut given = Given::new(fields);
    let path = [node.object.id];
    let changed = async {
        let new = read(&mut given)?;
        let apply = |invoice: &mut Invoice| invoice.replace(new);
        let changed = resources::change(&db, &frame.may, &path, &Match::Anything, &[], apply).await;
        changed.map(drop).map_err(problem_of)
    };
    match changed.await {
        Ok(()) => Ok(frame.to(&place(&node.object))),
        Err(problem) => {
            let status = problem.status();
            let form = given.again(problem)?;
            page(status, frame, &db, &node, Some(form), Submitted::default()).await
        }
    }
}

pub(crate) async fn delete(frame: Frame, item: Item<Invoice>) -> Result<Response> {
    let path = [item.node.object.id];
    resources::remove::<Invoice>(&item.db, &frame.may, &path, &Match::Anything).await?;
    Ok(frame.to("/invoices"))
}

pub(crate) async fn add_line(
    frame: Frame,
    collection: Collection<Line>,
    Form(fields): Form<Fields>,
) -> Result<Response> {
    let Collection { parent, db, .. } = collection;
    frame.may.require_on(Line::CREATE, &parent, &[])?;
    let mut given = Given::new(fields);
    let path = [parent.object.id];
    let made = async {
        let new = vec![(read_line(&mut given)?, Vec::new())];
        let made = resources::create::<Line>(&db, &frame.may, &path, new, None).await;
        made.map(drop).map_err(problem_of)
    };
    match made.await {
        Ok(()) => Ok(frame.to(&place(&parent.object))),
        Err(problem) => {
            let status = problem.status();
            let line = given.again(problem)?;
            page(status, frame, &db, &parent, None, line).await
        }
    }
}

pub(crate) async fn update_line(
    frame: Frame,
    item: Item<Line>,
    Form(fields): Form<Fields>,
) -> Result<Response> {
    frame.may.require_on(Line::UPDATE, &item.node, &[])?;
    let invoice = &item.node.parent.object;
    let new = read_line(&mut Given::new(fields))?;
    let path = [invoice.id, item.node.object.id];
    let apply = |line: &mut Line| line.replace(new);
    resources::change(&item.db, &frame.may, &path, &Match::Anything, &[], apply).await?;
    Ok(frame.to(&place(invoice)))
}

pub(crate) async fn delete_line(frame: Frame, item: Item<Line>) -> Result<Response> {
    let invoice = &item.node.parent.object;
    let path = [invoice.id, item.node.object.id];
    resources::remove::<Line>(&item.db, &frame.may, &path, &Match::Anything).await?;
    Ok(frame.to(&place(invoice)))
}
