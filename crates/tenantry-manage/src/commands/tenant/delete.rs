use std::time::Duration;

use tenantry::{Tenancy, Tenant, db::DbError, lifecycle::Deleted, tenant::TenantCode};

use crate::{
    Application, Context, Error,
    commands::size,
    confirm::{Confirmed, Yes},
    context::find,
    printer,
    table::Table,
};

/// Which, and whether to ask.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
From this moment on nobody finds it, and its code is free. Until its grace ends it can be brought
back with everything it has; after that it is to be erased, which `{app} tenant erase --due` does.

Lists what will go, and asks for the code to be typed. Without a terminal and without --yes nothing
is done, and the exit code is 4.

Examples:
  {app} tenant delete acme
  {app} tenant delete acme --grace-days 90 --yes
  {app} tenant restore acme")]
pub(crate) struct Args {
    /// The tenant
    code: TenantCode,
    /// For how many days it can be brought back
    #[arg(long, value_name = "N", default_value_t = 30)]
    grace_days: u32,
    #[command(flatten)]
    yes: Yes,
}

pub(super) async fn run<A: Application>(args: &Args, tenancy: &Tenancy) -> Result<(), Error> {
    let tenant = find(tenancy, &args.code).await?;
    list_what_goes("Deleting", &args.code, tenancy, &tenant).await;
    let confirmed = args
        .yes
        .or_ask(tenant.code(), "This stops everybody who uses it.")?;
    let grace = Duration::from_secs(u64::from(args.grace_days) * 24 * 60 * 60);
    let deleted = delete(tenancy, &tenant, grace, confirmed).await?;
    printer::note(format_args!(
        "{} is deleted; until {} `{} tenant restore {}` brings it back",
        args.code,
        deleted.erase_after.format("%F %R UTC"),
        A::NAME,
        args.code
    ));
    Ok(())
}

async fn delete(
    tenancy: &Tenancy,
    tenant: &Tenant,
    grace: Duration,
    _: Confirmed,
) -> Result<Deleted, Error> {
    tenancy
        .delete(tenant, grace)
        .await
        .map_err(|error| Error::lifecycle(tenant.code(), error))
}

/// Which, and as what.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints its URL. Of several that had the code the one deleted last is meant.

Examples:
  {app} tenant restore acme
  {app} tenant restore acme --as acme-before      when somebody has the code by now")]
pub(crate) struct RestoreArgs {
    /// The code it had
    code: TenantCode,
    /// The code it is to have
    #[arg(long = "as", value_name = "CODE")]
    new: Option<TenantCode>,
}

pub(super) async fn restore<A: Application>(
    args: &RestoreArgs,
    context: &Context,
    tenancy: &Tenancy,
) -> Result<(), Error> {
    let deleted = find_deleted(tenancy, &args.code).await?;
    let code = args.new.as_ref().unwrap_or(&args.code);
    let tenant = tenancy
        .restore(&deleted, Some(code))
        .await
        .map_err(|error| Error::lifecycle(code, error))?;
    printer::note(format_args!("{code} is back, {}", deleted.was));
    printer::data(context.site::<A>().tenant_url(&tenant))
}

async fn find_deleted(tenancy: &Tenancy, code: &TenantCode) -> Result<Deleted, Error> {
    let deleted = tenancy.deleted().await.map_err(Error::Catalog)?;
    deleted
        .into_iter()
        .find(|deleted| deleted.code == *code)
        .ok_or_else(|| Error::NotDeleted(code.clone()))
}

/// Which, and whether to ask.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints a certificate for each, as JSON: what was removed, how much of it, and when. It is kept, and
printed again by --certificates. What is in the operators' log stays there, and what is in backups.

A tenant that is deleted is named by the code it had. Killed at any point, the next command ends it.

Examples:
  {app} tenant erase acme
  {app} tenant erase --due --yes                  all whose grace has ended; for a daily job
  {app} tenant erase --certificates")]
pub(crate) struct EraseArgs {
    /// The tenant, deleted or not
    #[arg(required_unless_present_any = ["due", "certificates"])]
    code: Option<TenantCode>,
    /// All that are deleted and whose grace has ended
    #[arg(long, conflicts_with = "code")]
    due: bool,
    /// Erase nothing, and print the certificates of what was erased
    #[arg(long, conflicts_with_all = ["code", "due"])]
    certificates: bool,
    #[command(flatten)]
    yes: Yes,
}

pub(super) async fn erase(args: &EraseArgs, tenancy: &Tenancy) -> Result<(), Error> {
    if args.certificates {
        return printer::json(&tenancy.certificates().await.map_err(Error::Catalog)?);
    }
    let mut certificates = Vec::new();
    for (code, tenant) in which(args, tenancy).await? {
        list_what_goes("Erasing", &code, tenancy, &tenant).await;
        let _confirmed = args.yes.or_ask(&code, "This cannot be undone.")?;
        let erased = tenancy.erase(&tenant).await;
        certificates.push(erased.map_err(|error| Error::lifecycle(&code, error))?);
        printer::note(format_args!("{code} is erased"));
    }
    printer::json(&certificates)
}

async fn which(args: &EraseArgs, tenancy: &Tenancy) -> Result<Vec<(TenantCode, Tenant)>, Error> {
    let Some(code) = &args.code else {
        let now = chrono::Utc::now();
        let deleted = tenancy.deleted().await.map_err(Error::Catalog)?;
        return Ok(deleted
            .into_iter()
            .filter(|deleted| deleted.erase_after <= now)
            .map(|deleted| (deleted.code, deleted.tenant))
            .collect());
    };
    let tenant = match find(tenancy, code).await {
        Err(Error::NoTenant(_)) => match find_deleted(tenancy, code).await {
            Err(Error::NotDeleted(code)) => return Err(Error::NoTenant(code)),
            found => found?.tenant,
        },
        found => found?,
    };
    Ok(vec![(code.clone(), tenant)])
}

/// The deleted ones, for `tenant list --deleted`.
pub(super) async fn list(json: bool, tenancy: &Tenancy) -> Result<(), Error> {
    let deleted = tenancy.deleted().await.map_err(Error::Catalog)?;
    if json {
        let views: Vec<_> = deleted
            .iter()
            .map(|deleted| {
                serde_json::json!({
                    "id": deleted.tenant.id(), "code": deleted.code, "name": deleted.tenant.name(),
                    "status": "deleted", "was": deleted.was, "deleted_at": deleted.at,
                    "erase_after": deleted.erase_after,
                })
            })
            .collect();
        return printer::json(&views);
    }
    let mut table = Table::new(["CODE", "NAME", "DELETED", "GRACE ENDS"]);
    for one in &deleted {
        table.row([
            one.code.as_str(),
            one.tenant.name(),
            &one.at.format("%F %R").to_string(),
            &one.erase_after.format("%F %R").to_string(),
        ]);
    }
    if table.is_empty() {
        printer::note("no tenant is deleted");
    }
    printer::table(&table)
}

async fn list_what_goes(doing: &str, code: &TenantCode, tenancy: &Tenancy, tenant: &Tenant) {
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
    printer::note(format_args!("{doing} {code} ({}):", tenant.name()));
    printer::note(format_args!("  users      {users}"));
    printer::note(format_args!("  database   {size}, {location}"));
    for domain in tenancy.domains(tenant).list().await.into_iter().flatten() {
        printer::note(format_args!("  domain     {}", domain.host));
    }
}

async fn users(tenancy: &Tenancy, tenant: &Tenant) -> Result<i64, DbError> {
    tenancy
        .db(tenant)
        .await?
        .query("SELECT count(*) FROM users")
        .scalar()
        .await
}
