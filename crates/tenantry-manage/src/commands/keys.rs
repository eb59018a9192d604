//! `keys`: what tenants' secrets are sealed with.

use serde_json::json;
use tenantry::{Tenancy, scoped::settings::SettingsError};

use crate::{Error, printer, table::Table};

/// What can be done with keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Tell which keys there are, and how many secrets each has sealed; none is shown
    List(List),
    /// Seal all secrets with a new key
    #[command(after_help = "\
The keys are in the file keys in the data folder: the first seals, all of them open. This puts a new
one first and seals every secret with it; servers go on meanwhile, and the old keys stay until `{app}
keys drop`. Killed at any point, the same once more ends it. Where the keys come from the environment
({app}_KEY in capitals, as KEY,KEY), put a new one first there, and this seals with it. What cannot be
opened is named, and is exit code 5.

Examples:
  {app} keys rotate && {app} keys drop
  head -c 32 /dev/urandom | base64                a key for the environment")]
    Rotate,
    /// Forget the older keys; refused while one of them seals anything
    #[command(after_help = "\
Secrets in backups from before the rotation cannot be opened afterwards: keep the file keys with what
keeps your other secrets, or wait until those backups have ended.

Examples:
  {app} keys drop")]
    Drop,
}

/// How they are told.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Command {
    pub(super) fn only_looks(&self) -> bool {
        matches!(self, Self::List(_))
    }
}

pub(super) async fn run(command: Command, tenancy: &Tenancy) -> Result<(), Error> {
    match command {
        Command::List(args) => list(&args, tenancy).await,
        Command::Rotate => rotate(tenancy).await,
        Command::Drop => {
            let dropped = tenancy.drop_keys().await.map_err(Error::Keys)?;
            printer::note(format_args!("{dropped} older keys are forgotten"));
            Ok(())
        }
    }
}

async fn list(args: &List, tenancy: &Tenancy) -> Result<(), Error> {
    let keys = tenancy.keys().await.map_err(Error::Keys)?;
    if args.json {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| {
                json!({
                    "id": key.id, "here": key.is_here, "seals": key.seals, "secrets": key.secrets,
                })
            })
            .collect();
        return printer::json(&keys);
    }
    if keys.is_empty() {
        printer::note("no key yet: it is made when a secret is sealed first");
    }
    let mut table = Table::new(["KEY", "SECRETS", "IT"]);
    for key in keys {
        let it = match (key.is_here, key.seals) {
            (false, _) => "IS MISSING",
            (true, true) => "seals and opens",
            (true, false) => "opens",
        };
        table.row([&key.id, &key.secrets.to_string(), it]);
    }
    printer::table(&table)
}

async fn rotate(tenancy: &Tenancy) -> Result<(), Error> {
    let rotated: Result<_, SettingsError> = tenancy.rotate_keys().await;
    let rotated = rotated.map_err(Error::Keys)?;
    printer::note(format_args!(
        "{} secrets are sealed anew, {}",
        rotated.secrets,
        match rotated.is_new {
            true => "with a new key",
            false => "with the first key, which was there",
        }
    ));
    match rotated.failed.is_empty() {
        true => Ok(()),
        false => Err(Error::NotSealed(rotated.failed)),
    }
}
