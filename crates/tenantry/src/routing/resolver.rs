use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, Uri, header, request::Parts};

use super::host::Host;
use crate::tenant::TenantCode;

/// Where a request may name its tenant.
///
/// All that are given are asked. When several name a tenant it must be the same one.
#[derive(Debug, Clone, Default)]
pub struct Resolvers {
    chain: Vec<Resolver>,
    proxies: Vec<IpAddr>,
}

#[derive(Debug, Clone)]
enum Resolver {
    Subdomain(String),
    Header(HeaderName),
    Host(String),
    Path { prefix: String, inner: String },
}

/// What a request says about its tenant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// That it is for no tenant.
    Central,
    /// That it is for this one, if there is such a tenant.
    Code(TenantCode),
    /// Something by which no tenant can be meant.
    Nobody,
    /// Two different ones.
    Conflict,
}

impl Resolvers {
    /// None yet: every request is for nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `acme.example.com` is `acme`'s, where `base` is `example.com`. The base itself, and a bare
    /// IP address, are central. Case, port and a trailing dot do not matter; any other host is
    /// nobody's. `X-Forwarded-Host` is not looked at.
    #[must_use]
    pub fn subdomain(mut self, base: &str) -> Self {
        self.chain
            .push(Resolver::Subdomain(base.to_ascii_lowercase()));
        self
    }

    /// Only requests to this host, or to a bare IP address, are for anybody. For those who name the
    /// tenant elsewhere than in the host.
    #[must_use]
    pub fn host(mut self, name: &str) -> Self {
        self.chain.push(Resolver::Host(name.to_ascii_lowercase()));
        self
    }

    /// `/c/acme/invoices` is `acme`'s, where `prefix` is `/c`. Its route is then the rest after
    /// `inner`: with `/api/companies` and `/api`, `/api/companies/acme/invoices` is answered by the
    /// tenant's `/api/invoices`. Of several prefixes the longest counts.
    ///
    /// # Panics
    /// When one of them ends with `/`, or `prefix` does not begin with one.
    #[must_use]
    pub fn path(mut self, prefix: &str, inner: &str) -> Self {
        assert!(
            prefix.starts_with('/') && !prefix.ends_with('/') && !inner.ends_with('/'),
            "{prefix:?} and {inner:?} must be like /c, or empty for the second"
        );
        self.chain.push(Resolver::Path {
            prefix: prefix.into(),
            inner: inner.into(),
        });
        self
    }

    /// The longest prefix that the path begins with: what stands for it in routes, the tenant's
    /// segment and what follows.
    fn in_path<'p>(&self, path: &'p str) -> Option<(&str, &'p str, &'p str)> {
        let matching = self.chain.iter().filter_map(|resolver| match resolver {
            Resolver::Path { prefix, inner } => {
                let rest = path.strip_prefix(prefix.as_str())?.strip_prefix('/')?;
                let end = rest.find('/').unwrap_or(rest.len());
                let (segment, rest) = rest.split_at(end);
                (!segment.is_empty()).then_some((prefix.len(), (inner.as_str(), segment, rest)))
            }
            _ => None,
        });
        matching
            .max_by_key(|(length, _)| *length)
            .map(|(_, found)| found)
    }

    /// The URI as the tenant's routes know it; none where the path does not name a tenant.
    pub(super) fn without_tenant(&self, uri: &Uri) -> Option<Uri> {
        let (inner, _, rest) = self.in_path(uri.path())?;
        let path = match (inner, rest) {
            ("", "") => "/".to_owned(),
            (inner, rest) => format!("{inner}{rest}"),
        };
        let path = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(path.parse().ok()?);
        Uri::from_parts(parts).ok()
    }

    /// `Tenant-Code: acme`, where `name` is `Tenant-Code`.
    ///
    /// # Panics
    /// When `name` is no header name.
    #[must_use]
    pub fn header(mut self, name: &str) -> Self {
        let parsed = name.parse();
        assert!(parsed.is_ok(), "{name:?} is no header name");
        self.chain.extend(parsed.ok().map(Resolver::Header));
        self
    }

    /// Believes what the proxy of that address says of where requests come from.
    #[must_use]
    pub fn trust_proxy(mut self, address: IpAddr) -> Self {
        self.proxies.push(address.to_canonical());
        self
    }

    pub(super) fn proxies(&self) -> &[IpAddr] {
        &self.proxies
    }

    /// What the request says, taken together. Whatever cannot be understood is nobody's.
    pub(super) fn resolve(&self, parts: &Parts) -> Claim {
        let mut sum = None;
        let in_path = self.in_path(parts.uri.path());
        let in_path = in_path.map(|(_, segment, _)| code_claim(&segment.to_ascii_lowercase()));
        let others = self.chain.iter().filter_map(|other| other.claim(parts));
        for claim in others.chain(in_path) {
            sum = Some(match (sum, claim) {
                (None | Some(Claim::Central), claim) => claim,
                (Some(before), Claim::Central) => before,
                (Some(Claim::Code(before)), Claim::Code(claim)) if before == claim => {
                    Claim::Code(before)
                }
                (Some(Claim::Code(_) | Claim::Conflict), Claim::Code(_) | Claim::Conflict) => {
                    Claim::Conflict
                }
                (Some(Claim::Nobody), _) | (_, Claim::Nobody) => Claim::Nobody,
            });
        }
        sum.unwrap_or(Claim::Nobody)
    }
}

impl Resolver {
    /// `None` when the request does not speak of it.
    fn claim(&self, parts: &Parts) -> Option<Claim> {
        match self {
            Self::Subdomain(base) => Some(host_claim(parts, base)),
            Self::Header(name) => header_claim(&parts.headers, name),
            Self::Host(base) => Some(match host_claim(parts, base) {
                Claim::Central => Claim::Central,
                _ => Claim::Nobody,
            }),
            // of several the longest counts, so they are looked at together
            Self::Path { .. } => None,
        }
    }
}

fn host_claim(parts: &Parts, base: &str) -> Claim {
    let stated = match parts.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => single(&parts.headers, &header::HOST),
    };
    match stated.and_then(Host::parse) {
        None => Claim::Nobody,
        Some(Host::Address(_)) => Claim::Central,
        Some(Host::Name(name)) if name == base => Claim::Central,
        Some(Host::Name(name)) => name
            .strip_suffix(base)
            .and_then(|rest| rest.strip_suffix('.'))
            .map_or(Claim::Nobody, code_claim),
    }
}

fn header_claim(headers: &HeaderMap, name: &HeaderName) -> Option<Claim> {
    headers.contains_key(name).then(|| {
        let mut values = headers.get_all(name).iter();
        let first = values.next();
        if values.any(|value| Some(value) != first) {
            return Claim::Conflict;
        }
        first
            .and_then(|value| value.to_str().ok())
            .map_or(Claim::Nobody, |text| {
                code_claim(&text.trim().to_ascii_lowercase())
            })
    })
}

fn code_claim(text: &str) -> Claim {
    TenantCode::new(text).map_or(Claim::Nobody, Claim::Code)
}

/// The header's value, if it is there once and is text.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok())?
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::{Claim, Resolvers};

    fn claim(headers: &[(&str, &str)]) -> Claim {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Resolvers::new()
            .subdomain("localhost")
            .header("Tenant-Code")
            .resolve(&parts)
    }

    fn acme() -> Claim {
        Claim::Code("acme".parse().unwrap())
    }

    #[test]
    fn host_and_header_name_tenants() {
        assert_eq!(claim(&[("host", "localhost:8000")]), Claim::Central);
        assert_eq!(claim(&[("host", "127.0.0.1:8000")]), Claim::Central);
        assert_eq!(claim(&[("host", "Acme.localhost")]), acme());
        assert_eq!(
            claim(&[("host", "127.0.0.1"), ("tenant-code", "ACME")]),
            acme()
        );
        assert_eq!(
            claim(&[("host", "acme.localhost"), ("tenant-code", "acme")]),
            acme()
        );
    }

    #[test]
    fn paths_name_tenants_and_are_taken_out() {
        let resolvers = Resolvers::new()
            .host("localhost")
            .path("/c", "")
            .path("/api/companies", "/api")
            .header("Tenant-Code");
        let of = |uri: &str, host: &str, code: Option<&str>| {
            let mut request = Request::builder().uri(uri).header("host", host);
            if let Some(code) = code {
                request = request.header("tenant-code", code);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let rest = resolvers.without_tenant(&parts.uri);
            (
                resolvers.resolve(&parts),
                rest.map(|uri| uri.to_string()).unwrap_or_default(),
            )
        };
        let local = |uri| of(uri, "localhost:8000", None);
        assert_eq!(local("/c/acme"), (acme(), "/".into()));
        assert_eq!(local("/c/Acme/a?b=c"), (acme(), "/a?b=c".into()));
        assert_eq!(
            local("/api/companies/acme/invoices/1"),
            (acme(), "/api/invoices/1".into())
        );
        assert_eq!(local("/api/companies/acme"), (acme(), "/api".into()));
        for central in [
            "/",
            "/c",
            "/c/",
            "/ca/acme",
            "/api/companies",
            "/api/companies/",
        ] {
            assert_eq!(local(central).0, Claim::Central, "{central}");
        }
        for nobody in ["/c/a%20b/x", "/c/..", "/c/www/x", "/c/%61cme/"] {
            assert_eq!(local(nobody).0, Claim::Nobody, "{nobody}");
        }
        assert_eq!(of("/c/acme/x", "example.com", None).0, Claim::Nobody);
        assert_eq!(of("/c/acme/x", "acme.localhost", None).0, Claim::Nobody);
        assert_eq!(of("/c/acme/x", "localhost", Some("acme")).0, acme());
        assert_eq!(
            of("/c/acme/x", "localhost", Some("globex")).0,
            Claim::Conflict
        );
        assert_eq!(of("/api/x", "localhost", Some("acme")).0, acme());
    }

    #[test]
    fn two_tenants_are_a_conflict_and_nonsense_is_nobody() {
        let both = [("host", "acme.localhost"), ("tenant-code", "globex")];
        assert_eq!(claim(&both), Claim::Conflict);
        let twice = [
            ("host", "localhost"),
            ("tenant-code", "acme"),
            ("tenant-code", "globex"),
        ];
        assert_eq!(claim(&twice), Claim::Conflict);
        for nobody in [
            &[("host", "example.com")][..],
            &[("host", "a.b.localhost")],
            &[("host", "acmelocalhost")],
            &[("host", ".localhost")],
            &[("host", "www.localhost")],
            &[("host", "acme.localhost"), ("host", "globex.localhost")],
            &[("host", "localhost"), ("tenant-code", "x'; DROP")],
            &[("host", "acme.localhost"), ("tenant-code", "")],
            &[("host", "example.com"), ("tenant-code", "acme")],
            &[],
        ] {
            assert_eq!(claim(nobody), Claim::Nobody, "{nobody:?}");
        }
    }
}
