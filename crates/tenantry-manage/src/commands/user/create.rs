use tenantry::{
    Tenancy,
    users::{NewUser, Users},
};

use super::{Of, outside};
use crate::{Application, Error, People, password, printer};

/// A user to be made.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the new user's id. The password is asked for, or read from stdin. Where people stand outside of
tenants, whoever has an account already keeps its password, and none is asked for.

Examples:
  {app} user create ann@example.com --tenant acme --role owner --first-name Ann
  pass show ann | {app} user create ann@example.com --tenant acme --role owner --password-stdin")]
pub(crate) struct Args {
    /// The address to sign in with
    pub(super) email: String,
    #[command(flatten)]
    pub(super) of: Of,
    /// What the user may do
    // the application's roles are put in where its name is
    #[arg(long)]
    pub(super) role: String,
    /// The given name
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) first_name: String,
    /// The family name
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) last_name: String,
    /// Read the password from stdin rather than ask for it
    #[arg(long)]
    pub(super) password_stdin: bool,
}

pub(super) async fn run<A: Application>(args: Args, tenancy: &Tenancy) -> Result<(), Error> {
    A::check_email(&args.email).map_err(Error::Email)?;
    if A::PEOPLE == People::Outside {
        return outside::create::<A>(args, tenancy).await;
    }
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
