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
}

/// What a program runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runtime {
    Python,
    Node,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DjangoTenants => "django-tenants",
            Self::DjangoRows => "django-rows",
            Self::Fastify => "fastify",
        }
    }

    fn runtime(self) -> Runtime {
        match self {
            Self::DjangoTenants | Self::DjangoRows => Runtime::Python,
            Self::Fastify => Runtime::Node,
        }
    }

    /// What its database has in it.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::DjangoTenants => Kind::Foreign,
            Self::DjangoRows => Kind::Plain,
            Self::Fastify => Kind::Policies,
        }
    }

    /// What its database is called, after the benchmark's prefix.
    pub(crate) fn database(self) -> &'static str {
        match self {
            Self::DjangoTenants => "django_tenants",
            Self::DjangoRows => "django_rows",
            Self::Fastify => "fastify",
        }
    }

    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::DjangoTenants => Dialect {
                naming: Naming::Subdomain,
                ..Dialect::default()
            },
            Self::DjangoRows => Dialect::default(),
            Self::Fastify => Dialect {
                moments: Moments::Milliseconds,
                ..Dialect::default()
            },
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
            if all.iter().all(|one| one.peer != peer) {
                all.push(install::install(peer).await?);
            }
        }
        Ok(all)
    }

    /// As a line of the report.
    pub(crate) fn fact(&self, pool: usize) -> String {
        let (processes, each) = processes(pool);
        let what = match self.peer.runtime() {
            Runtime::Python => "threads",
            Runtime::Node => "connections",
        };
        format!(
            "- {}: {}; {processes} processes with {each} {what} each\n",
            self.peer.name(),
            self.made_of
        )
    }

    /// What it has of packages, and its own source.
    fn app(&self) -> PathBuf {
        self.folder.join("app")
    }

    fn program(&self) -> PathBuf {
        match self.peer.runtime() {
            Runtime::Python => self.folder.join("venv/bin/python"),
            Runtime::Node => "node".into(),
        }
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
        let program = self.program();
        let doing = Error::io("running what the peer has for its operators");
        let mut child = Command::new(&program)
            .arg("manage.py")
            .args(words)
            .current_dir(self.app())
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
            program: self.app().join("manage.py"),
            said: String::from_utf8_lossy(&out.stderr).into_owned(),
        })
    }

    /// Starts it before a database, and waits until it listens.
    pub(crate) async fn start(&self, url: &str, pool: usize) -> Result<(Child, SocketAddr), Error> {
        let doing = Error::io("starting a peer");
        let port = cluster::free_port().map_err(Error::io("looking for a free port"))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let own = std::env::current_exe().map_err(Error::io("looking for this program"))?;
        let (processes, each) = processes(pool);
        let (processes, each) = (processes.to_string(), each.to_string());
        let mut command = std::process::Command::new(own);
        command.args(["mind", "--"]).arg(self.program());
        match self.peer.runtime() {
            Runtime::Python => command
                .args(["-m", "gunicorn", "project.wsgi"])
                .args(["--bind", &address.to_string()])
                .args(["--workers", &processes, "--threads", &each])
                .args(["--log-level", "warning", "--no-control-socket"]),
            Runtime::Node => command
                .arg("server.js")
                .env("NODE_ENV", "production")
                .env("PORT", port.to_string())
                .env("WORKERS", &processes)
                .env("CONNECTIONS", &each),
        };
        let mut child = command
            .current_dir(self.app())
            .env("DATABASE_URL", url)
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
                return Err(Error::Ended(self.peer.name().into()));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok((child, address))
    }
}

/// How many processes serve, and how many connections to the database each may have: as many as
/// there are processors, as neither Python nor Node uses more than one in a process.
fn processes(pool: usize) -> (usize, usize) {
    let processes = std::thread::available_parallelism().map_or(1, usize::from);
    (processes, (pool / processes).max(1))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_a_peer_needs_is_pinned_and_locked() {
        for &peer in Peer::value_variants() {
            let read = |name: &str| fs::read_to_string(peer.source().join(name)).unwrap();
            let pins = install::pins(peer).unwrap();
            assert!(pins.len() >= 3, "{pins:?}");
            for (name, version) in pins {
                assert!(
                    version.starts_with(|c: char| c.is_ascii_digit())
                        && version.chars().all(|c| c.is_ascii_digit() || c == '.'),
                    "{}: {name} {version}",
                    peer.name()
                );
                let locked = match peer.runtime() {
                    Runtime::Python => {
                        let line = format!("{name}=={version} \\\n    --hash=sha256:");
                        read("requirements.txt").contains(&line)
                    }
                    Runtime::Node => {
                        let lock: serde_json::Value =
                            serde_json::from_str(&read("package-lock.json")).unwrap();
                        let package = &lock["packages"][format!("node_modules/{name}")];
                        package["version"] == version.as_str() && package["integrity"].is_string()
                    }
                };
                assert!(locked, "{}: {name} {version} is not locked", peer.name());
            }
        }
    }

    #[test]
    fn names_are_those_of_the_command_line_and_of_the_folders() {
        for &peer in Peer::value_variants() {
            let value = peer.to_possible_value().unwrap();
            assert_eq!(value.get_name(), peer.name());
            assert!(peer.source().is_dir(), "{}", peer.name());
        }
    }
}
