//! `user`: the people of one tenant.

mod create;
mod list;
mod password;

use tenantry::{Tenancy, db::TenantDb, tenant::TenantCode};

use crate::{Application, Error, context::find};

/// What can be done with users.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a user
    Create(create::Args),
    /// Set a user's password, which ends all of their sessions
    Password(password::Args),
    /// List a tenant's users
    List(list::Args),
}

impl Command {
    pub(super) fn only_looks(&self) -> bool {
        matches!(self, Self::List(_))
    }
}

/// Whose users they are.
#[derive(Debug, clap::Args)]
pub(crate) struct Of {
    /// The tenant
    #[arg(long, value_name = "CODE")]
    tenant: TenantCode,
}

pub(super) async fn run<A: Application>(command: Command, tenancy: &Tenancy) -> Result<(), Error> {
    match command {
        Command::Create(args) => create::run::<A>(args, tenancy).await,
        Command::Password(args) => password::run::<A>(&args, tenancy).await,
        Command::List(args) => list::run(&args, tenancy).await,
    }
}

impl Of {
    /// The tenant's database.
    async fn open(&self, tenancy: &Tenancy) -> Result<TenantDb, Error> {
        let tenant = find(tenancy, &self.tenant).await?;
        tenancy
            .db(&tenant)
            .await
            .map_err(|source| self.failed(source))
    }

    fn failed(&self, source: tenantry::db::DbError) -> Error {
        Error::Tenant {
            code: self.tenant.clone(),
            source,
        }
    }
}
