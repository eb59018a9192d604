//! What is asked, and of whom.

use clap::ValueEnum;
use uuid::Uuid;

/// What is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Road {
    /// Lists of 20 products
    #[default]
    List,
    /// A product is added, in a transaction
    Insert,
    /// Nine lists for each product that is added
    Mixed,
}

impl Road {
    /// Whether the next request adds something.
    pub(crate) fn adds(self, random: &mut Random) -> bool {
        match self {
            Self::List => false,
            Self::Insert => true,
            Self::Mixed => random.below(10) == 0,
        }
    }
}

/// How often each tenant is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// All alike
    #[default]
    Uniform,
    /// By Zipf's law: the second half as often as the first, the third a third as often, and so on
    Zipf,
}

/// Chooses among tenants.
#[derive(Debug)]
pub(crate) struct Chooser {
    tenants: usize,
    /// For each tenant, how likely it is to be that one or one before; none where all are alike.
    up_to: Vec<f64>,
}

impl Chooser {
    pub(crate) fn new(choice: Choice, tenants: usize) -> Self {
        let mut up_to = Vec::new();
        if choice == Choice::Zipf {
            let mut sum = 0.0;
            up_to.extend((1..=tenants).map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            }));
            up_to.iter_mut().for_each(|one| *one /= sum);
        }
        Self { tenants, up_to }
    }

    pub(crate) fn next(&self, random: &mut Random) -> usize {
        if self.up_to.is_empty() {
            return random.below(self.tenants);
        }
        let at = random.fraction();
        let rank = self.up_to.partition_point(|up_to| *up_to <= at);
        let tenant = rank.min(self.tenants - 1);
        // those who are asked for most are not those who were made first
        scattered(tenant, self.tenants)
    }
}

/// Each of `count` at another place.
fn scattered(one: usize, count: usize) -> usize {
    // a prime that is none of the counts' here, so that no two meet
    const STEP: usize = 7919;
    match count % STEP {
        0 => one,
        _ => one * STEP % count,
    }
}

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("it is less than a usize")
    }

    /// From 0 up to 1.
    fn fraction(&mut self) -> f64 {
        // as many bits as there are in its mantissa
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// An id that nothing has yet, in whichever round.
pub(crate) fn new_id() -> Uuid {
    Uuid::now_v7()
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn asked(choice: Choice, tenants: usize, times: usize) -> HashMap<usize, usize> {
        let (chooser, mut random) = (Chooser::new(choice, tenants), Random(1));
        let mut asked = HashMap::new();
        for _ in 0..times {
            *asked.entry(chooser.next(&mut random)).or_insert(0) += 1;
        }
        assert!(asked.keys().all(|tenant| *tenant < tenants));
        asked
    }

    #[test]
    fn all_alike_are_asked_for_as_often() {
        let asked = asked(Choice::Uniform, 10, 100_000);
        assert!(
            asked.values().all(|times| (9_000..11_000).contains(times)),
            "{asked:?}"
        );
    }

    #[test]
    fn the_second_is_asked_for_half_as_often_as_the_first() {
        let asked = asked(Choice::Zipf, 1000, 100_000);
        let mut times: Vec<usize> = asked.into_values().collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        // 1 / (1 + 1/2 + … + 1/1000) of all
        assert!((12_500..14_300).contains(&times[0]), "{times:?}");
        assert!((6_100..7_300).contains(&times[1]), "{times:?}");
    }

    #[test]
    fn no_two_are_scattered_to_the_same_place() {
        for count in [1, 8, 10, 1000, 7919, 10_000] {
            let places: HashSet<_> = (0..count).map(|one| scattered(one, count)).collect();
            assert_eq!(places.len(), count);
        }
    }

    #[test]
    fn one_in_ten_adds_where_roads_are_mixed() {
        let mut random = Random(3);
        let adds = (0..100_000)
            .filter(|_| Road::Mixed.adds(&mut random))
            .count();
        assert!((9_500..10_500).contains(&adds), "{adds}");
    }
}
