use tenantry::{
    Tenancy,
    db::DbError,
    users::{UserChange, Users},
};

use super::{Of, outside};
use crate::{Application, Error, People, password, printer};

/// Whose password is set.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  {app} user password ann@example.com --tenant acme
  pass show ann | {app} user password ann@example.com --tenant acme --password-stdin")]
pub(crate) struct Args {
    /// The user's address; where people stand outside of tenants, a member's
    email: String,
    #[command(flatten)]
    of: Of,
    /// Read the password from stdin rather than ask for it
    #[arg(long)]
    password_stdin: bool,
}

pub(super) async fn run<A: Application>(args: &Args, tenancy: &Tenancy) -> Result<(), Error> {
    if A::PEOPLE == People::Outside {
        return outside::set_password::<A>(&args.of, &args.email, args.password_stdin, tenancy)
            .await;
    }
    let mut db = args.of.open(tenancy).await?;
    let mut users = Users::on(&mut db);
    let user = users
        .by_email(&args.email)
        .await
        .map_err(|error| match error {
            DbError::NotFound => Error::NoUser {
                tenant: args.of.tenant.clone(),
                email: args.email.clone(),
            },
            other => args.of.failed(other),
        })?;
    let change = UserChange {
        password: Some(password::read::<A>(
            args.password_stdin,
            "--password-stdin",
        )?),
        ..UserChange::default()
    };
    users.change(tenancy.passwords(), user.id, change).await?;
    printer::note(format_args!(
        "{} has a new password, and is signed out everywhere",
        user.email
    ));
    Ok(())
}
