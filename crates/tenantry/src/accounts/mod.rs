//! People outside of tenants: one account, and memberships in any number of tenants.
//!
//! Applications choose: people [inside tenants](crate::users), or these. An account is in the
//! catalog. It opens no tenant by itself: whoever is no member of a tenant is told that there is no
//! such tenant.
//!
//! ```
//! # use tenantry::{Tenancy, Tenant, accounts::{Account, MemberError}};
//! async fn found(tenancy: &Tenancy, tenant: &Tenant, ann: &Account) -> Result<(), MemberError> {
//!     let members = tenancy.members(tenant);
//!     members.found(ann.id).await?;
//!     let link = members.invite("bob@example.com", "bookkeeper", ann.id).await?;
//!     # drop(link);
//!     Ok(())
//! }
//! ```

mod account;
mod link;
mod member;
mod sign_in;
mod token;

pub use account::{Account, AccountError, NewAccount};
pub use member::{Member, MemberError, MemberInvitation, Members, Membership, OWNER};

pub(crate) use sign_in::check;
#[cfg(feature = "testing")]
pub(crate) use sign_in::issue_if;
pub(crate) use token::CentralTokens;

use crate::{
    Tenancy,
    db::CentralDb,
    tenant::Tenant,
    users::{Passwords, Realm},
};

/// The accounts of one deployment.
#[derive(Debug)]
pub struct Accounts<'t> {
    tenancy: &'t Tenancy,
    db: CentralDb,
}

impl Accounts<'_> {
    /// Theirs are hashed in a line of their own.
    fn passwords(&self) -> Passwords {
        self.tenancy.passwords().in_realm(Realm::Accounts)
    }
}

impl Tenancy {
    /// The accounts of people who stand outside of tenants.
    #[must_use]
    pub fn accounts(&self) -> Accounts<'_> {
        Accounts {
            tenancy: self,
            db: self.0.central.catalog(),
        }
    }

    /// Whoever of them is a member of the tenant.
    #[must_use]
    pub fn members(&self, tenant: &Tenant) -> Members<'_> {
        Members::new(self, self.0.central.catalog(), tenant)
    }
}
