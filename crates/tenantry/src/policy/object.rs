use std::fmt;

use cedar_policy::{Entity, EntityUid};
use uuid::Uuid;

use super::{Attribute, Shape, permissions::Described};

/// What policies decide about: a type of the schema, and the Rust type that is one.
///
/// ```
/// use tenantry::{db::Value, policy::{Attribute, Object}};
/// use uuid::Uuid;
///
/// struct Invoice { id: Uuid, state: String }
///
/// impl Object for Invoice {
///     type Parent = ();
///     const TYPE: &'static str = "Invoice";
///     const READ: &'static str = "readInvoice";
///     const ACTIONS: &'static [&'static str] = &["updateInvoice", "sendInvoice"];
///     const ATTRIBUTES: &'static [Attribute<Self>] =
///         &[Attribute::text("state", |invoice| Value::from(&invoice.state))];
///     fn id(&self) -> Uuid { self.id }
/// }
/// ```
pub trait Object: Send + Sync + Sized + 'static {
    /// What it is in: another object, or `()` where that is the tenant itself. In the schema it is
    /// declared `in` that type and in `Tenant`.
    type Parent: Parent;
    /// Its type in the schema.
    const TYPE: &'static str;
    /// The attribute that is its parent, where it has one.
    const PARENT: &'static str = "";
    /// The action of looking at it. Who may not is told that there is no such object.
    const READ: &'static str;
    /// What else can be done with it.
    const ACTIONS: &'static [&'static str];
    /// What policies can know of it, besides its parent.
    const ATTRIBUTES: &'static [Attribute<Self>] = &[];

    /// Its identity.
    fn id(&self) -> Uuid;
}

/// An object with all that it is in.
pub struct Node<O: Object> {
    /// The object.
    pub object: O,
    /// What it is in.
    pub parent: <O::Parent as Parent>::Node,
}

impl<O: Object + Clone> Clone for Node<O> {
    fn clone(&self) -> Self {
        Self {
            object: self.object.clone(),
            parent: self.parent.clone(),
        }
    }
}

impl<O: Object> fmt::Debug for Node<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{:?}", O::TYPE, self.object.id().to_string())
    }
}

/// What an object can be in: another, or `()` for the tenant itself.
pub trait Parent: sealed::Sealed + Send + Sync + 'static {
    /// It, with all that it is in itself.
    type Node: Send + Sync + Clone;

    #[doc(hidden)]
    fn types() -> Vec<&'static str>;

    #[doc(hidden)]
    fn uid(node: &Self::Node, described: &Described<'_>) -> Option<EntityUid>;

    #[doc(hidden)]
    fn describe(
        node: &Self::Node,
        described: &Described<'_>,
        to: &mut Vec<Entity>,
    ) -> Result<(), String>;
}

impl Parent for () {
    type Node = ();

    fn types() -> Vec<&'static str> {
        Vec::new()
    }

    fn uid((): &(), described: &Described<'_>) -> Option<EntityUid> {
        Some(described.tenant())
    }

    fn describe((): &(), _: &Described<'_>, _: &mut Vec<Entity>) -> Result<(), String> {
        Ok(())
    }
}

impl<O: Object + Clone> Parent for O {
    type Node = Node<O>;

    fn types() -> Vec<&'static str> {
        let mut types = vec![O::TYPE];
        types.extend(O::Parent::types());
        types
    }

    fn uid(node: &Node<O>, described: &Described<'_>) -> Option<EntityUid> {
        described.uid(O::TYPE, node.object.id())
    }

    fn describe(
        node: &Node<O>,
        described: &Described<'_>,
        to: &mut Vec<Entity>,
    ) -> Result<(), String> {
        to.push(described.entity(&node.object, &node.parent)?);
        O::Parent::describe(&node.parent, described, to)
    }
}

pub(super) fn shape<O: Object>() -> Shape {
    Shape {
        name: O::TYPE,
        columns: O::ATTRIBUTES.iter().map(Attribute::described).collect(),
        parent: (!O::PARENT.is_empty()).then_some(O::PARENT),
        ancestors: O::Parent::types(),
        read: O::READ,
        actions: O::ACTIONS.to_vec(),
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<O: super::Object> Sealed for O {}
}
