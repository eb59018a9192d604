use std::time::Duration;

/// How much of the deployment a tenant may take: in a [`Plan`](super::Plan), or for all tenants whose
/// plan says nothing of it ([`Config::limits`](crate::Config::limits)).
///
/// What is not limited is `None`. [`scoped::limits`](crate::scoped::limits) tells how each is kept to.
///
/// ```
/// use std::time::Duration;
/// use tenantry::tenant::{Limits, Plan, Rate};
///
/// let free = Plan::new("free").with_limits(
///     Limits::default()
///         .with_requests(Rate::per_second(10).with_burst(50))
///         .with_concurrent(4, Duration::from_secs(2))
///         .with_database_time(Duration::from_millis(200), Duration::from_secs(2))
///         .with_storage(100 << 20)
///         .with_statement_timeout(Duration::from_secs(5)),
/// );
/// assert!(free.limits().is_some_and(|limits| limits.jobs.is_none()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many requests come in.
    pub requests: Option<Rate>,
    /// How many of them are under way at a time, until the last byte of their answer.
    pub concurrent: Option<Concurrent>,
    /// How long the database works for the tenant's requests.
    pub database_time: Option<DatabaseTime>,
    /// How many bytes the tenant's files have.
    pub storage: Option<u64>,
    /// How many jobs wait to be done.
    pub jobs_waiting: Option<u64>,
    /// How many jobs are enqueued.
    pub jobs: Option<Rate>,
    /// How long one statement takes. Unless told it is what the
    /// [deployment](crate::Config::statement_timeout) has.
    pub statement_timeout: Option<Duration>,
}

/// So many in a time, and some more at once after a time with fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    amount: u32,
    per: Duration,
    burst: u32,
}

/// How many at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Concurrent {
    /// At most so many.
    pub most: u32,
    /// How long a further one waits for one of them to end before it is refused. As many wait as may be
    /// under way, and no more.
    pub wait: Duration,
}

/// How long the database works for a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatabaseTime {
    /// In each second. More than a second, where several connections work at a time.
    pub per_second: Duration,
    /// So much more at once, after a time with less.
    pub burst: Duration,
}

impl Default for Limits {
    /// What protects others and is in nobody's way: 1,000 requests at a time, of which none waits.
    fn default() -> Self {
        Self::none().with_concurrent(1_000, Duration::ZERO)
    }
}

impl Limits {
    /// None at all.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            requests: None,
            concurrent: None,
            database_time: None,
            storage: None,
            jobs_waiting: None,
            jobs: None,
            statement_timeout: None,
        }
    }

    /// The same, with so many requests.
    #[must_use]
    pub const fn with_requests(mut self, rate: Rate) -> Self {
        self.requests = Some(rate);
        self
    }

    /// The same, with at most so many requests at a time; a further one waits for so long.
    #[must_use]
    pub const fn with_concurrent(mut self, most: u32, wait: Duration) -> Self {
        self.concurrent = Some(Concurrent { most, wait });
        self
    }

    /// The same, with so much of the database's time in each second, and so much at once.
    ///
    /// # Panics
    /// When one of them is nothing.
    #[must_use]
    pub const fn with_database_time(mut self, per_second: Duration, burst: Duration) -> Self {
        assert!(
            !per_second.is_zero() && !burst.is_zero(),
            "nobody does anything without a database"
        );
        self.database_time = Some(DatabaseTime { per_second, burst });
        self
    }

    /// The same, with files of so many bytes.
    #[must_use]
    pub const fn with_storage(mut self, bytes: u64) -> Self {
        self.storage = Some(bytes);
        self
    }

    /// The same, with so many jobs that wait.
    #[must_use]
    pub const fn with_jobs_waiting(mut self, most: u64) -> Self {
        self.jobs_waiting = Some(most);
        self
    }

    /// The same, with so many jobs enqueued.
    #[must_use]
    pub const fn with_jobs(mut self, rate: Rate) -> Self {
        self.jobs = Some(rate);
        self
    }

    /// The same, with statements that take no longer.
    ///
    /// # Panics
    /// When it is less than a millisecond.
    #[must_use]
    pub const fn with_statement_timeout(mut self, longest: Duration) -> Self {
        assert!(longest.as_millis() > 0, "no statement takes no time");
        self.statement_timeout = Some(longest);
        self
    }

    /// Of each limit the tighter one.
    #[must_use]
    pub(crate) fn tightest(self, other: Self) -> Self {
        Self {
            requests: lesser(self.requests, other.requests, Rate::lesser),
            concurrent: lesser(self.concurrent, other.concurrent, |one, other| Concurrent {
                most: one.most.min(other.most),
                wait: one.wait.min(other.wait),
            }),
            database_time: lesser(self.database_time, other.database_time, |one, other| {
                DatabaseTime {
                    per_second: one.per_second.min(other.per_second),
                    burst: one.burst.min(other.burst),
                }
            }),
            storage: lesser(self.storage, other.storage, u64::min),
            jobs_waiting: lesser(self.jobs_waiting, other.jobs_waiting, u64::min),
            jobs: lesser(self.jobs, other.jobs, Rate::lesser),
            statement_timeout: lesser(
                self.statement_timeout,
                other.statement_timeout,
                Duration::min,
            ),
        }
    }
}

fn lesser<T>(one: Option<T>, other: Option<T>, of_both: impl FnOnce(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(of_both(one, other)),
        (one, other) => one.or(other),
    }
}

impl Rate {
    /// So many in a second, as many of them at once.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub const fn per_second(amount: u32) -> Self {
        Self::per(amount, Duration::from_secs(1))
    }

    /// So many in a minute, as many of them at once.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub const fn per_minute(amount: u32) -> Self {
        Self::per(amount, Duration::from_secs(60))
    }

    const fn per(amount: u32, per: Duration) -> Self {
        assert!(amount > 0, "whoever may do nothing is suspended");
        Self {
            amount,
            per,
            burst: amount,
        }
    }

    /// The same, with so many at once after a time with fewer.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub const fn with_burst(mut self, burst: u32) -> Self {
        assert!(burst > 0, "one at a time, at least");
        self.burst = burst;
        self
    }

    /// How many at once.
    #[must_use]
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// How many in a second, on average.
    #[must_use]
    pub fn each_second(self) -> f64 {
        f64::from(self.amount) / self.per.as_secs_f64()
    }

    fn lesser(self, other: Self) -> Self {
        let slower = match self.each_second() <= other.each_second() {
            true => self,
            false => other,
        };
        slower.with_burst(self.burst.min(other.burst))
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = match self.per.as_secs() {
            60 => "minute",
            _ => "second",
        };
        write!(f, "{} a {time}, {} at once", self.amount, self.burst)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Limits, Rate};

    #[test]
    fn of_two_the_tighter_holds() {
        let one = Limits::none()
            .with_requests(Rate::per_second(10).with_burst(100))
            .with_storage(5)
            .with_concurrent(2, Duration::from_secs(9));
        let other = Limits::none()
            .with_requests(Rate::per_minute(60).with_burst(500))
            .with_storage(9)
            .with_jobs_waiting(1);
        let both = one.tightest(other);
        assert_eq!(both, other.tightest(one));
        let slower = Rate::per_minute(60).with_burst(100);
        assert_eq!(both.requests, Some(slower));
        assert_eq!((both.storage, both.jobs_waiting), (Some(5), Some(1)));
        assert_eq!(both.concurrent, one.concurrent);
        assert_eq!(slower.to_string(), "60 a minute, 100 at once");
    }
}
