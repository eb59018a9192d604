use super::Resolvers;
use crate::tenant::Tenant;

/// Where the deployment is on the web: what its URLs begin with, and where tenants are in them.
///
/// URLs of tenants are made by the [resolvers](Self::tenants_by) that requests are read by, so that
/// what is written in a mail is what is understood when somebody clicks on it.
///
/// ```
/// use tenantry::{Config, Tenancy, lifecycle::NewTenant, routing::{Resolvers, Site}};
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = tempfile::tempdir().unwrap();
/// # let tenancy = Tenancy::set_up(Config::new(folder.path())).await?;
/// let acme = tenancy.create(NewTenant::new("acme".parse()?, "Acme")).await?;
///
/// let site = Site::new("localhost").port(8000);
/// assert_eq!(site.central_url(), "http://localhost:8000");
/// assert_eq!(site.url(&acme, "/invoices?page=2"), "http://acme.localhost:8000/invoices?page=2");
///
/// let by_path = site.tenants_by(Resolvers::new().host("localhost").path("/c", ""));
/// assert_eq!(by_path.url(&acme, "/invoices"), "http://localhost:8000/c/acme/invoices");
/// assert_eq!(by_path.path(&acme, "/invoices"), "/c/acme/invoices");
/// # tenancy.close();
/// # Ok::<_, Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    host: String,
    origin: Origin,
    resolvers: Resolvers,
}

/// How it is reached, on whatever host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    port: Option<u16>,
    https: bool,
}

impl Origin {
    pub(super) fn url(self, host: &str, path: &str) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.authority(host))
    }

    fn authority(self, host: &str) -> String {
        let default = if self.https { 443 } else { 80 };
        match self.port {
            Some(port) if port != default => format!("{host}:{port}"),
            _ => host.to_owned(),
        }
    }
}

impl Site {
    /// A deployment whose central host is `host`, over plain HTTP on the default port. Tenants are
    /// at hosts below it and at domains of their own, unless [told](Self::tenants_by).
    #[must_use]
    pub fn new(host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        Self {
            resolvers: Resolvers::new().subdomain(&host).domain(),
            host,
            origin: Origin {
                port: None,
                https: false,
            },
        }
    }

    /// On another port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.origin.port = Some(port);
        self
    }

    /// Whose tenants are found so: by paths of the central host, say.
    #[must_use]
    pub fn tenants_by(mut self, resolvers: Resolvers) -> Self {
        self.resolvers = resolvers;
        self
    }

    /// Over HTTPS, as seen by browsers.
    #[must_use]
    pub fn https(mut self) -> Self {
        self.origin.https = true;
        self
    }

    /// How requests find their tenant, for [`Routes::into_router`](super::Routes::into_router).
    #[must_use]
    pub fn resolvers(&self) -> Resolvers {
        self.resolvers.clone().at(self.origin)
    }

    /// Whether browsers come over HTTPS, so that cookies can be `Secure`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.origin.https
    }

    /// The central host's name, without port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The central host with its port where it is not the default one.
    #[must_use]
    pub fn authority(&self) -> String {
        self.origin.authority(&self.host)
    }

    /// The central host's URL, without a trailing slash.
    #[must_use]
    pub fn central_url(&self) -> String {
        self.origin.url(&self.host, "")
    }

    /// The URL of a path of the tenant's routes, which can have a query: on its primary domain where
    /// it has one, else where its code is in the URL. Where nothing but a header can name tenants it
    /// is the central host's, and the header has to be sent.
    ///
    /// It is right for the tenant that is given, as it was when it was looked up.
    #[must_use]
    pub fn url(&self, tenant: &Tenant, path: &str) -> String {
        let (host, path) = self.place_of(tenant, path);
        self.origin.url(&host, &path)
    }

    /// The same without scheme and host, for links between pages of the tenant.
    #[must_use]
    pub fn path(&self, tenant: &Tenant, path: &str) -> String {
        self.place_of(tenant, path).1
    }

    /// The tenant's URL, without a trailing slash.
    #[must_use]
    pub fn tenant_url(&self, tenant: &Tenant) -> String {
        self.url(tenant, "")
    }

    /// What stands before and after a tenant's code where its URLs have it, without the scheme: for
    /// whoever chooses one. Both are empty where they do not.
    #[must_use]
    pub fn around_code(&self) -> (String, String) {
        self.resolvers.around_code(&self.authority())
    }

    fn place_of(&self, tenant: &Tenant, path: &str) -> (String, String) {
        let is_rooted = path.is_empty() || path.starts_with(['/', '?', '#']);
        let path = match is_rooted {
            true => path.to_owned(),
            false => format!("/{path}"),
        };
        let found = self.resolvers.place_of(&self.host, tenant, &path);
        found.unwrap_or_else(|| (self.host.clone(), path))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{Request, StatusCode, request::Parts};
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        routing::resolver::Claim,
        tenant::{Isolation, Placement, Record, TenantCode, TenantId, TenantStatus},
    };

    fn tenant(code: &str, primary_domain: Option<&str>) -> Tenant {
        Tenant::new(Record {
            id: TenantId::generate(),
            code: code.parse().unwrap(),
            name: code.into(),
            status: TenantStatus::Active,
            placement: Placement::new(Isolation::File, "local"),
            schema_version: String::new(),
            created_at: DateTime::UNIX_EPOCH,
            plan: String::new(),
            primary_domain: primary_domain.map(|host| host.parse().unwrap()),
        })
    }

    /// Each kind of routing, alone and together with others.
    fn sites() -> Vec<(&'static str, Site)> {
        let new = Resolvers::new;
        let site = || Site::new("base.example");
        let prefixes = || {
            new()
                .host("base.example")
                .path("/t", "")
                .path("/api/tenants", "/api")
        };
        vec![
            ("by default", site()),
            ("with a port", site().port(8000).https()),
            (
                "subdomain",
                site().tenants_by(new().subdomain("base.example")),
            ),
            (
                "subdomain below another",
                site().tenants_by(new().subdomain("shops.base.example")),
            ),
            ("path", site().tenants_by(prefixes())),
            (
                "path and header",
                site().tenants_by(prefixes().header("Tenant-Code")),
            ),
            ("path and domain", site().tenants_by(prefixes().domain())),
            (
                "prefixes that begin alike",
                site().tenants_by(
                    new()
                        .host("base.example")
                        .path("/t", "")
                        .path("/t/acme", "/api")
                        .path("/t/acme/x", "/x"),
                ),
            ),
            (
                "header",
                site().tenants_by(new().host("base.example").header("Tenant-Code")),
            ),
            (
                "everything",
                site().tenants_by(
                    new()
                        .subdomain("base.example")
                        .domain()
                        .header("Tenant-Code"),
                ),
            ),
        ]
    }

    /// A request as a browser makes it of a URL.
    fn request(url: &str) -> Parts {
        let rest = url.split_once("://").unwrap().1;
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(at);
        let path = match path {
            path if path.starts_with('/') => path.to_owned(),
            path => format!("/{path}"),
        };
        let request = Request::builder().uri(path).header("host", host);
        request.body(()).unwrap().into_parts().0
    }

    fn check(name: &str, site: &Site, tenant: &Tenant, path: &str) -> Result<(), TestCaseError> {
        let url = site.url(tenant, path);
        let mut parts = request(&url);
        let resolvers = site.resolvers();
        if name == "header" {
            let code = tenant.code().as_str().parse().unwrap();
            parts.headers.insert("tenant-code", code);
        }
        let claim = resolvers.resolve(&parts);
        // a tenant that is called as a longer prefix goes on is in no path, and certainly in no other
        // tenant's
        if name == "prefixes that begin alike" && tenant.code().as_str() == "acme" {
            prop_assert!(
                matches!(claim, Claim::Central) || claim == Claim::Code(tenant.code().clone())
            );
            return Ok(());
        }
        let found = match (&claim, tenant.primary_domain()) {
            (Claim::Domain(host, None), Some(primary)) => host == primary,
            (Claim::Code(code), _) => code == tenant.code(),
            _ => false,
        };
        prop_assert!(found, "{name}: {url} is read as {claim:?}");
        prop_assert_eq!(
            resolvers.elsewhere(&parts, tenant),
            None,
            "{}: {}",
            name,
            url
        );
        let wanted = match path {
            "" => "/".to_owned(),
            path if path.starts_with('?') => format!("/{path}"),
            path => path.to_owned(),
        };
        let uri = resolvers.without_tenant(&parts.uri).unwrap_or(parts.uri);
        prop_assert_eq!(uri.to_string(), wanted, "{}: {}", name, url);
        let relative = site.path(tenant, path);
        prop_assert!(url.ends_with(&relative), "{}: {} {}", name, url, relative);
        Ok(())
    }

    proptest! {
        #[test]
        fn a_url_is_read_as_it_was_written(
            code in "[a-z][a-z0-9]{0,12}|acme",
            other in "[a-z][a-z0-9]{3,12}",
            domain in "([a-z][a-z0-9]{0,8}[.]){1,3}test",
            path in "|(/api)?(/[a-zA-Z0-9._~%-]{0,0}[a-z0-9._~-]{1,8}){0,4}/?",
            query in "|[?][a-z0-9=&/?%~.-]{0,20}",
            has_primary in any::<bool>(),
        ) {
            prop_assume!(TenantCode::new(&code).is_ok() && TenantCode::new(&other).is_ok());
            prop_assume!(code != other);
            // what would be another tenant's on the tenant's own host is none of its paths
            prop_assume!(!path.starts_with("/t/") && !path.starts_with("/api/tenants/"));
            let path = format!("{path}{query}");
            let one = tenant(&code, has_primary.then_some(domain.as_str()));
            let other = tenant(&other, None);
            for (name, site) in sites() {
                check(name, &site, &one, &path)?;
                // one after the other, and each its own
                check(name, &site, &other, &path)?;
                let urls = (site.url(&one, &path), site.url(&other, &path));
                prop_assert!(urls.0 != urls.1 || name == "header");
            }
        }
    }

    #[test]
    fn a_tenants_other_hosts_are_sent_to_its_primary_domain() {
        let site = Site::new("base.example").port(8000).tenants_by(
            Resolvers::new()
                .subdomain("base.example")
                .domain()
                .path("/t", "")
                .header("Tenant-Code"),
        );
        let acme = tenant("acme", Some("acme.test"));
        let of = |method: &str, host: &str, path: &str| {
            let request = Request::builder().method(method).uri(path);
            let (parts, ()) = request.header("host", host).body(()).unwrap().into_parts();
            site.resolvers().elsewhere(&parts, &acme)
        };
        let to = |path: &str| {
            let place = format!("http://acme.test:8000{path}");
            Some((StatusCode::MOVED_PERMANENTLY, place))
        };
        for path in [
            "/",
            "/a/b?c=d&e=%2F",
            "//evil.example/x",
            "/?next=http://evil.example",
        ] {
            assert_eq!(of("GET", "acme.base.example", path), to(path), "{path}");
            assert_eq!(of("HEAD", "other.test", path), to(path), "{path}");
            assert_eq!(of("GET", "acme.test:8000", path), None, "{path}");
        }
        assert_eq!(of("GET", "base.example", "/t/acme/a?b"), to("/a?b"));
        assert_eq!(of("GET", "base.example", "/t/acme"), to("/"));
        let permanent = (
            StatusCode::PERMANENT_REDIRECT,
            "http://acme.test:8000/a".to_owned(),
        );
        assert_eq!(of("POST", "other.test", "/a"), Some(permanent));
        assert_eq!(of("GET", "other.test", "/api/a"), to("/api/a"));
        // programs stay where they are
        assert_eq!(of("GET", "acme.base.example", "/api/a"), None);
        assert_eq!(of("POST", "acme.base.example", "/a"), None);
        assert_eq!(of("GET", "127.0.0.1", "/a"), None);
        assert_eq!(of("OPTIONS", "other.test", "*"), None);
        for host in ["acme.base.example", "other.test"] {
            let challenge = "/.well-known/acme-challenge/token";
            assert_eq!(of("GET", host, challenge), None);
            let (parts, ()) = Request::builder()
                .header("host", host)
                .header("tenant-code", "acme")
                .body(())
                .unwrap()
                .into_parts();
            assert_eq!(site.resolvers().elsewhere(&parts, &acme), None);
        }
        // without a primary domain, or a resolver that knows domains, nobody is sent anywhere
        let (parts, ()) = Request::builder()
            .header("host", "acme.base.example")
            .body(())
            .unwrap()
            .into_parts();
        let without = tenant("acme", None);
        assert_eq!(site.resolvers().elsewhere(&parts, &without), None);
        let unknown =
            Site::new("base.example").tenants_by(Resolvers::new().subdomain("base.example"));
        assert_eq!(unknown.resolvers().elsewhere(&parts, &acme), None);
        assert_eq!(unknown.url(&acme, "/a"), "http://acme.base.example/a");
    }
}
