use std::{
    borrow::Cow,
    convert::Infallible,
    net::{IpAddr, SocketAddr},
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, request::Parts},
};

use super::dispatch::Resolved;

/// Where the request came from, where that is known: the other end of the connection, or, where
/// that is a [trusted proxy](super::Resolvers::trust_proxy), the last address in
/// `X-Forwarded-For` that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let ConnectInfo(peer) = match parts.extensions.get::<ConnectInfo<SocketAddr>>() {
            Some(peer) => *peer,
            None => return Ok(Self(None)),
        };
        let trusted = parts
            .extensions
            .get::<Resolved>()
            .map(|resolved| resolved.resolvers.proxies())
            .unwrap_or_default();
        let said = forwarded(&parts.headers);
        let said = said.iter().flat_map(|value| value.split(','));
        let is_trusted = |address| trusted.contains(&address);
        Ok(Self(Some(origin(peer.ip(), is_trusted, said))))
    }
}

/// What proxies say of where a request comes from. What cannot be read stays where it is: what
/// stands before it is not believed.
pub(super) fn forwarded(headers: &HeaderMap) -> Vec<Cow<'_, str>> {
    headers
        .get_all("x-forwarded-for")
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect()
}

/// What each proxy appends is true as far back as proxies are trusted.
pub(super) fn origin<'h>(
    peer: IpAddr,
    is_trusted: impl Fn(IpAddr) -> bool,
    forwarded: impl DoubleEndedIterator<Item = &'h str>,
) -> IpAddr {
    let mut address = peer.to_canonical();
    for before in forwarded.rev() {
        if !is_trusted(address) {
            break;
        }
        match before.trim().parse::<IpAddr>() {
            Ok(before) => address = before.to_canonical(),
            Err(_) => break,
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn only_proxies_that_are_trusted_are_believed() {
        let ip = |text: &str| text.parse().unwrap();
        let proxies = [ip("10.0.0.1"), ip("10.0.0.2")];
        for (peer, header, expected) in [
            ("192.0.2.9", "198.51.100.1", "192.0.2.9"),
            ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "6.6.6.6,\u{fffd}", "10.0.0.1"),
            ("10.0.0.1", "6.6.6.6,\u{fffd},198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "nonsense", "10.0.0.1"),
            ("10.0.0.1", "", "10.0.0.1"),
        ] {
            let origin = origin(
                ip(peer),
                |address| proxies.contains(&address),
                header.split(','),
            );
            assert_eq!(origin, ip(expected), "{peer} {header}");
        }
    }
}
