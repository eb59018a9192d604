//! What is compared: a database with tenants in it, and a server before it.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    num::NonZeroUsize,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use clap::ValueEnum;
use futures_util::{StreamExt, TryStreamExt, stream};
use tenantry::{
    Config, Tenancy,
    lifecycle::NewTenant,
    tenant::{Isolation, TenantCode},
};
use uuid::Uuid;

use crate::{
    Error,
    cluster::Cluster,
    data::{self, FILL, FILL_PLAIN, PLAIN, POLICIES},
    peers::{Installed, InstalledOnFiles},
    process,
    serve::Way,
};

/// How many tenants are made at a time.
const MADE_AT_ONCE: usize = 4;

/// A database with tenants in it.
pub(crate) struct Place {
    name: String,
    kind: Kind,
    url: String,
    data: PathBuf,
    made: usize,
}

/// What is in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Tables as one would write them.
    Plain,
    /// The same, with a policy that keeps tenants apart.
    Policies,
    /// What tenantry makes.
    Tenancy(Isolation),
    /// What a peer makes.
    Foreign,
}

/// A deployment of tenantry on that database.
pub(crate) fn config(data: &Path, project: &str, url: &str, pool: usize) -> Config {
    Config::new(data)
        .project(project)
        .database_url(url)
        .most_connections(NonZeroUsize::new(pool).unwrap_or(NonZeroUsize::MIN))
        .tenant_migrations(data::migrations())
}

impl Place {
    pub(crate) async fn new(
        cluster: &Cluster,
        name: impl Into<String>,
        kind: Kind,
    ) -> Result<Self, Error> {
        let name = name.into();
        let database = format!("bench_{name}");
        cluster.create_database(&database).await?;
        let place = Self {
            kind,
            url: cluster.url(&database),
            data: cluster.folder().join(&name),
            name,
            made: 0,
        };
        let tables = match kind {
            Kind::Plain => [PLAIN, ""],
            Kind::Policies => [PLAIN, POLICIES],
            Kind::Tenancy(_) | Kind::Foreign => return Ok(place),
        };
        let sql = format!("SET ROLE bench; {}", tables.concat());
        cluster.client(&database).await?.batch_execute(&sql).await?;
        Ok(place)
    }

    pub(crate) fn database(&self) -> String {
        format!("bench_{}", self.name)
    }

    /// A database that a peer serves, with tenants as it has them.
    pub(crate) async fn of_peer(
        cluster: &Cluster,
        peer: &Installed,
        tenants: usize,
    ) -> Result<Self, Error> {
        let mut place = Self::new(cluster, peer.peer.database(), peer.peer.kind()).await?;
        if place.kind == Kind::Foreign {
            peer.make(cluster, &place.database(), 0..tenants).await?;
            place.made = tenants;
        }
        place.fill(cluster, tenants).await?;
        Ok(place)
    }

    /// Makes tenants until there are as many.
    pub(crate) async fn fill(&mut self, cluster: &Cluster, tenants: usize) -> Result<(), Error> {
        let new = self.made..tenants;
        match self.kind {
            Kind::Plain | Kind::Policies => self.fill_plain(cluster, new.clone()).await?,
            Kind::Tenancy(isolation) => self.fill_tenancy(isolation, new.clone()).await?,
            // its tenants are made by itself
            Kind::Foreign => {}
        }
        self.made = self.made.max(tenants);
        // what was made is found as it will be found later, when all of it is old
        let client = cluster.client(&self.database()).await?;
        client.batch_execute("VACUUM (ANALYZE)").await?;
        client.batch_execute("CHECKPOINT").await?;
        Ok(())
    }

    async fn fill_plain(
        &self,
        cluster: &Cluster,
        tenants: std::ops::Range<usize>,
    ) -> Result<(), Error> {
        let client = cluster.client(&self.database()).await?;
        let statement = client.prepare(FILL_PLAIN).await?;
        for tenant in tenants {
            let products = serde_json::json!(data::products(tenant));
            client
                .execute(
                    &statement,
                    &[&Uuid::now_v7(), &data::code(tenant), &products],
                )
                .await?;
        }
        Ok(())
    }

    async fn fill_tenancy(
        &self,
        isolation: Isolation,
        tenants: std::ops::Range<usize>,
    ) -> Result<(), Error> {
        let config = config(&self.data, &self.project(), &self.url, MADE_AT_ONCE);
        let tenancy = Tenancy::set_up(config).await?;
        let making = tenants.map(|tenant| {
            let tenancy = tenancy.clone();
            async move {
                let code = data::code(tenant);
                let code = TenantCode::new(&code).expect("the codes made here are codes");
                let new = NewTenant::new(code, format!("Tenant {tenant}")).isolation(isolation);
                let products = serde_json::json!(data::products(tenant));
                let fill = |db: tenantry::db::TenantDb| async move {
                    db.query(FILL).bind(products).execute().await?;
                    Ok(())
                };
                tenancy.create_with(new, fill).await.map(drop)
            }
        });
        let made = stream::iter(making).buffer_unordered(MADE_AT_ONCE);
        let made = made.try_collect::<()>().await;
        tenancy.close();
        Ok(made?)
    }

    fn project(&self) -> String {
        format!("bench_{}", self.name)
    }
}

/// A server process.
pub(crate) struct Server {
    child: Child,
    /// Whether the child is none of the server's processes and only minds them.
    is_minded: bool,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a process of this program that serves what is in the place.
    pub(crate) fn start(place: &Place, way: Way, pool: usize) -> Result<Self, Error> {
        let project = place.project();
        let more = ["--url", &place.url, "--project", &project];
        Self::of_this_program(way, &place.data, pool, &more)
    }

    /// Starts a process of this program that serves the files in a folder, of which so many stay open.
    pub(crate) fn on_files(folder: &Path, way: Way, open: usize) -> Result<Self, Error> {
        Self::of_this_program(way, folder, open, &[])
    }

    fn of_this_program(way: Way, data: &Path, pool: usize, more: &[&str]) -> Result<Self, Error> {
        let program = std::env::current_exe().map_err(Error::io("looking for this program"))?;
        let way = way.to_possible_value().map(|way| way.get_name().to_owned());
        let way = way.unwrap_or_default();
        let mut command = Command::new(program);
        command
            .args(["serve", &way])
            .args(more)
            .args(["--pool", &pool.to_string()])
            .arg("--data")
            .arg(data)
            // a terminal's Ctrl-C is for whoever started it
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().map_err(Error::io("starting a server"))?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            drop(BufReader::new(out).read_line(&mut line));
        }
        match line.trim().parse() {
            Ok(address) => Ok(Self {
                child,
                is_minded: false,
                address,
            }),
            Err(_) => Err(Error::Ended(way)),
        }
    }

    /// Starts a peer that serves what is in the place.
    pub(crate) async fn of_peer(
        peer: &Installed,
        place: &Place,
        pool: usize,
    ) -> Result<Self, Error> {
        Ok(Self::minded(
            peer.start(&place.url, place.made, pool).await?,
        ))
    }

    /// Starts a peer that serves the files in a folder, of which so many stay open.
    pub(crate) async fn of_peer_on_files(
        peer: &InstalledOnFiles,
        folder: &Path,
        open: usize,
    ) -> Result<Self, Error> {
        Ok(Self::minded(peer.start(folder, open).await?))
    }

    fn minded((child, address): (Child, SocketAddr)) -> Self {
        Self {
            child,
            is_minded: true,
            address,
        }
    }

    /// What its processes take of memory, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let all = process::memory_of_tree(self.pid());
        if self.is_minded {
            all.saturating_sub(process::memory(self.pid()).proportional)
        } else {
            all
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}
