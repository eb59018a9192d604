//! People inside a tenant: accounts and what they sign in with.
//!
//! They live in the tenant's own database, so they move with it, and the same e-mail address in
//! two tenants is two people.
//!
//! | | |
//! |---|---|
//! | [`Users`] | accounts: made, changed, removed |
//! | [`Tenancy::sign_in`](crate::Tenancy::sign_in) | the way in: password, [second factor](SecondFactors), attempts limited |
//! | [`Tokens`], [`Jwts`], [`Sessions`] | what somebody who is in shows with each request |
//! | [`ApiKeys`] | the same for programs, which are nobody |
//! | [`Links`] | what is mailed: to set a password, to prove an address, to join |
//! | [`Audit`] | what was done, by whom: written once |

mod account;
mod api_key;
mod audit;
pub(crate) mod factor;
mod guard;
mod hashers;
mod jwt;
mod link;
pub(crate) mod mailed;
mod password;
pub(crate) mod person;
mod rules;
mod second_factor;
pub(crate) mod secret;
mod session;
mod sign_in;
mod token;
pub(crate) mod totp;

pub use account::{NewUser, User, UserChange, UserError, Users};
pub use api_key::{ApiKey, ApiKeys, NewApiKey};
pub use audit::{Actor, Audit, AuditEntry, By, Event};
pub use jwt::{JwtPair, JwtPolicy, JwtUser, Jwts};
pub use link::{Invitation, IssuedLink, LinkError, Links, NewPerson, Purpose};
pub use password::{PasswordError, Passwords};
pub use rules::{PasswordRules, WeakPassword};
pub use second_factor::{NewSecondFactor, SecondFactors};
pub use session::{SessionInfo, Sessions};
pub use sign_in::{Attempt, SignInError, SignedIn};
pub use token::{IssuedToken, TokenInfo, TokenPolicy, TokenUser, Tokens};

pub(crate) use account::normalise;
pub(crate) use guard::{Guard, Realm};
pub(crate) use session::Kept as KeptSession;
pub(crate) use sign_in::too_many;

use crate::migrate::Migrations;

pub(crate) fn migrations() -> Migrations {
    Migrations::new().sql("tenantry_0001_users", include_str!("0001_users.sql"))
}
