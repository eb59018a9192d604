use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use argon2::Block;
use tokio::sync::oneshot;

/// How many may wait to be hashed or checked for each thread that does it: at 20 ms each, the last of
/// them waits for a second or two.
const WAITING_PER_THREAD: usize = 64;

/// How far behind all others they stand, as `nice` counts it: where a processor is wanted by both, a
/// request gets nine parts in ten of it.
#[cfg(target_os = "linux")]
const BEHIND: i32 = 10;

type Job = Box<dyn FnOnce(&mut Vec<Block>) + Send>;

/// Threads that do nothing but hash passwords, half as many as there are processors, and behind
/// everybody else. They end when the last handle to them is dropped.
#[derive(Debug, Clone)]
pub(super) struct Hashers(SyncSender<Job>);

/// Why nothing was done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotDone {
    /// Too many others wait.
    Busy,
    /// There is nobody to do it, or it failed.
    Unavailable,
}

impl Hashers {
    pub(super) fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self::with((processors / 2).max(1), WAITING_PER_THREAD)
    }

    fn with(threads: usize, waiting_per_thread: usize) -> Self {
        let (sender, receiver) = sync_channel(threads * waiting_per_thread);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..threads {
            let receiver = receiver.clone();
            let started = thread::Builder::new()
                .name("passwords".into())
                .spawn(move || work(&receiver));
            if let Err(error) = started {
                tracing::error!(%error, "a thread that hashes passwords could not be started");
            }
        }
        Self(sender)
    }

    /// Does it in its turn, unless nobody waits for it by then. What `work` is given to work in is
    /// kept from one to the next: given back to the allocator, its 19 MiB would be cut up by whatever
    /// else is allocated, and the next hash would need others.
    pub(super) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vec<Block>) -> R + Send + 'static,
    ) -> Result<R, NotDone> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |memory| {
            if !answer.is_closed() {
                drop(answer.send(work(memory)));
            }
        });
        self.0.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => NotDone::Busy,
            TrySendError::Disconnected(_) => NotDone::Unavailable,
        })?;
        answered.await.map_err(|_| NotDone::Unavailable)
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    #[cfg(target_os = "linux")]
    if let Err(error) = stand_behind() {
        tracing::warn!(%error, "passwords are hashed beside requests, and not behind them");
    }
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
    let mut memory = Vec::new();
    while let Ok(job) = next() {
        // whoever waits for it is told that it failed
        drop(catch_unwind(AssertUnwindSafe(|| job(&mut memory))));
    }
}

/// Of this thread alone: Linux knows no process' priority but its threads'.
#[cfg(target_os = "linux")]
fn stand_behind() -> rustix::io::Result<()> {
    let own = rustix::process::getpriority_process(None)?;
    rustix::process::setpriority_process(None, own + BEHIND)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn who_would_wait_too_long_is_refused() {
        let hashers = Hashers::with(1, 2);
        let (open, gate) = mpsc::channel::<()>();
        let (began, begun) = oneshot::channel();
        let first = hashers.clone();
        let blocking = tokio::spawn(async move {
            let wait = move |_: &mut Vec<Block>| {
                let _ = began.send(());
                let _ = gate.recv();
            };
            first.run(wait).await
        });
        begun.await.unwrap();
        let waiting: Vec<_> = (0..2)
            .map(|number| {
                let hashers = hashers.clone();
                tokio::spawn(async move { hashers.run(move |_| number).await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(hashers.run(|_| ()).await, Err(NotDone::Busy));
        open.send(()).unwrap();
        blocking.await.unwrap().unwrap();
        for (number, waiting) in waiting.into_iter().enumerate() {
            assert_eq!(waiting.await.unwrap(), Ok(number));
        }
        assert_eq!(hashers.run(|_| ()).await, Ok(()));
    }

    #[tokio::test]
    async fn one_that_fails_leaves_the_others_alone() {
        let hashers = Hashers::with(1, 2);
        let failed = hashers.run(|_| panic!("on purpose")).await;
        assert_eq!(failed, Err::<(), _>(NotDone::Unavailable));
        assert_eq!(hashers.run(|_| 1).await, Ok(1));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn they_stand_behind_all_others() {
        let hashers = Hashers::new();
        let theirs = hashers.run(|_| rustix::process::getpriority_process(None).unwrap());
        let ours = rustix::process::getpriority_process(None).unwrap();
        assert_eq!(theirs.await.unwrap(), (ours + BEHIND).min(19));
    }
}
