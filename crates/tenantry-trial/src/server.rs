use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::{Client, Place, Program};

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
        let mut command = place.command(&["serve", "--addr", "127.0.0.1:0"]);
        command.envs(environment.iter().copied());
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
