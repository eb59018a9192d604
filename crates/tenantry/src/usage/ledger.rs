//! What the meters have shown since they were last looked at: what is to be written down of it, and
//! what metrics tell.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use chrono::{DateTime, Timelike, Utc};

use super::Meters;
use crate::{
    catalog::Written,
    db::{Amounts, Meter, Quantity},
    tenant::TenantId,
};

/// So many meters are kept though nobody uses them.
const KEPT: usize = 10_000;

/// After so long, what a tenant has done counts half as much for whether it is one of the busiest.
const HALF_LIFE: Duration = Duration::from_secs(600);

/// By how much a tenant has to be busier to take another's place among the busiest.
const BUSIER: f64 = 1.25;

/// What a request counts for, in nanoseconds of the database's time.
const REQUEST: f64 = 1e6;

/// All that is known of what was used in this process.
pub(crate) struct Ledger {
    /// The hour that what is collected next belongs to.
    hour: DateTime<Utc>,
    collected: DateTime<Utc>,
    known: HashMap<TenantId, Known>,
    unsent: BTreeMap<(TenantId, DateTime<Utc>), (Amounts, [u64; 2])>,
    most: usize,
    top: HashSet<TenantId>,
    other: Amounts,
    all: Amounts,
}

/// What is known of one tenant.
#[derive(Default)]
struct Known {
    /// What its meter has shown.
    seen: Amounts,
    /// What it has used while it was one of the busiest.
    own: Amounts,
    /// How busy it was lately.
    score: f64,
    /// The hour for which it was told how many bytes it has.
    sampled: Option<DateTime<Utc>>,
}

/// What tenants have used in this process, the busiest by themselves and all others as one.
///
/// What a tenant uses goes on its own line while it is one of the busiest, and otherwise on that of all
/// others. So no line ever shows less than before, whoever comes and goes; and a line of a tenant that
/// comes back goes on where it was.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Busiest {
    /// The busiest, and what each has used while it was one of them.
    pub tenants: Vec<(TenantId, Amounts)>,
    /// What was used by tenants while they were none of them.
    pub other: Amounts,
    /// What all have used.
    pub all: Amounts,
}

impl Ledger {
    /// Nothing yet. So many tenants are told apart in metrics.
    pub(crate) fn new(most: usize, now: DateTime<Utc>) -> Self {
        Self {
            hour: start_of_hour(now),
            collected: now,
            known: HashMap::new(),
            unsent: BTreeMap::new(),
            most,
            top: HashSet::new(),
            other: Amounts::default(),
            all: Amounts::default(),
        }
    }

    /// Looks at the meters.
    pub(crate) fn collect(&mut self, meters: &Meters, now: DateTime<Utc>) {
        let shown = meters.all().into_iter();
        // none is held beyond this: one that somebody has is not forgotten
        let shown = shown.map(|(id, meter)| (id, meter.amounts())).collect();
        let idle = self.take(shown, now);
        let spare = self.known.len().saturating_sub(KEPT);
        for id in idle.into_iter().take(spare) {
            let seen = self.known[&id].seen;
            if meters.forget(id, |meter: &Meter| meter.amounts() == seen) {
                self.known.remove(&id);
                self.top.remove(&id);
            }
        }
    }

    /// Takes what meters show, and tells whose have shown nothing new.
    fn take(&mut self, shown: Vec<(TenantId, Amounts)>, now: DateTime<Utc>) -> Vec<TenantId> {
        let mut news = Vec::new();
        let mut idle = Vec::new();
        for (id, amounts) in shown {
            let known = self.known.entry(id).or_default();
            let new = amounts.since(&known.seen);
            known.seen = amounts;
            match new.is_zero() {
                true => idle.push(id),
                false => news.push((id, new)),
            }
        }
        // where there is room, those are told apart from the first that they do
        let busy = |new: &Amounts| {
            new.get(Quantity::DbTime) as f64 + new.get(Quantity::Requests) as f64 * REQUEST
        };
        news.sort_by(|(_, one), (_, other)| busy(other).total_cmp(&busy(one)));
        for (id, _) in &news {
            if self.top.len() >= self.most {
                break;
            }
            self.top.insert(*id);
        }
        let passed = (now - self.collected).to_std().unwrap_or_default();
        let left = 0.5_f64.powf(passed.as_secs_f64() / HALF_LIFE.as_secs_f64());
        for known in self.known.values_mut() {
            known.score *= left;
        }
        for (id, new) in &news {
            self.all = self.all.plus(new);
            let known = self.known.entry(*id).or_default();
            known.score += busy(new);
            if self.top.contains(id) {
                known.own = known.own.plus(new);
            } else {
                self.other = self.other.plus(new);
            }
            let (unsent, _) = self.unsent.entry((*id, self.hour)).or_default();
            *unsent = unsent.plus(new);
        }
        self.choose();
        self.collected = now;
        self.hour = start_of_hour(now);
        idle
    }

    /// Chooses who is told apart from now on.
    fn choose(&mut self) {
        if self.known.len() <= self.most {
            return;
        }
        let weighed = |(id, known): (&TenantId, &Known)| {
            let bonus = if self.top.contains(id) { BUSIER } else { 1.0 };
            (known.score * bonus, *id)
        };
        let mut all: Vec<(f64, TenantId)> = self.known.iter().map(weighed).collect();
        all.sort_by(|(one, a), (other, b)| other.total_cmp(one).then(a.cmp(b)));
        all.truncate(self.most);
        self.top = all.into_iter().map(|(_, id)| id).collect();
    }

    /// Who is told apart, and what they and all others have used.
    pub(crate) fn busiest(&self) -> Busiest {
        let mut tenants: Vec<_> = self
            .top
            .iter()
            .filter_map(|id| Some((*id, self.known.get(id)?.own)))
            .collect();
        tenants.sort_by_key(|(id, _)| *id);
        Busiest {
            tenants,
            other: self.other,
            all: self.all,
        }
    }

    /// Takes what is to be written down, in order.
    pub(super) fn take_unsent(&mut self) -> Vec<Written> {
        let unsent = std::mem::take(&mut self.unsent).into_iter();
        unsent
            .map(|((tenant, begins), (amounts, stored))| Written {
                tenant,
                begins,
                amounts,
                stored,
            })
            .collect()
    }

    /// Those that have done something, and of whom it is not known how many bytes they have in this
    /// hour.
    pub(super) fn unsampled(&self, most: usize) -> Vec<TenantId> {
        let of_now = self.unsent.keys().filter(|(id, hour)| {
            let known = self.known.get(id);
            *hour == self.hour && known.is_some_and(|known| known.sampled != Some(*hour))
        });
        of_now.take(most).map(|(id, _)| *id).collect()
    }

    /// Notes how many bytes a tenant has.
    pub(super) fn note_stored(&mut self, id: TenantId, stored: [u64; 2]) {
        let hour = self.hour;
        if let Some(known) = self.known.get_mut(&id) {
            known.sampled = Some(hour);
        }
        let (_, most) = self.unsent.entry((id, hour)).or_default();
        *most = [0, 1].map(|at| most[at].max(stored[at]));
    }
}

pub(super) fn start_of_hour(at: DateTime<Utc>) -> DateTime<Utc> {
    at.date_naive()
        .and_hms_opt(at.hour(), 0, 0)
        .map_or(at, |hour| hour.and_utc())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        let noon = "2026-03-01T12:00:00Z".parse::<DateTime<Utc>>().unwrap();
        noon + TimeDelta::seconds(seconds)
    }

    /// So many tenants, each with a meter.
    fn tenants(many: usize) -> (Meters, Vec<TenantId>) {
        let meters = Meters::default();
        let ids: Vec<TenantId> = (0..many).map(|_| TenantId::generate()).collect();
        for id in &ids {
            meters.of(*id);
        }
        (meters, ids)
    }

    fn requests(busiest: &Busiest, id: TenantId) -> Option<u64> {
        let found = busiest.tenants.iter().find(|(one, _)| *one == id);
        found.map(|(_, amounts)| amounts.get(Quantity::Requests))
    }

    #[test]
    fn with_few_tenants_each_is_told_apart_from_the_first() {
        let (meters, ids) = tenants(3);
        let mut ledger = Ledger::new(3, at(0));
        for (times, id) in ids.iter().enumerate() {
            meters.of(*id).add(Quantity::Requests, times as u64 + 1);
        }
        ledger.collect(&meters, at(1));
        let busiest = ledger.busiest();
        for (times, id) in ids.iter().enumerate() {
            assert_eq!(requests(&busiest, *id), Some(times as u64 + 1));
        }
        assert!(busiest.other.is_zero());
        assert_eq!(busiest.all.get(Quantity::Requests), 6);
    }

    #[test]
    fn of_a_thousand_tenants_the_busiest_are_told_apart_and_no_line_goes_back() {
        const MOST: usize = 20;
        let (meters, ids) = tenants(1_000);
        let mut ledger = Ledger::new(MOST, at(0));
        let mut before = Busiest::default();
        let mut ever: HashMap<TenantId, u64> = HashMap::new();
        let mut said = 0;
        for round in 0..100 {
            for (number, id) in ids.iter().enumerate() {
                // every tenth round others are the busiest
                let is_busy = (number / MOST) % 50 == round / 10;
                let new = if is_busy { 1_000 } else { number as u64 % 3 };
                meters.of(*id).add(Quantity::Requests, new);
                said += new;
            }
            ledger.collect(&meters, at(i64::try_from(round).unwrap() * 60 + 60));
            let now = ledger.busiest();
            assert_eq!(now.tenants.len(), MOST, "round {round}");
            assert_eq!(now.all.get(Quantity::Requests), said);
            let other = |busiest: &Busiest| busiest.other.get(Quantity::Requests);
            assert!(other(&now) >= other(&before), "round {round}");
            for (id, amounts) in &now.tenants {
                let shown = amounts.get(Quantity::Requests);
                let last = ever.insert(*id, shown).unwrap_or(0);
                assert!(shown >= last, "round {round}");
            }
            before = now;
        }
        // nothing is lost between the lines, nor told twice
        let own: u64 = ever.values().sum();
        let still: u64 = ledger
            .known
            .values()
            .map(|known| known.own.get(Quantity::Requests))
            .sum();
        assert!(own <= still);
        assert_eq!(still + before.other.get(Quantity::Requests), said);
        // those that are busiest by now are the ones that are told apart
        let busy: Vec<TenantId> = ids[9 * MOST..10 * MOST].to_vec();
        let told: HashSet<_> = before.tenants.iter().map(|(id, _)| *id).collect();
        assert!(busy.iter().filter(|id| told.contains(id)).count() >= MOST / 2);
    }

    #[test]
    fn what_is_used_belongs_to_the_hour_before_it_is_collected() {
        let (meters, ids) = tenants(1);
        let mut ledger = Ledger::new(20, at(3_590));
        meters.of(ids[0]).add(Quantity::Requests, 1);
        ledger.collect(&meters, at(3_600));
        meters.of(ids[0]).add(Quantity::Requests, 2);
        ledger.note_stored(ids[0], [7, 8]);
        ledger.collect(&meters, at(3_630));
        ledger.collect(&meters, at(3_640));
        let unsent = ledger.take_unsent();
        let told: Vec<_> = unsent
            .iter()
            .map(|row| (row.begins, row.amounts.get(Quantity::Requests), row.stored))
            .collect();
        assert_eq!(told, [(at(0), 1, [0, 0]), (at(3_600), 2, [7, 8])]);
        assert!(ledger.take_unsent().is_empty());
    }

    #[test]
    fn a_meter_is_forgotten_when_nobody_has_it_and_all_of_it_is_known() {
        let (meters, ids) = tenants(KEPT + 3);
        let mut ledger = Ledger::new(20, at(0));
        let held = meters.of(ids[0]);
        meters.of(ids[1]).add(Quantity::Requests, 1);
        ledger.collect(&meters, at(1));
        // one was used just now
        assert_eq!(meters.all().len(), KEPT);
        held.add(Quantity::Requests, 5);
        ledger.collect(&meters, at(2));
        let sent: u64 = ledger
            .take_unsent()
            .iter()
            .map(|row| row.amounts.get(Quantity::Requests))
            .sum();
        assert_eq!(sent, 6, "a meter that somebody has is not lost");
        assert!(!meters.forget(ids[0], |_| true), "somebody has it");
    }
}
