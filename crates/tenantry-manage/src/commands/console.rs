//! `console`: those who run the deployment.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tenantry::{
    Tenancy,
    operators::{NewOperator, Operator, OperatorRole},
};
use uuid::Uuid;

use crate::{Application, Error, password, printer, table::Table};

/// What can be done with operators.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make, list and disable the accounts of operators
    #[command(subcommand)]
    User(User),
}

/// What can be done with their accounts.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum User {
    /// Make an operator
    #[command(after_help = "\
Prints the new operator's id. The password is asked for, or read from stdin.

Examples:
  {app} console user create kim@example.com --name Kim --role support
  pass show kim | {app} console user create kim@example.com --name Kim --role admin --password-stdin")]
    Create(Create),
    /// List the operators
    List(List),
    /// Let an operator in no more, and end all that they are signed in with
    Disable(Of),
}

/// An operator to be made.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// The address to sign in with
    email: String,
    /// What they are called
    #[arg(long)]
    name: String,
    /// What they may do: look; stand in for users, too; everything
    #[arg(long, value_name = "viewer|support|admin")]
    role: OperatorRole,
    /// Read the password from stdin rather than ask for it
    #[arg(long)]
    password_stdin: bool,
}

/// How they are listed.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Whose account it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Of {
    /// The operator's address
    email: String,
}

pub(super) async fn run<A: Application>(command: Command, tenancy: &Tenancy) -> Result<(), Error> {
    let Command::User(command) = command;
    match command {
        User::Create(args) => create::<A>(args, tenancy).await,
        User::List(args) => list(&args, tenancy).await,
        User::Disable(args) => disable(&args, tenancy).await,
    }
}

async fn create<A: Application>(args: Create, tenancy: &Tenancy) -> Result<(), Error> {
    A::check_email(&args.email).map_err(Error::Email)?;
    let new = NewOperator {
        password: password::read::<A>(args.password_stdin, "--password-stdin")?,
        email: args.email,
        name: args.name,
        role: args.role,
    };
    let operator = tenancy.operators().create(new).await?;
    printer::note(format_args!(
        "{} is made, as {}",
        operator.email, operator.role
    ));
    printer::data(operator.id)
}

#[derive(Serialize)]
struct View<'a> {
    id: Uuid,
    email: &'a str,
    name: &'a str,
    role: &'a str,
    created_at: DateTime<Utc>,
    disabled_at: Option<DateTime<Utc>>,
}

impl<'a> View<'a> {
    fn new(operator: &'a Operator) -> Self {
        Self {
            id: operator.id,
            email: &operator.email,
            name: &operator.name,
            role: operator.role.as_str(),
            created_at: operator.created_at,
            disabled_at: operator.disabled_at,
        }
    }
}

async fn list(args: &List, tenancy: &Tenancy) -> Result<(), Error> {
    let operators = tenancy.operators().list().await.map_err(Error::Catalog)?;
    if args.json {
        return printer::json(&operators.iter().map(View::new).collect::<Vec<_>>());
    }
    let mut table = Table::new(["EMAIL", "NAME", "ROLE", "ACTIVE", "CREATED"]);
    for operator in &operators {
        table.row([
            operator.email.as_str(),
            &operator.name,
            operator.role.as_str(),
            if operator.disabled_at.is_none() {
                "yes"
            } else {
                "no"
            },
            &operator.created_at.format("%Y-%m-%d").to_string(),
        ]);
    }
    if table.is_empty() {
        printer::note("there are no operators yet");
    }
    printer::table(&table)
}

async fn disable(args: &Of, tenancy: &Tenancy) -> Result<(), Error> {
    let operators = tenancy.operators();
    let operator = operators
        .by_email(&args.email)
        .await
        .map_err(|error| match error {
            tenantry::db::DbError::NotFound => Error::NoOperator(args.email.clone()),
            other => Error::Catalog(other),
        })?;
    operators
        .disable(operator.id)
        .await
        .map_err(Error::Catalog)?;
    printer::note(format_args!(
        "{} is let in no more, and is signed out everywhere",
        operator.email
    ));
    Ok(())
}
