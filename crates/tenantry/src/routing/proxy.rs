use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use axum::{
    extract::{ConnectInfo, Request},
    http::{HeaderName, header},
};

use super::client::{forwarded, origin};

/// What proxies say of a request, in place of what the connection says.
const SAID: [HeaderName; 4] = [
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
];

const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The proxies that stand before the application, whose word is taken for where a request comes
/// from and which host it is for.
///
/// ```
/// use tenantry::routing::Proxies;
///
/// let proxies: Proxies = "10.0.0.0/8, ::1".parse()?;
/// # let _ = proxies;
/// # Ok::<_, tenantry::routing::ProxyError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    /// How many bits of it count.
    prefix: u8,
}

/// Why a list of proxies is none.
#[derive(Debug, thiserror::Error)]
#[error("must be addresses or networks, as 10.0.0.1,192.0.2.0/24; {0:?} is neither")]
pub struct ProxyError(String);

impl FromStr for Proxies {
    type Err = ProxyError;

    fn from_str(list: &str) -> Result<Self, ProxyError> {
        list.split(',')
            .map(|one| Network::parse(one.trim()).ok_or_else(|| ProxyError(one.trim().into())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        (prefix <= bits).then_some(Self { address, prefix })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let same = |own: u128, other: u128, bits: u8| {
            (own ^ other).leading_zeros() >= u32::from(self.prefix) + (128 - u32::from(bits))
        };
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same(own.to_bits().into(), other.to_bits().into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

impl Proxies {
    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Lets a request be what these proxies say it is, before anything else looks at it: its
    /// address becomes the last in `X-Forwarded-For` that is no proxy's, its `Host` the last in
    /// `X-Forwarded-Host`. Of a request that comes from anybody else, what only proxies may say is
    /// taken away, so that nobody believes it by mistake.
    pub fn apply(&self, request: &mut Request) {
        let peer = request
            .extensions()
            .get::<ConnectInfo<SocketAddr>>()
            .map(|ConnectInfo(peer)| *peer);
        let Some(peer) = peer.filter(|peer| self.contains(peer.ip().to_canonical())) else {
            for name in SAID {
                request.headers_mut().remove(name);
            }
            return;
        };
        let said = forwarded(request.headers());
        let said = said.iter().flat_map(|value| value.split(','));
        let origin = origin(peer.ip(), |address| self.contains(address), said);
        if origin != peer.ip().to_canonical() {
            let client = ConnectInfo(SocketAddr::new(origin, 0));
            request.extensions_mut().insert(client);
        }
        let host = request.headers().get_all(&HOST).iter().next_back();
        let host = host.and_then(|value| value.to_str().ok());
        let host = host.and_then(|value| value.rsplit(',').next());
        if let Some(host) = host.and_then(|host| host.trim().parse().ok()) {
            request.headers_mut().insert(header::HOST, host);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        extract::{ConnectInfo, Request},
    };
    use std::net::SocketAddr;

    use super::Proxies;

    fn after(proxies: &str, peer: &str, headers: &[(&str, &str)]) -> (String, String, bool) {
        let mut request = Request::builder().header("host", "own.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        let peer: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        proxies.parse::<Proxies>().unwrap().apply(&mut request);
        let ConnectInfo(address) = request
            .extensions()
            .get::<ConnectInfo<SocketAddr>>()
            .unwrap();
        let host = request.headers()["host"].to_str().unwrap().to_owned();
        let left = request.headers().contains_key("x-forwarded-proto");
        (address.ip().to_string(), host, left)
    }

    #[test]
    fn networks_are_those_that_are_written() {
        let said = [
            ("x-forwarded-for", "6.6.6.6, 198.51.100.1, 10.9.9.9"),
            ("x-forwarded-host", "acme.example"),
            ("x-forwarded-proto", "https"),
        ];
        let believed = ("198.51.100.1".into(), "acme.example".into(), true);
        for (proxies, peer, is_proxy) in [
            ("10.0.0.0/8", "10.255.0.1:7", true),
            ("192.0.2.1,10.0.0.0/8", "10.0.0.1:7", true),
            ("10.0.0.0/8", "[::ffff:10.0.0.1]:7", true),
            ("10.0.0.0/8", "11.0.0.1:7", false),
            ("10.0.0.1", "10.0.0.2:7", false),
            ("::/0", "10.0.0.1:7", false),
        ] {
            let (address, host, left) = after(proxies, peer, &said);
            if is_proxy {
                assert_eq!((address, host, left), believed, "{proxies} {peer}");
            } else {
                let peer: SocketAddr = peer.parse().unwrap();
                let own = (peer.ip().to_string(), "own.example".to_owned(), false);
                assert_eq!((address, host, left), own, "{proxies} {peer}");
            }
        }
        let (address, ..) = after(
            "fd00::/8",
            "[fd12::1]:7",
            &[("x-forwarded-for", "2001:db8::7")],
        );
        assert_eq!(address, "2001:db8::7");
        let (address, ..) = after("0.0.0.0/0", "10.0.0.1:7", &[("x-forwarded-for", "6.6.6.6")]);
        assert_eq!(address, "6.6.6.6");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "localhost",
            "10.0.0.1,",
            "10.0.0.1/",
        ] {
            assert!(wrong.parse::<Proxies>().is_err(), "{wrong:?}");
        }
    }
}
