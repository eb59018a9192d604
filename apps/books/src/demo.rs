//! Two companies to look at.

use chrono::{Days, Utc};
use rust_decimal::Decimal;
use tenantry::{
    Tenancy, Tenant,
    accounts::{Account, NewAccount},
    db::TenantDb,
    lifecycle::{NewTenant, SeedError},
    policy::{Permissions, Principal},
    resources::{self, Answered, Writable},
    routing::Site,
};
use uuid::Uuid;

use crate::models::{
    customer::{Customer, NewCustomer},
    invoice::{Invoice, NewInvoice},
    line::{Line, NewLine},
    payment::{NewPayment, Payment},
};

const PASSWORD: &str = "correct horse battery";

struct Company {
    code: &'static str,
    name: &'static str,
    currency: &'static str,
    customers: [(&'static str, &'static str, &'static str, &'static str); 4],
    work: [(&'static str, &'static str); 6],
}

const ACME: Company = Company {
    code: "acme",
    name: "Acme Carpentry",
    currency: "EUR",
    customers: [
        (
            "Harbour Café",
            "orders@harbour-cafe.example",
            "2 Quay Street\nPort Fairy",
            "DE89370400440532013000",
        ),
        (
            "Lindgren Library",
            "office@lindgren.example",
            "14 Elm Road\nUppsala",
            "GB29NWBK60161331926819",
        ),
        (
            "Northside School",
            "accounts@northside.example",
            "1 School Lane\nLeeds",
            "FR1420041010050500013M02606",
        ),
        (
            "Old Mill Brewery",
            "books@oldmill.example",
            "Mill Yard 3\nGhent",
            "BE68539007547034",
        ),
    ],
    work: [
        ("Oak shelf, fitted", "185.00"),
        ("Work, by the hour", "48.50"),
        ("Window frame, repaired", "129.90"),
        ("Bar counter, beech", "1480.00"),
        ("Travel, by the kilometre", "0.42"),
        ("Linseed oil, by the litre", "11.75"),
    ],
};

const GLOBEX: Company = Company {
    code: "globex",
    name: "Globex Translations",
    currency: "USD",
    customers: [
        (
            "Aurora Press",
            "rights@aurora.example",
            "9 Gallery Row\nDublin",
            "IE29AIBK93115212345678",
        ),
        (
            "Cedar Legal",
            "desk@cedar-legal.example",
            "70 Court Street\nBoston",
            "",
        ),
        (
            "Isla Tourism Board",
            "info@isla.example",
            "Plaza Mayor 2\nPalma",
            "ES9121000418450200051332",
        ),
        (
            "Vostok Museum",
            "museum@vostok.example",
            "Harbour Road 11\nTallinn",
            "EE382200221020145685",
        ),
    ],
    work: [
        ("Translation, by the word", "0.14"),
        ("Proofreading, by the hour", "52.00"),
        ("Certified copy", "18.50"),
        ("Interpreting, half a day", "390.00"),
        ("Subtitles, by the minute", "7.25"),
        ("Rush fee", "75.00"),
    ],
};

/// Fills an empty place.
pub(crate) async fn fill(tenancy: &Tenancy, site: &Site) -> Result<String, SeedError> {
    let mut people = Vec::new();
    for (email, first_name) in [
        ("owner@example.com", "Olive"),
        ("accountant@example.com", "Anders"),
        ("viewer@example.com", "Vera"),
    ] {
        let new = NewAccount {
            email: email.into(),
            password: PASSWORD.into(),
            first_name: first_name.into(),
            last_name: String::new(),
        };
        people.push(tenancy.accounts().create(new).await?);
    }
    let [owner, accountant, viewer] = &people[..] else {
        return Err("there are three people".into());
    };
    let mut said = String::new();
    for company in [ACME, GLOBEX] {
        let new = NewTenant::new(company.code.parse()?, company.name).owner(owner.id);
        let tenant = tenancy.create(new).await?;
        let members = tenancy.members(&tenant);
        members.add(accountant.id, "bookkeeper").await?;
        members.add(viewer.id, "viewer").await?;
        keep_books(tenancy, &tenant, &company, owner, accountant).await?;
        let url = site.tenant_url(&tenant);
        said.push_str(&format!("{}: {url}\n", company.name));
    }
    said.push_str(&format!(
        "sign in at {}/sign-in as owner@example.com, accountant@example.com or \
         viewer@example.com, password: {PASSWORD}",
        site.central_url()
    ));
    Ok(said)
}

/// What somebody does there, as far as they may.
struct Desk {
    db: TenantDb,
    may: Permissions,
}

impl Desk {
    async fn of(tenancy: &Tenancy, tenant: &Tenant, who: &Account) -> Result<Self, SeedError> {
        let membership = tenancy.members(tenant).of(who.id).await?;
        let membership = membership.ok_or("they are a member")?;
        let principal = Principal::from((who, &membership));
        Ok(Self {
            db: tenancy.db(tenant).await?,
            may: tenancy.permissions(tenant, principal, false).await?,
        })
    }

    async fn add<W: Writable>(&self, path: &[Uuid], new: W::New) -> Result<W, SeedError> {
        let new = vec![(new, Vec::new())];
        match resources::create::<W>(&self.db, &self.may, path, new, None).await? {
            Answered::Now(mut made) if !made.is_empty() => Ok(made.remove(0).object),
            _ => Err("nothing was made".into()),
        }
    }

    async fn send(&self, invoice: Invoice) -> Result<Invoice, SeedError> {
        let mut tx = self.db.begin();
        let sent = invoice.send(&mut tx).await?;
        tx.commit().await?;
        Ok(sent)
    }
}

async fn keep_books(
    tenancy: &Tenancy,
    tenant: &Tenant,
    company: &Company,
    owner: &Account,
    accountant: &Account,
) -> Result<(), SeedError> {
    let owner = Desk::of(tenancy, tenant, owner).await?;
    let desk = Desk::of(tenancy, tenant, accountant).await?;
    let mut customers = Vec::new();
    for (name, email, address, iban) in company.customers {
        let new = NewCustomer {
            name: name.into(),
            email: email.into(),
            address: address.into(),
            iban: iban.into(),
        };
        customers.push(owner.add::<Customer>(&[], new).await?);
    }
    let today = Utc::now().date_naive();
    for number in 0..14_usize {
        let issued_on = today - Days::new(10 * (14 - number as u64));
        let new = NewInvoice {
            customer_id: customers[number % customers.len()].id,
            issued_on: Some(issued_on),
            due_on: Some(issued_on + Days::new(30)),
            currency: company.currency.into(),
            note: "Thank you for your trust.".into(),
        };
        let invoice = desk.add::<Invoice>(&[], new).await?;
        for line in 0..=number % 3 {
            let (text, price) = company.work[(number + 2 * line) % company.work.len()];
            let new = NewLine {
                position: line as i32,
                text: text.into(),
                quantity: Decimal::from(1 + (number + 3 * line) % 7),
                unit_price: price.parse()?,
            };
            desk.add::<Line>(&[invoice.id], new).await?;
        }
        if number >= 11 {
            continue; // stays a draft
        }
        let sent = desk.send(invoice).await?;
        let amount = match number % 3 {
            0 => sent.total,
            1 => Decimal::new(1000, 2).min(sent.total),
            _ => continue,
        };
        let new = NewPayment {
            amount,
            paid_on: Some(issued_on + Days::new(9)),
            note: "Bank transfer".into(),
        };
        desk.add::<Payment>(&[sent.id], new).await?;
    }
    // and one that was a mistake
    let wanted = resources::Wanted::parse(vec![("state".into(), "sent".into())])?;
    let invoices = resources::page::<Invoice>(&owner.db, &owner.may, &(), &wanted);
    for invoice in invoices.await?.items.into_iter().rev() {
        let paid = Invoice::paid(&mut owner.db.clone(), invoice.id, None).await?;
        if paid.is_zero() {
            let mut tx = owner.db.begin();
            invoice.void(&mut tx).await?;
            tx.commit().await?;
            break;
        }
    }
    Ok(())
}
