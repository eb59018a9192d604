//! A Redis server of the tests' own.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A private Redis server, or Valkey's, on a free port of the loopback interface, without a password
/// and with nothing on the disk. It ends when it is dropped.
#[derive(Debug)]
pub struct Redis {
    program: Child,
    port: u16,
    _folder: TempDir,
}

impl Redis {
    /// Starts it.
    ///
    /// # Panics
    /// When there is none on this machine, with a hint.
    #[must_use]
    pub fn start() -> Self {
        let program = program().expect(
            "neither Redis nor Valkey was found on this machine; hint: `make setup` installs what \
             tests need",
        );
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it has an address").port();
        drop(listener);
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let number = port.to_string();
        let program = Command::new(program)
            .args([
                "--save",
                "",
                "--bind",
                "127.0.0.1",
                "--port",
                &number,
                "--dir",
            ])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("Redis can be run");
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let patient = begun.elapsed() < Duration::from_secs(20);
            assert!(patient, "Redis does not start");
            thread::sleep(Duration::from_millis(20));
        }
        Self {
            program,
            port,
            _folder: folder,
        }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What is kept there, by its key.
    ///
    /// # Panics
    /// When it does not answer, or keeps something that is no text of one line.
    #[must_use]
    pub fn everything(&self) -> Vec<(String, String)> {
        let keys = self.ask("KEYS *");
        keys.into_iter()
            .map(|key| {
                let value = self.ask(&format!("GET {key}"));
                (key, value.concat())
            })
            .collect()
    }

    /// Says a command, and returns the texts of the answer.
    fn ask(&self, command: &str) -> Vec<String> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("Redis answers");
        let mut said = &stream;
        write!(said, "{command}\r\n").expect("Redis listens");
        let mut lines = BufReader::new(&stream).lines();
        let mut line = || lines.next().expect("an answer").expect("a line");
        let head = line();
        // a list is how many there are, and then each; a text is its length, and then it
        let (many, mut next) = match head.strip_prefix('*') {
            Some(many) => (many.parse().expect("how many there are"), None),
            None => (1, Some(head)),
        };
        let mut texts = Vec::new();
        for _ in 0..many {
            let length = next.take().unwrap_or_else(&mut line);
            assert!(length.starts_with('$'), "{command}: {length}");
            if length != "$-1" {
                texts.push(line());
            }
        }
        texts
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|folder| ["redis-server", "valkey-server"].map(|name| folder.join(name)))
        .find(|path| path.exists())
}
