//! What a shop sells.

use chrono::{DateTime, SubsecRound, Utc};
use garde::Validate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenantry::{
    db::{DbError, FromRow, TenantTx, Value},
    policy::{Attribute, Object, Permissions},
    resources::{OrderBy, Resource, ResourceError, Writable, Written},
    users::Audit,
};
use uuid::Uuid;

use crate::{
    amount::Amount,
    plans::{self, Counted},
    validate,
};

/// Where it is told that products were added, changed or removed.
pub(crate) const TOPIC: &str = "products";

/// Something a shop sells.
#[derive(Debug, Clone, Serialize, FromRow)]
pub(crate) struct Product {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) code: String,
    pub(crate) price: Decimal,
    pub(crate) added_by: Option<Uuid>,
    pub(crate) added_on: DateTime<Utc>,
    /// The version of its picture, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) picture: Option<Uuid>,
}

/// A product to be added, or put in the place of one.
#[derive(Debug, Clone, Deserialize, Validate)]
pub(crate) struct NewProduct {
    #[garde(custom(is_name))]
    pub(crate) name: String,
    #[garde(custom(is_code))]
    pub(crate) code: String,
    #[garde(custom(is_price))]
    #[serde(default)]
    pub(crate) price: Amount,
}

/// What is to be changed of a product; what is left out stays.
#[derive(Debug, Clone, Deserialize, Validate)]
pub(crate) struct ChangedProduct {
    #[garde(inner(custom(is_name)))]
    name: Option<String>,
    #[garde(inner(custom(is_code)))]
    code: Option<String>,
    #[garde(inner(custom(is_price)))]
    price: Option<Amount>,
}

fn is_name(text: &str, (): &()) -> garde::Result {
    validate::rule(validate::text(text, 200))
}

fn is_code(text: &str, (): &()) -> garde::Result {
    validate::rule(validate::text(text, 64))
}

fn is_price(price: &Amount, (): &()) -> garde::Result {
    validate::rule(validate::price(price.0))
}

/// As it is kept: to the cent.
pub(crate) fn kept(Amount(price): Amount) -> Decimal {
    validate::price(price).unwrap_or(price)
}

impl Object for Product {
    type Parent = ();
    const TYPE: &'static str = "Product";
    const READ: &'static str = "readProduct";
    const ACTIONS: &'static [&'static str] = &["updateProduct", "deleteProduct", "sharePicture"];
    const ATTRIBUTES: &'static [Attribute<Self>] =
        &[Attribute::entity("added_by", "User", |product| {
            product.added_by.into()
        })];

    fn id(&self) -> Uuid {
        self.id
    }
}

impl Resource for Product {
    const TABLE: &'static str = "products";
    const COLUMNS: &'static str = "id, name, code, price, added_by, added_on, picture";
    const SEARCHED: &'static [&'static str] = &["name", "code"];
    const ORDERS: &'static [OrderBy<Self>] = &[
        OrderBy::text("name", |product| Value::from(&product.name)),
        OrderBy::text("code", |product| Value::from(&product.code)),
        OrderBy::decimal("price", |product| product.price.into()),
        OrderBy::time("added_on", |product| product.added_on.into()),
    ];
}

impl Writable for Product {
    const CREATE: &'static str = "createProduct";
    const UPDATE: &'static str = "updateProduct";
    const DELETE: &'static str = "deleteProduct";
    type New = NewProduct;
    type Change = ChangedProduct;

    fn new(new: NewProduct, (): &(), by: &Permissions) -> Self {
        Self {
            id: Uuid::now_v7(),
            name: new.name.trim().into(),
            code: new.code.trim().into(),
            price: kept(new.price),
            added_by: by.principal().user_id(),
            added_on: Utc::now().trunc_subsecs(6),
            picture: None,
        }
    }

    fn replace(&mut self, new: NewProduct) {
        self.name = new.name.trim().into();
        self.code = new.code.trim().into();
        self.price = kept(new.price);
    }

    fn change(&mut self, change: ChangedProduct) {
        if let Some(name) = change.name {
            self.name = name.trim().into();
        }
        if let Some(code) = change.code {
            self.code = code.trim().into();
        }
        if let Some(price) = change.price {
            self.price = kept(price);
        }
    }

    fn values(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("id", self.id.into()),
            ("name", Value::from(&self.name)),
            ("code", Value::from(&self.code)),
            ("price", self.price.into()),
            ("added_by", self.added_by.into()),
            ("added_on", self.added_on.into()),
            ("picture", self.picture.into()),
        ]
    }

    fn refusal(error: DbError) -> ResourceError {
        if error.is_unique("products", &["code"]) {
            return ResourceError::conflict("code-taken", "There is a product with that code.");
        }
        error.into()
    }

    /// There are no more than the plan allows; and the log tells when an operator does it in somebody's
    /// place.
    async fn written(
        tx: &mut TenantTx,
        what: Written<'_, Self>,
        by: &Permissions,
    ) -> Result<(), ResourceError> {
        if let Written::Created(_) = what {
            plans::require::<ResourceError>(tx, by.plan(), Counted::Products).await?;
        }
        let (change, id) = match &what {
            Written::Created(node) => ("added", node.object.id),
            Written::Changed { after, .. } => ("changed", after.object.id),
            Written::Removed(node) => ("removed", node.object.id),
        };
        tx.publish(TOPIC, &json!({ "id": id, "change": change }))?;
        if !by.is_impersonated() {
            return Ok(());
        }
        let (action, node) = match what {
            Written::Created(node) => ("product-added", node),
            Written::Changed { after, .. } => ("product-changed", after),
            Written::Removed(node) => ("product-removed", node),
        };
        let event = by.by().did(action).about(&node.object.name);
        Ok(Audit::on(tx).record(event).await?)
    }
}
