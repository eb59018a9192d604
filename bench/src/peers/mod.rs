//! What others have for the same: programs that are not this one, each in a folder of its own under
//! `peers`, written as its documentation says, and installed by the benchmark.

mod install;
mod mind;

use std::{
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use clap::ValueEnum;
use tokio::{io::AsyncWriteExt, net::TcpStream, process::Command};

pub(crate) use self::mind::{Mind, mind};
use crate::{
    Error,
    cluster::{self, Cluster},
    data::{self, FILL, Moments},
    driver::{Dialect, Naming},
    stack::Kind,
};

/// How long a program may take until it listens.
const LONGEST_START: Duration = Duration::from_secs(60);

/// A program to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// django-tenants, Django REST framework, gunicorn: a schema for each tenant
    DjangoTenants,
    /// Django REST framework, gunicorn: one table, and a manager that filters by tenant
    DjangoRows,
    /// Fastify, Drizzle, node-postgres: one table behind row-level security
    Fastify,
    /// axum, sqlx: one table, and statements that name the tenant
    Sqlx,
    /// axum, sqlx: one table behind row-level security
    SqlxRls,
    /// axum, SeaORM: one table, and statements that name the tenant
    SeaOrm,
    /// axum, SeaORM: one table behind row-level security
    SeaOrmRls,
    /// axum, diesel, diesel-async: one table, and statements that name the tenant
    Diesel,
    /// axum, diesel, diesel-async: one table behind row-level security
    DieselRls,
}

/// A program to compare with where each tenant has a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PeerOnFiles {
    /// axum, sqlx: a pool for each file
    Sqlx,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DjangoTenants => "django-tenants",
            Self::DjangoRows => "django-rows",
            Self::Fastify => "fastify",
            Self::Sqlx => "sqlx",
            Self::SqlxRls => "sqlx-rls",
            Self::SeaOrm => "sea-orm",
            Self::SeaOrmRls => "sea-orm-rls",
            Self::Diesel => "diesel",
            Self::DieselRls => "diesel-rls",
        }
    }

    /// What it is installed with.
    fn package(self) -> Package {
        match self {
            Self::DjangoTenants => Package::DjangoTenants,
            Self::DjangoRows => Package::DjangoRows,
            Self::Fastify => Package::Fastify,
            Self::Sqlx
            | Self::SqlxRls
            | Self::SeaOrm
            | Self::SeaOrmRls
            | Self::Diesel
            | Self::DieselRls => Package::ByHand,
        }
    }

    /// What its database has in it.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::DjangoTenants => Kind::Foreign,
            Self::DjangoRows | Self::Sqlx | Self::SeaOrm | Self::Diesel => Kind::Plain,
            Self::Fastify | Self::SqlxRls | Self::SeaOrmRls | Self::DieselRls => Kind::Policies,
        }
    }

    /// What its database is called, after the benchmark's prefix.
    pub(crate) fn database(self) -> String {
        self.name().replace('-', "_")
    }

    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::DjangoTenants => Dialect {
                naming: Naming::Subdomain,
                ..Dialect::default()
            },
            Self::Fastify => Dialect {
                moments: Moments::Milliseconds,
                ..Dialect::default()
            },
            _ => Dialect::default(),
        }
    }
}

/// A folder of `peers`, which is installed as one and may serve in several ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Package {
    DjangoTenants,
    DjangoRows,
    Fastify,
    ByHand,
}

/// What a program runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runtime {
    Python,
    Node,
    /// None: it is built, and runs by itself.
    Rust,
}

impl Package {
    fn name(self) -> &'static str {
        match self {
            Self::DjangoTenants => "django-tenants",
            Self::DjangoRows => "django-rows",
            Self::Fastify => "fastify",
            Self::ByHand => "by-hand",
        }
    }

    fn runtime(self) -> Runtime {
        match self {
            Self::DjangoTenants | Self::DjangoRows => Runtime::Python,
            Self::Fastify => Runtime::Node,
            Self::ByHand => Runtime::Rust,
        }
    }

    /// Where its source is.
    fn source(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("peers")
            .join(self.name())
    }
}

/// A peer that can be started.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) peer: Peer,
    program: Program,
}

/// A package that has been installed.
#[derive(Debug, Clone)]
struct Program {
    package: Package,
    /// Where its source and its packages are, or what was built of them.
    folder: PathBuf,
    /// What it is made of, in one line.
    made_of: String,
}

impl Installed {
    /// Installs each that is asked for, once.
    ///
    /// # Errors
    ///
    /// If one cannot be installed: a run without it would not be the one that was asked for.
    pub(crate) async fn all(peers: &[Peer]) -> Result<Vec<Self>, Error> {
        let mut all: Vec<Self> = Vec::new();
        for &peer in peers {
            if all.iter().any(|one| one.peer == peer) {
                continue;
            }
            let package = peer.package();
            let there = all.iter().find(|one| one.program.package == package);
            let program = match there {
                Some(there) => there.program.clone(),
                None => install::install(package).await?,
            };
            all.push(Self { peer, program });
        }
        Ok(all)
    }

    /// As lines of the report, one for all that are installed together.
    pub(crate) fn facts(all: &[Self], pool: usize) -> String {
        let mut packages: Vec<Package> = all.iter().map(|one| one.program.package).collect();
        packages.dedup();
        let line = |package: Package| {
            let of_it: Vec<&Self> = all
                .iter()
                .filter(|one| one.program.package == package)
                .collect();
            let names: Vec<&str> = of_it.iter().map(|one| one.peer.name()).collect();
            let made_of = of_it.first().map_or("", |one| &one.program.made_of);
            format!(
                "- {}: {made_of}; {}\n",
                names.join(", "),
                package.runtime().processes_in_words(pool)
            )
        };
        packages.into_iter().map(line).collect()
    }

    /// Makes tenants in an empty database, as the peer itself makes them, and fills them.
    pub(crate) async fn make(
        &self,
        cluster: &Cluster,
        database: &str,
        tenants: std::ops::Range<usize>,
    ) -> Result<(), Error> {
        let url = cluster.url(database);
        self.manage(
            &url,
            &["migrate_schemas", "--shared", "--verbosity", "0"],
            "",
        )
        .await?;
        let codes: String = tenants
            .clone()
            .map(|tenant| data::code(tenant) + "\n")
            .collect();
        self.manage(&url, &["make_tenants"], &codes).await?;
        let client = cluster.client(database).await?;
        for tenant in tenants {
            let code = data::code(tenant);
            client
                .execute("SELECT set_config('search_path', $1, false)", &[&code])
                .await?;
            let products = serde_json::json!(data::products(tenant));
            client.execute(FILL, &[&products]).await?;
        }
        Ok(())
    }

    /// Runs one of the commands that it has for whoever operates it.
    async fn manage(&self, url: &str, words: &[&str], input: &str) -> Result<(), Error> {
        let doing = Error::io("running what the peer has for its operators");
        let mut child = Command::new(self.program.runs())
            .arg("manage.py")
            .args(words)
            .current_dir(self.program.app())
            .env("DATABASE_URL", url)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(&doing)?;
        if let Some(mut stdin) = child.stdin.take() {
            // one that ends before it has read all says why
            drop(stdin.write_all(input.as_bytes()).await);
        }
        let out = child.wait_with_output().await.map_err(&doing)?;
        if out.status.success() {
            return Ok(());
        }
        Err(Error::Program {
            program: self.program.app().join("manage.py"),
            said: String::from_utf8_lossy(&out.stderr).into_owned(),
        })
    }

    /// Starts it before a database, and waits until it listens.
    pub(crate) async fn start(&self, url: &str, pool: usize) -> Result<(Child, SocketAddr), Error> {
        let (processes, each) = self.program.package.runtime().processes(pool);
        let (processes, each) = (processes.to_string(), each.to_string());
        let address = free_address()?;
        let mut command = self.program.minded()?;
        match self.program.package.runtime() {
            Runtime::Python => command
                .args(["-m", "gunicorn", "project.wsgi"])
                .args(["--bind", &address.to_string()])
                .args(["--workers", &processes, "--threads", &each])
                .args(["--log-level", "warning", "--no-control-socket"]),
            Runtime::Node => command
                .arg("server.js")
                .env("NODE_ENV", "production")
                .env("WORKERS", &processes)
                .env("CONNECTIONS", &each),
            Runtime::Rust => command.arg(self.peer.name()).env("CONNECTIONS", &each),
        };
        command.env("DATABASE_URL", url);
        started(command, self.peer.name(), address).await
    }
}

/// A peer that can be started before files.
#[derive(Debug)]
pub(crate) struct InstalledOnFiles(Program);

impl InstalledOnFiles {
    pub(crate) async fn new(peer: PeerOnFiles) -> Result<Self, Error> {
        let PeerOnFiles::Sqlx = peer;
        Ok(Self(install::install(Package::ByHand).await?))
    }

    pub(crate) fn name(&self) -> &'static str {
        "sqlx"
    }

    /// As a line of the report.
    pub(crate) fn fact(&self) -> String {
        let package = self.0.package.name();
        format!("- {}, of {package}: {}\n", self.name(), self.0.made_of)
    }

    /// Starts it before the files of a folder, of which so many stay open, and waits until it listens.
    pub(crate) async fn start(
        &self,
        folder: &Path,
        open: usize,
    ) -> Result<(Child, SocketAddr), Error> {
        let address = free_address()?;
        let mut command = self.0.minded()?;
        command
            .arg("sqlx-files")
            .env("FOLDER", folder)
            .env("OPEN_FILES", open.to_string());
        started(command, self.name(), address).await
    }
}

impl Program {
    /// What it has of packages, and its own source.
    fn app(&self) -> PathBuf {
        self.folder.join("app")
    }

    /// What is run.
    fn runs(&self) -> PathBuf {
        match self.package.runtime() {
            Runtime::Python => self.folder.join("venv/bin/python"),
            Runtime::Node => "node".into(),
            Runtime::Rust => self.folder.join("release").join(self.package.name()),
        }
    }

    /// It, started so that it ends with the benchmark.
    fn minded(&self) -> Result<std::process::Command, Error> {
        let own = std::env::current_exe().map_err(Error::io("looking for this program"))?;
        let mut command = std::process::Command::new(own);
        command.args(["mind", "--"]).arg(self.runs());
        if self.package.runtime() != Runtime::Rust {
            command.current_dir(self.app());
        }
        Ok(command)
    }
}

impl Runtime {
    /// How many processes serve, and how many connections to the database each may have: as many as
    /// there are processors, where one does not use more than one of them.
    fn processes(self, pool: usize) -> (usize, usize) {
        let processes = match self {
            Self::Python | Self::Node => {
                std::thread::available_parallelism().map_or(1, usize::from)
            }
            Self::Rust => 1,
        };
        (processes, (pool / processes).max(1))
    }

    fn processes_in_words(self, pool: usize) -> String {
        let (processes, each) = self.processes(pool);
        match self {
            Self::Python => format!("{processes} processes with {each} threads each"),
            Self::Node => format!("{processes} processes with {each} connections each"),
            Self::Rust => format!("one process with {each} connections"),
        }
    }
}

fn free_address() -> Result<SocketAddr, Error> {
    let port = cluster::free_port().map_err(Error::io("looking for a free port"))?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// Starts what listens at the address, and waits until it does.
async fn started(
    mut command: std::process::Command,
    name: &str,
    address: SocketAddr,
) -> Result<(Child, SocketAddr), Error> {
    let doing = Error::io("starting a peer");
    let mut child = command
        .env("PORT", address.port().to_string())
        // a terminal's Ctrl-C is for whoever started it
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(&doing)?;
    let begun = Instant::now();
    while TcpStream::connect(address).await.is_err() {
        let ended = child.try_wait().map_err(&doing)?.is_some();
        if ended || begun.elapsed() > LONGEST_START {
            return Err(Error::Ended(name.into()));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok((child, address))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn packages() -> Vec<Package> {
        let mut packages: Vec<Package> = Vec::new();
        for peer in Peer::value_variants() {
            if !packages.contains(&peer.package()) {
                packages.push(peer.package());
            }
        }
        packages
    }

    fn toml(path: &Path) -> toml::Table {
        fs::read_to_string(path).unwrap().parse().unwrap()
    }

    /// Whether the file that a package is locked by has that version of what it needs, and its hash.
    fn is_locked(package: Package, name: &str, version: &str) -> bool {
        let lock = package.source().join(package.runtime().lock());
        let read = || fs::read_to_string(&lock).unwrap();
        match package.runtime() {
            Runtime::Python => {
                let line = format!("{name}=={version} \\\n    --hash=sha256:");
                read().contains(&line)
            }
            Runtime::Node => {
                let lock: serde_json::Value = serde_json::from_str(&read()).unwrap();
                let package = &lock["packages"][format!("node_modules/{name}")];
                package["version"] == version && package["integrity"].is_string()
            }
            Runtime::Rust => {
                let lock = toml(&lock);
                let packages = lock["package"].as_array().unwrap();
                packages.iter().any(|package| {
                    package["name"].as_str() == Some(name)
                        && package["version"].as_str() == Some(version)
                        && package.get("checksum").is_some_and(toml::Value::is_str)
                })
            }
        }
    }

    #[test]
    fn what_a_peer_needs_is_pinned_and_locked() {
        for package in packages() {
            let pins = install::pins(package).unwrap();
            assert!(pins.len() >= 3, "{pins:?}");
            for (name, version) in pins {
                assert!(
                    version.starts_with(|c: char| c.is_ascii_digit())
                        && version.chars().all(|c| c.is_ascii_digit() || c == '.'),
                    "{}: {name} {version}",
                    package.name()
                );
                assert!(
                    is_locked(package, &name, &version),
                    "{}: {name} {version} is not locked",
                    package.name()
                );
                assert!(!is_locked(package, &name, "0.0.0"), "{name}");
            }
        }
    }

    #[test]
    fn what_is_built_is_built_as_the_benchmark_is() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let own = &toml(&root)["profile"]["release"];
        let mut built = 0;
        for package in packages() {
            if package.runtime() == Runtime::Rust {
                let other = &toml(&package.source().join("Cargo.toml"))["profile"]["release"];
                assert_eq!(other, own, "{}", package.name());
                built += 1;
            }
        }
        assert!(built > 0);
    }

    #[test]
    fn names_are_those_of_the_command_line() {
        for &peer in Peer::value_variants() {
            let value = peer.to_possible_value().unwrap();
            assert_eq!(value.get_name(), peer.name());
        }
    }

    #[test]
    fn every_package_has_a_folder() {
        for package in packages() {
            assert!(package.source().is_dir(), "{}", package.name());
        }
    }
}
