//! How much of something is left: a token bucket that can be in debt.

use std::time::{Duration, Instant};

use crate::tenant::{DatabaseTime, Rate};

/// For how long somebody is refused at most because of what was taken before, however much that was.
const LONGEST_DEBT: f64 = 60.0;

/// How fast a bucket fills, and how much is in it then.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Terms {
    pub(super) per_second: f64,
    pub(super) most: f64,
}

impl From<Rate> for Terms {
    fn from(rate: Rate) -> Self {
        Self {
            per_second: rate.each_second(),
            most: rate.burst().into(),
        }
    }
}

/// In seconds.
impl From<DatabaseTime> for Terms {
    fn from(time: DatabaseTime) -> Self {
        Self {
            per_second: time.per_second.as_secs_f64(),
            most: time.burst.as_secs_f64(),
        }
    }
}

/// What is left. The terms are told at each use, so that other ones hold at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    left: f64,
    at: Instant,
    /// The terms that it was used by last.
    terms: Terms,
}

impl Bucket {
    pub(super) fn full(now: Instant) -> Self {
        let terms = Terms {
            per_second: 0.0,
            most: 0.0,
        };
        Self {
            // as much as the terms allow, whatever they are
            left: f64::INFINITY,
            at: now,
            terms,
        }
    }

    fn fill(&mut self, now: Instant, terms: Terms) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + elapsed * terms.per_second).min(terms.most);
        self.at = self.at.max(now);
        self.terms = terms;
    }

    /// Takes one, or tells how long to wait until there is one.
    pub(super) fn take(&mut self, now: Instant, terms: Terms) -> Result<(), Duration> {
        self.fill(now, terms);
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        Err(wait(1.0 - self.left, terms))
    }

    /// Takes what has been used already, whether it is there or not.
    pub(super) fn spend(&mut self, now: Instant, terms: Terms, amount: f64) {
        self.fill(now, terms);
        self.left = (self.left - amount).max(-LONGEST_DEBT * terms.per_second);
    }

    /// Tells how long to wait where there is nothing left.
    pub(super) fn check(&mut self, now: Instant, terms: Terms) -> Result<(), Duration> {
        self.fill(now, terms);
        match self.left > 0.0 {
            true => Ok(()),
            // a little more than nothing
            false => Err(wait(terms.most.min(0.001) - self.left, terms)),
        }
    }

    /// How many are left, and how long it takes until all are.
    pub(super) fn standing(&self) -> (f64, Duration) {
        (
            self.left.max(0.0),
            wait(self.terms.most - self.left, self.terms),
        )
    }

    /// Whether it is as one that was never used.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left + elapsed * self.terms.per_second >= self.terms.most
    }
}

fn wait(missing: f64, terms: Terms) -> Duration {
    Duration::try_from_secs_f64((missing / terms.per_second).max(0.0)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{Bucket, LONGEST_DEBT, Terms};

    const TERMS: Terms = Terms {
        per_second: 2.0,
        most: 3.0,
    };

    #[test]
    fn what_is_taken_comes_back_with_time() {
        let now = Instant::now();
        let mut bucket = Bucket::full(now);
        for _ in 0..3 {
            bucket.take(now, TERMS).unwrap();
        }
        let wait = bucket.take(now, TERMS).unwrap_err();
        assert_eq!(wait, Duration::from_millis(500));
        let before = now + wait - Duration::from_millis(1);
        assert!(bucket.take(before, TERMS).is_err() && !bucket.is_full(before));
        bucket.take(now + wait, TERMS).unwrap();
        assert!(bucket.is_full(now + Duration::from_secs(2)));
        // a clock that another thread read a little earlier takes nothing back
        bucket.take(now, TERMS).unwrap_err();
    }

    #[test]
    fn a_debt_is_paid_before_anything_is_had_and_has_an_end() {
        let now = Instant::now();
        let mut bucket = Bucket::full(now);
        bucket.spend(now, TERMS, 5.0);
        let wait = bucket.check(now, TERMS).unwrap_err();
        assert!(wait >= Duration::from_secs(1), "{wait:?}");
        bucket.check(now + wait, TERMS).unwrap();
        bucket.spend(now + wait, TERMS, 1e9);
        let wait = bucket.check(now + wait, TERMS).unwrap_err();
        assert!(wait.as_secs_f64() < LONGEST_DEBT + 1.0, "{wait:?}");
    }

    #[test]
    fn other_terms_hold_at_once() {
        let now = Instant::now();
        let slow = Terms {
            per_second: 0.01,
            most: 1.0,
        };
        let mut bucket = Bucket::full(now);
        bucket.take(now, slow).unwrap();
        assert!(bucket.take(now, slow).unwrap_err() > Duration::from_secs(90));
        // faster ones are not waited for, and fewer at once are no more
        let wait = bucket.take(now, TERMS).unwrap_err();
        assert_eq!(wait, Duration::from_millis(500));
        let mut bucket = Bucket::full(now);
        bucket.take(now, TERMS).unwrap();
        bucket.take(now, slow).unwrap();
        bucket.take(now, slow).unwrap_err();
    }

    proptest! {
        #[test]
        fn whoever_waits_as_told_has_one(
            per_second in 0.01..1000.0_f64, most in 1_u32..100, pauses in prop::collection::vec(0_u64..2000, 1..200),
        ) {
            let terms = Terms { per_second, most: most.into() };
            let begun = Instant::now();
            let (mut now, mut taken) = (begun, 0.0);
            let mut bucket = Bucket::full(now);
            for pause in pauses {
                now += Duration::from_millis(pause);
                if let Err(wait) = bucket.take(now, terms) {
                    // as it is told: in whole seconds
                    now += Duration::from_secs(wait.as_secs() + 1);
                    prop_assert!(bucket.take(now, terms).is_ok());
                }
                taken += 1.0;
                let elapsed = (now - begun).as_secs_f64();
                prop_assert!(taken <= terms.most + elapsed * per_second + 1e-6);
            }
        }
    }
}
