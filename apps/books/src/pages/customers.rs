//! Customers, listed and edited.

use askama::Template;
use axum::{http::StatusCode, response::Response};
use tenantry::{
    resources::{self, Match, Wanted, Writable},
    routing::{Collection, Form, Item, Query, Result},
};

use super::{Fields, Frame, Given, Submitted, html, problem_of};
use crate::{
    models::customer::{Customer, CustomerChange, NewCustomer},
    validate,
};

#[derive(Template)]
#[template(path = "customers.html")]
struct List {
    frame: Frame,
    customers: Vec<Customer>,
    query: String,
    next: Option<String>,
    can_add: bool,
}

pub(crate) async fn list(
    frame: Frame,
    collection: Collection<Customer>,
    Query(mut parameters): Query<Fields>,
) -> Result<Response> {
    parameters.retain(|(_, value)| !value.is_empty());
    let mut wanted = Wanted::parse(parameters)?;
    wanted.limit.get_or_insert(20);
    let page = resources::page::<Customer>(&collection.db, &frame.may, &(), &wanted).await?;
    let list = List {
        can_add: frame.may(Customer::CREATE),
        query: wanted.q.unwrap_or_default(),
        customers: page.items,
        next: page.next,
        frame,
    };
    html(StatusCode::OK, &list)
}

#[derive(Template)]
#[template(path = "customer.html")]
struct Page {
    frame: Frame,
    id: Option<String>,
    form: Submitted,
    can_edit: bool,
    shows_iban: bool,
}

pub(crate) async fn blank(frame: Frame) -> Result<Response> {
    frame.may.require(Customer::CREATE, &[])?;
    let page = Page {
        frame,
        id: None,
        form: Submitted::default(),
        can_edit: true,
        shows_iban: true,
    };
    html(StatusCode::OK, &page)
}

fn read(given: &Given) -> Result<NewCustomer> {
    let new = NewCustomer {
        name: given.text("name"),
        email: given.text("email"),
        address: given.text("address"),
        iban: given.text("iban"),
    };
    validate::check(&new)?;
    Ok(new)
}

pub(crate) async fn create(
    frame: Frame,
    collection: Collection<Customer>,
    Form(fields): Form<Fields>,
) -> Result<Response> {
    frame.may.require(Customer::CREATE, &[])?;
    let given = Given::new(fields);
    let made = async {
        let new = vec![(read(&given)?, Vec::new())];
        let made = resources::create::<Customer>(&collection.db, &frame.may, &[], new, None);
        made.await.map(drop).map_err(problem_of)
    };
    match made.await {
        Ok(()) => Ok(frame.to("/customers")),
        Err(problem) => refused(problem, frame, None, given),
    }
}

fn refused(
    problem: tenantry::routing::Problem,
    frame: Frame,
    id: Option<String>,
    given: Given,
) -> Result<Response> {
    let status = problem.status();
    let page = Page {
        frame,
        id,
        form: given.again(problem)?,
        can_edit: true,
        shows_iban: true,
    };
    html(status, &page)
}

pub(crate) async fn edit(frame: Frame, item: Item<Customer>) -> Result<Response> {
    let customer = &item.node.object;
    let shows_iban = frame.may.allows("readBankDetails", &item.node);
    let iban = if shows_iban {
        customer.iban.clone()
    } else {
        String::new()
    };
    let page = Page {
        id: Some(customer.id.to_string()),
        form: Submitted::of([
            ("name", customer.name.clone()),
            ("email", customer.email.clone()),
            ("address", customer.address.clone()),
            ("iban", iban),
        ]),
        can_edit: frame.may.allows(Customer::UPDATE, &item.node),
        shows_iban,
        frame,
    };
    html(StatusCode::OK, &page)
}

pub(crate) async fn update(
    frame: Frame,
    item: Item<Customer>,
    Form(fields): Form<Fields>,
) -> Result<Response> {
    frame.may.require_on(Customer::UPDATE, &item.node, &[])?;
    let given = Given::new(fields);
    let path = [item.node.object.id];
    let changed = async {
        let new = read(&given)?;
        let change = CustomerChange {
            name: Some(new.name),
            email: Some(new.email),
            address: Some(new.address),
            iban: Some(new.iban),
        };
        let apply = |customer: &mut Customer| customer.change(change);
        let any = Match::Anything;
        let changed = resources::change(&item.db, &frame.may, &path, &any, &[], apply);
        changed.await.map(drop).map_err(problem_of)
    };
    match changed.await {
        Ok(()) => Ok(frame.to("/customers")),
        Err(problem) => refused(problem, frame, Some(item.node.object.id.to_string()), given),
    }
}

pub(crate) async fn delete(frame: Frame, item: Item<Customer>) -> Result<Response> {
    let path = [item.node.object.id];
    resources::remove::<Customer>(&item.db, &frame.may, &path, &Match::Anything).await?;
    Ok(frame.to("/customers"))
}
