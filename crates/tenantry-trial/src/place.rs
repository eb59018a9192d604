use std::{
    io::Write,
    marker::PhantomData,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, LazyLock},
};

use serde_json::Value;
use tempfile::TempDir;
use tenantry::testing::Postgres;

use crate::{Program, Server};

/// How a deployment is set up; everything here is as by default unless told.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The means that keeps new tenants apart.
    pub isolation: Option<&'static str>,
    /// Where PostgreSQL is, if the tenants are there.
    pub database_url: Option<String>,
    /// With which profile.
    pub profile: Option<&'static str>,
}

/// What keeps the tenants apart that the suite is run with: `TENANTRY_TEST_ISOLATION`, or else
/// none, which is a file each.
fn isolation_under_test() -> Option<&'static str> {
    static TOLD: LazyLock<Option<String>> = LazyLock::new(|| {
        std::env::var("TENANTRY_TEST_ISOLATION")
            .ok()
            .filter(|isolation| !isolation.is_empty() && isolation != "file")
    });
    TOLD.as_deref()
}

/// Whether each tenant is a file, that a test can look for or break.
pub fn on_files() -> bool {
    isolation_under_test().is_none()
}

/// A database of its own on that PostgreSQL.
fn new_database(prefix: &'static str, on: &Postgres) -> String {
    std::thread::scope(|scope| {
        let made = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(on.deployment(prefix))
        });
        made.join().unwrap()
    })
}

/// Whether each tenant is a database, of which there is one by its name on a server.
pub fn on_databases() -> bool {
    isolation_under_test() == Some("database")
}

/// A deployment's place: a folder that goes with it.
#[derive(Debug)]
pub struct Place<P: Program> {
    folder: TempDir,
    setup: Setup,
    /// Its own, which ends with it.
    #[expect(dead_code, reason = "it is held, and nothing else")]
    server: Option<Postgres>,
    /// Its database, where it is on the server of all.
    database: Option<String>,
    program: PhantomData<P>,
}

impl<P: Program> Place<P> {
    /// Set up as by default.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::of(Setup::default())
    }

    /// Set up as by default, where nobody else is: on a server of its own where databases are named
    /// by tenants.
    #[must_use]
    pub fn elsewhere() -> Arc<Self> {
        let server = on_databases().then(Postgres::start);
        let database_url = server.as_ref().map(|server| new_database(P::NAME, server));
        Self::with(
            Setup {
                database_url,
                ..Setup::default()
            },
            server,
        )
    }

    /// Set up so.
    ///
    /// # Panics
    /// When there is no temporary folder.
    #[must_use]
    pub fn of(setup: Setup) -> Arc<Self> {
        Self::with(setup, None)
    }

    fn with(mut setup: Setup, server: Option<Postgres>) -> Arc<Self> {
        let mut database = None;
        if let Some(isolation) = isolation_under_test() {
            setup.isolation.get_or_insert(isolation);
            if setup.database_url.is_none() {
                let url = new_database(P::NAME, Postgres::shared());
                database = url.rsplit('/').next().map(str::to_owned);
                setup.database_url = Some(url);
            }
        }
        Arc::new(Self {
            folder: tempfile::tempdir().unwrap(),
            setup,
            server,
            database,
            program: PhantomData,
        })
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Any path beside the data.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program on this place, not started yet. Nothing of the developer's own settings counts.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_with(arguments, self.setup.isolation)
    }

    /// The same, with another `--isolation`.
    pub fn command_with(&self, arguments: &[&str], isolation: Option<&str>) -> Command {
        let mut command = Command::new(P::PATH);
        let own = format!("{}_", P::NAME.to_ascii_uppercase());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let is_told = [own.as_str(), "AWS_", "OTEL_"]
                .iter()
                .any(|start| text.starts_with(start));
            if is_told || ["DATABASE_URL", "RUST_LOG"].contains(&text.as_ref()) {
                command.env_remove(&name);
            }
        }
        command
            .current_dir(self.folder.path())
            .args(arguments)
            .arg("--data")
            .arg(self.data());
        let flags = [
            ("--isolation", isolation),
            ("--database-url", self.setup.database_url.as_deref()),
            ("--profile", self.setup.profile),
        ];
        for (flag, value) in flags {
            command.args(value.iter().flat_map(|value| [flag, value]));
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Done {
        Done::of(P::NAME, arguments, self.command(arguments), "")
    }

    /// Runs the program to its end, with that in its environment besides.
    pub fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Done {
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied());
        Done::of(P::NAME, arguments, command, "")
    }

    /// Runs the program to its end, with that on its standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Done {
        Done::of(P::NAME, arguments, self.command(arguments), input)
    }

    /// Runs `tenant move …`, to be kept apart so; until killed, where a point of its work is told.
    pub fn move_to(&self, code: &str, isolation: &str, killed_at: Option<&str>) -> Done {
        let arguments = ["tenant", "move", code];
        let mut command = self.command_with(&arguments, Some(isolation));
        command.envs(killed_at.map(|point| ("TENANTRY_KILL_AT", point)));
        Done::of(P::NAME, &arguments, command, "")
    }

    /// Runs the program, which kills itself at a point of its work.
    pub fn run_until_killed(&self, arguments: &[&str], input: &str, point: &str) -> Done {
        let mut command = self.command(arguments);
        command.env("TENANTRY_KILL_AT", point);
        Done::of(P::NAME, arguments, command, input)
    }

    /// Serves it.
    #[must_use]
    pub fn serve(self: &Arc<Self>) -> Arc<Server<P>> {
        Server::start(self, &[])
    }

    /// Every file and folder under a folder of the data, by its path in there.
    pub fn files_in(&self, folder: &str) -> Vec<String> {
        let root = self.data().join(folder);
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&root).unwrap().display().to_string());
                }
            }
        }
        found.sort();
        found
    }
}

impl<P: Program> Drop for Place<P> {
    fn drop(&mut self) {
        if let Some(database) = &self.database {
            Postgres::shared().drop_later(database);
        }
    }
}

/// A command that came to its end.
#[derive(Debug)]
pub struct Done {
    /// What was asked, for whoever reads a failure.
    pub asked: String,
    status: ExitStatus,
    /// What it said on stdout.
    pub stdout: String,
    /// What it said on stderr.
    pub stderr: String,
}

impl Done {
    fn of(program: &str, arguments: &[&str], mut command: Command, input: &str) -> Self {
        if !input.is_empty() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().unwrap();
        if let Some(mut stdin) = child.stdin.take() {
            // it may end without reading
            drop(stdin.write_all(input.as_bytes()));
        }
        let output = child.wait_with_output().unwrap();
        Self {
            asked: format!("{program} {}", arguments.join(" ")),
            status: output.status,
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Fails unless it ended with that exit code, and without a panic.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }

    /// Fails unless it is done.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// Fails unless it refused with that exit code, and said why on stderr and nothing on stdout.
    #[track_caller]
    pub fn refuses(self, code: i32) -> Self {
        assert_eq!(self.stdout, "", "{self:#?}");
        assert!(self.stderr.contains("error"), "{self:#?}");
        self.exits(code)
    }

    /// Fails unless it was killed.
    #[track_caller]
    pub fn killed(self) -> Self {
        assert_eq!(self.status.signal(), Some(9), "{self:#?}");
        self
    }

    /// What is on stdout, which must be JSON and nothing else.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}
