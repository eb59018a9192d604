use tenantry::{
    Tenancy,
    users::{NewUser, Users},
};

use super::Of;
use crate::{Application, Error, password, printer};

/// A user to be made.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the new user's id. The password is asked for, or read from stdin.

Examples:
  {app} user create ann@example.com --tenant acme --role owner --first-name Ann
  pass show ann | {app} user create ann@example.com --tenant acme --role owner --password-stdin")]
pub(crate) struct Args {
    /// The address to sign in with
    email: String,
    #[command(flatten)]
    of: Of,
    /// What the user may do
    // the application's roles are put in where its name is
    #[arg(long)]
    role: String,
    /// The given name
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    first_name: String,
    /// The family name
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    last_name: String,
    /// Read the password from stdin rather than ask for it
    #[arg(long)]
    password_stdin: bool,
}

pub(super) async fn run<A: Application>(args: Args, tenancy: &Tenancy) -> Result<(), Error> {
    A::check_email(&args.email).map_err(Error::Email)?;
    let mut db = args.of.open(tenancy).await?;
    let new = NewUser {
        email: args.email,
        password: password::read::<A>(args.password_stdin, "--password-stdin")?,
        first_name: args.first_name,
        last_name: args.last_name,
        role: args.role,
    };
    let user = Users::on(&mut db).create(tenancy.passwords(), new).await?;
    printer::note(format_args!(
        "{} is made, as {} of {}",
        user.email, user.role, args.of.tenant
    ));
    printer::data(user.id)
}
