//! A PostgreSQL server of the benchmark's own: in a temporary folder, on a free port of the
//! loopback interface, gone when the benchmark ends in whatever way.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use clap::Args;
use tokio_postgres::{Client, NoTls};

use crate::{Error, report::print, told_to_stop};

/// The login of every server that is measured. It is no superuser: the policies bind it.
const LOGIN: &str = "bench";

/// How many connections there may be, as the settings have it.
pub(crate) const CONNECTIONS: usize = 300;

/// Differs from what PostgreSQL comes with in what would be noise: nothing is flushed or cleaned
/// up while a window is measured, and all data is in memory.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=300",
    "shared_buffers=512MB",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_wal_size=4GB",
    "checkpoint_timeout=1h",
    "autovacuum=off",
    "log_min_messages=fatal",
    "timezone=UTC",
];

#[derive(Debug)]
pub(crate) struct Cluster {
    folder: PathBuf,
    port: u16,
    postmaster: u32,
    keeper: Child,
}

impl Cluster {
    pub(crate) async fn start(programs: Option<&Path>, settings: &[String]) -> Result<Self, Error> {
        let programs = match programs {
            Some(folder) => folder.to_owned(),
            None => find_programs().ok_or(Error::NoPostgres)?,
        };
        let folder = tempfile::Builder::new()
            .prefix("tenantry-bench-")
            .tempdir()
            .map_err(Error::io("making a temporary folder"))?;
        let user = other_user(folder.path())?;
        let initdb = programs.join("initdb");
        let mut command = as_user(Command::new(&initdb), user);
        command
            .args([
                "-A",
                "trust",
                "-U",
                "postgres",
                "-E",
                "UTF8",
                "--locale=C",
                "-N",
                "-D",
            ])
            .arg(folder.path().join("data"))
            .current_dir(folder.path())
            .process_group(0);
        let made = command.output().map_err(Error::io("running initdb"))?;
        if !made.status.success() {
            return Err(Error::Program {
                program: initdb,
                said: String::from_utf8_lossy(&made.stderr).into_owned(),
            });
        }
        let port = free_port().map_err(Error::io("looking for a free port"))?;
        // From here on the keeper removes it, which outlives this process if that is killed.
        let folder = folder.keep();
        let (keeper, postmaster) = start_keeper(&folder, &programs, port, user, settings)?;
        let cluster = Self {
            folder,
            port,
            postmaster,
            keeper,
        };
        cluster.wait_until_ready().await?;
        let sql = format!("CREATE ROLE {LOGIN} LOGIN CREATEDB CREATEROLE");
        cluster
            .client("postgres")
            .await?
            .batch_execute(&sql)
            .await?;
        Ok(cluster)
    }

    /// Where the stacks may keep files.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The process from which all of PostgreSQL's processes come.
    pub(crate) fn postmaster(&self) -> u32 {
        self.postmaster
    }

    /// The URL of a database, for a server that is measured.
    pub(crate) fn url(&self, database: &str) -> String {
        format!(
            "postgres://{LOGIN}@127.0.0.1:{}/{database}?sslmode=disable",
            self.port
        )
    }

    /// The URL of a database, for the superuser.
    pub(crate) fn superuser_url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A connection as the superuser.
    pub(crate) async fn client(&self, database: &str) -> Result<Client, Error> {
        let url = self.superuser_url(database);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
        drop(tokio::spawn(connection));
        Ok(client)
    }

    pub(crate) async fn create_database(&self, name: &str) -> Result<(), Error> {
        let sql = format!("CREATE DATABASE {name} OWNER {LOGIN}");
        Ok(self.client("postgres").await?.batch_execute(&sql).await?)
    }

    async fn wait_until_ready(&self) -> Result<(), Error> {
        let begun = Instant::now();
        while let Err(error) = self.client("postgres").await {
            if begun.elapsed() > Duration::from_secs(60) {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}

/// The process that keeps the server: it waits for the end of its input, which comes when the
/// benchmark ends in whatever way.
#[derive(Args)]
pub(crate) struct Keep {
    folder: PathBuf,
    programs: PathBuf,
    port: u16,
    #[arg(long, num_args = 2)]
    user: Vec<u32>,
    #[arg(long)]
    set: Vec<String>,
}

pub(crate) async fn keep(keep: Keep) -> Result<(), Error> {
    let user = match *keep.user {
        [uid, gid] => Some((uid, gid)),
        _ => None,
    };
    let data = keep.folder.join("data");
    let mut command = as_user(Command::new(keep.programs.join("postgres")), user);
    command
        .arg("-D")
        .arg(&data)
        .args(["-p", &keep.port.to_string()]);
    let settings = SETTINGS
        .iter()
        .copied()
        .chain(keep.set.iter().map(String::as_str));
    for setting in settings {
        command.args(["-c", setting]);
    }
    command
        .current_dir(&keep.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut server = command.spawn().map_err(Error::io("starting PostgreSQL"))?;
    print(format_args!("{}\n", server.id()));
    let input = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    tokio::select! {
        _ = input => {}
        result = told_to_stop() => result?,
    }
    let mut stop = as_user(Command::new(keep.programs.join("pg_ctl")), user);
    stop.arg("-D")
        .arg(&data)
        .args(["-s", "-m", "immediate", "stop"])
        .current_dir(&keep.folder);
    if !stop.status().is_ok_and(|status| status.success()) {
        drop(server.kill());
    }
    drop(server.wait());
    fs::remove_dir_all(&keep.folder).map_err(Error::io("removing the server's folder"))?;
    // whoever told it to stop may hold its input still, and nothing else is left to do
    std::process::exit(0);
}

fn start_keeper(
    folder: &Path,
    programs: &Path,
    port: u16,
    user: Option<(u32, u32)>,
    settings: &[String],
) -> Result<(Child, u32), Error> {
    let program = std::env::current_exe().map_err(Error::io("looking for this program"))?;
    let mut command = Command::new(program);
    command
        .arg("keep")
        .args([folder, programs])
        .arg(port.to_string());
    if let Some((uid, gid)) = user {
        command.args(["--user", &uid.to_string(), &gid.to_string()]);
    }
    for setting in settings {
        command.args(["--set", setting]);
    }
    // in a group of its own: a terminal's Ctrl-C is for the benchmark alone, and the keeper cleans up
    command
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut keeper = command.spawn().map_err(Error::io("starting the keeper"))?;
    let mut line = String::new();
    if let Some(out) = keeper.stdout.take() {
        drop(BufReader::new(out).read_line(&mut line));
    }
    match line.trim().parse() {
        Ok(postmaster) => Ok((keeper, postmaster)),
        Err(_) => Err(Error::Ended("postgres".into())),
    }
}

/// Whom the server runs as, and who then owns its folder: not root, which it refuses.
fn other_user(folder: &Path) -> Result<Option<(u32, u32)>, Error> {
    let doing = Error::io("giving the folder to the server's user");
    if fs::metadata(folder).map_err(&doing)?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(&doing)?;
    let (uid, gid) = ["postgres", "nobody"]
        .into_iter()
        .find_map(|wanted| {
            users.lines().find_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next()?;
                let uid = fields.nth(1)?.parse().ok()?;
                let gid = fields.next()?.parse().ok()?;
                (name == wanted).then_some((uid, gid))
            })
        })
        .ok_or(Error::NobodyElse)?;
    chown(folder, Some(uid), Some(gid)).map_err(&doing)?;
    Ok(Some((uid, gid)))
}

fn as_user(mut command: Command, user: Option<(u32, u32)>) -> Command {
    if let Some((uid, gid)) = user {
        // the groups of root go with its id
        command.uid(uid).gid(gid);
    }
    command
}

pub(crate) fn find_programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // a link may lead to the folder in which all of them are
    let on_path = std::env::split_paths(&path)
        .filter_map(|folder| folder.join("initdb").canonicalize().ok())
        .filter_map(|program| program.parent().map(Path::to_owned));
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    installed.sort();
    let whole = |folder: &PathBuf| {
        ["initdb", "postgres", "pg_ctl"]
            .iter()
            .all(|program| folder.join(program).exists())
    };
    on_path.chain(installed.into_iter().rev()).find(whole)
}

pub(crate) fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
