use tenantry::{
    Config, OpenError, Tenancy, Tenant,
    policy::Policies,
    routing::Site,
    scoped::{files::FileStore, mail::SmtpMailer},
    tenant::TenantCode,
};

use crate::{
    Application, Error, People,
    settings::{Profile, Settings},
};

/// What commands work with.
pub(crate) struct Context {
    pub(crate) settings: Settings,
}

impl Context {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// The deployment's makings.
    pub(crate) fn config<A: Application>(&self) -> Result<Config, Error> {
        let settings = &self.settings;
        let mut config = Config::new(&settings.data)
            .project(A::NAME.replace('-', "_"))
            .tenant_migrations(A::tenant_migrations())
            .central_migrations(A::central_migrations())
            .credential_tables(A::credential_tables().iter().copied())
            .personal_columns(A::personal_columns().iter().copied())
            .mail_address(format!("no-reply@{}", settings.host))
            .base_host(&settings.host)
            .name_servers(settings.name_servers.iter().copied())
            .pooler(settings.pooler)
            .keys(settings.keys.iter().cloned())
            .tenant_smtp(settings.tenant_smtp)
            .usage_interval(settings.usage_interval)
            .development(settings.profile == Profile::Development);
        if let Some(smtp) = &settings.smtp {
            config = config.mailer(SmtpMailer::new(smtp.clone()));
        }
        if let Some(url) = &settings.files_url {
            config = config.files_in(FileStore::at(url)?);
        }
        if let Some(url) = &settings.database_url {
            config = config.database_url(url);
        }
        #[cfg(feature = "redis")]
        if let Some(url) = &settings.redis_url {
            config = config.redis(url);
        }
        if let Some(isolation) = settings.isolation {
            config = config.isolation(isolation);
        }
        if let Some(connections) = settings.connections {
            config = config.most_connections(connections);
        }
        for (name, url) in &settings.servers {
            config = config.server(name, url);
        }
        if let Some(policies) = policies::<A>()? {
            config = config.policies(policies);
        }
        Ok(A::configure(config))
    }

    /// Where the deployment is on the web.
    pub(crate) fn site<A: Application>(&self) -> Site {
        A::site(self.settings.site())
    }

    /// Opens the deployment; in development it is made, or its central database brought up to date,
    /// where that is needed.
    pub(crate) async fn open<A: Application>(&self) -> Result<Tenancy, Error> {
        self.open_with(self.config::<A>()?).await
    }

    /// Opens the deployment for a command that `only_looks`: where there is none, none is made. As
    /// [`open`](Self::open) for others.
    pub(crate) async fn open_for<A: Application>(
        &self,
        only_looks: bool,
    ) -> Result<Tenancy, Error> {
        let config = self.config::<A>()?;
        if only_looks && self.settings.profile == Profile::Development {
            match Tenancy::inspect(config.clone()).await {
                Ok((tenancy, _)) => tenancy.close(),
                Err(OpenError::NotSetUp(folder)) => return Err(Error::NothingHere(folder)),
                Err(error) => return Err(error.into()),
            }
        }
        self.open_with(config).await
    }

    /// As [`open`](Self::open), with makings that the caller has added to.
    pub(crate) async fn open_with(&self, config: Config) -> Result<Tenancy, Error> {
        Ok(match self.settings.profile {
            Profile::Development => Tenancy::set_up(config).await?,
            Profile::Production => Tenancy::open(config).await?,
        })
    }
}

/// The application's policies, if it has any.
pub(crate) fn policies<A: Application>() -> Result<Option<Policies>, Error> {
    let policies = A::policies().transpose().map_err(Error::Policies)?;
    Ok(policies.map(|policies| match A::PEOPLE {
        People::Inside => policies,
        People::Outside => policies.outside(),
    }))
}

/// The tenant of that code.
pub(crate) async fn find(tenancy: &Tenancy, code: &TenantCode) -> Result<Tenant, Error> {
    tenancy
        .tenant(code)
        .await
        .map_err(Error::Catalog)?
        .ok_or_else(|| Error::NoTenant(code.clone()))
}
