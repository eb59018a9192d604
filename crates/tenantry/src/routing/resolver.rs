use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header, request::Parts};

use super::{host::Host, site::Origin};
use crate::tenant::{DomainName, Tenant, TenantCode, is_within};

/// Where a request may name its tenant.
///
/// All that are given are asked. When several name a tenant it must be the same one. A
/// [`Site`](super::Site) makes URLs by the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolvers {
    chain: Vec<Resolver>,
    proxies: Vec<IpAddr>,
    /// Where the deployment is, once a site has said so.
    origin: Option<Origin>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Resolver {
    Subdomain(String),
    Domain,
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
    /// That it is for the one whose domain this is, if it is anybody's, and that of this code if one
    /// is named besides.
    Domain(DomainName, Option<TenantCode>),
    /// Something by which no tenant can be meant.
    Nobody,
    /// Two different ones.
    Conflict,
}

impl Claim {
    /// What two say together.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nobody, _) | (_, Self::Nobody) => Self::Nobody,
            (Self::Central, claim) | (claim, Self::Central) => claim,
            (Self::Code(one), Self::Code(other)) if one == other => Self::Code(one),
            (Self::Domain(host, None), Self::Code(code))
            | (Self::Code(code), Self::Domain(host, None)) => Self::Domain(host, Some(code)),
            (Self::Domain(host, Some(one)), Self::Code(other))
            | (Self::Code(other), Self::Domain(host, Some(one)))
                if one == other =>
            {
                Self::Domain(host, Some(one))
            }
            // a request has one host
            (Self::Domain(host, code), Self::Domain(_, _)) => Self::Domain(host, code),
            _ => Self::Conflict,
        }
    }
}

impl Resolvers {
    /// None yet: every request is for nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `acme.example.com` is `acme`'s, where `base` is `example.com`. The base itself, and a bare
    /// IP address, are central. Case, port and a trailing dot do not matter; any other host is
    /// nobody's, but for [domains](Self::domain). `X-Forwarded-Host` is not looked at.
    #[must_use]
    pub fn subdomain(mut self, base: &str) -> Self {
        self.chain
            .push(Resolver::Subdomain(base.to_ascii_lowercase()));
        self
    }

    /// A host that a tenant has shown to be [its own](crate::domains) is that tenant's. Those that
    /// [`subdomain`](Self::subdomain) and [`host`](Self::host) name, and all below them, never are.
    ///
    /// Where these resolvers come [from a site](super::Site::resolvers), whoever looks at a tenant's
    /// pages under another host than its primary domain is sent there, by 301. Its API stays where it
    /// is asked for under the deployment's own host, as do pages where
    /// [account sessions](super::Routes::account_sessions) are kept; and whoever names a tenant in a header
    /// is sent nowhere.
    #[must_use]
    pub fn domain(mut self) -> Self {
        self.chain.push(Resolver::Domain);
        self
    }

    /// Only requests to this host, or to a bare IP address, are for anybody, but for
    /// [domains](Self::domain). For those who name the tenant elsewhere than in the host.
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

    /// A path of the tenant's routes, with the tenant in it: what
    /// [`without_tenant`](Self::without_tenant) takes out again. None where no path names a tenant.
    fn with_tenant(&self, code: &TenantCode, path: &str) -> Option<String> {
        let end = path.find(['?', '#']).unwrap_or(path.len());
        let (path, query) = path.split_at(end);
        let fitting = self.chain.iter().filter_map(|resolver| match resolver {
            Resolver::Path { prefix, inner } => {
                let rest = path.strip_prefix(inner.as_str())?;
                let fits = rest.is_empty() || rest.starts_with('/');
                fits.then_some((prefix, inner, rest))
            }
            _ => None,
        });
        let mut fitting: Vec<_> = fitting.collect();
        fitting.sort_by_key(|(_, inner, _)| std::cmp::Reverse(inner.len()));
        fitting.into_iter().find_map(|(prefix, inner, rest)| {
            let with = format!("{prefix}/{code}{rest}");
            // a longer prefix may begin alike, and would read something else in it
            let is_read = self.in_path(&with) == Some((inner, code.as_str(), rest));
            is_read.then(|| with + query)
        })
    }

    /// Where a path of a tenant's routes is: the host, and the path there. Its primary domain comes
    /// first, then whatever is first in the chain. None where the tenant is in no URL.
    pub(super) fn place_of(
        &self,
        central: &str,
        tenant: &Tenant,
        path: &str,
    ) -> Option<(String, String)> {
        if let Some(primary) = self.primary_of(tenant) {
            return Some((primary.to_string(), path.to_owned()));
        }
        let code = tenant.code();
        self.chain.iter().find_map(|resolver| match resolver {
            Resolver::Subdomain(base) => Some((format!("{code}.{base}"), path.to_owned())),
            Resolver::Path { .. } => Some((central.to_owned(), self.with_tenant(code, path)?)),
            Resolver::Domain | Resolver::Header(_) | Resolver::Host(_) => None,
        })
    }

    /// What stands before and after a tenant's code where its URLs have it, without the scheme.
    pub(super) fn around_code(&self, central: &str) -> (String, String) {
        let found = self.chain.iter().find_map(|resolver| match resolver {
            Resolver::Subdomain(_) => Some((String::new(), format!(".{central}"))),
            Resolver::Path { prefix, .. } => Some((format!("{central}{prefix}/"), String::new())),
            _ => None,
        });
        found.unwrap_or_default()
    }

    /// The tenant's primary domain, where requests to it are understood.
    fn primary_of<'t>(&self, tenant: &'t Tenant) -> Option<&'t DomainName> {
        let has_domains = self.chain.contains(&Resolver::Domain);
        tenant.primary_domain().filter(|_| has_domains)
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

    pub(super) fn at(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// What the request says, taken together. Whatever cannot be understood is nobody's.
    pub(super) fn resolve(&self, parts: &Parts) -> Claim {
        let in_path = self.in_path(parts.uri.path());
        let in_path = in_path.map(|(_, segment, _)| code_claim(&segment.to_ascii_lowercase()));
        let host = host_of(parts);
        let others = self.chain.iter();
        let others = others.filter_map(|other| self.claim(other, parts, host.as_ref()));
        let claims = others.chain(in_path);
        claims.reduce(Claim::and).unwrap_or(Claim::Nobody)
    }

    /// `None` when the request does not speak of it.
    fn claim(&self, resolver: &Resolver, parts: &Parts, host: Option<&Host>) -> Option<Claim> {
        match resolver {
            Resolver::Header(name) => header_claim(&parts.headers, name),
            // of several the longest counts, so they are looked at together
            Resolver::Path { .. } => None,
            Resolver::Subdomain(_) | Resolver::Domain | Resolver::Host(_) => match host {
                None => Some(Claim::Nobody),
                Some(Host::Address(_)) => Some(Claim::Central),
                Some(Host::Name(name)) => self.name_claim(resolver, name),
            },
        }
    }

    fn name_claim(&self, resolver: &Resolver, name: &str) -> Option<Claim> {
        let others = match self.chain.contains(&Resolver::Domain) {
            true => None, // it is looked for among the domains
            false => Some(Claim::Nobody),
        };
        match resolver {
            Resolver::Subdomain(base) | Resolver::Host(base) if name == base => {
                Some(Claim::Central)
            }
            Resolver::Subdomain(base) => match below(name, base) {
                Some(code) => Some(code_claim(code)),
                None => others,
            },
            Resolver::Host(base) if is_within(name, base) => Some(Claim::Nobody),
            Resolver::Host(_) => others,
            _ if self.is_own(name) => None,
            _ => {
                Some(DomainName::new(name).map_or(Claim::Nobody, |host| Claim::Domain(host, None)))
            }
        }
    }

    /// Whether the request came to a host that may be a tenant's: its owner can have it lead elsewhere.
    pub(super) fn is_on_domain(&self, parts: &Parts) -> bool {
        let has_domains = self.chain.contains(&Resolver::Domain);
        has_domains && matches!(host_of(parts), Some(Host::Name(name)) if !self.is_own(&name))
    }

    /// Whether a host is the deployment's own.
    fn is_own(&self, name: &str) -> bool {
        self.chain.iter().any(|resolver| match resolver {
            Resolver::Subdomain(base) | Resolver::Host(base) => is_within(name, base),
            _ => false,
        })
    }

    /// Where a request for the tenant should have gone: to its primary domain, with the same path
    /// and query. None where it is right as it is.
    pub(super) fn elsewhere(&self, parts: &Parts, tenant: &Tenant) -> Option<(StatusCode, String)> {
        let origin = self.origin?;
        let primary = self.primary_of(tenant)?;
        let Some(Host::Name(name)) = host_of(parts) else {
            return None;
        };
        let in_header = |resolver: &Resolver| match resolver {
            Resolver::Header(header) => parts.headers.contains_key(header),
            _ => false,
        };
        let uri = self.without_tenant(&parts.uri);
        let uri = uri.as_ref().unwrap_or(&parts.uri);
        let is_right = name == primary.as_str()
            // `OPTIONS *` is of the server
            || !uri.path().starts_with('/')
            || self.chain.iter().any(in_header)
            // whoever issues a certificate for a host asks that host
            || uri.path().starts_with("/.well-known/acme-challenge/");
        if is_right {
            return None;
        }
        let only_looks = [Method::GET, Method::HEAD].contains(&parts.method);
        let status = match self.is_own(&name) {
            // programs hold on to it, and would leave their credentials behind
            true if !only_looks || is_api(uri.path()) => return None,
            _ if only_looks => StatusCode::MOVED_PERMANENTLY,
            _ => StatusCode::PERMANENT_REDIRECT,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Some((status, origin.url(primary.as_str(), path)))
    }
}

fn is_api(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

/// Which host the request is for; none where that is malformed.
fn host_of(parts: &Parts) -> Option<Host> {
    let stated = match parts.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => single(&parts.headers, &header::HOST),
    };
    stated.and_then(Host::parse)
}

/// What stands before a base, and the dot.
fn below<'n>(name: &'n str, base: &str) -> Option<&'n str> {
    name.strip_suffix(base)?.strip_suffix('.')
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
    fn domains_are_looked_for_where_the_host_is_not_the_deployments_own() {
        let resolvers = Resolvers::new()
            .subdomain("localhost")
            .domain()
            .header("Tenant-Code");
        let of = |host: &str, code: Option<&str>| {
            let mut request = Request::builder().uri("/").header("host", host);
            if let Some(code) = code {
                request = request.header("tenant-code", code);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            resolvers.resolve(&parts)
        };
        let domain = |code: Option<&str>| {
            let code = code.map(|code| code.parse().unwrap());
            Claim::Domain("shop.example.com".parse().unwrap(), code)
        };
        for host in [
            "shop.example.com",
            "Shop.Example.com:80",
            "shop.example.com.",
        ] {
            assert_eq!(of(host, None), domain(None), "{host}");
        }
        assert_eq!(of("shop.example.com", Some("acme")), domain(Some("acme")));
        assert_eq!(of("localhost", None), Claim::Central);
        assert_eq!(of("192.0.2.1", None), Claim::Central);
        assert_eq!(of("acme.localhost", None), acme());
        assert_eq!(of("acme.localhost", Some("globex")), Claim::Conflict);
        for nobody in [
            "a.b.localhost",
            "www.localhost",
            "elsewhere",
            "a_b.example",
            "x..y",
            "",
        ] {
            assert_eq!(of(nobody, None), Claim::Nobody, "{nobody}");
        }
        let twice = Request::builder()
            .header("host", "shop.example.com")
            .header("tenant-code", "acme")
            .header("tenant-code", "globex");
        let (parts, ()) = twice.body(()).unwrap().into_parts();
        assert_eq!(resolvers.resolve(&parts), Claim::Conflict);

        // below a host that is only for itself there is nobody
        let (parts, ()) = Request::builder()
            .header("host", "acme.localhost")
            .body(())
            .unwrap()
            .into_parts();
        let central = Resolvers::new().host("localhost").domain();
        assert_eq!(central.resolve(&parts), Claim::Nobody);
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
