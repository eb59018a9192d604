//! People inside tenants, and who runs it all.

mod jwts;
mod keys;
mod links;
mod log;
mod operators;
mod sign_in;

use super::{Case, Place, users::add_user};
use crate::{
    db::TenantDb,
    users::{Attempt, LinkError, NewPerson, SignInError, SignedIn, User},
};

pub(super) const CASES: [&[Case]; 6] = [
    links::CASES,
    jwts::CASES,
    keys::CASES,
    sign_in::CASES,
    log::CASES,
    operators::CASES,
];

/// Where somebody signs in from.
const HOME: &str = "192.0.2.1";

pub(super) async fn ann(place: &Place, code: &str) -> (TenantDb, User) {
    let db = place.db(code).await;
    let user = add_user(place, &db, "ann@example.com").await;
    (db, user)
}

/// Another tenant with a user of the same identity, so that nothing but the tenant tells them apart.
pub(super) async fn twin(place: &Place, user: &User) -> TenantDb {
    let db = place.db("globex").await;
    db.query(
        "INSERT INTO users (id, email, password_hash, role, created_at)
         VALUES ($1, $2, 'none', 'owner', $3)",
    )
    .bind(user.id)
    .bind(&user.email)
    .bind(user.created_at)
    .execute()
    .await
    .unwrap();
    db
}

pub(super) async fn sign_in(
    place: &Place,
    password: &str,
    code: Option<&str>,
    address: Option<&str>,
) -> Result<SignedIn, SignInError> {
    let tenant = place.tenant("acme").await;
    let attempt = Attempt {
        email: "ann@example.com",
        password,
        code,
        address: address.map(|address| address.parse().unwrap()),
    };
    place.tenancy().sign_in(&tenant, attempt).await
}

pub(super) fn is_invalid<T>(result: Result<T, LinkError>) -> bool {
    matches!(result, Err(LinkError::Invalid))
}

pub(super) fn bob() -> NewPerson {
    NewPerson {
        password: "bob's password".into(),
        first_name: "Bob".into(),
        last_name: String::new(),
    }
}
