//! People inside a tenant: accounts, passwords, tokens.
//!
//! They live in the tenant's own database, so they move with it, and the same e-mail address in
//! two tenants is two people.

mod account;
mod password;
mod token;

pub use account::{NewUser, SignInError, User, UserChange, UserError, Users};
pub use password::{PasswordError, Passwords};
pub use token::{IssuedToken, TokenPolicy, TokenUser, Tokens};

use crate::migrate::Migrations;

pub(crate) fn migrations() -> Migrations {
    Migrations::new().sql("tenantry_0001_users", include_str!("0001_users.sql"))
}
