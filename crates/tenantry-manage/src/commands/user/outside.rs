//! People who stand outside of tenants: one account, and memberships.

use tenantry::{
    Tenancy,
    accounts::{Account, Membership, NewAccount, OWNER},
    db::DbError,
};

use super::{Of, create, list};
use crate::{Application, Error, password, printer};

/// The account of that address; made, with the password that is read, where there is none.
pub(in crate::commands) async fn account_of(
    tenancy: &Tenancy,
    email: String,
    (first_name, last_name): (String, String),
    password: impl FnOnce() -> Result<String, Error>,
) -> Result<Account, Error> {
    match tenancy.accounts().by_email(&email).await {
        Ok(account) => return Ok(account),
        Err(DbError::NotFound) => {}
        Err(error) => return Err(Error::Catalog(error)),
    }
    let new = NewAccount {
        password: password()?,
        email,
        first_name,
        last_name,
    };
    let account = tenancy.accounts().create(new).await?;
    printer::note(format_args!("{} has an account now", account.email));
    Ok(account)
}

pub(super) async fn create<A: Application>(
    args: create::Args,
    tenancy: &Tenancy,
) -> Result<(), Error> {
    let tenant = args.of.tenant(tenancy).await?;
    let names = (args.first_name, args.last_name);
    let from_stdin = args.password_stdin;
    let account = account_of(tenancy, args.email, names, || {
        password::read::<A>(from_stdin, "--password-stdin")
    });
    let account = account.await?;
    let members = tenancy.members(&tenant);
    match args.role.as_str() {
        OWNER => members.found(account.id).await?,
        role => members.add(account.id, role).await?,
    }
    printer::note(format_args!(
        "{} is a member of {}, as {}",
        account.email,
        tenant.code(),
        args.role
    ));
    printer::data(account.id)
}

pub(super) async fn set_password<A: Application>(
    of: &Of,
    email: &str,
    from_stdin: bool,
    tenancy: &Tenancy,
) -> Result<(), Error> {
    let (account, _) = member(of, email, tenancy).await?;
    let password = password::read::<A>(from_stdin, "--password-stdin")?;
    tenancy
        .accounts()
        .set_password(account.id, &password)
        .await?;
    printer::note(format_args!(
        "{} has a new password for every tenant, and is signed out everywhere",
        account.email
    ));
    Ok(())
}

/// A member by the address of their account.
pub(in crate::commands) async fn member(
    of: &Of,
    email: &str,
    tenancy: &Tenancy,
) -> Result<(Account, Membership), Error> {
    let tenant = of.tenant(tenancy).await?;
    let none = || Error::NoUser {
        tenant: of.tenant.clone(),
        email: email.to_owned(),
    };
    let account = match tenancy.accounts().by_email(email).await {
        Err(DbError::NotFound) => return Err(none()),
        account => account.map_err(Error::Catalog)?,
    };
    let membership = tenancy.members(&tenant).of(account.id).await;
    let membership = membership.map_err(Error::Catalog)?.ok_or_else(none)?;
    Ok((account, membership))
}

pub(super) async fn list(args: &list::Args, tenancy: &Tenancy) -> Result<(), Error> {
    let tenant = args.of.tenant(tenancy).await?;
    let members = tenancy.members(&tenant).list().await;
    let members = members.map_err(Error::Catalog)?;
    list::print(args, members.iter().map(list::View::of_member).collect())
}
