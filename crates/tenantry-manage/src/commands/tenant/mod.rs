//! `tenant`: they are made, looked at, changed and deleted.

mod copy;
mod create;
mod delete;
mod domain;
mod health;
mod limits;
mod list;
mod pending;
mod plan;
mod rename;
mod settings;
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
    /// Look whether tenants are well, and tell what is not
    Health(health::Args),
    /// Stop a tenant: it keeps its data and answers 503 until it is resumed
    Suspend(One),
    /// Let a suspended tenant work again
    Resume(One),
    /// Put a tenant on a plan, or tell which it is on
    Plan(plan::Args),
    /// Tell how much of the deployment a tenant may take, and what it has
    Limits(limits::Args),
    /// Tell a tenant's settings, or change them
    Settings(settings::Args),
    /// Make tenants before anybody wants them, or tell how many are ready
    Pending(pending::Args),
    /// Add, verify and remove the hosts that a tenant has of its own, and choose the primary one
    #[command(subcommand)]
    Domain(domain::Command),
    /// Give a tenant another code, and so another host; no data moves
    Rename(rename::Args),
    /// Make a tenant with the data of another
    Clone(copy::CloneArgs),
    /// Write a tenant into a file that can be imported anywhere
    Export(copy::ExportArgs),
    /// Make a tenant from such a file
    Import(copy::ImportArgs),
    /// Keep a tenant apart by another means, or on another server
    Move(copy::MoveArgs),
    /// Delete a tenant: it can be brought back until its grace ends
    Delete(delete::Args),
    /// Bring a deleted tenant back
    Restore(delete::RestoreArgs),
    /// Erase a tenant with everything it has, and certify it
    Erase(delete::EraseArgs),
}

impl Command {
    pub(super) fn only_looks(&self) -> bool {
        match self {
            Self::List(_) | Self::Show(_) | Self::Limits(_) | Self::Health(_) => true,
            Self::Domain(command) => command.only_looks(),
            Self::Settings(args) => args.only_looks(),
            _ => false,
        }
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
        Command::Health(args) => health::run(&args, tenancy).await,
        Command::Suspend(one) => status::suspend(&one.code, tenancy).await,
        Command::Resume(one) => status::resume(&one.code, tenancy).await,
        Command::Plan(args) => plan::run(&args, tenancy).await,
        Command::Limits(args) => limits::run(&args, tenancy).await,
        Command::Settings(args) => settings::run(&args, tenancy).await,
        Command::Pending(args) => pending::run(&args, tenancy).await,
        Command::Domain(command) => domain::run::<A>(command, context, tenancy).await,
        Command::Rename(args) => rename::run::<A>(&args, context, tenancy).await,
        Command::Clone(args) => copy::clone::<A>(args, context, tenancy).await,
        Command::Export(args) => copy::export(&args, tenancy).await,
        Command::Import(args) => copy::import::<A>(args, context, tenancy).await,
        Command::Move(args) => copy::relocate(args, context, tenancy).await,
        Command::Delete(args) => delete::run::<A>(&args, tenancy).await,
        Command::Restore(args) => delete::restore::<A>(&args, context, tenancy).await,
        Command::Erase(args) => delete::erase(&args, tenancy).await,
    }
}
