//! What a tenant uses, counted where it is used: a few additions to numbers that nobody locks.

use std::{
    array, fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Serialize, Serializer, ser::SerializeMap};

/// Something that is counted of what a tenant uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Quantity {
    /// Requests for the tenant that were answered.
    Requests,
    /// Those of them that were answered with a status of 500 or above.
    RequestsFailed,
    /// Bytes in the bodies of requests, as far as they were read.
    BytesIn,
    /// Bytes in the bodies of answers.
    BytesOut,
    /// Statements that were said on the tenant's handles, whether they succeeded or not. What begins
    /// and ends transactions is none.
    Statements,
    /// Rows that statements returned or changed.
    Rows,
    /// How long connections were on loan to the tenant: from when one was had until it was given back. On
    /// one that brief reads share, from when those before it were answered until it was.
    DbTime,
    /// How long the tenant waited for connections, or for its turn on its file or a shared connection.
    DbWaiting,
    /// Files that were put.
    FilesPut,
    /// Bytes of them.
    FileBytesIn,
    /// Bytes of files that were read.
    FileBytesOut,
    /// Attempts at jobs that succeeded.
    JobsDone,
    /// Attempts at jobs that failed, were cut off or cancelled.
    JobsFailed,
    /// How long jobs ran.
    JobTime,
    /// Messages that were handed over.
    MailsSent,
    /// Messages that could not be.
    MailsFailed,
    /// What was asked of the cache and found.
    CacheHits,
    /// What was asked of the cache and not found.
    CacheMisses,
}

/// How many there are.
const COUNT: usize = Quantity::ALL.len();

impl Quantity {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 18] = [
        Self::Requests,
        Self::RequestsFailed,
        Self::BytesIn,
        Self::BytesOut,
        Self::Statements,
        Self::Rows,
        Self::DbTime,
        Self::DbWaiting,
        Self::FilesPut,
        Self::FileBytesIn,
        Self::FileBytesOut,
        Self::JobsDone,
        Self::JobsFailed,
        Self::JobTime,
        Self::MailsSent,
        Self::MailsFailed,
        Self::CacheHits,
        Self::CacheMisses,
    ];

    /// What it is called in reports, and in the catalog. Of a time it names the unit of the report,
    /// which is seconds.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::RequestsFailed => "requests_failed",
            Self::BytesIn => "bytes_in",
            Self::BytesOut => "bytes_out",
            Self::Statements => "statements",
            Self::Rows => "rows",
            Self::DbTime => "db_seconds",
            Self::DbWaiting => "db_waiting_seconds",
            Self::FilesPut => "files_put",
            Self::FileBytesIn => "file_bytes_in",
            Self::FileBytesOut => "file_bytes_out",
            Self::JobsDone => "jobs_done",
            Self::JobsFailed => "jobs_failed",
            Self::JobTime => "job_seconds",
            Self::MailsSent => "mails_sent",
            Self::MailsFailed => "mails_failed",
            Self::CacheHits => "cache_hits",
            Self::CacheMisses => "cache_misses",
        }
    }

    /// What it is, in a sentence for reports.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Requests => "Requests that were answered",
            Self::RequestsFailed => "Requests that were answered with 500 or above",
            Self::BytesIn => "Bytes in the bodies of requests, as far as they were read",
            Self::BytesOut => "Bytes in the bodies of answers",
            Self::Statements => "Statements that were said, whether they succeeded or not",
            Self::Rows => "Rows that statements returned or changed",
            Self::DbTime => "How long connections were on loan",
            Self::DbWaiting => "How long connections were waited for",
            Self::FilesPut => "Files that were put",
            Self::FileBytesIn => "Bytes of files that were put",
            Self::FileBytesOut => "Bytes of files that were read",
            Self::JobsDone => "Attempts at jobs that succeeded",
            Self::JobsFailed => "Attempts at jobs that did not succeed",
            Self::JobTime => "How long jobs ran",
            Self::MailsSent => "Messages that were handed over",
            Self::MailsFailed => "Messages that could not be handed over",
            Self::CacheHits => "What was found in the cache",
            Self::CacheMisses => "What was not found in the cache",
        }
    }

    /// Whether it is a time. Times are counted in nanoseconds.
    #[must_use]
    pub const fn is_time(self) -> bool {
        matches!(self, Self::DbTime | Self::DbWaiting | Self::JobTime)
    }
}

/// How much of each [`Quantity`].
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts([u64; COUNT]);

impl Amounts {
    /// How much of one: a number, or nanoseconds of a [time](Quantity::is_time).
    #[must_use]
    pub fn get(&self, quantity: Quantity) -> u64 {
        self.0[quantity as usize]
    }

    /// How long, of a [time](Quantity::is_time).
    #[must_use]
    pub fn time(&self, quantity: Quantity) -> Duration {
        Duration::from_nanos(self.get(quantity))
    }

    /// Whether there is nothing of any.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|amount| *amount == 0)
    }

    /// Each with its amount, in the order of [`Quantity::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Quantity, u64)> + '_ {
        Quantity::ALL.into_iter().zip(self.0)
    }

    /// Adds to one.
    pub(crate) fn add(&mut self, quantity: Quantity, amount: u64) {
        let sum = &mut self.0[quantity as usize];
        *sum = sum.saturating_add(amount);
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self(array::from_fn(|at| self.0[at].saturating_add(other.0[at])))
    }

    /// What has been added since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self(array::from_fn(|at| self.0[at].saturating_sub(before.0[at])))
    }
}

impl fmt::Debug for Amounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = self.iter().filter(|(_, amount)| *amount > 0);
        f.debug_map()
            .entries(there.map(|(quantity, amount)| (quantity.name(), amount)))
            .finish()
    }
}

/// Under the names of the quantities; times as seconds.
impl Serialize for Amounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(COUNT))?;
        for (quantity, amount) in self.iter() {
            match quantity.is_time() {
                true => map.serialize_entry(quantity.name(), &seconds(amount))?,
                false => map.serialize_entry(quantity.name(), &amount)?,
            }
        }
        map.end()
    }
}

/// Nanoseconds as seconds.
fn seconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64()
}

/// Counts what one tenant uses in this process, from the process' beginning, or from when it was first
/// used again after others had been for long. Its numbers never become smaller.
///
/// Whoever has one adds to it without a lock, and without asking anybody.
pub struct Meter([AtomicU64; COUNT]);

impl Meter {
    pub(crate) fn new() -> Self {
        Self(array::from_fn(|_| AtomicU64::new(0)))
    }

    /// Adds to one quantity: a number, or nanoseconds of a [time](Quantity::is_time). For what an
    /// application counts besides the library, such as files that it keeps elsewhere.
    pub fn add(&self, quantity: Quantity, amount: u64) {
        self.0[quantity as usize].fetch_add(amount, Ordering::Relaxed);
    }

    /// Adds to a [time](Quantity::is_time).
    pub fn add_time(&self, quantity: Quantity, time: Duration) {
        self.add(quantity, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How much there is by now. What is counted meanwhile may be in it or not.
    #[must_use]
    pub fn amounts(&self) -> Amounts {
        Amounts(array::from_fn(|at| self.0[at].load(Ordering::Relaxed)))
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Meter").field(&self.amounts()).finish()
    }
}

/// On whose account it goes what is done on a handle: a tenant's, or nobody's where it is the
/// library's own work.
#[derive(Clone, Default)]
pub(crate) struct Account(Option<Arc<Meter>>);

impl Account {
    pub(crate) const NOBODY: Self = Self(None);

    pub(crate) fn of(meter: Arc<Meter>) -> Self {
        Self(Some(meter))
    }

    pub(crate) fn add(&self, quantity: Quantity, amount: u64) {
        if let Some(meter) = &self.0 {
            meter.add(quantity, amount);
        }
    }

    pub(super) fn add_time(&self, quantity: Quantity, time: Duration) {
        if let Some(meter) = &self.0 {
            meter.add_time(quantity, time);
        }
    }

    /// Begins to wait for a connection.
    pub(super) fn wait(&self) -> Clock {
        Clock::begin(self, Quantity::DbWaiting)
    }
}

/// Time that goes on an account until this is dropped.
pub(super) struct Clock {
    running: Option<(Arc<Meter>, Instant)>,
    what: Quantity,
}

impl Clock {
    fn begin(account: &Account, what: Quantity) -> Self {
        let running = account.0.as_ref();
        Self {
            running: running.map(|meter| (meter.clone(), Instant::now())),
            what,
        }
    }

    /// Ends the waiting, and begins the loan.
    pub(super) fn lent(mut self) -> Self {
        if let Some((meter, since)) = &mut self.running {
            let now = Instant::now();
            meter.add_time(self.what, now - *since);
            *since = now;
        }
        self.what = Quantity::DbTime;
        self
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        if let Some((meter, since)) = &self.running {
            meter.add_time(self.what, since.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_quantity_has_a_place_and_a_name_of_its_own() {
        let names: HashSet<_> = Quantity::ALL.iter().map(|one| one.name()).collect();
        assert_eq!(names.len(), COUNT);
        let meter = Meter::new();
        for (at, quantity) in Quantity::ALL.into_iter().enumerate() {
            assert_eq!(quantity as usize, at, "{quantity:?}");
            assert_eq!(quantity.is_time(), quantity.name().ends_with("_seconds"));
            meter.add(quantity, at as u64 + 1);
        }
        let amounts = meter.amounts();
        for (at, (quantity, amount)) in amounts.iter().enumerate() {
            assert_eq!(amount, at as u64 + 1, "{quantity:?}");
        }
        let written = serde_json::to_value(amounts).unwrap();
        assert_eq!(written.as_object().unwrap().len(), COUNT);
        assert_eq!(written["requests"], 1);
    }

    #[test]
    fn waiting_and_loans_are_told_apart() {
        let meter = Arc::new(Meter::new());
        let account = Account::of(meter.clone());
        let a_while = Duration::from_millis(20);
        let waiting = account.wait();
        std::thread::sleep(a_while);
        let lent = waiting.lent();
        let waited = meter.amounts().time(Quantity::DbWaiting);
        assert!(waited >= a_while, "{waited:?}");
        std::thread::sleep(a_while);
        assert_eq!(meter.amounts().get(Quantity::DbTime), 0);
        drop(lent);
        assert!(meter.amounts().time(Quantity::DbTime) >= a_while);
        assert_eq!(meter.amounts().time(Quantity::DbWaiting), waited);
        // who waits in vain has waited, too
        drop(account.wait());
        assert!(meter.amounts().time(Quantity::DbWaiting) > waited);
        drop(Account::NOBODY.wait().lent());
    }
}
