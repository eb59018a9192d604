//! What others have for the same: programs that are not this one, each in a folder of its own under
//! `peers`, written as its documentation says, and installed by the benchmark.

mod install;
mod known;
mod mind;

use std::{
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use tokio::{io::AsyncWriteExt, net::TcpStream, process::Command};

use self::known::{Package, Runtime};
pub(crate) use self::{
    known::{Peer, PeerOnFiles},
    mind::{Mind, mind},
};
use crate::{
    Error,
    cluster::{self, Cluster},
    data::{self, FILL},
};

/// How long a program may take until it listens.
const LONGEST_START: Duration = Duration::from_secs(60);

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
    /// Where its source and its packages are.
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
        let mut packages: Vec<Package> = Vec::new();
        for one in all {
            if !packages.contains(&one.program.package) {
                packages.push(one.program.package);
            }
        }
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
                package.processes_in_words(pool)
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
        let shared: &[&str] = match self.program.package {
            Package::Rustango => &["migrate"],
            _ => &["migrate_schemas", "--shared", "--verbosity", "0"],
        };
        self.manage(&url, shared, "").await?;
        let make = match self.program.package {
            Package::Rustango => "make-tenants",
            _ => "make_tenants",
        };
        let codes: String = tenants
            .clone()
            .map(|tenant| data::code(tenant) + "\n")
            .collect();
        self.manage(&url, &[make], &codes).await?;
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
        let mut command = Command::new(self.program.runs());
        if self.program.package.runtime() == Runtime::Python {
            command.arg("manage.py");
        }
        let mut child = command
            .args(words)
            .current_dir(self.program.app())
            .envs(self.program.package.settings().iter().copied())
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
            program: self.program.app(),
            said: String::from_utf8_lossy(&out.stderr).into_owned(),
        })
    }

    /// Starts it before a database with so many tenants, and waits until it listens.
    pub(crate) async fn start(
        &self,
        url: &str,
        tenants: usize,
        pool: usize,
    ) -> Result<(Child, SocketAddr), Error> {
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
            Runtime::Rust => match self.peer {
                Peer::Rustango => command.env("RUSTANGO_BIND", address.to_string()),
                // all of them by settings that its documentation has
                Peer::RustangoTuned => command
                    .env("RUSTANGO_BIND", address.to_string())
                    .env("TUNED_FOR_TENANTS", tenants.to_string())
                    .env("RUSTANGO_DB_MAX_CONNECTIONS", &each)
                    .env("RUSTANGO_HOST_GEN_CHECK_SECS", "0")
                    .env("RUST_LOG", "warn"),
                peer => command.arg(peer.name()).env("CONNECTIONS", &each),
            },
        };
        command
            .envs(self.program.package.settings().iter().copied())
            .env("DATABASE_URL", url);
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
            Runtime::Rust => install::built(&self.folder)
                .join("release")
                .join(self.package.binary()),
        }
    }

    /// It, started so that it ends with the benchmark.
    fn minded(&self) -> Result<std::process::Command, Error> {
        let own = std::env::current_exe().map_err(Error::io("looking for this program"))?;
        let mut command = std::process::Command::new(own);
        command
            .args(["mind", "--"])
            .arg(self.runs())
            .current_dir(self.app());
        Ok(command)
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

    use clap::ValueEnum;

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
