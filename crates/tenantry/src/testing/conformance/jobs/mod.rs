//! Jobs: they are there with what they are about, run as their tenant and no other, and none is lost.

mod running;
mod scope;
mod times;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{sync::oneshot, task::JoinHandle};
use uuid::Uuid;

use super::{Case, Place, count_notes, list, note, soon};
use crate::{
    Tenancy, Tenant,
    scoped::jobs::{
        Filter, Job, JobContext, JobError, JobStatus, Jobs, NewJob, Queue, Tally, Worker,
    },
    tenant::TenantCode,
};

pub(super) const CASES: [&[Case]; 3] = [scope::CASES, running::CASES, times::CASES];

/// Writes a note, in the transaction in which the job ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct WriteNote {
    id: i64,
    text: String,
}

impl Job for WriteNote {
    const KIND: &'static str = "write-note";
    const MAX_ATTEMPTS: i32 = 3;

    fn backoff(_: i32) -> Duration {
        Duration::from_millis(20)
    }
}

fn writing(id: i64) -> WriteNote {
    WriteNote {
        id,
        text: "written".into(),
    }
}

async fn write(job: JobContext, what: WriteNote) -> Result<(), JobError> {
    let mut tx = job.db().begin();
    tx.query("INSERT INTO notes (id, text) VALUES ($1, $2)")
        .bind(what.id)
        .bind(what.text)
        .execute()
        .await?;
    job.finish_in(tx).await
}

/// Does whatever the case wants.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Play {
    text: String,
}

impl Job for Play {
    const KIND: &'static str = "play";
    const MAX_ATTEMPTS: i32 = 3;

    fn backoff(_: i32) -> Duration {
        Duration::from_millis(20)
    }
}

fn play(text: &str) -> Play {
    Play { text: text.into() }
}

fn writers() -> Jobs {
    Jobs::new().job(write)
}

/// A worker that is at work, until it is stopped.
struct AtWork {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Tally>,
}

impl AtWork {
    fn begin(worker: Worker) -> Self {
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(worker.run(async {
            drop(stopped.await);
        }));
        Self { stop, ended }
    }

    fn on(tenancy: &Tenancy, jobs: Jobs) -> Self {
        Self::begin(quick(tenancy, jobs))
    }

    async fn stop(self) -> Tally {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap()
    }

    /// As when its process is killed: nothing is written any more.
    async fn kill(self) {
        self.ended.abort();
        assert!(self.ended.await.unwrap_err().is_cancelled());
    }
}

/// A worker that does not wait for long.
fn quick(tenancy: &Tenancy, jobs: Jobs) -> Worker {
    Worker::new(tenancy, jobs)
        .poll(Duration::from_millis(50))
        .lease(Duration::from_secs(1))
}

async fn status(queue: &Queue, id: Uuid) -> JobStatus {
    queue.get(id).await.unwrap().unwrap().status
}

async fn becomes(queue: &Queue, id: Uuid, wanted: JobStatus) {
    soon(wanted.as_str(), || async {
        status(queue, id).await == wanted
    })
    .await;
}

async fn found(tenancy: &Tenancy, code: &str) -> Tenant {
    let code: TenantCode = code.parse().unwrap();
    tenancy.tenant(&code).await.unwrap().unwrap()
}
