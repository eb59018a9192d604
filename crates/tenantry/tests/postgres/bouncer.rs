//! `PgBouncer` in transaction mode, before the tests' server.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    os::unix::fs::MetadataExt,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::support::Ground;

pub(crate) struct Bouncer {
    keeper: Child,
    port: u16,
    folder: TempDir,
}

impl Bouncer {
    /// One that lets the place's login in, and has `connections` to each database.
    pub(crate) fn before(ground: &Ground, connections: usize) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = std::env::split_paths(&path)
            .map(|folder| folder.join("pgbouncer"))
            .chain(["/usr/sbin/pgbouncer".into(), "/opt/homebrew/bin/pgbouncer".into()])
            .find(|path| path.exists())
            .expect(
            "no PgBouncer was found on this machine; hint: `make setup` installs what tests need",
        );
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let path = folder.path().display();
        fs::write(
            folder.path().join("users.txt"),
            format!("\"{}\" \"\"\n", ground.login),
        )
        .unwrap();
        fs::write(
            folder.path().join("pgbouncer.ini"),
            format!(
                "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {path}/users.txt\n\
                 pool_mode = transaction\ndefault_pool_size = {connections}\nmax_client_conn = 500\n\
                 logfile = {path}/log\n",
                ground.server.port()
            ),
        )
        .unwrap();
        // it ends with this process, however that ends
        let script = r#"
            "$1" -q "$2/pgbouncer.ini" >/dev/null 2>&1 </dev/null &
            bouncer=$!
            echo started
            read -r _
            kill -INT $bouncer
            wait $bouncer
        "#;
        let mut keeper = unprivileged(&folder)
            .args(["sh", "-c", script, "sh"])
            .arg(program)
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = fs::read_to_string(folder.path().join("log"));
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "PgBouncer does not start: {log:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            keeper,
            port,
            folder,
        }
    }

    pub(crate) fn url(&self, ground: &Ground) -> String {
        format!(
            "postgres://{}@127.0.0.1:{}/{}",
            ground.login, self.port, ground.database
        )
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("PgBouncer's last words, from the end: {last:#?}");
        }
    }
}

/// A command as somebody who is not root, whom it refuses.
fn unprivileged(folder: &TempDir) -> Command {
    if fs::metadata("/proc/self").is_ok_and(|process| process.uid() != 0) {
        return Command::new("env");
    }
    let user = "nobody";
    let group = Command::new("id")
        .args(["-g", user])
        .output()
        .unwrap()
        .stdout;
    let given = Command::new("chown")
        .args(["-R", user])
        .arg(folder.path())
        .status();
    assert!(given.unwrap().success());
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid",
        user,
        "--regid",
        String::from_utf8(group).unwrap().trim(),
        "--clear-groups",
        "--",
    ]);
    command
}
