use std::fmt;

use futures_util::future::BoxFuture;
use tenantry::{
    Config, Tenancy, Tenant,
    db::TenantDb,
    lifecycle::SeedError,
    migrate::Migrations,
    policy::{Policies, PolicyError},
    routing::Site,
    scoped::jobs::Jobs,
};

/// An application, as its command line sees it.
pub trait Application: 'static {
    /// The program's name, in lower case: of the binary, of its settings file (`NAME.toml`) and of
    /// its environment variables (`NAME_DATA`).
    const NAME: &'static str;

    /// What it is, in a sentence.
    const ABOUT: &'static str;

    /// What `--version` tells. Write `env!("CARGO_PKG_VERSION")` to have the application's own;
    /// without it, it is that of this crate.
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    /// The roles that a user may have, most powerful first: the first is the owner's.
    const ROLES: &'static [&'static str];

    /// Where its users are.
    const PEOPLE: People = People::Inside;

    /// What a tenant's database is made of, besides its users.
    fn tenant_migrations() -> Migrations;

    /// What the application's shared tables are made of.
    fn central_migrations() -> Migrations {
        Migrations::new()
    }

    /// Who may do what, where policies decide it. With [`People::Outside`] they are
    /// [told so](Policies::outside). When they are wrong no command is run.
    #[must_use]
    fn policies() -> Option<Result<Policies, PolicyError>> {
        None
    }

    /// Where tenants are on the web, if not at hosts below the deployment's and at domains of their
    /// own: see [`Site::tenants_by`].
    #[must_use]
    fn site(site: Site) -> Site {
        site
    }

    /// What the application can be told to do for tenants, by `run NAME`.
    fn tasks() -> Vec<Task> {
        Vec::new()
    }

    /// What else the deployment is made of: its [settings](Config::settings), its
    /// [plans](Config::plan).
    #[must_use]
    fn configure(config: Config) -> Config {
        config
    }

    /// What the application can do later, in the background: `serve` and `worker` work on it.
    #[must_use]
    fn jobs(_site: Site) -> Jobs {
        Jobs::new()
    }

    /// The application's tables that stay empty in clones and archives, because what is in them lets
    /// somebody in. The library's own are known.
    fn credential_tables() -> &'static [&'static str] {
        &[]
    }

    /// The application's columns that tell who somebody is, each with its table, for `tenant export
    /// --anonymise`. The library's own are known.
    fn personal_columns() -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Whether an account may have this address; by default anything with a single `@`. The error
    /// goes on where "the e-mail address" ends: `must …`.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check_email(email: &str) -> Result<(), SeedError> {
        match email.split_once('@') {
            Some((name, host)) if !name.is_empty() && !host.is_empty() && !host.contains('@') => {
                Ok(())
            }
            _ => Err("must be like ann@example.com".into()),
        }
    }

    /// Whether an account may have this password; by default any. The error goes on where "the
    /// password" ends: `must …`.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check_password(_password: &str) -> Result<(), SeedError> {
        Ok(())
    }

    /// The application as a service.
    fn router(tenancy: Tenancy, site: Site) -> axum::Router;

    /// Puts into a new tenant's database what it must have from the start, and its owner if one is
    /// named. With [`People::Outside`] none ever is: the owner's account is made a member of the
    /// tenant besides.
    fn seed(
        tenancy: Tenancy,
        db: TenantDb,
        owner: Option<Owner>,
    ) -> impl Future<Output = Result<(), SeedError>> + Send;

    /// What else there is to know of a tenant, a line each: `tenant show` tells it. It is asked of tenants
    /// whose database is there and up to date.
    fn notes(
        _tenancy: &Tenancy,
        _tenant: &Tenant,
    ) -> impl Future<Output = Result<Vec<String>, SeedError>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Fills an empty place with something to look at, and tells people what. It is called only
    /// where there is no tenant, and not in production.
    fn demo(tenancy: Tenancy, site: Site)
    -> impl Future<Output = Result<String, SeedError>> + Send;
}

/// Where an application's users are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum People {
    /// [Inside](tenantry::users) each tenant: whoever is in two has two accounts.
    Inside,
    /// [Outside](tenantry::accounts) of tenants: one account, which is a member of any number.
    Outside,
}

/// The first user of a new tenant.
pub struct Owner {
    /// The address.
    pub email: String,
    /// The password in clear.
    pub password: String,
}

/// Something that an application does for one tenant at a time when it is told to, by `run NAME`.
///
/// ```
/// # use tenantry_manage::Task;
/// let count = Task::new("count-users", "How many users there are", |tenancy, tenant, _| async move {
///     let db = tenancy.db(&tenant).await?;
///     let users: i64 = db.query("SELECT count(*) FROM users").scalar().await?;
///     Ok(users.to_string())
/// });
/// ```
pub struct Task {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: Run,
}

type Run =
    Box<dyn Fn(Tenancy, Tenant, Vec<String>) -> BoxFuture<'static, Result<String, SeedError>>>;

impl Task {
    /// Something of that name. It is given the deployment, the tenant, and the arguments after its name,
    /// and says in a line what it did.
    pub fn new<F, Fut>(name: &'static str, about: &'static str, run: F) -> Self
    where
        F: Fn(Tenancy, Tenant, Vec<String>) -> Fut + 'static,
        Fut: Future<Output = Result<String, SeedError>> + Send + 'static,
    {
        Self {
            name,
            about,
            run: Box::new(move |tenancy, tenant, arguments| {
                Box::pin(run(tenancy, tenant, arguments))
            }),
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
