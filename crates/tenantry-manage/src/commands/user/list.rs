use chrono::{DateTime, Utc};
use serde::Serialize;
use tenantry::{
    Tenancy,
    accounts::Member,
    users::{User, Users},
};
use uuid::Uuid;

use super::{Of, outside};
use crate::{Application, Error, People, printer, table::Table};

/// Whose users, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  {app} user list --tenant acme
  {app} user list --tenant acme --json | jq -r '.[] | select(.role == \"owner\") | .email'")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) of: Of,
    /// List them as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
pub(super) struct View<'a> {
    id: Uuid,
    email: &'a str,
    first_name: &'a str,
    last_name: &'a str,
    role: &'a str,
    active: bool,
    created_at: DateTime<Utc>,
}

impl<'a> View<'a> {
    fn new(user: &'a User) -> Self {
        Self {
            id: user.id,
            email: &user.email,
            first_name: &user.first_name,
            last_name: &user.last_name,
            role: &user.role,
            active: user.active,
            created_at: user.created_at,
        }
    }

    pub(super) fn of_member(member: &'a Member) -> Self {
        let account = &member.account;
        Self {
            id: account.id,
            email: &account.email,
            first_name: &account.first_name,
            last_name: &account.last_name,
            role: &member.role,
            active: account.disabled_at.is_none(),
            created_at: account.created_at,
        }
    }
}

pub(super) async fn run<A: Application>(args: &Args, tenancy: &Tenancy) -> Result<(), Error> {
    if A::PEOPLE == People::Outside {
        return outside::list(args, tenancy).await;
    }
    let mut db = args.of.open(tenancy).await?;
    let users = Users::on(&mut db)
        .all()
        .await
        .map_err(|source| args.of.failed(source))?;
    print(args, users.iter().map(View::new).collect())
}

pub(super) fn print(args: &Args, users: Vec<View<'_>>) -> Result<(), Error> {
    if args.json {
        return printer::json(&users);
    }
    let mut table = Table::new(["EMAIL", "NAME", "ROLE", "ACTIVE", "CREATED"]);
    for user in &users {
        table.row([
            user.email,
            format!("{} {}", user.first_name, user.last_name).trim(),
            user.role,
            if user.active { "yes" } else { "no" },
            &user.created_at.format("%Y-%m-%d").to_string(),
        ]);
    }
    if table.is_empty() {
        printer::note(format_args!("{} has no users yet", args.of.tenant));
    }
    printer::table(&table)
}
