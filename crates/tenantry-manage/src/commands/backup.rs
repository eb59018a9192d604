//! `backup` and `restore`: of the whole deployment, or of one tenant.

use std::path::PathBuf;

use tenantry::{
    Tenancy,
    lifecycle::{
        LifecycleError,
        backup::{self, Backup, BackupError},
    },
    tenant::{Placement, TenantCode},
};

use super::size;
use crate::{Application, Context, Error, context::find, printer, progress::Progress};

/// Of what, and where to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A folder with the catalog, the application's shared tables and every tenant, or with one tenant
alone. Each tenant is in it as it was at one moment after the backup was begun, the catalog too;
nobody waits for it. Everybody's data is in it, and what lets people in: keep it safe.

The folder appears when it is whole. Killed at any point, the same command begins anew. A tenant
that cannot be read does not keep the others out: it is named, and the exit code is 5. Prints the
folder.

Examples:
  {app} backup --out /backup/$(date +%F)
  {app} backup --tenant acme --out acme-before
  {app} restore --verify /backup/2030-01-31       whether it is as it was written")]
pub(crate) struct Args {
    /// The folder to make
    #[arg(long, alias = "to", value_name = "DIR")]
    out: PathBuf,
    /// One tenant alone
    #[arg(long, value_name = "CODE")]
    tenant: Option<TenantCode>,
    /// Tell what is in it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn take(args: &Args, tenancy: &Tenancy) -> Result<(), Error> {
    let tenant = match &args.tenant {
        Some(code) => Some(find(tenancy, code).await?),
        None => None,
    };
    let mut progress = None;
    let taken = tenancy
        .backup(&args.out, tenant.as_ref(), |step| {
            let progress =
                progress.get_or_insert_with(|| Progress::new("backing up", step.of, false));
            progress.advance(1);
            if let Some(error) = step.error {
                progress.say(format_args!("{}: not in it: {error}", step.code));
            }
        })
        .await;
    drop(progress);
    let taken = taken.map_err(Error::Backup)?;
    tell(args.json, &taken, "is backed up")?;
    if !args.json {
        printer::data(args.out.display())?;
    }
    match taken.failed.is_empty() {
        true => Ok(()),
        false => Err(Error::NotBackedUp(taken.failed)),
    }
}

/// From where, and what of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every checksum is looked at before anything is made.

The whole is restored into an empty place: no tenants, no accounts, no operators. Tenants are
suspended until all of it is there. Killed at any point, the same command goes on where it was.

One tenant is restored beside the others: with its id and all it had where it is gone, and else,
under another code (--as), as a new tenant in which nobody is signed in. It is kept apart as it was,
unless --isolation says otherwise. Prints its URL.

Tenants have the migrations that they had; `{app} migrate --all` applies what they lack.

Examples:
  {app} restore /backup/2030-01-31 --data /srv/new
  {app} restore /backup/2030-01-31 --tenant acme --as acme-before
  {app} restore /backup/2030-01-31 --verify       changes nothing")]
pub(crate) struct RestoreArgs {
    /// The folder of the backup
    #[arg(value_name = "DIR")]
    from: PathBuf,
    /// One tenant alone
    #[arg(long, value_name = "CODE")]
    tenant: Option<TenantCode>,
    /// The code it is to have
    #[arg(long = "as", value_name = "CODE", requires = "tenant")]
    new: Option<TenantCode>,
    /// The server to place it on, one of --servers
    #[arg(long, value_name = "NAME", requires = "tenant")]
    server: Option<String>,
    /// Only look at the checksums of all of it
    #[arg(long, conflicts_with_all = ["tenant", "new"])]
    verify: bool,
    /// Tell what is in it as JSON
    #[arg(long, conflicts_with = "tenant")]
    json: bool,
}

impl RestoreArgs {
    pub(super) fn is_whole(&self) -> bool {
        self.tenant.is_none()
    }

    pub(super) fn only_looks(&self) -> bool {
        self.verify
    }
}

pub(super) async fn verify(args: &RestoreArgs) -> Result<(), Error> {
    let found = backup::inspect(&args.from).await.map_err(Error::Backup)?;
    tell(args.json, &found, "is as it was written")
}

pub(super) async fn restore<A: Application>(
    args: RestoreArgs,
    context: &Context,
    tenancy: &Tenancy,
) -> Result<(), Error> {
    let Some(code) = &args.tenant else {
        let mut progress = None;
        let restored = tenancy
            .restore_backup(&args.from, |step| {
                progress
                    .get_or_insert_with(|| Progress::new("restoring", step.of, false))
                    .advance(1);
            })
            .await;
        drop(progress);
        return tell(args.json, &restored.map_err(Error::Backup)?, "is restored");
    };
    let told = context.settings.isolation_told;
    let place = match (told, args.server) {
        (None, None) => None,
        (isolation, server) => Some(Placement::new(
            isolation.unwrap_or_else(|| tenancy.default_isolation()),
            server.unwrap_or_else(|| "local".into()),
        )),
    };
    let restored = tenancy
        .restore_tenant(&args.from, code, args.new.as_ref(), place)
        .await
        .map_err(|error| match error {
            BackupError::Tenant { code, source }
                if !matches!(*source, LifecycleError::CodeTaken) =>
            {
                Error::lifecycle(&code, *source)
            }
            other => Error::Backup(other),
        })?;
    printer::note(format_args!(
        "{code} is restored as {}, {}",
        restored.code(),
        restored.status()
    ));
    printer::data(context.site::<A>().tenant_url(&restored))
}

fn tell(json: bool, backup: &Backup, done: &str) -> Result<(), Error> {
    if json {
        return printer::json(backup);
    }
    let what = match backup.whole {
        true => format!("the whole, with {} tenants,", backup.tenants.len()),
        false => backup
            .tenants
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    };
    printer::note(format_args!(
        "{what} {done}: as of {}, {}",
        backup.taken_at.format("%F %T UTC"),
        size::for_people(backup.bytes)
    ));
    Ok(())
}
