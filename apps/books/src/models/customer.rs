use chrono::{DateTime, SubsecRound, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use tenantry::{
    db::{FromRow, Value},
    policy::{Object, Permissions},
    resources::{FilterBy, OrderBy, Resource, Writable},
};
use uuid::Uuid;

use crate::validate;

/// Whom invoices are for.
#[derive(Debug, Clone, Serialize, FromRow)]
pub(crate) struct Customer {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) address: String,
    pub(crate) iban: String,
    pub(crate) created_at: DateTime<Utc>,
}

impl Object for Customer {
    type Parent = ();
    const TYPE: &'static str = "Customer";
    const READ: &'static str = "readCustomer";
    const ACTIONS: &'static [&'static str] = &["readBankDetails"];

    fn id(&self) -> Uuid {
        self.id
    }
}

impl Resource for Customer {
    const TABLE: &'static str = "customers";
    const COLUMNS: &'static str = "id, name, email, address, iban, created_at";
    const SEARCHED: &'static [&'static str] = &["name", "email"];
    const ORDERS: &'static [OrderBy<Self>] = &[
        OrderBy::text("name", |one| Value::from(&one.name)),
        OrderBy::time("created_at", |one| one.created_at.into()),
    ];
    const FILTERS: &'static [FilterBy] = &[FilterBy::text("email")];
    // what is guarded is neither searched, ordered nor filtered by, which would tell it
    const GUARDED: &'static [(&'static str, &'static str)] = &[("iban", "readBankDetails")];
}

/// A customer to be added.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCustomer {
    #[garde(custom(validate::line))]
    pub(crate) name: String,
    #[serde(default)]
    #[garde(custom(validate::optional_email))]
    pub(crate) email: String,
    #[serde(default)]
    #[garde(custom(validate::lines))]
    pub(crate) address: String,
    #[serde(default)]
    #[garde(custom(validate::optional_iban))]
    pub(crate) iban: String,
}

/// What is to be changed of one.
#[derive(Debug, Default, Deserialize, Validate)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CustomerChange {
    #[garde(inner(custom(validate::line)))]
    pub(crate) name: Option<String>,
    #[garde(inner(custom(validate::optional_email)))]
    pub(crate) email: Option<String>,
    #[garde(inner(custom(validate::lines)))]
    pub(crate) address: Option<String>,
    #[garde(inner(custom(validate::optional_iban)))]
    pub(crate) iban: Option<String>,
}

fn without_blanks(iban: &str) -> String {
    iban.split(' ').collect::<String>().to_ascii_uppercase()
}

impl Writable for Customer {
    const CREATE: &'static str = "createCustomer";
    const UPDATE: &'static str = "updateCustomer";
    const DELETE: &'static str = "deleteCustomer";

    type New = NewCustomer;
    type Change = CustomerChange;

    fn new(new: NewCustomer, (): &(), _: &Permissions) -> Self {
        Self {
            id: Uuid::now_v7(),
            name: new.name.trim().into(),
            email: new.email,
            address: new.address,
            iban: without_blanks(&new.iban),
            created_at: Utc::now().trunc_subsecs(6),
        }
    }

    fn replace(&mut self, new: NewCustomer) {
        self.change(CustomerChange {
            name: Some(new.name),
            email: Some(new.email),
            address: Some(new.address),
            iban: Some(new.iban),
        });
    }

    fn change(&mut self, change: CustomerChange) {
        if let Some(name) = change.name {
            self.name = name.trim().into();
        }
        if let Some(email) = change.email {
            self.email = email;
        }
        if let Some(address) = change.address {
            self.address = address;
        }
        if let Some(iban) = change.iban {
            self.iban = without_blanks(&iban);
        }
    }

    fn values(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("id", self.id.into()),
            ("name", Value::from(&self.name)),
            ("email", Value::from(&self.email)),
            ("address", Value::from(&self.address)),
            ("iban", Value::from(&self.iban)),
            ("created_at", self.created_at.into()),
        ]
    }
}
