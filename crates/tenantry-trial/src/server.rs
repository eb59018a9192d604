use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::{Client, Place, Program};

/// How it is asked to serve, on any port.
const SERVE: [&str; 3] = ["serve", "--addr", "127.0.0.1:0"];

/// A program that serves. It ends with its handle, and then must have said of nothing that
/// went wrong inside.
#[derive(Debug)]
pub struct Server<P: Program> {
    place: Arc<Place<P>>,
    child: Mutex<Child>,
    port: u16,
    stderr: Arc<Mutex<String>>,
}

impl<P: Program> Server<P> {
    /// Starts it, with that in its environment besides.
    ///
    /// # Panics
    /// When it does not listen within half a minute.
    #[must_use]
    pub fn start(place: &Arc<Place<P>>, environment: &[(&str, &str)]) -> Arc<Self> {
        let mut command = place.command(&SERVE);
        command.envs(environment.iter().copied());
        Self::of(place, command)
    }

    /// Starts it where no file can become larger than so many KiB, as on a disk that is full.
    ///
    /// # Panics
    /// When it does not listen within half a minute.
    #[must_use]
    pub fn start_with_little_room(place: &Arc<Place<P>>, kib: u32) -> Arc<Self> {
        let plain = place.command(&SERVE);
        let mut command = Command::new("bash");
        let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\"");
        command
            .args(["-c", &script])
            .arg(plain.get_program())
            .args(plain.get_args())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = plain.get_current_dir() {
            command.current_dir(folder);
        }
        Self::of(place, command)
    }

    fn of(place: &Arc<Place<P>>, mut command: Command) -> Arc<Self> {
        let mut child = command.spawn().unwrap();
        let stderr = Arc::new(Mutex::new(String::new()));
        let errors = BufReader::new(child.stderr.take().unwrap());
        let kept = stderr.clone();
        thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let (told, listening) = mpsc::channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(url) = line.strip_prefix("listening on http://") {
                    let port = url
                        .rsplit(':')
                        .next()
                        .and_then(|port| port.parse::<u16>().ok());
                    let _ = told.send(port.expect("a port in the line"));
                }
            }
        });
        let port = listening
            .recv_timeout(Duration::from_secs(30))
            .unwrap_or_else(|_| {
                drop(child.kill());
                panic!("the server does not listen: {}", stderr.lock().unwrap())
            });
        Arc::new(Self {
            place: place.clone(),
            child: Mutex::new(child),
            port,
            stderr,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> &Arc<Place<P>> {
        &self.place
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address that it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Without a tenant: on the central host.
    pub fn central(self: &Arc<Self>) -> Client<P> {
        Client::new(self.clone()).with("host", &format!("localhost:{}", self.port))
    }

    /// A tenant by the header.
    pub fn tenant(self: &Arc<Self>, code: &str) -> Client<P> {
        self.central().with("tenant-code", code)
    }

    /// A tenant by the host.
    pub fn host(self: &Arc<Self>, code: &str) -> Client<P> {
        self.central()
            .with("host", &format!("{code}.localhost:{}", self.port))
    }

    /// How many bytes of memory it has taken at most so far.
    ///
    /// # Panics
    /// Where the system does not tell.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child().id());
        let status = std::fs::read_to_string(path).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() * 1024
    }

    /// What it said on stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Asks it to end, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal("-INT");
    }

    /// Ends it as a power cut does.
    pub fn kill(&self) {
        self.child().kill().unwrap();
        self.child().wait().unwrap();
    }

    fn signal(&self, signal: &str) {
        let pid = self.child().id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end.
    pub fn wait(&self, longest: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child().try_wait().unwrap() {
                return status;
            }
            assert!(
                start.elapsed() < longest,
                "still running: {}",
                self.stderr()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Program> Drop for Server<P> {
    fn drop(&mut self) {
        let mut child = self.child();
        drop(child.kill());
        drop(child.wait());
        drop(child);
        let told = self.stderr();
        let wrong = ["panicked at", "internal error"]
            .iter()
            .any(|sign| told.contains(sign));
        if wrong && !thread::panicking() {
            panic!("something went wrong inside the server:\n{told}");
        }
    }
}
