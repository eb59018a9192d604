//! `user`: the people of one tenant, inside it or its members.

mod create;
mod list;
mod outside;
mod password;

pub(super) use outside::{account_of, member};

use tenantry::{Tenancy, Tenant, db::TenantDb, tenant::TenantCode};

use crate::{Application, Error, context::find};

/// What can be done with users.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a user; where people stand outside of tenants, make them a member
    Create(create::Args),
    /// Set a user's password, which ends all that they are signed in with
    Password(password::Args),
    /// List a tenant's users or members
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
        Command::List(args) => list::run::<A>(&args, tenancy).await,
    }
}

impl Of {
    pub(super) fn code(&self) -> &TenantCode {
        &self.tenant
    }

    pub(super) async fn tenant(&self, tenancy: &Tenancy) -> Result<Tenant, Error> {
        find(tenancy, &self.tenant).await
    }

    /// The tenant's database.
    pub(super) async fn open(&self, tenancy: &Tenancy) -> Result<TenantDb, Error> {
        let tenant = self.tenant(tenancy).await?;
        tenancy
            .db(&tenant)
            .await
            .map_err(|source| self.failed(source))
    }

    pub(super) fn failed(&self, source: tenantry::db::DbError) -> Error {
        Error::Tenant {
            code: self.tenant.clone(),
            source,
        }
    }
}
