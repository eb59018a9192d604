use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::SelfSigned;

/// An SMTP server for tests: it takes messages and keeps them, in clear and from anybody unless its
/// [rules](SmtpRules) say something else. It ends when it is dropped.
#[derive(Debug)]
pub struct SmtpSink {
    address: SocketAddr,
    state: Arc<State>,
}

/// Of whom, and how, an [`SmtpSink`] takes messages.
#[derive(Debug, Clone, Default)]
pub struct SmtpRules {
    tls: Option<Arc<ServerConfig>>,
    begins_with_tls: bool,
    login: Option<Login>,
}

#[derive(Debug, Clone)]
struct Login {
    mechanism: &'static str,
    user: String,
    password: String,
}

#[derive(Debug, Default)]
struct State {
    rules: SmtpRules,
    received: Mutex<Vec<Received>>,
    refuses: AtomicBool,
    is_over: AtomicBool,
    logins: AtomicUsize,
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
    /// Whether it came over TLS.
    pub is_secured: bool,
    /// Who had signed in.
    pub user: Option<String>,
}

impl SmtpRules {
    /// With TLS: from the beginning, or else after STARTTLS, without which nothing is taken.
    ///
    /// # Panics
    /// When the certificate is none.
    #[must_use]
    pub fn tls(mut self, signed: &SelfSigned, from_the_beginning: bool) -> Self {
        let certificate =
            CertificateDer::from_pem_file(&signed.certificate).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(&signed.key).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("there are versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("the key is the certificate's");
        self.tls = Some(Arc::new(config));
        self.begins_with_tls = from_the_beginning;
        self
    }

    /// From that user alone, who signs in by `PLAIN` or `LOGIN`.
    #[must_use]
    pub fn login(mut self, mechanism: &'static str, user: &str, password: &str) -> Self {
        self.login = Some(Login {
            mechanism,
            user: user.into(),
            password: password.into(),
        });
        self
    }
}

impl SmtpSink {
    /// On a free port of this machine.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn start() -> Self {
        Self::with(SmtpRules::default())
    }

    /// The same, with rules.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn with(rules: SmtpRules) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(State {
            rules,
            ..State::default()
        });
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let state = shared.clone();
                // who hangs up early is of no interest
                thread::spawn(move || {
                    drop(Conversation::new(stream, &state).map(Conversation::hold));
                });
            }
        });
        Self { address, state }
    }

    /// Its URL, for [`SmtpServer`](crate::scoped::mail::SmtpServer), of a server without TLS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("smtp://{}?tls=none", self.address)
    }

    /// Its URL of a server with TLS, with whom to sign in as (`user:password`).
    #[must_use]
    pub fn secured_url(&self, login: &str) -> String {
        let scheme = if self.state.rules.begins_with_tls {
            "smtps"
        } else {
            "smtp"
        };
        format!("{scheme}://{login}@{}", self.address)
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

    /// How often somebody has shown it a password.
    #[must_use]
    pub fn logins(&self) -> usize {
        self.state.logins.load(Ordering::SeqCst)
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        // so that it looks
        drop(TcpStream::connect(self.address));
    }
}

trait Wire: Read + Write + Send {}

impl<W: Read + Write + Send> Wire for W {}

/// With one client, as RFC 5321 has it, with STARTTLS and AUTH.
struct Conversation<'s> {
    state: &'s State,
    stream: TcpStream,
    wire: BufReader<Box<dyn Wire>>,
    is_secured: bool,
    user: Option<String>,
}

impl<'s> Conversation<'s> {
    fn new(stream: TcpStream, state: &'s State) -> io::Result<Self> {
        let wire: Box<dyn Wire> = Box::new(stream.try_clone()?);
        let mut conversation = Self {
            state,
            stream,
            wire: BufReader::new(wire),
            is_secured: false,
            user: None,
        };
        if state.rules.begins_with_tls {
            conversation.secure()?;
        }
        Ok(conversation)
    }

    /// What was read ahead in clear is forgotten: it was not said under TLS.
    fn secure(&mut self) -> io::Result<()> {
        let Some(config) = &self.state.rules.tls else {
            return Err(io::Error::other("there is no certificate"));
        };
        let tls = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        let wire: Box<dyn Wire> = Box::new(StreamOwned::new(tls, self.stream.try_clone()?));
        self.wire = BufReader::new(wire);
        self.is_secured = true;
        Ok(())
    }

    fn next(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        match self.wire.read_line(&mut line)? {
            0 => Ok(None),
            _ => Ok(Some(line)),
        }
    }

    fn say(&mut self, answer: &str) -> io::Result<()> {
        let wire = self.wire.get_mut();
        wire.write_all(format!("{answer}\r\n").as_bytes())?;
        wire.flush()
    }

    fn hold(mut self) -> io::Result<()> {
        let (mut from, mut to) = (String::new(), Vec::new());
        let rules = &self.state.rules;
        self.say("220 sink")?;
        while let Some(line) = self.next()? {
            let line = line.trim_end();
            let word = line.to_ascii_uppercase();
            let is_let_in = (rules.tls.is_none() || self.is_secured)
                && (rules.login.is_none() || self.user.is_some());
            if word.starts_with("EHLO") {
                let extensions = self.extensions();
                self.say(&extensions)?;
            } else if word == "STARTTLS" && rules.tls.is_some() && !self.is_secured {
                self.say("220 go on")?;
                self.secure()?;
            } else if word.starts_with("AUTH ") {
                self.sign_in(line)?;
            } else if word.starts_with("MAIL FROM:") && !is_let_in {
                self.say("530 sign in first")?;
            } else if word.starts_with("MAIL FROM:") {
                from = address(line);
                to.clear();
                match self.state.refuses.load(Ordering::SeqCst) {
                    true => self.say("550 nothing is taken here")?,
                    false => self.say("250 ok")?,
                }
            } else if word.starts_with("RCPT TO:") {
                to.push(address(line));
                self.say("250 ok")?;
            } else if word == "DATA" {
                self.say("354 go on")?;
                let Some(data) = self.data()? else {
                    return Ok(());
                };
                let message = Received {
                    from: from.clone(),
                    to: to.clone(),
                    data,
                    is_secured: self.is_secured,
                    user: self.user.clone(),
                };
                let received = self.state.received.lock();
                received
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(message);
                self.say("250 taken")?;
            } else if word == "QUIT" {
                return self.say("221 bye");
            } else {
                self.say("250 ok")?; // NOOP, RSET
            }
        }
        Ok(())
    }

    fn extensions(&self) -> String {
        let rules = &self.state.rules;
        let mut lines = vec!["sink".to_owned()];
        if rules.tls.is_some() && !self.is_secured {
            lines.push("STARTTLS".into());
        } else if let Some(login) = &rules.login {
            lines.push(format!("AUTH {}", login.mechanism));
        }
        let last = lines.len() - 1;
        let line = |(at, line)| format!("250{}{line}", if at == last { ' ' } else { '-' });
        let lines: Vec<String> = lines.into_iter().enumerate().map(line).collect();
        lines.join("\r\n")
    }

    /// [PLAIN](https://www.rfc-editor.org/rfc/rfc4616) as it comes with the command, or LOGIN.
    fn sign_in(&mut self, line: &str) -> io::Result<()> {
        let Some(login) = self.state.rules.login.clone() else {
            return self.say("503 nobody signs in here");
        };
        let shown = match line.splitn(3, ' ').collect::<Vec<_>>()[1..] {
            ["PLAIN", said] if login.mechanism == "PLAIN" => {
                let said = decoded(said)?;
                let mut parts = said.splitn(3, '\0').skip(1).map(str::to_owned);
                (parts.next(), parts.next())
            }
            ["LOGIN"] if login.mechanism == "LOGIN" => {
                let (user, password) = (self.ask("Username:")?, self.ask("Password:")?);
                (user, password)
            }
            _ => return self.say("504 not in that way"),
        };
        self.state.logins.fetch_add(1, Ordering::SeqCst);
        if shown == (Some(login.user.clone()), Some(login.password)) {
            self.user = Some(login.user);
            return self.say("235 welcome");
        }
        self.say("535 that is wrong")
    }

    fn ask(&mut self, what: &str) -> io::Result<Option<String>> {
        self.say(&format!("334 {}", BASE64_STANDARD.encode(what)))?;
        self.next()?
            .map(|line| decoded(line.trim_end()))
            .transpose()
    }

    fn data(&mut self) -> io::Result<Option<String>> {
        let mut data = String::new();
        while let Some(line) = self.next()? {
            if line == ".\r\n" {
                return Ok(Some(data));
            }
            data.push_str(line.strip_prefix('.').unwrap_or(&line));
        }
        Ok(None)
    }
}

fn decoded(text: &str) -> io::Result<String> {
    let bytes = BASE64_STANDARD.decode(text).map_err(io::Error::other)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

fn address(line: &str) -> String {
    let inner = line
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or("", |(address, _)| address).to_owned()
}
