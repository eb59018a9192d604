//! How requests are answered in this process.

use std::{
    collections::BTreeMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Below how many seconds answers are counted together.
const BOUNDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// The answers of this process, by method and route. There are as many lines as the application has
/// routes, whatever is asked for.
#[derive(Default)]
pub(crate) struct Answers {
    by_route: RwLock<BTreeMap<&'static str, BTreeMap<Box<str>, Counts>>>,
    under_way: AtomicU64,
}

#[derive(Default)]
struct Counts {
    /// By the first digit of the status.
    by_class: [AtomicU64; 6],
    /// By how long they took: the last for those beyond all bounds.
    by_time: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// How requests by one method to one route were answered in this process.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RouteAnswers {
    /// The method; `other` for one that is unusual.
    pub method: &'static str,
    /// The route as it was listed; `none` for all that are none.
    pub route: String,
    /// How many were answered with 1xx to 5xx, in that order.
    pub by_class: [u64; 5],
    /// How many took so many seconds at most, and more than those before; the last without a bound.
    pub by_time: Vec<(f64, u64)>,
    /// How long all of them took, until the answer began.
    pub time: Duration,
}

impl Counts {
    fn add(&self, status: u16, took: Duration) {
        let class = usize::from(status / 100).min(5);
        self.by_class[class].fetch_add(1, Ordering::Relaxed);
        let seconds = took.as_secs_f64();
        let at = BOUNDS.partition_point(|bound| *bound < seconds);
        self.by_time[at].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

impl Answers {
    pub(crate) fn begin(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self)
    }

    pub(crate) fn count(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        {
            let all = self.by_route.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(counts) = all.get(method).and_then(|routes| routes.get(route)) {
                return counts.add(status, took);
            }
        }
        let mut all = self
            .by_route
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let routes = all.entry(method).or_default();
        routes.entry(route.into()).or_default().add(status, took);
    }

    /// How many requests have no answer yet.
    pub(crate) fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Those there are.
    pub(crate) fn all(&self) -> Vec<RouteAnswers> {
        let all = self.by_route.read().unwrap_or_else(PoisonError::into_inner);
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        all.iter()
            .flat_map(|(method, routes)| routes.iter().map(move |one| (method, one)))
            .map(|(method, (route, counts))| RouteAnswers {
                method,
                route: route.to_string(),
                by_class: [1, 2, 3, 4, 5].map(|class| read(&counts.by_class[class])),
                by_time: bounds
                    .clone()
                    .zip(counts.by_time.iter().map(read))
                    .collect(),
                time: Duration::from_nanos(read(&counts.nanoseconds)),
            })
            .collect()
    }
}

/// A request without an answer, until it is dropped.
pub(crate) struct UnderWay<'a>(&'a Answers);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_what_is_bounded() {
        let answers = Answers::default();
        for (status, millis) in [(200, 0), (204, 3), (404, 3), (500, 20_000)] {
            answers.count("other", "none", status, Duration::from_millis(millis));
        }
        let all = answers.all();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].by_class, [0, 2, 0, 1, 1]);
        let there: Vec<_> = all[0].by_time.iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(there, [&(0.001, 1), &(0.005, 2), &(f64::INFINITY, 1)]);
        assert!(all[0].time >= Duration::from_millis(20_006));
        let begun = answers.begin();
        assert_eq!(answers.under_way(), 1);
        drop(begun);
        assert_eq!(answers.under_way(), 0);
    }
}
