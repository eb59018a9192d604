//! Amounts, exact to the cent.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Deserializer, de::Error};

/// What so many at that price cost: rounded to the cent, half away from zero.
pub(crate) fn amount(quantity: Decimal, unit_price: Decimal) -> Decimal {
    let exact = quantity * unit_price;
    let mut amount = exact.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
    amount.rescale(2);
    amount
}

/// Below which every total stays, so that it can be kept.
pub(crate) fn most() -> Decimal {
    Decimal::from(1_000_000_000_000_i64)
}

/// To so many decimals, as the database keeps it.
pub(crate) fn kept(mut value: Decimal, decimals: u32) -> Decimal {
    value.rescale(decimals);
    value.set_sign_positive(value.is_sign_positive() || value.is_zero());
    value
}

/// A decimal in a text, just as it was written. One that could only be kept rounded is refused, and so
/// is a number of JSON's, which programs read as a floating-point one.
pub(crate) fn exact<'de, D: Deserializer<'de>>(from: D) -> Result<Decimal, D::Error> {
    let text = String::deserialize(from)?;
    parsed(&text).ok_or_else(|| D::Error::custom("must be a decimal in a text, like \"9.90\""))
}

/// As [`exact`], where it may be left out.
pub(crate) fn exact_if_any<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Decimal>, D::Error> {
    exact(from).map(Some)
}

/// A decimal as people write it, with a point.
pub(crate) fn parsed(text: &str) -> Option<Decimal> {
    let plain = |byte: u8| byte.is_ascii_digit() || b".-".contains(&byte);
    if !text.bytes().all(plain) {
        return None;
    }
    Decimal::from_str_exact(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_away_from_zero() {
        for (quantity, price, cost) in [
            ("3", "9.99", "29.97"),
            ("0.5", "0.01", "0.01"),
            ("0.125", "0.20", "0.03"),
            ("0.333", "10.00", "3.33"),
            ("0.005", "1.00", "0.01"),
            ("0.004", "1.00", "0.00"),
            ("2", "5", "10.00"),
        ] {
            let number = |text: &str| text.parse::<Decimal>().unwrap();
            let found = amount(number(quantity), number(price));
            assert_eq!(found.to_string(), cost, "{quantity} at {price}");
        }
    }

    #[test]
    fn what_would_be_guessed_is_refused() {
        assert_eq!(parsed("9.90").map(|n| n.to_string()), Some("9.90".into()));
        for bad in ["", "1_000", "1e3", "1,5", "+1", " 1", "--1"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }
}
