//! Counts the allocations of a request, part by part, for `tenantry-bench request`, which starts it.
//!
//! It is a program of its own because its allocator counts, which takes time: whatever is measured by
//! a clock has the system's.

#[path = "../request/ladder.rs"]
mod ladder;
#[path = "../policies.rs"]
mod policies;

use std::{
    alloc::System,
    io::{Write, stderr, stdout},
    process::ExitCode,
};

use alloc_tracker::{Allocator, Session};
use clap::Parser;
use tokio::runtime;

use self::ladder::{Failed, Ladder};

#[global_allocator]
static ALLOCATOR: Allocator<System> = Allocator::system();

/// How often each part is counted; the median holds, as this process does something else now and then.
const ROUNDS: usize = 5;
const REQUESTS: usize = 500;

/// Counts the allocations of a request, part by part; `tenantry-bench request` starts it
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// How many tenants there are, with a file each; one of them is asked
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    tenants: u32,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let counted = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failed::from)
        .and_then(|runtime| runtime.block_on(count(cli.tenants as usize)));
    match counted {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(stderr(), "error: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn count(tenants: usize) -> Result<(), Failed> {
    ladder::log_to_nowhere()?;
    let folder = tempfile::tempdir()?;
    let ladder = Ladder::new(folder.path(), tenants).await?;
    let mut all = Vec::new();
    for part in &ladder.parts {
        part.ask(part.requests(REQUESTS)).await?;
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let requests = part.requests(REQUESTS);
            let session = Session::new();
            let operation = session.operation(part.name);
            let span = operation.measure_process();
            let asked = part.ask(requests).await;
            drop(span);
            asked?;
            let report = session.to_report();
            let counted = report
                .operations()
                .map(|(_, all)| all.total_allocations_count());
            rounds.push(counted.sum::<u64>() as f64 / REQUESTS as f64);
        }
        rounds.sort_by(f64::total_cmp);
        all.push((part.name, part.on, rounds[ROUNDS / 2]));
    }
    writeln!(stdout(), "{}", serde_json::to_string(&all)?)?;
    Ok(())
}
