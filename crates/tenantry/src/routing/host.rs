use std::net::{IpAddr, Ipv6Addr};

/// Which machine a request says it is for, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// An address instead of a name. It names no tenant.
    Address(IpAddr),
    /// A name: lower case, without port and trailing dot.
    Name(String),
}

impl Host {
    /// Reads a `Host` header or an authority. `None` when it is malformed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            valid_port(port)?;
            return address
                .parse::<Ipv6Addr>()
                .ok()
                .map(|a| Self::Address(a.into()));
        }
        let (name, port) = match text.find(':') {
            Some(colon) => text.split_at(colon),
            None => (text, ""),
        };
        valid_port(port)?;
        if let Ok(address) = name.parse() {
            return Some(Self::Address(address));
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let well_formed = name.len() <= 253 && name.split('.').all(valid_label);
        well_formed.then_some(Self::Name(name))
    }
}

/// `` or `:8000`
fn valid_port(port: &str) -> Option<()> {
    match port.strip_prefix(':') {
        None if port.is_empty() => Some(()),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            (digits.is_empty() || digits.parse::<u16>().is_ok()).then_some(())
        }
        _ => None,
    }
}

fn valid_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Host;

    fn name(text: &str) -> Option<Host> {
        Some(Host::Name(text.into()))
    }

    #[test]
    fn case_port_and_trailing_dot_do_not_matter() {
        for same in [
            "acme.localhost",
            "ACME.LocalHost",
            "acme.localhost:8000",
            "acme.localhost.",
            "acme.localhost.:80",
            "acme.localhost:",
        ] {
            assert_eq!(Host::parse(same), name("acme.localhost"), "{same}");
        }
        for address in ["127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8000"] {
            assert!(
                matches!(Host::parse(address), Some(Host::Address(_))),
                "{address}"
            );
        }
    }

    #[test]
    fn malformed_hosts_are_none() {
        for bad in [
            "",
            ".",
            "a..b",
            "a b",
            "acme.localhost:x",
            "a:99999",
            "a:1:2",
            "[::1",
            "[x]",
            "é.localhost",
            "a/b",
            "a@b",
            "..",
            "a:+1",
        ] {
            assert_eq!(Host::parse(bad), None, "{bad}");
        }
        assert_eq!(Host::parse(&"a".repeat(64)), None);
        assert_eq!(Host::parse(&"a.".repeat(200)), None);
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_yields_clean_names(text in "\\PC{0,80}|[a-zA-Z0-9.:_\\[\\]-]{0,80}") {
            if let Some(Host::Name(name)) = Host::parse(&text) {
                prop_assert!(!name.is_empty() && name.len() <= 253);
                prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b)));
                prop_assert_eq!(Host::parse(&name), Some(Host::Name(name.clone())));
                prop_assert_eq!(Host::parse(&format!("{name}.:8080")), Some(Host::Name(name)));
            }
        }
    }
}
