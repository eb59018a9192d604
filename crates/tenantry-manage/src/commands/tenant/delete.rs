use tenantry::{Tenancy, Tenant, db::DbError, tenant::TenantCode};

use crate::{
    Error,
    commands::size,
    confirm::{Confirmed, Yes},
    context::find,
    printer,
};

/// Which, and whether to ask.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Lists what will go, and asks for the code to be typed. Without a terminal and without --yes nothing
is done, and the exit code is 4.

Examples:
  {app} tenant delete acme
  {app} tenant delete acme --yes")]
pub(crate) struct Args {
    /// The tenant
    code: TenantCode,
    #[command(flatten)]
    yes: Yes,
}

pub(super) async fn run(args: &Args, tenancy: &Tenancy) -> Result<(), Error> {
    let tenant = find(tenancy, &args.code).await?;
    list_what_goes(tenancy, &tenant).await;
    let confirmed = args.yes.or_ask(tenant.code())?;
    erase(tenancy, &tenant, confirmed).await?;
    printer::note(format_args!("{} is deleted", tenant.code()));
    Ok(())
}

async fn list_what_goes(tenancy: &Tenancy, tenant: &Tenant) {
    let location = tenancy.location(tenant);
    let size = match (tenancy.is_present(tenant).await, tenancy.size(tenant).await) {
        (Ok(false), _) => "missing".into(),
        (Ok(true), Ok(Some(bytes))) => size::for_people(bytes),
        _ => "of unknown size".into(),
    };
    let users = match users(tenancy, tenant).await {
        Ok(users) => users.to_string(),
        Err(error) => format!("cannot be counted: {error}"),
    };
    printer::note(format_args!(
        "Deleting {} ({}):",
        tenant.code(),
        tenant.name()
    ));
    printer::note(format_args!("  users      {users}"));
    printer::note(format_args!("  database   {size}, {location}"));
}

async fn users(tenancy: &Tenancy, tenant: &Tenant) -> Result<i64, DbError> {
    tenancy
        .db(tenant)
        .await?
        .query("SELECT count(*) FROM users")
        .scalar()
        .await
}

async fn erase(tenancy: &Tenancy, tenant: &Tenant, _: Confirmed) -> Result<(), Error> {
    tenancy
        .delete(tenant)
        .await
        .map_err(|error| Error::lifecycle(tenant.code(), error))
}
