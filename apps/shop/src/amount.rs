//! Amounts as people and programs write them.

use std::{fmt, str::FromStr};

use rust_decimal::Decimal;
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

/// A decimal just as it was written, in a text or as a number. One that could only be kept rounded
/// is refused: the sender would not learn that it is another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount(pub(crate) Decimal);

/// Something that is no amount, or has more digits than can be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoAmount;

impl fmt::Display for NoAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a number, like 9.90")
    }
}

impl FromStr for Amount {
    type Err = NoAmount;

    fn from_str(text: &str) -> Result<Self, NoAmount> {
        // Decimal itself also takes 1_000
        if !text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".-".contains(&byte))
        {
            return Err(NoAmount);
        }
        Decimal::from_str_exact(text)
            .map(Self)
            .map_err(|_| NoAmount)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct TextOrNumber;

        impl Visitor<'_> for TextOrNumber {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, like \"9.90\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Amount, E> {
                Ok(Amount(number.into()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Amount, E> {
                Ok(Amount(number.into()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Amount, E> {
                // the shortest that reads back as the same number, and so what was written
                self.visit_str(&number.to_string())
            }
        }

        from.deserialize_any(TextOrNumber)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_rounded_or_guessed_is_refused() {
        for (given, read) in [("9.90", "9.90"), ("-3", "-3"), (".5", "0.5"), ("007", "7")] {
            assert_eq!(given.parse(), Ok(Amount(read.parse().unwrap())), "{given}");
        }
        let (tiny, long) = (format!("0.{}1", "0".repeat(40)), "9".repeat(40));
        for bad in [
            "", "-", ".", "1_000", "1e3", "+1", " 1", "1,5", "--1", "1.2.3", "٣", &tiny, &long,
        ] {
            assert_eq!(bad.parse::<Amount>(), Err(NoAmount), "{bad}");
        }
    }
}
