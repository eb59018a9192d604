use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// An SMTP server for tests: it takes every message, in clear, and keeps it. It ends when it is dropped.
#[derive(Debug)]
pub struct SmtpSink {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    received: Mutex<Vec<Received>>,
    refuses: AtomicBool,
    is_over: AtomicBool,
}

/// A message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// Whom the envelope names as its sender.
    pub from: String,
    /// Whom the envelope names as readers.
    pub to: Vec<String>,
    /// What stands in the message, headers and all.
    pub data: String,
}

impl SmtpSink {
    /// On a free port of this machine.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State::default());
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let state = shared.clone();
                // who hangs up early is of no interest
                thread::spawn(move || drop(converse(&stream, &state)));
            }
        });
        Self { address, state }
    }

    /// Its URL, for [`SmtpServer`](crate::scoped::mail::SmtpServer).
    #[must_use]
    pub fn url(&self) -> String {
        format!("smtp://{}?tls=none", self.address)
    }

    /// Whether it refuses every message from now on.
    pub fn refuse(&self, refuses: bool) {
        self.state.refuses.store(refuses, Ordering::SeqCst);
    }

    /// What has arrived, the first first.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        let received = self.state.received.lock();
        received.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        // so that it looks
        drop(TcpStream::connect(self.address));
    }
}

/// As RFC 5321 has it, without extensions.
fn converse(stream: &TcpStream, state: &State) -> std::io::Result<()> {
    let mut out = stream;
    let mut lines = BufReader::new(stream);
    let mut next = move || {
        let mut line = String::new();
        match lines.read_line(&mut line)? {
            0 => Ok::<_, std::io::Error>(None),
            _ => Ok(Some(line)),
        }
    };
    let (mut from, mut to) = (String::new(), Vec::new());
    out.write_all(b"220 sink\r\n")?;
    while let Some(line) = next()? {
        let line = line.trim_end();
        let word = line.to_ascii_uppercase();
        let answer = if word.starts_with("MAIL FROM:") {
            from = address(line);
            to.clear();
            match state.refuses.load(Ordering::SeqCst) {
                true => "550 nothing is taken here",
                false => "250 ok",
            }
        } else if word.starts_with("RCPT TO:") {
            to.push(address(line));
            "250 ok"
        } else if word == "DATA" {
            out.write_all(b"354 go on\r\n")?;
            let mut data = String::new();
            loop {
                let Some(line) = next()? else { return Ok(()) };
                if line == ".\r\n" {
                    break;
                }
                data.push_str(line.strip_prefix('.').unwrap_or(&line));
            }
            let message = Received {
                from: from.clone(),
                to: to.clone(),
                data,
            };
            let received = state.received.lock();
            received
                .unwrap_or_else(PoisonError::into_inner)
                .push(message);
            "250 taken"
        } else if word == "QUIT" {
            return out.write_all(b"221 bye\r\n");
        } else {
            "250 ok" // EHLO, NOOP, RSET
        };
        out.write_all(format!("{answer}\r\n").as_bytes())?;
    }
    Ok(())
}

fn address(line: &str) -> String {
    let inner = line
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or("", |(address, _)| address).to_owned()
}
