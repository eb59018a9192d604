use std::{ops::Range, time::Duration};

/// Some time within those, so that those who begin together do not stay together.
pub(crate) fn jittered(within: Range<Duration>) -> Duration {
    let bits = getrandom::u32().unwrap_or(u32::MAX / 2);
    let share = f64::from(bits) / f64::from(u32::MAX);
    within.start + within.end.saturating_sub(within.start).mul_f64(share)
}
