//! `tenant`: they are made, looked at, changed and deleted.

mod create;
mod delete;
mod list;
mod plan;
mod rename;
mod show;
mod status;
mod view;

use tenantry::{Tenancy, tenant::TenantCode};

use crate::{Application, Context, Error};

/// What can be done with tenants.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a tenant, with its first user if one is named
    Create(create::Args),
    /// List all tenants
    List(list::Args),
    /// Tell everything about a tenant: what the catalog says, and what there is
    Show(show::Args),
    /// Stop a tenant: it keeps its data and answers 503 until it is resumed
    Suspend(One),
    /// Let a suspended tenant work again
    Resume(One),
    /// Put a tenant on a plan, or tell which it is on
    Plan(plan::Args),
    /// Give a tenant another code, and so another host; no data moves
    Rename(rename::Args),
    /// Erase a tenant with everything it has
    Delete(delete::Args),
}

impl Command {
    pub(super) fn only_looks(&self) -> bool {
        matches!(self, Self::List(_) | Self::Show(_))
    }
}

/// The one that is meant.
#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// The tenant
    code: TenantCode,
}

pub(super) async fn run<A: Application>(
    command: Command,
    context: &Context,
    tenancy: &Tenancy,
) -> Result<(), Error> {
    match command {
        Command::Create(args) => create::run::<A>(args, context, tenancy).await,
        Command::List(args) => list::run::<A>(&args, context, tenancy).await,
        Command::Show(args) => show::run::<A>(&args, context, tenancy).await,
        Command::Suspend(one) => status::suspend(&one.code, tenancy).await,
        Command::Resume(one) => status::resume(&one.code, tenancy).await,
        Command::Plan(args) => plan::run(&args, tenancy).await,
        Command::Rename(args) => rename::run::<A>(&args, context, tenancy).await,
        Command::Delete(args) => delete::run(&args, tenancy).await,
    }
}
