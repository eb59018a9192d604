//! `worker`: tenants' jobs, and nothing else.

use std::time::Duration;

use tenantry::{
    Tenancy,
    scoped::jobs::{Jobs, Tally, Worker},
};
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    metrics,
    serve::{ready_to_work, signals::Signals},
};
use crate::{Application, Context, Error, printer};

/// How to work.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
`serve` works jobs besides, unless it is told --workers 0. Any number of both work beside each other, also
on several machines where the databases are on servers. `working` on stdout tells that it has begun.
SIGTERM or Ctrl-C begins no other job and lets those under way end, for up to 10 seconds; what has not
ended then is given back. A second one does not wait: what was under way is run again when its lease ends.

Examples:
  {app} worker
  {app} worker --workers 16
  {app} serve --workers 0")]
pub(crate) struct Args {
    /// How many seconds a job stays a worker's that is not heard of
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3600))]
    lease: u16,
}

pub(super) async fn run<A: Application>(args: &Args, context: &Context) -> Result<(), Error> {
    let jobs = A::jobs(context.site::<A>());
    if jobs.is_empty() {
        return Err(Error::NoJobs);
    }
    let tenancy = ready_to_work(context, context.config::<A>()?).await?;
    let mut signals = Signals::listen().map_err(Error::Runtime)?;
    let lease = Duration::from_secs(args.lease.into());
    let slots = usize::from(context.settings.workers).max(1);
    let mut working = Working::begin(&tenancy, jobs, slots, |worker| worker.lease(lease));
    let metrics = metrics::Listening::begin(&tenancy, &context.settings, A::VERSION).await?;
    printer::data("working")?;
    signals.next().await;
    printer::note("stopping, once jobs under way have ended; a second signal does not wait");
    working.stop();
    let tally = tokio::select! {
        tally = working.ended() => tally,
        () = signals.next() => return Err(Error::Interrupted),
    };
    tracing::info!(?tally, "no more jobs are worked on");
    tenancy.shut_down().await;
    drop(metrics);
    Ok(())
}

/// A worker at work in this process.
pub(super) struct Working {
    stop: Option<oneshot::Sender<()>>,
    work: JoinHandle<Tally>,
}

impl Working {
    pub(super) fn begin(
        tenancy: &Tenancy,
        jobs: Jobs,
        slots: usize,
        with: impl FnOnce(Worker) -> Worker,
    ) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = with(Worker::new(tenancy, jobs).slots(slots));
        let work = tokio::spawn(worker.run(async {
            drop(stopped.await);
        }));
        Self {
            stop: Some(stop),
            work,
        }
    }

    /// Begins no other job.
    pub(super) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Waits until what was under way has ended, or was given back.
    pub(super) async fn ended(&mut self) -> Tally {
        (&mut self.work).await.unwrap_or_default()
    }
}
