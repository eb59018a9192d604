//! Threads that hash passwords, and who waits for them.

use std::{
    collections::{HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use argon2::Block;
use tokio::sync::oneshot;

use super::Realm;

/// How many may wait to be hashed or checked for each thread that does it: at 20 ms each, the last of
/// them waits for a second or two.
const WAITING_PER_THREAD: usize = 64;

/// How far behind all others they stand, as `nice` counts it: where a processor is wanted by both, a
/// request gets nine parts in ten of it.
#[cfg(target_os = "linux")]
const BEHIND: i32 = 10;

/// Done in the memory that is given, or turned away without any.
type Job = Box<dyn FnOnce(Option<&mut Vec<Block>>) + Send>;

/// Who waits one behind the other: those of one realm, or those of none in particular.
type Line = Option<Realm>;

/// Threads that do nothing but hash passwords, half as many as there are processors, and behind
/// everybody else. They end when the last handle to them is dropped.
///
/// The lines take turns, so that a tenant whose people sign in by the hundred makes nobody else's wait
/// for all of them.
#[derive(Debug, Clone)]
pub(super) struct Hashers {
    lines: Arc<Mutex<Lines>>,
    /// One for each that was put in line.
    calls: Sender<()>,
}

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
        let lines = Arc::new(Mutex::new(Lines::new(threads * waiting_per_thread)));
        let (calls, called) = channel();
        let called = Arc::new(Mutex::new(called));
        for _ in 0..threads {
            let (called, lines) = (called.clone(), lines.clone());
            let started = thread::Builder::new()
                .name("passwords".into())
                .spawn(move || work(&called, &lines));
            if let Err(error) = started {
                tracing::error!(%error, "a thread that hashes passwords could not be started");
            }
        }
        Self { lines, calls }
    }

    /// Does it in its turn, unless nobody waits for it by then. What `work` is given to work in is
    /// kept from one to the next: given back to the allocator, its 19 MiB would be cut up by whatever
    /// else is allocated, and the next hash would need others.
    pub(super) async fn run<R: Send + 'static>(
        &self,
        line: Line,
        work: impl FnOnce(&mut Vec<Block>) -> R + Send + 'static,
    ) -> Result<R, NotDone> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |memory| {
            if !answer.is_closed() {
                drop(answer.send(memory.map(work).ok_or(NotDone::Busy)));
            }
        });
        let pushed = lock(&self.lines).push(line, job);
        match pushed {
            Pushed::More if self.calls.send(()).is_err() => {
                // nobody is there to be called
                lock(&self.lines).clear();
                return Err(NotDone::Unavailable);
            }
            Pushed::More => {}
            // whoever would have been called for the other is called for this one
            Pushed::InsteadOf(other) => other(None),
            Pushed::Not => return Err(NotDone::Busy),
        }
        answered.await.unwrap_or(Err(NotDone::Unavailable))
    }
}

/// Those who wait.
struct Lines {
    waiting: HashMap<Line, VecDeque<Job>>,
    /// Whose turn it is, of those lines in which anybody waits.
    turns: VecDeque<Line>,
    count: usize,
    most: usize,
}

/// What became of one that came.
enum Pushed {
    /// There is one more.
    More,
    /// It has the place of this one.
    InsteadOf(Job),
    /// There is no place for it.
    Not,
}

impl Lines {
    fn new(most: usize) -> Self {
        Self {
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            count: 0,
            most,
        }
    }

    /// Puts one at the end of its line. Where there is no place, the last of the longest line makes
    /// way, if that stays no shorter than this one becomes.
    fn push(&mut self, line: Line, job: Job) -> Pushed {
        let mut instead = None;
        if self.count >= self.most {
            let own = self.waiting.get(&line).map_or(0, VecDeque::len);
            let longest = self.waiting.values_mut().max_by_key(|line| line.len());
            instead = longest
                .filter(|longest| longest.len() > own + 1)
                .and_then(VecDeque::pop_back);
            if instead.is_none() {
                return Pushed::Not;
            }
            self.count -= 1;
        }
        let waiting = self.waiting.entry(line).or_default();
        if waiting.is_empty() {
            self.turns.push_back(line);
        }
        waiting.push_back(job);
        self.count += 1;
        instead.map_or(Pushed::More, Pushed::InsteadOf)
    }

    fn clear(&mut self) {
        self.waiting.clear();
        self.turns.clear();
        self.count = 0;
    }

    /// The first of the line whose turn it is.
    fn next(&mut self) -> Option<Job> {
        let line = self.turns.pop_front()?;
        let waiting = self.waiting.get_mut(&line)?;
        let job = waiting.pop_front()?;
        match waiting.is_empty() {
            true => drop(self.waiting.remove(&line)),
            false => self.turns.push_back(line),
        }
        self.count -= 1;
        Some(job)
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work(called: &Mutex<Receiver<()>>, lines: &Mutex<Lines>) {
    #[cfg(target_os = "linux")]
    if let Err(error) = stand_behind() {
        tracing::warn!(%error, "passwords are hashed beside requests, and not behind them");
    }
    let call = || lock(called).recv();
    let mut memory = Vec::new();
    while call().is_ok() {
        let Some(job) = lock(lines).next() else {
            continue;
        };
        // whoever waits for it is told that it failed
        drop(catch_unwind(AssertUnwindSafe(|| job(Some(&mut memory)))));
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
    use crate::tenant::TenantId;

    /// Keeps the only thread busy for as long as what is returned is there.
    async fn hold_up(hashers: &Hashers) -> mpsc::Sender<()> {
        let (open, gate) = mpsc::channel::<()>();
        let (began, begun) = oneshot::channel();
        let hashers = hashers.clone();
        let wait = move |_: &mut Vec<Block>| {
            let _ = began.send(());
            let _ = gate.recv();
        };
        tokio::spawn(async move { hashers.run(None, wait).await });
        begun.await.unwrap();
        open
    }

    #[tokio::test]
    async fn who_would_wait_too_long_is_refused() {
        let hashers = Hashers::with(1, 2);
        let open = hold_up(&hashers).await;
        let waiting: Vec<_> = (0..2)
            .map(|number| {
                let hashers = hashers.clone();
                tokio::spawn(async move { hashers.run(None, move |_| number).await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(hashers.run(None, |_| ()).await, Err(NotDone::Busy));
        drop(open);
        for (number, waiting) in waiting.into_iter().enumerate() {
            assert_eq!(waiting.await.unwrap(), Ok(number));
        }
        assert_eq!(hashers.run(None, |_| ()).await, Ok(()));
    }

    #[tokio::test]
    async fn a_long_line_makes_way_for_a_short_one_and_they_take_turns() {
        let hashers = Hashers::with(1, 4);
        let [many, few] = [(); 2].map(|()| Some(Realm::Tenant(TenantId::generate())));
        let done = Arc::new(Mutex::new(Vec::new()));
        let open = hold_up(&hashers).await;
        let come = |line, name| {
            let (hashers, done) = (hashers.clone(), done.clone());
            tokio::spawn(async move { hashers.run(line, move |_| lock(&done).push(name)).await })
        };
        let mut waiting = Vec::new();
        for (line, name) in [
            (many, "many 1"),
            (many, "many 2"),
            (many, "many 3"),
            (many, "many 4"),
            (many, "many 5"),
            (few, "few 1"),
            (few, "few 2"),
            (few, "few 3"),
            (many, "many 6"),
        ] {
            waiting.push((name, come(line, name)));
            tokio::task::yield_now().await; // until it stands in line
        }
        drop(open);
        let mut turned_away = Vec::new();
        for (name, waiting) in waiting {
            if waiting.await.unwrap() == Err(NotDone::Busy) {
                turned_away.push(name);
            }
        }
        // two and two are as long as each other, and nobody makes way
        assert_eq!(
            turned_away,
            ["many 3", "many 4", "many 5", "few 3", "many 6"]
        );
        assert_eq!(*lock(&done), ["many 1", "few 1", "many 2", "few 2"]);
        assert_eq!(hashers.run(few, |_| 1).await, Ok(1));
    }

    #[tokio::test]
    async fn without_a_thread_nobody_is_left_waiting() {
        let hashers = Hashers {
            lines: Arc::new(Mutex::new(Lines::new(2))),
            calls: channel().0,
        };
        for _ in 0..5 {
            assert_eq!(hashers.run(None, |_| ()).await, Err(NotDone::Unavailable));
        }
    }

    #[tokio::test]
    async fn one_that_fails_leaves_the_others_alone() {
        let hashers = Hashers::with(1, 2);
        let failed = hashers.run(None, |_| panic!("on purpose")).await;
        assert_eq!(failed, Err::<(), _>(NotDone::Unavailable));
        assert_eq!(hashers.run(None, |_| 1).await, Ok(1));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn they_stand_behind_all_others() {
        let hashers = Hashers::new();
        let theirs = hashers.run(None, |_| {
            rustix::process::getpriority_process(None).unwrap()
        });
        let ours = rustix::process::getpriority_process(None).unwrap();
        assert_eq!(theirs.await.unwrap(), (ours + BEHIND).min(19));
    }
}
