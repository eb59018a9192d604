//! How often somebody may try to sign in, and do what else is dear before anybody knows who they are.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::sync::Cache;

use crate::tenant::TenantId;

/// How many keys are counted at a time, over all tenants: some 20 MB.
const MOST_KEYS: u64 = 100_000;

/// So many at once, and then one in each interval.
#[derive(Debug, Clone, Copy)]
struct Limit {
    burst: i64,
    interval: Duration,
}

/// One account from one address.
const OF_PAIR: Limit = Limit {
    burst: 10,
    interval: Duration::from_secs(30),
};

/// Any account of one realm from one address, which may be a proxy's that nobody has told us of.
const OF_ADDRESS: Limit = Limit {
    burst: 100,
    interval: Duration::from_secs(1),
};

/// One account from all addresses that it was not signed in from before.
const OF_ACCOUNT: Limit = Limit {
    burst: 50,
    interval: Duration::from_secs(10),
};

/// Accounts that are made from one address, of whom many may sit behind one proxy.
const OF_REGISTRATIONS: Limit = Limit {
    burst: 200,
    interval: Duration::from_secs(5),
};

/// Questions to name servers for one tenant.
const OF_QUESTIONS: Limit = Limit {
    burst: 20,
    interval: Duration::from_secs(10),
};

/// Whose accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Realm {
    /// A tenant's.
    Tenant(TenantId),
    /// Those of people who stand outside of tenants.
    Accounts,
    /// The operators'.
    Operators,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Pair(Realm, String, Option<String>),
    Address(Realm, Option<String>),
    Account(Realm, String),
    Registration(Option<String>),
    Question(TenantId),
}

/// Counts attempts to sign in, in this process. The account need not exist.
///
/// Failures count and successes do not. An account's attempts are limited from each address by
/// itself; those of all addresses together only for addresses that the account was never signed in
/// from. So whoever tries passwords from many places slows down strangers, and not the owner at
/// home: nobody is locked out for good.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    since: Instant,
    /// When each key would be at rest, in microseconds: the
    /// [generic cell rate algorithm](https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm).
    rests: Cache<Key, Arc<AtomicI64>>,
}

/// What an attempt took, to be given back when it was no failure.
#[derive(Debug)]
#[must_use]
pub(crate) struct Taken(Vec<(Arc<AtomicI64>, i64)>);

impl Guard {
    pub(crate) fn new() -> Self {
        Self {
            since: Instant::now(),
            rests: Cache::builder()
                .max_capacity(MOST_KEYS)
                .time_to_idle(Duration::from_secs(30 * 60))
                .build(),
        }
    }

    /// Takes an attempt on the account `name`, or tells how long to wait. `is_known` is whether the
    /// account was signed in from there before.
    pub(crate) fn take(
        &self,
        realm: Realm,
        name: &str,
        address: Option<IpAddr>,
        is_known: bool,
    ) -> Result<Taken, Duration> {
        let address = address.map(network);
        // names of any length are tried
        let name = hex::encode(&super::secret::digest(name)[..16]);
        let mut keys = vec![
            (Key::Pair(realm, name.clone(), address.clone()), OF_PAIR),
            (Key::Address(realm, address), OF_ADDRESS),
        ];
        if !is_known {
            keys.push((Key::Account(realm, name), OF_ACCOUNT));
        }
        let mut taken = Taken(Vec::new());
        for (key, limit) in keys {
            match self.take_one(key, limit) {
                Ok(one) => taken.0.push(one),
                Err(wait) => {
                    taken.give_back();
                    return Err(wait);
                }
            }
        }
        Ok(taken)
    }

    /// Takes one of the accounts that may be made from an address, or tells how long to wait.
    pub(crate) fn take_registration(&self, address: Option<IpAddr>) -> Result<(), Duration> {
        let key = Key::Registration(address.map(network));
        self.take_one(key, OF_REGISTRATIONS).map(drop)
    }

    /// Takes one of the questions that may be put to name servers for a tenant, or tells how long to
    /// wait.
    pub(crate) fn take_question(&self, tenant: TenantId) -> Result<(), Duration> {
        self.take_one(Key::Question(tenant), OF_QUESTIONS).map(drop)
    }

    fn take_one(&self, key: Key, limit: Limit) -> Result<(Arc<AtomicI64>, i64), Duration> {
        let rest = self.rests.get_with(key, Arc::default);
        let now = micros(self.since.elapsed());
        limit.take(&rest, now).map(|cost| (rest, cost))
    }
}

impl Limit {
    fn take(self, rest: &AtomicI64, now: i64) -> Result<i64, Duration> {
        let cost = micros(self.interval);
        let most = cost * self.burst;
        let next = |rest: i64| {
            let next = rest.max(now) + cost;
            (next - now <= most).then_some(next)
        };
        rest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .map(|_| cost)
            .map_err(|rest| {
                let wait = rest.max(now) + cost - now - most;
                Duration::from_micros(wait.unsigned_abs())
            })
    }
}

impl Taken {
    /// It was no failure.
    pub(crate) fn give_back(self) {
        for (rest, cost) in self.0 {
            rest.fetch_sub(cost, Ordering::Relaxed);
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Of IPv6, the network that one customer is usually given: within it addresses cost nothing.
pub(crate) fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{
        Guard, OF_ACCOUNT, OF_ADDRESS, OF_PAIR, OF_QUESTIONS, OF_REGISTRATIONS, Realm, network,
    };
    use crate::tenant::TenantId;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn fail(guard: &Guard, name: &str, from: &str, is_known: bool) -> bool {
        let taken = guard.take(Realm::Operators, name, address(from), is_known);
        taken.is_ok()
    }

    #[test]
    fn failures_from_one_address_are_limited() {
        let guard = Guard::new();
        for _ in 0..OF_PAIR.burst {
            assert!(fail(&guard, "ann", "192.0.2.1", false));
        }
        assert!(!fail(&guard, "ann", "192.0.2.1", false));
        assert!(fail(&guard, "bob", "192.0.2.1", false), "another account");
        assert!(fail(&guard, "ann", "192.0.2.2", false), "another address");
        let wait = guard
            .take(Realm::Operators, "ann", address("192.0.2.1"), true)
            .unwrap_err();
        assert!(!wait.is_zero() && wait <= OF_PAIR.interval, "{wait:?}");
    }

    #[test]
    fn successes_cost_nothing() {
        let guard = Guard::new();
        for _ in 0..OF_ADDRESS.burst * 2 {
            let taken = guard.take(Realm::Operators, "ann", address("192.0.2.1"), false);
            taken.unwrap().give_back();
        }
    }

    #[test]
    fn attacks_from_everywhere_do_not_lock_out_the_owner() {
        let guard = Guard::new();
        let mut refused = false;
        for n in 0..OF_ACCOUNT.burst * 2 {
            refused |= !fail(&guard, "ann", &format!("198.51.100.{n}"), false);
        }
        assert!(refused);
        assert!(!fail(&guard, "ann", "203.0.113.1", false), "a stranger");
        assert!(fail(&guard, "ann", "203.0.113.1", true), "the owner");
    }

    #[test]
    fn many_accounts_from_one_address_are_limited() {
        let guard = Guard::new();
        let tried = (0..OF_ADDRESS.burst + 10)
            .filter(|n| fail(&guard, &n.to_string(), "2001:db8::1", false))
            .count();
        assert!(tried < 105, "{tried}");
        assert!(!fail(&guard, "ann", "2001:db8::2", false), "a neighbour");
        assert!(fail(&guard, "ann", "2001:db8:0:1::1", false));
    }

    #[test]
    fn accounts_and_questions_are_limited_each_by_itself() {
        let guard = Guard::new();
        let made = |from: &str| guard.take_registration(address(from)).is_ok();
        assert!((0..OF_REGISTRATIONS.burst).all(|_| made("192.0.2.1")));
        assert!(!made("192.0.2.1") && made("192.0.2.2"));
        let [one, other] = [(); 2].map(|()| TenantId::generate());
        let asked = |tenant| guard.take_question(tenant).is_ok();
        assert!((0..OF_QUESTIONS.burst).all(|_| asked(one)));
        assert!(!asked(one) && asked(other));
        assert!(fail(&guard, "ann", "192.0.2.1", false));
    }

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1");
    }
}
