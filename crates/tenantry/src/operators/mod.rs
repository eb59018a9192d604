//! Those who run the deployment: they belong to no tenant, and act in one only by standing in for a
//! user of it, for a limited time and with a reason that its admins can read.

mod account;
mod audit;
mod impersonation;
mod sign_in;

pub use account::{NewOperator, Operator, OperatorError, OperatorRole};
pub use audit::{OperatorEntry, OperatorEvent};
pub use impersonation::{Impersonation, ImpersonationLink};

use crate::{
    Tenancy,
    db::CentralDb,
    users::{Passwords, Realm},
};

/// The operators of one deployment.
///
/// ```
/// # use tenantry::{Tenancy, operators::{NewOperator, Operator, OperatorError, OperatorRole}};
/// async fn hire(tenancy: &Tenancy) -> Result<Operator, OperatorError> {
///     tenancy.operators().create(NewOperator {
///         email: "kim@example.com".into(),
///         name: "Kim".into(),
///         role: OperatorRole::Support,
///         password: "correct horse battery".into(),
///     }).await
/// }
/// ```
#[derive(Debug)]
pub struct Operators<'t> {
    tenancy: &'t Tenancy,
    db: CentralDb,
}

impl Operators<'_> {
    /// Theirs are hashed in a line of their own.
    fn passwords(&self) -> Passwords {
        self.tenancy.passwords().in_realm(Realm::Operators)
    }
}

impl Tenancy {
    /// Those who run the deployment.
    #[must_use]
    pub fn operators(&self) -> Operators<'_> {
        Operators {
            tenancy: self,
            db: self.0.central.catalog(),
        }
    }
}
