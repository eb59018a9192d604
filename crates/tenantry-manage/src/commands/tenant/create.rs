use clap::builder::NonEmptyStringValueParser;
use tenantry::{
    Tenancy,
    lifecycle::{LifecycleError, NewTenant},
    tenant::TenantCode,
};

use crate::{
    Application, Context, Error, Owner, People, commands::user::account_of, password, printer,
};

/// A tenant to be made.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the new tenant's URL. Until all is done nobody sees it; when something fails, there is none.

Examples:
  {app} tenant create acme --name \"Acme Ltd\"
  {app} tenant create acme --name \"Acme Ltd\" --owner-email ann@example.com
  pass show acme | {app} tenant create acme --name \"Acme Ltd\" \\
      --owner-email ann@example.com --owner-password-stdin")]
pub(crate) struct Args {
    /// Its code: a-z, 0-9 and hyphens; it becomes part of its host name
    code: TenantCode,
    /// Its name for people
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// The server to place it on, one of --servers
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Address of its first user, who owns it; where people stand outside of tenants and there is
    /// an account of that address, it is that one, and no password is asked for
    #[arg(long, value_name = "EMAIL")]
    owner_email: Option<String>,
    /// Read the owner's password from stdin rather than ask for it
    #[arg(long, requires = "owner_email")]
    owner_password_stdin: bool,
}

pub(super) async fn run<A: Application>(
    args: Args,
    context: &Context,
    tenancy: &Tenancy,
) -> Result<(), Error> {
    let password = || password::read::<A>(args.owner_password_stdin, "--owner-password-stdin");
    let mut new = NewTenant::new(args.code.clone(), args.name);
    let mut owner = None;
    if let Some(email) = args.owner_email {
        A::check_email(&email).map_err(Error::Email)?;
        match A::PEOPLE {
            People::Inside => {
                let password = password()?;
                owner = Some(Owner { email, password });
            }
            People::Outside => {
                if tenancy
                    .tenant(&args.code)
                    .await
                    .map_err(Error::Catalog)?
                    .is_some()
                {
                    return Err(Error::CodeTaken(args.code));
                }
                let names = (String::new(), String::new());
                let account = account_of(tenancy, email, names, password).await?;
                new = new.owner(account.id);
            }
        }
    }
    if let Some(server) = args.server {
        new = new.server(server);
    }
    let seed = {
        let tenancy = tenancy.clone();
        move |db| A::seed(tenancy, db, owner)
    };
    let (tenant, ()) = tenancy
        .create_with(new, seed)
        .await
        .map_err(|error| match error {
            LifecycleError::Seed(source) => Error::Application(source),
            other => Error::lifecycle(&args.code, other),
        })?;
    printer::note(format_args!("{} is made", tenant.code()));
    printer::data(context.site::<A>().tenant_url(&tenant))
}
