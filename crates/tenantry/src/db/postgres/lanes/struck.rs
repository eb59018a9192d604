//! Statements that took long in a [lane](super), and stay out of it for a while.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::tenant::TenantId;

/// How long a statement stays out that took long so often, each time soon after the one before. Not for long, as
/// everything takes long where the machine has too much to do, and that is when lanes help most.
const BAN: Duration = Duration::from_secs(10);
const STRIKES: u32 = 3;
const WITHIN: Duration = Duration::from_secs(10);

/// So many that were brief make up for one that was not: of what is read often, some have to wait for a processor.
const MAKE_UP: u32 = 50;

/// How many statements it is remembered of.
const MOST: usize = 1024;

/// Statements that took long for a tenant, and those for which others had to leave, whosever they were.
#[derive(Default)]
pub(super) struct Struck(HashMap<(Option<TenantId>, Arc<str>), Strikes>);

/// How often a statement took long, as far as it was not made up for.
struct Strikes {
    score: u32,
    is_out: bool,
    /// When it took long the last time.
    last: Instant,
}

impl Strikes {
    fn are_out(&self, now: Instant) -> bool {
        self.is_out && now.duration_since(self.last) < BAN
    }

    fn count_for(&self, now: Instant) -> bool {
        self.are_out(now) || now.duration_since(self.last) < WITHIN
    }
}

impl Struck {
    /// Whether the tenant's statement stays out.
    pub(super) fn is_out(&self, whose: TenantId, sql: &Arc<str>, now: Instant) -> bool {
        let is_out = |whose| {
            let strikes = self.0.get(&(whose, sql.clone()));
            strikes.is_some_and(|strikes| strikes.are_out(now))
        };
        !self.0.is_empty() && (is_out(Some(whose)) || is_out(None))
    }

    /// Notes that a tenant's statement did not take long.
    pub(super) fn was_brief(&mut self, whose: TenantId, sql: &Arc<str>) {
        if self.0.is_empty() {
            return;
        }
        let key = (Some(whose), sql.clone());
        if let Some(strikes) = self.0.get_mut(&key) {
            strikes.score = strikes.score.saturating_sub(1);
            if strikes.score == 0 {
                self.0.remove(&key);
            }
        }
    }

    /// Notes that a statement took long, for a tenant or for whoever says it.
    pub(super) fn once(&mut self, whose: Option<TenantId>, sql: &Arc<str>, now: Instant) {
        self.strike(whose, sql, 1, now);
    }

    /// Keeps a tenant's statement out.
    pub(super) fn out(&mut self, whose: TenantId, sql: &Arc<str>, now: Instant) {
        self.strike(Some(whose), sql, STRIKES, now);
    }

    fn strike(&mut self, whose: Option<TenantId>, sql: &Arc<str>, count: u32, now: Instant) {
        if self.0.len() >= MOST {
            self.0.retain(|_, strikes| strikes.count_for(now));
        }
        if self.0.len() >= MOST {
            return;
        }
        let new = || Strikes {
            score: 0,
            is_out: false,
            last: now,
        };
        let strikes = self.0.entry((whose, sql.clone())).or_insert_with(new);
        if !strikes.count_for(now) {
            *strikes = new();
        }
        strikes.score = strikes.score.saturating_add(count * MAKE_UP);
        strikes.is_out |= strikes.score > (STRIKES - 1) * MAKE_UP;
        strikes.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_thrice_stays_out_for_whom_it_did() {
        let (one, other) = (TenantId::generate(), TenantId::generate());
        let sql: Arc<str> = "SELECT 1".into();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut struck = Struck::default();
        for second in [0, 5, 9] {
            assert!(!struck.is_out(one, &sql, at(second)));
            struck.once(Some(one), &sql, at(second));
        }
        // as long as it says from the last time on, and nobody else's
        assert!(struck.is_out(one, &sql, at(18)));
        assert!(!struck.is_out(other, &sql, at(18)));
        assert!(!struck.is_out(one, &sql, at(19)));
        struck.once(Some(one), &sql, at(30));
        assert!(!struck.is_out(one, &sql, at(30)));
        struck.out(one, &sql, at(31));
        assert!(struck.is_out(one, &sql, at(31)));
        for _ in 0..STRIKES {
            struck.once(None, &sql, at(32));
        }
        assert!(struck.is_out(other, &sql, at(32)));
    }

    #[test]
    fn what_is_read_often_may_take_long_now_and_then() {
        let one = TenantId::generate();
        let sql: Arc<str> = "SELECT 1".into();
        let now = Instant::now();
        let mut struck = Struck::default();
        for read in 0..10_020 {
            assert!(!struck.is_out(one, &sql, now), "{read}");
            match read % 60 {
                0 => struck.once(Some(one), &sql, now),
                _ => struck.was_brief(one, &sql),
            }
        }
        // and is as soon out as others when it takes long each time
        for _ in 0..STRIKES {
            assert!(!struck.is_out(one, &sql, now));
            struck.once(Some(one), &sql, now);
        }
        assert!(struck.is_out(one, &sql, now));
    }
}
