use serde::Serialize;
use tenantry::{Tenancy, lifecycle::SeedError, tenant::TenantCode};
use tokio::task::JoinSet;

use crate::{Application, Error, Task, printer, progress::Progress, table::Table, whom::Whom};

/// What to do, and for whom.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a name it lists what there is to do. It is done for each tenant by itself; when it fails for
one the next are not begun, unless --keep-going; the exit code is then 5, and each is named. --all
means those that are active.

Examples:
  {app} run
  {app} run NAME --tenant acme
  {app} run NAME ARGUMENT --all --parallel 4 --keep-going")]
pub(crate) struct Args {
    /// What to do
    name: Option<String>,
    /// What it is told
    #[arg(value_name = "ARGUMENT", allow_negative_numbers = true)]
    arguments: Vec<String>,
    #[command(flatten)]
    whom: Whom,
    /// Go on with the other tenants when it fails for one
    #[arg(long)]
    keep_going: bool,
    /// For how many tenants at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    parallel: u8,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line {
    code: TenantCode,
    said: Option<String>,
    error: Option<String>,
}

pub(super) async fn run<A: Application>(args: &Args, tenancy: &Tenancy) -> Result<(), Error> {
    let tasks = A::tasks();
    let Some(name) = &args.name else {
        return list(&tasks);
    };
    let task = tasks.into_iter().find(|task| task.name == name);
    let task = task.ok_or_else(|| Error::NoTask(name.clone()))?;
    let tenants = args.whom.tenants(tenancy).await?;
    let mut progress = Progress::new("running", tenants.len(), !args.json);
    let mut waiting = tenants.into_iter();
    let mut running = JoinSet::new();
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    loop {
        while (args.keep_going || failed.is_empty()) && running.len() < usize::from(args.parallel) {
            let Some(tenant) = waiting.next() else { break };
            let work = (task.run)(tenancy.clone(), tenant.clone(), args.arguments.clone());
            running.spawn(async move { (tenant.code().clone(), work.await) });
        }
        let (code, said) = match running.join_next().await {
            None => break,
            Some(Ok(ended)) => ended,
            Some(Err(died)) => std::panic::resume_unwind(died.into_panic()),
        };
        progress.advance(1);
        match &said {
            Ok(said) => progress.line(format_args!("{code}: {said}"))?,
            Err(error) => progress.say(format_args!("{code}: failed: {error}")),
        }
        lines.push(Line::new(&code, &said));
        if let Err(error) = said {
            failed.push((code, error));
        }
    }
    progress.end();
    if args.json {
        printer::json(&lines)?;
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Error::SomeTasks {
            failed,
            tried: lines.len(),
            left: waiting.len(),
        }),
    }
}

fn list(tasks: &[Task]) -> Result<(), Error> {
    let mut table = Table::new(["NAME", "WHAT IT DOES"]);
    for task in tasks {
        table.row([task.name, task.about]);
    }
    if table.is_empty() {
        printer::note("this application has nothing to run");
    }
    printer::table(&table)
}

impl Line {
    fn new(code: &TenantCode, said: &Result<String, SeedError>) -> Self {
        Self {
            code: code.clone(),
            said: said.as_ref().ok().cloned(),
            error: said.as_ref().err().map(ToString::to_string),
        }
    }
}
