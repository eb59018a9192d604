use std::{convert::Infallible, fmt, str::FromStr};

use tenantry::tenant::TenantCode;

/// Which tenants are meant: a code, with `*` for any number of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn matches(&self, code: &TenantCode) -> bool {
        let code = code.as_str();
        let Some((first, rest)) = self.0.split_once('*') else {
            return code == self.0;
        };
        let Some(mut left) = code.strip_prefix(first) else {
            return false;
        };
        // what lies between two stars is best taken where it first occurs
        let mut pieces: Vec<&str> = rest.split('*').collect();
        let last = pieces.pop().unwrap_or_default();
        for piece in pieces {
            match left.find(piece) {
                Some(at) => left = &left[at + piece.len()..],
                None => return false,
            }
        }
        left.ends_with(last)
    }
}

impl FromStr for Pattern {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, code: &str) -> bool {
        Pattern(pattern.into()).matches(&code.parse().unwrap())
    }

    #[test]
    fn a_pattern_without_a_star_is_a_code() {
        assert!(matches("acme", "acme"));
        assert!(!matches("acme", "acme2"));
        assert!(!matches("acme", "my-acme"));
        assert!(!matches("", "acme"));
    }

    #[test]
    fn a_star_is_anything_or_nothing() {
        for pattern in ["*", "**", "acme*", "*acme", "a*e", "a*m*", "*c*", "acme**"] {
            assert!(matches(pattern, "acme"), "{pattern}");
        }
        for pattern in ["b*", "*b", "a*b", "*x*", "acme*acme", "a*me*e", "ac*cme"] {
            assert!(!matches(pattern, "acme"), "{pattern}");
        }
    }

    #[test]
    fn the_end_is_held_to_the_last_occurrence() {
        assert!(matches("a*b-1", "ab-1-b-1"));
        assert!(matches("*-eu-*-1", "x-eu-y-1-z-1"));
    }
}
