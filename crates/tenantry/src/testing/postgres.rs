//! A PostgreSQL server of the tests' own.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Where the server's programs are when they are not on the `PATH`.
const FOLDERS: &[&str] = &[
    "/usr/lib/postgresql",
    "/usr/pgsql-18",
    "/usr/pgsql-17",
    "/usr/local/pgsql",
    "/opt/homebrew/opt/postgresql@17",
    "/usr/local/opt/postgresql@17",
];

/// A private PostgreSQL server: a cluster in a temporary folder, on a free port of the loopback
/// interface, without a password. It ends with the process that started it, however that ends.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    keeper: Child,
    /// Where names of databases that nobody needs any more go.
    dropper: OnceLock<mpsc::Sender<String>>,
}

impl Postgres {
    /// The server that all tests of this process share.
    ///
    /// # Panics
    /// When there is no PostgreSQL on this machine, with a hint.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A server of one's own, to be stopped and started at will.
    ///
    /// # Panics
    /// When there is no PostgreSQL on this machine, with a hint.
    #[must_use]
    pub fn start() -> Self {
        let programs = programs().expect(
            "no PostgreSQL was found on this machine; hint: `make setup` installs what tests need",
        );
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let data = folder.path().join("data");
        let as_other = unprivileged(folder.path());
        let mut initdb = as_other.command(&programs.join("initdb"));
        initdb
            .args([
                "-A",
                "trust",
                "-U",
                "postgres",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "-N",
                "-D",
            ])
            .arg(&data);
        let made = initdb.output().expect("initdb can be run");
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let port = free_port();
        let keeper = keep(&as_other, &programs, &data, port);
        let server = Self {
            folder,
            programs,
            port,
            keeper,
            dropper: OnceLock::new(),
        };
        server.wait_until_ready();
        server
    }

    /// The URL of a database on it, as its superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_as("postgres", database)
    }

    /// The URL of a database on it, as `user`.
    #[must_use]
    pub fn url_as(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new, empty database, with a name that no other test has.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn database(&self) -> String {
        let name = new_name();
        self.execute("postgres", &format!("CREATE DATABASE {name}"))
            .await;
        name
    }

    /// A new database that is as another is, which nobody uses.
    ///
    /// # Panics
    /// When it cannot be made.
    pub(crate) async fn copy(&self, from: &str) -> String {
        let name = new_name();
        let client = self.client("postgres").await;
        let copy = format!("CREATE DATABASE {name} TEMPLATE {from}");
        // whoever used it last need not be gone
        let leave = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{from}'"
        );
        for _ in 0..100 {
            if client.batch_execute(&copy).await.is_ok() {
                return name;
            }
            drop(client.batch_execute(&leave).await);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{from} cannot be copied");
    }

    /// Drops a database, and those of the tenants of the deployment whose home it is, whoever is
    /// connected, once there is little room on the disk: thousands of tests would take all of it. It is
    /// done in the background, and not before, because the server writes all that it has in memory
    /// whenever a database is dropped: done at once it would add a third to the time of them all.
    pub fn drop_later(&self, database: &str) {
        let dropper = self.dropper.get_or_init(|| {
            let (sender, names) = mpsc::channel();
            let (url, folder) = (self.url("postgres"), self.folder.path().to_owned());
            std::thread::spawn(move || drop_databases(&url, &names, || is_short(&folder)));
            sender
        });
        // a server that is gone has no databases
        drop(dropper.send(database.to_owned()));
    }

    /// A new, empty database for a deployment of `project`, and the URL by which a login of its own
    /// gets there: no superuser, but the database's owner and a member of the project's two roles.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn deployment(&self, project: &str) -> String {
        let name = self.database().await;
        for role in [format!("{project}_owner"), format!("{project}_app")] {
            // another test may be making it at this moment
            let sql = format!(
                "DO $$ BEGIN CREATE ROLE {role}; \
                 EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
            );
            self.execute("postgres", &sql).await;
        }
        let sql = format!(
            "CREATE ROLE {name} LOGIN CREATEDB IN ROLE {project}_owner, {project}_app; \
             ALTER DATABASE {name} OWNER TO {name}"
        );
        self.execute("postgres", &sql).await;
        // who owns the database's schema public may say who creates in it
        self.execute(&name, &format!("ALTER SCHEMA public OWNER TO {name}"))
            .await;
        self.url_as(&name, &name)
    }

    /// Says statements as the superuser, outside of every scope.
    ///
    /// # Panics
    /// When one fails.
    pub async fn execute(&self, database: &str, sql: &str) {
        let client = self.client(database).await;
        client.batch_execute(sql).await.expect(sql);
    }

    /// A connection as the superuser, outside of every scope: to see what there really is.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn client(&self, database: &str) -> tokio_postgres::Client {
        let url = self.url(database);
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .expect("the tests' PostgreSQL can be reached");
        drop(tokio::spawn(connection));
        client
    }

    /// Stops it at once, as a machine that fails does.
    ///
    /// # Panics
    /// When it cannot be told to.
    pub fn crash(&self) {
        self.control(&["-m", "immediate", "stop"]);
    }

    /// Starts it again after [`crash`](Self::crash).
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        let data = self.folder.path().join("data");
        let as_other = unprivileged(self.folder.path());
        if let Some(mut stdin) = self.keeper.stdin.take() {
            drop(stdin.write_all(b"keep\n"));
        }
        drop(self.keeper.wait());
        self.keeper = keep(&as_other, &self.programs, &data, self.port);
        self.wait_until_ready();
    }

    fn control(&self, arguments: &[&str]) {
        let status = unprivileged(self.folder.path())
            .command(&self.programs.join("pg_ctl"))
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args(["-w", "-s"])
            .args(arguments)
            .status();
        assert!(
            status.expect("pg_ctl can be run").success(),
            "pg_ctl {arguments:?}"
        );
    }

    fn wait_until_ready(&self) {
        let begun = Instant::now();
        let probe = || {
            unprivileged(self.folder.path())
                .command(&self.programs.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                .status()
                .is_ok_and(|status| status.success())
        };
        while !probe() {
            let log = self.folder.path().join("log");
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "PostgreSQL does not start: {}",
                fs::read_to_string(log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// How much room there is to be on the disk.
const ROOM: u64 = 12 << 30;

/// Whether there is less on that folder's disk.
fn is_short(folder: &Path) -> bool {
    let room = rustix::fs::statvfs(folder).map(|disk| disk.f_bavail * disk.f_frsize);
    room.is_ok_and(|room| room < ROOM)
}

/// Drops what was named whenever room is short, until nobody can name anything any more.
pub(super) fn drop_databases(
    url: &str,
    names: &mpsc::Receiver<String>,
    is_short: impl Fn() -> bool,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        let mut waiting = Vec::new();
        while let Ok(name) = names.recv() {
            waiting.push(name);
            if !is_short() {
                continue;
            }
            // a test may have stopped the server, and may start it again
            if let Ok((client, connection)) =
                tokio_postgres::connect(url, tokio_postgres::NoTls).await
            {
                let connection = tokio::spawn(connection);
                for name in waiting.drain(..) {
                    for database in databases_of(&client, &name).await {
                        let sql = format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)");
                        drop(client.batch_execute(&sql).await);
                    }
                }
                drop(client);
                drop(connection.await);
            }
        }
    });
}

/// That database, and those that say of themselves that they are of its deployment.
async fn databases_of(client: &tokio_postgres::Client, home: &str) -> Vec<String> {
    let sql = "SELECT quote_ident(datname) FROM pg_database
               WHERE datname = $1
                  OR shobj_description(oid, 'pg_database') = 'tenantry: a tenant of ' || $1";
    let rows = client.query(sql, &[&home]).await.unwrap_or_default();
    rows.iter().map(|row| row.get(0)).collect()
}

/// A name that no other test has for its database.
fn new_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("test_{}_{number}", std::process::id())
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}

/// Starts the server beneath a shell that waits for the end of its input, which comes when this
/// process ends in whatever way, and then stops the server and removes its folder.
///
/// What protects from the loss of power is turned off, and so is vacuuming by itself: it would go
/// through hundreds of databases, again and again, none of which lasts for a minute.
fn keep(as_other: &As, programs: &Path, data: &Path, port: u16) -> Child {
    let script = r#"
        "$1/postgres" -D "$2" -p "$3" -k "$(dirname "$2")" -c listen_addresses=127.0.0.1 \
            -c fsync=off -c max_connections=200 -c max_prepared_transactions=0 \
            -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0 \
            -c max_wal_size=4GB -c autovacuum=off -c jit=off -c shared_buffers=64MB -c log_min_messages=fatal -c timezone=UTC \
            >>"$(dirname "$2")/log" 2>&1 </dev/null &
        server=$!
        echo started
        read -r word
        kill -INT $server 2>/dev/null
        wait $server
        if [ "$word" != keep ]; then rm -rf "$(dirname "$2")"; fi
    "#;
    let mut shell = as_other.command(Path::new("sh"));
    shell
        .args(["-c", script, "sh"])
        .arg(programs)
        .arg(data)
        .arg(port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut keeper = shell.spawn().expect("a shell can be started");
    let mut line = String::new();
    if let Some(out) = keeper.stdout.take() {
        drop(BufReader::new(out).read_line(&mut line));
    }
    assert_eq!(line.trim(), "started");
    keeper
}

/// As whom the server runs: not as root, which it refuses.
struct As(Option<Somebody>);

struct Somebody {
    user: &'static str,
    group: String,
}

impl As {
    fn command(&self, program: &Path) -> Command {
        match &self.0 {
            None => Command::new(program),
            Some(Somebody { user, group }) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", user, "--regid", group, "--clear-groups", "--"]);
                command.arg(program).env("HOME", "/");
                command
            }
        }
    }
}

fn unprivileged(folder: &Path) -> As {
    let root = fs::metadata("/proc/self").is_ok_and(|process| {
        use std::os::unix::fs::MetadataExt;
        process.uid() == 0
    });
    if !root {
        return As(None);
    }
    let somebody = ["postgres", "nobody"].into_iter().find_map(|user| {
        let id = Command::new("id").args(["-g", user]).output().ok()?;
        let group = String::from_utf8(id.stdout).ok()?.trim().to_owned();
        id.status.success().then_some(Somebody { user, group })
    });
    let somebody = somebody.expect("there is a user to run PostgreSQL as");
    let given = Command::new("chown")
        .arg(somebody.user)
        .arg(folder)
        .status();
    assert!(
        given.is_ok_and(|status| status.success()),
        "the folder can be given to {}",
        somebody.user
    );
    As(Some(somebody))
}

fn programs() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").into_iter().flat_map(|path| {
        std::env::split_paths(&path)
            // a link may lead to the folder in which all of them are
            .filter_map(|folder| folder.join("initdb").canonicalize().ok())
            .filter_map(|program| program.parent().map(Path::to_owned))
            .collect::<Vec<_>>()
    });
    let known = FOLDERS.iter().flat_map(|folder| {
        let mut found: Vec<PathBuf> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path().join("bin"))
            .collect();
        found.push(Path::new(folder).join("bin"));
        found.sort();
        found.into_iter().rev()
    });
    let whole = |folder: &PathBuf| {
        ["initdb", "postgres", "pg_ctl", "pg_isready"]
            .iter()
            .all(|program| folder.join(program).exists())
    };
    on_path.chain(known).find(whole)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .expect("a port is free")
}
