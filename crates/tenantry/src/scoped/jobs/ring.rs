//! Whose turn it is.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

use super::turn::Turn;
use crate::tenant::TenantId;

/// How long a tenant waits of whom nothing can be had now, at first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(25);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The same, of one whose database fails.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The tenants that have something due, in the order of their turns. Whoever had one goes to the end,
/// so that one that has much to do does not come before those that have little.
pub(super) struct Ring<T> {
    order: VecDeque<TenantId>,
    entries: HashMap<TenantId, Entry<T>>,
}

struct Entry<T> {
    tenant: T,
    due: DateTime<Utc>,
    running: u16,
    listed: bool,
    waits: Option<Instant>,
    wait: Duration,
}

impl<T: Clone> Ring<T> {
    pub(super) fn new() -> Self {
        Self {
            order: VecDeque::new(),
            entries: HashMap::new(),
        }
    }

    /// Those who have something due by now. Who was here and is not among them has nothing any more.
    pub(super) fn update(&mut self, due: impl Iterator<Item = (TenantId, T, DateTime<Utc>)>) {
        for entry in self.entries.values_mut() {
            entry.listed = false;
        }
        for (id, tenant, due) in due {
            match self.entries.get_mut(&id) {
                Some(entry) => {
                    if entry.due != due {
                        entry.waits = None; // something new came
                    }
                    entry.tenant = tenant;
                    entry.due = due;
                    entry.listed = true;
                }
                None => {
                    let entry = Entry {
                        tenant,
                        due,
                        running: 0,
                        listed: true,
                        waits: None,
                        wait: Duration::ZERO,
                    };
                    self.entries.insert(id, entry);
                    self.order.push_back(id);
                }
            }
        }
        let entries = &mut self.entries;
        self.order.retain(|id| {
            let stays = entries
                .get(id)
                .is_some_and(|one| one.listed || one.running > 0);
            if !stays {
                entries.remove(id);
            }
            stays
        });
    }

    /// The next whose turn it is, of whom not as many are at work already as `at_once` says.
    pub(super) fn next(&mut self, at_once: impl Fn(&T) -> u16) -> Option<(TenantId, T)> {
        let now = Instant::now();
        for _ in 0..self.order.len() {
            let id = self.order.pop_front()?;
            self.order.push_back(id);
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            let awake = entry.waits.is_none_or(|until| until <= now);
            if entry.listed && awake && entry.running < at_once(&entry.tenant).max(1) {
                entry.running += 1;
                return Some((id, entry.tenant.clone()));
            }
        }
        None
    }

    /// A turn ended.
    pub(super) fn ended(&mut self, id: TenantId, turn: Turn) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.running = entry.running.saturating_sub(1);
        let (first, longest) = match turn {
            Turn::More => {
                entry.wait = Duration::ZERO;
                return;
            }
            Turn::Idle | Turn::Gone => {
                entry.listed = false;
                entry.wait = Duration::ZERO;
                return;
            }
            Turn::Blocked => (FIRST_WAIT, LONGEST_WAIT),
            Turn::Failed => (FIRST_PAUSE, LONGEST_PAUSE),
        };
        entry.wait = (entry.wait * 2).clamp(first, longest);
        entry.waits = Some(Instant::now() + entry.wait);
    }

    /// When the first of those that wait is to be asked again.
    pub(super) fn wakes(&self) -> Option<Instant> {
        self.entries
            .values()
            .filter(|entry| entry.listed)
            .filter_map(|entry| entry.waits)
            .filter(|until| *until > Instant::now())
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(tenants: u8) -> (Ring<u8>, Vec<TenantId>) {
        let ids: Vec<_> = (0..tenants).map(|_| TenantId::generate()).collect();
        let mut ring = Ring::new();
        let now = Utc::now();
        ring.update((0..tenants).map(|n| (ids[usize::from(n)], n, now)));
        (ring, ids)
    }

    #[test]
    fn each_has_its_turn_before_one_has_two() {
        let (mut ring, ids) = ring(3);
        let turns: Vec<_> = (0..7)
            .map(|_| {
                let (id, tenant) = ring.next(|_| 1).unwrap();
                ring.ended(id, Turn::More);
                tenant
            })
            .collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2, 0]);
        ring.ended(ids[1], Turn::Idle);
        assert_eq!(ring.next(|_| 1).unwrap().1, 2);
    }

    #[test]
    fn no_more_of_one_than_may() {
        let (mut ring, _) = ring(2);
        let at_once = |tenant: &u8| u16::from(*tenant) + 1;
        let begun: Vec<_> = std::iter::from_fn(|| ring.next(at_once))
            .map(|(_, t)| t)
            .collect();
        assert_eq!(begun.iter().filter(|tenant| **tenant == 0).count(), 1);
        assert_eq!(begun.len(), 3);
    }

    #[test]
    fn who_has_nothing_now_waits_until_something_comes() {
        let (mut ring, ids) = ring(1);
        let (id, _) = ring.next(|_| 1).unwrap();
        ring.ended(id, Turn::Blocked);
        assert!(ring.next(|_| 1).is_none() && ring.wakes().is_some());
        ring.update([(ids[0], 0, Utc::now() - chrono::Duration::seconds(1))].into_iter());
        assert!(ring.next(|_| 1).is_some());
    }
}
