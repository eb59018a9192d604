//! The commands, one file each.

mod backup;
mod check;
mod console;
mod demo;
mod jobs;
mod keys;
mod metrics;
mod migrate;
mod policy;
mod run;
mod serve;
mod shell;
mod size;
mod sql;
mod tenant;
mod usage;
mod user;
mod worker;

use tenantry::Tenancy;

use crate::{Application, Context, Error};

/// What can be done.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Serve the application (this is also what happens without a command)
    #[command(after_help = "\
In development an empty place is set up first. In production pending migrations are a refusal.
`listening on http://HOST:PORT` on stdout tells that it is ready. SIGTERM or Ctrl-C lets requests
under way end, for up to 10 seconds; a second one does not. Tenants' jobs are worked on besides: with
--workers 0 they are left to `{app} worker`.

Examples:
  {app} serve
  {app} serve --addr 127.0.0.1:0                  on any free port
  {app} serve --profile production --host shops.example.com --addr 0.0.0.0:8000")]
    Serve,
    /// Work on tenants' jobs, without serving
    Worker(worker::Args),
    /// Fill an empty place with something to look at
    #[command(after_help = "\
Refused where there are tenants already, and in production: its users have a known password.

Examples:
  {app} demo
  {app} demo --data /tmp/try && {app} serve --data /tmp/try")]
    Demo,
    /// Make, list, change and delete tenants
    #[command(subcommand)]
    Tenant(tenant::Command),
    /// Bring the databases up to date
    Migrate(migrate::Args),
    /// Do something of the application's own, for tenants
    Run(run::Args),
    /// List, show, retry, purge, cancel and run tenants' jobs
    #[command(subcommand)]
    Jobs(jobs::Command),
    /// Say SQL in one tenant's scope
    Sql(sql::Args),
    /// Print what a shell completes commands by
    Completions(shell::Args),
    /// Print the manual page, for `man -l -`
    Man,
    /// Tell what tenants have used: requests, time of the database, bytes, files, jobs, mail
    Usage(usage::Args),
    /// Write everything into a folder, or one tenant
    Backup(backup::Args),
    /// Bring a backup, or a tenant of it, back
    Restore(backup::RestoreArgs),
    /// Look for problems, and tell what mends each
    Check(check::Args),
    /// Make, list and disable the operators: those who run the deployment
    #[command(subcommand)]
    Console(console::Command),
    /// Look after the keys that tenants' secrets are sealed with
    #[command(subcommand)]
    Keys(keys::Command),
    /// Look at who may do what: check the policies, list them, explain a decision
    #[command(subcommand)]
    Policy(policy::Command),
    /// Make and list the users of a tenant, and set their passwords
    #[command(subcommand)]
    User(user::Command),
}

/// Does one of them.
pub(crate) async fn run<A: Application>(command: Command, context: &Context) -> Result<(), Error> {
    match command {
        Command::Serve => serve::run::<A>(context).await,
        Command::Worker(args) => worker::run::<A>(&args, context).await,
        Command::Jobs(command) => {
            let only_looks = command.only_looks();
            let tenancy = context.open_for::<A>(only_looks).await?;
            let done = jobs::run::<A>(command, context, &tenancy).await;
            match only_looks {
                // what somebody looks at is on no tenant's account
                true => tenancy.close(),
                false => tenancy.shut_down().await,
            }
            done
        }
        Command::Migrate(args) => migrate::run::<A>(args, context).await,
        Command::Check(args) => check::run::<A>(&args, context).await,
        Command::Completions(args) => shell::completions::<A>(&args),
        Command::Man => shell::manual::<A>(),
        Command::Run(args) => {
            let tenancy = context.open::<A>().await?;
            let done = run::run::<A>(&args, &tenancy).await;
            tenancy.shut_down().await;
            done
        }
        Command::Sql(args) => {
            let tenancy = context.open::<A>().await?;
            let done = sql::run(&args, &tenancy).await;
            tenancy.close();
            done
        }
        Command::Usage(args) => {
            let tenancy = context.open_for::<A>(true).await?;
            let done = usage::run(&args, &tenancy).await;
            tenancy.close();
            done
        }
        Command::Backup(args) => {
            let tenancy = context.open_for::<A>(true).await?;
            let done = backup::take(&args, &tenancy).await;
            tenancy.close();
            done
        }
        Command::Restore(args) if args.only_looks() => backup::verify(&args).await,
        Command::Restore(args) => {
            let tenancy = match args.is_whole() {
                // whoever restores it wants it to be there
                true => Tenancy::set_up(context.config::<A>()?).await?,
                false => context.open::<A>().await?,
            };
            let done = backup::restore::<A>(args, context, &tenancy).await;
            tenancy.close();
            done
        }
        Command::Demo => {
            let tenancy = demo::open::<A>(context).await?;
            let done = demo::run::<A>(context, &tenancy).await;
            tenancy.close();
            done
        }
        Command::Tenant(command) => {
            let tenancy = context.open_for::<A>(command.only_looks()).await?;
            let done = tenant::run::<A>(command, context, &tenancy).await;
            tenancy.close();
            done
        }
        Command::Console(command) => {
            let tenancy = context.open::<A>().await?;
            let done = console::run::<A>(command, &tenancy).await;
            tenancy.close();
            done
        }
        Command::Keys(command) => {
            let tenancy = context.open_for::<A>(command.only_looks()).await?;
            let done = keys::run(command, &tenancy).await;
            tenancy.close();
            done
        }
        Command::Policy(command) => policy::run::<A>(command, context).await,
        Command::User(command) => {
            let tenancy = context.open_for::<A>(command.only_looks()).await?;
            let done = user::run::<A>(command, &tenancy).await;
            tenancy.close();
            done
        }
    }
}
