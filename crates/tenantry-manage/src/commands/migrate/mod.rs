//! `migrate`: the central database and the tenants' are brought up to date, or it is told what
//! they lack.

mod apply;
mod select;
mod survey;

use crate::{Application, Context, Error, pattern::Pattern};

/// Which tenants, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An empty place is set up first, and the central database always brought up to date. Each migration
of each tenant is applied whole or not at all; tenants that share tables are migrated as one. When
one fails the next are not begun, unless --keep-going; the exit code is then 5, each that failed is
named, and its error is kept for --status.

It can be interrupted at any point, and run again: only what is left is done. Two runs at once share
the work. The application may serve meanwhile, in its version before and after: who uses a tenant
that is being migrated waits, or is answered 503 with Retry-After.

Without --tenant the catalog is asked who is behind, which is one query however many tenants there
are. Tenants that are named by --tenant are asked themselves: after a file was brought back from a
backup, say.

Examples:
  {app} migrate --plan
  {app} migrate --all --parallel 8 --canary 5 --keep-going
  {app} migrate --tenant acme --tenant 'eu-*' --exclude eu-zoo
  {app} migrate --failed                          once what made them fail is mended")]
pub(crate) struct Args {
    /// Tell what would be applied, and change nothing
    #[arg(long, conflicts_with = "status")]
    plan: bool,
    /// Tell how each tenant stands, and change nothing
    #[arg(long)]
    status: bool,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
    /// Only tenants with this code, with * for anything; may be repeated
    #[arg(long = "tenant", value_name = "PATTERN", conflicts_with = "all")]
    patterns: Vec<Pattern>,
    /// All tenants but those with this code, with * for anything; may be repeated. Those that share
    /// tables are migrated as one even so
    #[arg(long = "exclude", value_name = "PATTERN")]
    excluded: Vec<Pattern>,
    /// Only tenants whose last migration failed
    #[arg(long)]
    failed: bool,
    /// All tenants (as without --tenant)
    #[arg(long)]
    all: bool,
    /// Go on with the other tenants when one fails
    #[arg(long)]
    keep_going: bool,
    /// How many tenants to migrate at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    parallel: u8,
    /// Migrate so many tenants first, and the others only if none of them fails
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    canary: usize,
}

pub(super) async fn run<A: Application>(args: Args, context: &Context) -> Result<(), Error> {
    if args.plan || args.status {
        survey::run::<A>(&args, context).await
    } else {
        apply::run::<A>(&args, context).await
    }
}
