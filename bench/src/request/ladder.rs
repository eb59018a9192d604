//! A request, built up part by part: routers of which each has one thing more than the one that it
//! is laid on, and what is asked of it.

use std::{convert::Infallible, net::SocketAddr, path::Path};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, State},
    http::{HeaderName, Method, Request, Response, StatusCode, header},
    routing::get,
};
use chrono::TimeDelta;
use futures_util::{StreamExt, TryStreamExt, stream};
use tenantry::{
    Config, Tenancy, Tenant,
    db::TenantDb,
    lifecycle::NewTenant,
    policy::{Node, Permissions},
    routing::{
        BrowserSession, Caller, CurrentUser, Problem, Resolvers, Result as Answered, Routes, Site,
    },
    tenant::{DomainName, TenantCode},
    users::{ApiKeys, Attempt, JwtPolicy, Jwts, NewApiKey, NewUser, Tokens, User, Users},
};
use tower::ServiceExt;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::policies::{Product, policies, product};

/// Why it cannot be built, or does not answer as it must.
pub(crate) type Failed = Box<dyn std::error::Error + Send + Sync>;

/// How many tenants are made at a time.
const MADE_AT_ONCE: usize = 4;

const HOST: &str = "localhost";
const CODE: &str = "t00000";
const DOMAIN: &str = "shop.example.com";
const TENANT: HeaderName = HeaderName::from_static("tenant-code");
const EMAIL: &str = "staff@example.com";
const PASSWORD: &str = "correct horse battery";
const PATH: &str = "/nothing";

/// A part of a request, with all that it is laid on.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// What it is laid on: the number of another.
    pub(crate) on: Option<usize>,
    router: Router,
    request: Request<()>,
    /// What must be refused if this part is there at all, and how.
    control: Option<(Request<()>, StatusCode)>,
}

impl Part {
    /// What is asked, that often: made before anything is measured.
    pub(crate) fn requests(&self, count: usize) -> Vec<Request<Body>> {
        let bodiless = || self.request.clone().map(|()| Body::empty());
        std::iter::repeat_with(bodiless).take(count).collect()
    }

    /// Asks one after the other, as a server does.
    ///
    /// # Errors
    /// When one is not answered by 200.
    pub(crate) async fn ask(&self, requests: Vec<Request<Body>>) -> Result<(), Failed> {
        for request in requests {
            self.expect(request, StatusCode::OK).await?;
        }
        Ok(())
    }

    /// Sees to it that what must be refused is.
    pub(crate) async fn check(&self) -> Result<(), Failed> {
        self.ask(self.requests(1)).await?;
        match self.control.clone() {
            Some((request, status)) => self.expect(request.map(|()| Body::empty()), status).await,
            None => Ok(()),
        }
    }

    async fn expect(&self, request: Request<Body>, status: StatusCode) -> Result<(), Failed> {
        let answer = or_never(self.router.clone().oneshot(request).await);
        if answer.status() == status {
            return Ok(());
        }
        Err(format!("{}: answered {} for {status}", self.name, answer.status()).into())
    }
}

fn or_never(answer: Result<Response<Body>, Infallible>) -> Response<Body> {
    match answer {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

/// The parts, each after what it is laid on.
pub(crate) struct Ladder {
    pub(crate) parts: Vec<Part>,
    tenancy: Tenancy,
}

impl Drop for Ladder {
    fn drop(&mut self) {
        self.tenancy.close();
    }
}

/// Listens to spans as an application's log does, and writes nothing.
pub(crate) fn log_to_nowhere() -> Result<(), Failed> {
    let filter = EnvFilter::try_new("info,tower_sessions=error,tower_sessions_core=error")?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::sink);
    let all = tracing_subscriber::registry().with(filter).with(lines);
    Ok(all.try_init()?)
}

async fn nothing() {}

async fn of_user(_: CurrentUser) {}

async fn of_caller(_: Caller) {}

fn decide(permissions: &Permissions, product: &Node<Product>) -> Answered<()> {
    match permissions.allows("updateProduct", product) {
        true => Ok(()),
        false => Err(Problem::forbidden()),
    }
}

async fn decided(permissions: Permissions, State(product): State<Node<Product>>) -> Answered<()> {
    decide(&permissions, &product)
}

async fn decided_twice(
    permissions: Permissions,
    State(product): State<Node<Product>>,
) -> Answered<()> {
    decide(&permissions, &product)?;
    decide(&permissions, &product)
}

async fn with_db(_: TenantDb) {}

async fn with_statement(db: TenantDb) -> Answered<()> {
    let one: i64 = db.query("SELECT 1").scalar().await?;
    match one {
        1 => Ok(()),
        _ => Err(Problem::unavailable()),
    }
}

async fn all_together(
    permissions: Permissions,
    db: TenantDb,
    State(product): State<Node<Product>>,
) -> Answered<()> {
    decide(&permissions, &product)?;
    with_statement(db).await
}

async fn sign_in(tenancy: Tenancy, tenant: Tenant, session: BrowserSession) -> Answered<()> {
    let attempt = Attempt {
        email: EMAIL,
        password: PASSWORD,
        code: None,
        address: None,
    };
    let who = tenancy.sign_in(&tenant, attempt).await?;
    session.sign_in(&who).await
}

fn get_as(host: &str, path: &str, headers: &[(HeaderName, &str)]) -> Result<Request<()>, Failed> {
    let mut request = Request::get(path).header(header::HOST, host);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    // as whatever listens says it of each connection
    let from = SocketAddr::from(([127, 0, 0, 1], 50_000));
    Ok(request.extension(ConnectInfo(from)).body(())?)
}

impl Ladder {
    /// Makes tenants with a file each, of which one is asked, and the parts of what is asked of it.
    pub(crate) async fn new(data: &Path, tenants: usize) -> Result<Self, Failed> {
        let tenancy = Tenancy::set_up(Config::new(data).policies(policies()?)).await?;
        let making = (0..tenants.max(1)).map(|tenant| {
            let tenancy = tenancy.clone();
            async move {
                let code = TenantCode::new(&format!("t{tenant:05}"))?;
                let new = NewTenant::new(code, format!("Tenant {tenant}"));
                tenancy.create(new).await.map(drop).map_err(Failed::from)
            }
        });
        let making = stream::iter(making).buffer_unordered(MADE_AT_ONCE);
        making.try_collect::<()>().await?;
        let tenant = tenancy.tenant(&TenantCode::new(CODE)?).await?;
        let tenant = tenant.ok_or("the tenant is gone")?;
        own(data, &tenancy, &tenant).await?;
        let mut ladder = Self {
            parts: Vec::new(),
            tenancy,
        };
        ladder.build(&tenant).await?;
        for part in &ladder.parts {
            part.check().await?;
        }
        Ok(ladder)
    }

    async fn build(&mut self, tenant: &Tenant) -> Result<(), Failed> {
        let tenancy = self.tenancy.clone();
        let user = staff(&tenancy, tenant).await?;
        let site = Site::new(HOST);
        let product = product(user.id);
        // as the example applications have them: the shop, and the books for paths
        let resolvers = Resolvers::new()
            .subdomain(HOST)
            .domain()
            .header("Tenant-Code");
        let by_path = Resolvers::new()
            .host(HOST)
            .path("/c", "")
            .header("Tenant-Code");
        let routed = |routes: Routes<Node<Product>>| {
            routes.into_router(tenancy.clone(), resolvers.clone(), product.clone())
        };
        let of_tenant = || Routes::new().tenant(Method::GET, PATH, nothing);
        let with_sessions = || Routes::new().sessions(&site);
        let by_header = |headers: &[(HeaderName, &str)]| {
            let all = [&[(TENANT, CODE)][..], headers].concat();
            get_as(HOST, PATH, &all)
        };
        let as_nobody = by_header(&[])?;
        let no_tenant = Some((
            get_as(HOST, PATH, &[(TENANT, "nobody")])?,
            StatusCode::NOT_FOUND,
        ));
        let unauthorized = Some((as_nobody.clone(), StatusCode::UNAUTHORIZED));

        let bare = Router::new().route(PATH, get(nothing));
        let bare = self.add(
            "a bare axum route",
            None,
            bare,
            get_as(HOST, PATH, &[])?,
            None,
        );
        let central = routed(Routes::new().central(Method::GET, PATH, nothing));
        let central = self.add(
            "`Routes` around it, on the central host",
            Some(bare),
            central,
            get_as(HOST, PATH, &[])?,
            Some((get_as("elsewhere", PATH, &[])?, StatusCode::NOT_FOUND)),
        );
        let router = routed(of_tenant());
        let by = [
            (
                "the tenant, by header",
                HOST.to_owned(),
                Some((TENANT, CODE)),
            ),
            ("… by subdomain", format!("{CODE}.{HOST}"), None),
            ("… by a domain of its own", DOMAIN.to_owned(), None),
        ];
        let mut header_part = central;
        for (name, host, header) in by {
            let request = get_as(&host, PATH, header.as_slice())?;
            let part = self.add(
                name,
                Some(central),
                router.clone(),
                request,
                no_tenant.clone(),
            );
            if header.is_some() {
                header_part = part;
            }
        }
        self.add(
            "… by path",
            Some(central),
            of_tenant().into_router(tenancy.clone(), by_path, product.clone()),
            get_as(HOST, &format!("/c/{CODE}{PATH}"), &[])?,
            Some((
                get_as(HOST, "/c/nobody/nothing", &[])?,
                StatusCode::NOT_FOUND,
            )),
        );
        let shown = Shown::to(&tenancy, tenant, &user).await?;
        let bearer =
            |secret: &str| by_header(&[(header::AUTHORIZATION, &format!("Bearer {secret}"))]);
        let router = routed(Routes::new().tenant(Method::GET, PATH, of_user));
        let request = bearer(&shown.token)?;
        let token = self.add(
            "who asks, by token",
            Some(header_part),
            router.clone(),
            request.clone(),
            unauthorized.clone(),
        );
        self.add(
            "… by JWT",
            Some(header_part),
            router,
            bearer(&shown.jwt)?,
            unauthorized.clone(),
        );
        self.add(
            "… by a program's key",
            Some(header_part),
            routed(Routes::new().tenant(Method::GET, PATH, of_caller)),
            bearer(&shown.key)?,
            unauthorized.clone(),
        );
        let sessions = self.add(
            "sessions of browsers, and none shown",
            Some(header_part),
            routed(with_sessions().tenant(Method::GET, PATH, nothing)),
            as_nobody.clone(),
            no_tenant.clone(),
        );
        let signing_in = with_sessions().tenant(Method::GET, PATH, sign_in);
        let cookie = cookie_of(routed(signing_in), as_nobody.clone()).await?;
        self.add(
            "… who asks, by one",
            Some(sessions),
            routed(with_sessions().tenant(Method::GET, PATH, of_user)),
            by_header(&[(header::COOKIE, &cookie)])?,
            unauthorized,
        );
        let new = Routes::new;
        let db = self.add(
            "`TenantDb`, without a statement",
            Some(header_part),
            routed(new().tenant(Method::GET, PATH, with_db)),
            as_nobody.clone(),
            no_tenant.clone(),
        );
        self.add(
            "one statement on it, `SELECT 1`",
            Some(db),
            routed(new().tenant(Method::GET, PATH, with_statement)),
            as_nobody.clone(),
            no_tenant,
        );
        // whoever is not signed in may not
        let forbidden = Some((as_nobody, StatusCode::FORBIDDEN));
        let mut asked = |name, on, routes| {
            self.add(
                name,
                Some(on),
                routed(routes),
                request.clone(),
                forbidden.clone(),
            )
        };
        let decision = asked(DECISION, token, new().tenant(Method::GET, PATH, decided));
        asked(
            "… a second decision",
            decision,
            new().tenant(Method::GET, PATH, decided_twice),
        );
        asked(
            "all together: by header, by token, decided, one statement",
            bare,
            new().tenant(Method::GET, PATH, all_together),
        );
        Ok(())
    }

    fn add(
        &mut self,
        name: &'static str,
        on: Option<usize>,
        router: Router,
        request: Request<()>,
        control: Option<(Request<()>, StatusCode)>,
    ) -> usize {
        self.parts.push(Part {
            name,
            on,
            router,
            request,
            control,
        });
        self.parts.len() - 1
    }
}

/// The part for which there is a bar.
pub(crate) const DECISION: &str = "a policy's decision, with who asks made known";

/// Gives the tenant a domain. Nobody here answers for the DNS, so that it is verified is written down
/// as verifying it does.
async fn own(data: &Path, tenancy: &Tenancy, tenant: &Tenant) -> Result<(), Failed> {
    let host = DomainName::new(DOMAIN)?;
    tenancy.domains(tenant).claim(&host).await?;
    let central = rusqlite::Connection::open(data.join("central.db"))?;
    let verified = central.execute(
        "UPDATE tenantry_domains SET verified_at = created_at WHERE host = ?1",
        [DOMAIN],
    )?;
    match verified {
        1 => Ok(()),
        _ => Err("the domain was not claimed".into()),
    }
}

async fn staff(tenancy: &Tenancy, tenant: &Tenant) -> Result<User, Failed> {
    let new = NewUser {
        email: EMAIL.into(),
        password: PASSWORD.into(),
        first_name: "Stan".into(),
        last_name: String::new(),
        role: "staff".into(),
    };
    let mut db = tenancy.db(tenant).await?;
    Ok(Users::on(&mut db).create(tenancy.passwords(), new).await?)
}

/// What somebody shows with each request.
struct Shown {
    token: String,
    jwt: String,
    key: String,
}

impl Shown {
    async fn to(tenancy: &Tenancy, tenant: &Tenant, user: &User) -> Result<Self, Failed> {
        let db = tenancy.db(tenant).await?;
        let new = NewApiKey {
            name: "bench".into(),
            scopes: vec!["products:write".into()],
            expires_at: None,
            made_by: Some(user.id),
        };
        let mut policy = JwtPolicy::default();
        policy.access_life = TimeDelta::days(1); // however long it is measured
        Ok(Self {
            token: Tokens::on(&db).issue(user.id).await?.secret,
            jwt: Jwts::with(&db, tenant, policy).issue(user.id).await?.access,
            key: ApiKeys::on(&db).create(new).await?.1,
        })
    }
}

/// Signs in, and tells what a browser shows from then on.
async fn cookie_of(router: Router, request: Request<()>) -> Result<String, Failed> {
    let answer = or_never(router.oneshot(request.map(|()| Body::empty())).await);
    let cookie = answer.headers().get(header::SET_COOKIE);
    let cookie = cookie.ok_or("signing in set no cookie")?.to_str()?;
    let (pair, _) = cookie.split_once(';').unwrap_or((cookie, ""));
    Ok(pair.to_owned())
}
