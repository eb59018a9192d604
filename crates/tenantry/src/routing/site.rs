use crate::tenant::TenantCode;

/// Where the deployment is on the web: what its URLs begin with.
///
/// ```
/// use tenantry::routing::Site;
///
/// let site = Site::new("localhost").port(8000);
/// assert_eq!(site.central_url(), "http://localhost:8000");
/// assert_eq!(site.tenant_url(&"acme".parse()?), "http://acme.localhost:8000");
/// # Ok::<_, tenantry::tenant::CodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    host: String,
    port: Option<u16>,
    https: bool,
    prefix: Option<String>,
}

impl Site {
    /// A deployment whose central host is `host`, over plain HTTP on the default port.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self {
            host: host.to_ascii_lowercase(),
            port: None,
            https: false,
            prefix: None,
        }
    }

    /// On another port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Whose tenants are under a path of the central host, such as `/c`, and not on hosts of their
    /// own. See [`Resolvers::path`](super::Resolvers::path).
    #[must_use]
    pub fn tenants_under(mut self, prefix: &str) -> Self {
        self.prefix = Some(prefix.to_owned());
        self
    }

    /// Over HTTPS, as seen by browsers.
    #[must_use]
    pub fn https(mut self) -> Self {
        self.https = true;
        self
    }

    /// Whether browsers come over HTTPS, so that cookies can be `Secure`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The central host's name, without port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The central host with its port where it is not the default one.
    #[must_use]
    pub fn authority(&self) -> String {
        let default = if self.https { 443 } else { 80 };
        match self.port {
            Some(port) if port != default => format!("{}:{port}", self.host),
            _ => self.host.clone(),
        }
    }

    /// The central host's URL, without a trailing slash.
    #[must_use]
    pub fn central_url(&self) -> String {
        format!("{}://{}", self.scheme(), self.authority())
    }

    /// The tenant's URL, without a trailing slash.
    #[must_use]
    pub fn tenant_url(&self, code: &TenantCode) -> String {
        match &self.prefix {
            Some(_) => format!("{}{}", self.central_url(), self.tenant_path(code)),
            None => format!("{}://{code}.{}", self.scheme(), self.authority()),
        }
    }

    /// What the paths of the tenant's pages begin with: nothing where it has a host of its own.
    #[must_use]
    pub fn tenant_path(&self, code: &TenantCode) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{code}"),
            None => String::new(),
        }
    }

    fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}
