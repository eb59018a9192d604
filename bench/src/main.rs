//! What tenancy costs.
//!
//! One endpoint, a list of 20 products of a tenant that a header names, is served by a handler
//! that one would write by hand without any tenancy, and by tenantry in each isolation; a driver
//! asks both in turn, and compares. See the README beside.

mod cluster;
mod compare;
mod data;
mod decide;
mod driver;
mod error;
mod files;
mod flood;
mod growth;
mod jobs;
mod lifecycle;
mod memory;
mod neighbours;
mod peers;
mod plot;
mod policies;
mod process;
mod report;
mod request;
mod serve;
mod shop;
mod stack;
mod start;
mod workload;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, CommandFactory, Parser, Subcommand, error::ErrorKind};
use tenantry::tenant::Isolation;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use self::{
    cluster::Cluster,
    error::Error,
    peers::Peer,
    report::say,
    workload::{Choice, Road},
};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compares on a PostgreSQL server of its own, which it starts and removes
    Postgres(OnPostgres),
    /// Compares on SQLite, with a file for each tenant
    Files(files::OnFiles),
    /// Measures what a flood of wrong passwords does to everybody else, on the example shop
    Flood(flood::Plan),
    /// Measures what a policy's decision costs, with those of the example shop
    Decide(decide::Plan),
    /// Measures what tenantry costs a request, part by part, in time and in allocations
    Request(request::Plan),
    /// Measures what tenants take of a server's memory: in the catalog, asked for, and with open files
    Memory(memory::Plan),
    /// Measures how long a server with many tenants takes from its start until it answers
    Start(start::Plan),
    /// Measures how fast tenants are made and migrated, beside what one would write by hand
    Lifecycle(lifecycle::Plan),
    /// Counts jobs that are lost, done twice or as the wrong tenant while workers are killed
    Jobs(jobs::Plan),
    /// Measures what a noisy tenant does to others, with limits and without
    Neighbours(neighbours::Plan),
    /// Serves lists and slow counts, until its input ends
    #[command(hide = true)]
    ServeNeighbours(neighbours::Serve),
    /// Works on jobs
    #[command(hide = true)]
    Work(jobs::Work),
    /// Serves the endpoint in one way, until its input ends
    #[command(hide = true)]
    Serve(serve::Serve),
    /// Runs a peer's program until its input ends, then stops it with all that it started
    #[command(hide = true)]
    Mind(peers::Mind),
    /// Runs a PostgreSQL server until its input ends, then removes it
    #[command(hide = true)]
    Keep(cluster::Keep),
}

/// What is asked, and for how long.
#[derive(Args)]
struct Plan {
    /// How many tenants there are; several numbers are measured in turns
    #[arg(long, value_delimiter = ',', default_value = "1000")]
    tenants: Vec<usize>,
    /// What is asked
    #[arg(long, value_enum, default_value_t)]
    road: Road,
    /// How often each tenant is asked for
    #[arg(long, value_enum, default_value_t)]
    choice: Choice,
    /// How often each way is measured
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How long each way is measured in a round
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    seconds: f64,
    /// How many connections ask at a time
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Where the report is written as well as printed, as Markdown
    #[arg(long, value_name = "FILE.md")]
    output: Option<PathBuf>,
    /// Where the comparison is drawn, as SVG; of one number of tenants
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// What is compared on PostgreSQL.
#[derive(Args)]
struct OnPostgres {
    #[command(flatten)]
    plan: Plan,
    /// How many tenants there are with a database of their own
    #[arg(long, default_value_t = 8)]
    databases: usize,
    /// Which of rows and schema are measured as tenants grow in number; both unless told
    #[arg(long, value_delimiter = ',')]
    isolation: Vec<Isolation>,
    /// How many connections each way may have to the database
    #[arg(long, default_value_t = 16)]
    pool: usize,
    /// Where PostgreSQL's programs are, unless they are found
    #[arg(long, env = "PG_BIN")]
    programs: Option<PathBuf>,
    /// A setting of PostgreSQL beyond the benchmark's own, such as `max_files_per_process=20000`
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Programs that are not this one to compare with, installed first from PyPI, npm or crates.io
    #[arg(long, value_name = "PEER", value_delimiter = ',')]
    with: Vec<Peer>,
}

impl Plan {
    fn window(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// Has each number of tenants once, the fewest first.
    fn in_order(&mut self) {
        self.tenants.sort_unstable();
        self.tenants.dedup();
    }
}

impl OnPostgres {
    /// Ends the program if what is asked for does not go together.
    fn check(&self) {
        let of_one = self.plan.plot.is_some() || !self.with.is_empty();
        let can_grow = |isolation| matches!(isolation, &Isolation::Rows | &Isolation::Schema);
        let wrong = match self.plan.tenants.len() > 1 {
            true if of_one => {
                "--with and --plot are of a comparison, which is made with one number of --tenants"
            }
            true if !self.isolation.iter().all(can_grow) => {
                "--isolation is rows, schema or both: there are not as many databases"
            }
            false if !self.isolation.is_empty() => {
                "--isolation is of tenants that grow in number: give several numbers of --tenants"
            }
            _ => return,
        };
        Cli::command()
            .error(ErrorKind::ArgumentConflict, wrong)
            .exit();
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("not between 0.1 and 600".into()),
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        // one thread asks: it must take as little as it can from those that it measures
        Command::Postgres(plan) => {
            plan.check();
            on_one_thread(stoppable(on_a_cluster(plan)))
        }
        Command::Files(files) => on_one_thread(stoppable(files::run(files))),
        Command::Flood(plan) => on_one_thread(stoppable(flood::run(plan))),
        Command::Decide(plan) => on_one_thread(stoppable(decide::run(plan))),
        // so that nothing of it goes on beside what is timed
        Command::Request(plan) => on_one_thread(stoppable(request::run(&plan))),
        // as it is paced, one is enough
        Command::Neighbours(plan) => on_one_thread(stoppable(neighbours::run(&plan))),
        Command::Memory(plan) => on_all_threads(stoppable(memory::run(&plan))),
        Command::Start(plan) => on_all_threads(stoppable(start::run(&plan))),
        Command::Lifecycle(plan) => on_all_threads(stoppable(lifecycle::run(&plan))),
        Command::Jobs(plan) => on_all_threads(stoppable(jobs::run(&plan))),
        // whoever started these tells them to stop
        Command::ServeNeighbours(serve) => on_all_threads(neighbours::serve(serve)),
        Command::Work(work) => on_all_threads(jobs::work(work)),
        Command::Serve(serve) => on_all_threads(serve::serve(serve)),
        Command::Mind(mind) => on_one_thread(peers::mind(mind)),
        Command::Keep(keep) => on_one_thread(cluster::keep(keep)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Interrupted) => ExitCode::from(130),
        Err(error) => {
            say(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

type Done = Result<(), Error>;

fn on_one_thread(work: impl Future<Output = Done>) -> Done {
    on(runtime::Builder::new_current_thread(), work)
}

fn on_all_threads(work: impl Future<Output = Done>) -> Done {
    on(runtime::Builder::new_multi_thread(), work)
}

fn on(mut threads: runtime::Builder, work: impl Future<Output = Done>) -> Done {
    let runtime = threads.enable_all().build();
    let runtime = runtime.map_err(Error::io("starting the runtime"))?;
    runtime.block_on(work)
}

async fn stoppable(work: impl Future<Output = Done>) -> Done {
    // whichever way it ends, the servers are stopped and what they kept is removed
    tokio::select! {
        biased; // listens for signals before anything is begun
        result = told_to_stop() => result.and(Err(Error::Interrupted)),
        result = work => result,
    }
}

/// Waits for a signal to stop.
async fn told_to_stop() -> Result<(), Error> {
    let doing = Error::io("listening for signals");
    let mut terminate = signal(SignalKind::terminate()).map_err(&doing)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(&doing)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn on_a_cluster(mut on: OnPostgres) -> Result<(), Error> {
    let tenants = on.plan.tenants.iter().copied().max().unwrap_or_default();
    let beyond = on
        .with
        .iter()
        .map(|peer| peer.connections_beyond_pool(tenants));
    let beyond: usize = beyond.sum();
    if beyond > 0 {
        // before what was asked for, which has the last word
        let connections = cluster::CONNECTIONS + beyond;
        on.set.insert(0, format!("max_connections={connections}"));
    }
    let cluster = Cluster::start(on.programs.as_deref(), &on.set).await?;
    on.plan.in_order();
    match on.plan.tenants.as_slice() {
        [tenants] => compare::run(&cluster, &on, *tenants).await,
        several => growth::run(&cluster, &on, several).await,
    }
}
