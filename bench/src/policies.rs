//! The example shop's policies, and one of its products as they see it.

use tenantry::policy::{Attribute, Node, Object, Policies, PolicyError};
use uuid::Uuid;

#[derive(Clone)]
pub(crate) struct Product {
    id: Uuid,
    added_by: Option<Uuid>,
}

impl Object for Product {
    type Parent = ();
    const TYPE: &'static str = "Product";
    const READ: &'static str = "readProduct";
    const ACTIONS: &'static [&'static str] = &["updateProduct"];
    const ATTRIBUTES: &'static [Attribute<Self>] =
        &[Attribute::entity("added_by", "User", |product| {
            product.added_by.into()
        })];

    fn id(&self) -> Uuid {
        self.id
    }
}

/// A product that somebody has added.
pub(crate) fn product(added_by: Uuid) -> Node<Product> {
    Node {
        object: Product {
            id: Uuid::now_v7(),
            added_by: Some(added_by),
        },
        parent: (),
    }
}

pub(crate) fn policies() -> Result<Policies, PolicyError> {
    Policies::new(
        include_str!("../../apps/shop/policies/shop.cedarschema"),
        include_str!("../../apps/shop/policies/shop.cedar"),
    )?
    .object::<Product>()
}
