use std::{
    collections::HashMap,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use hickory_resolver::proto::{
    op::{Message, OpCode, ResponseCode},
    rr::{RData, Record, RecordType, rdata::TXT},
};

/// How often it looks whether it is to end.
const TICK: Duration = Duration::from_millis(50);

/// A name server for tests, which knows TXT records and nothing else. It ends when it is dropped.
///
/// ```
/// let names = tenantry::testing::NameServer::start();
/// names.set("_tenantry.shop.example.com", ["tenantry-verification=…"]);
/// let config = tenantry::Config::new("./data").name_servers([names.addr()]);
/// # let _ = config;
/// ```
#[derive(Debug)]
pub struct NameServer {
    addr: SocketAddr,
    known: Arc<Known>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Known {
    texts: Mutex<HashMap<String, Vec<String>>>,
    asked: AtomicU64,
    is_broken: AtomicBool,
    is_over: AtomicBool,
}

impl NameServer {
    /// One that knows nothing yet, on a port of its own.
    ///
    /// # Panics
    /// When there is no such port.
    #[must_use]
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("there is a free port");
        let timeout = socket.set_read_timeout(Some(TICK));
        timeout.expect("a socket can have a timeout");
        let addr = socket.local_addr().expect("it is bound");
        let known = Arc::new(Known::default());
        let thread = {
            let known = known.clone();
            thread::spawn(move || known.serve(&socket))
        };
        Self {
            addr,
            known,
            thread: Some(thread),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on these are the TXT records of that name.
    pub fn set<T: Into<String>>(&self, name: &str, texts: impl IntoIterator<Item = T>) {
        let texts = texts.into_iter().map(Into::into).collect();
        let known = self.known.texts.lock();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        known.insert(name.to_ascii_lowercase(), texts);
    }

    /// Whether it answers every question with a failure of its own.
    pub fn break_down(&self, is_broken: bool) {
        self.known.is_broken.store(is_broken, Ordering::Relaxed);
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.known.asked.load(Ordering::Relaxed)
    }
}

impl Known {
    fn serve(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        while !self.is_over.load(Ordering::Relaxed) {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                continue;
            };
            let answer = buffer.get(..length).and_then(|asked| self.answer(asked));
            if let Some(answer) = answer {
                drop(socket.send_to(&answer, from));
            }
        }
    }

    fn answer(&self, asked: &[u8]) -> Option<Vec<u8>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let asked = Message::from_vec(asked).ok()?;
        let query = asked.queries.first()?.clone();
        let mut answer = Message::response(asked.metadata.id, OpCode::Query);
        answer.metadata.recursion_desired = asked.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        let name = query.name().to_string().to_ascii_lowercase();
        let known = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = known.get(name.trim_end_matches('.'));
        match texts {
            _ if self.is_broken.load(Ordering::Relaxed) => {
                answer.metadata.response_code = ResponseCode::ServFail;
            }
            None => answer.metadata.response_code = ResponseCode::NXDomain,
            Some(texts) if query.query_type() == RecordType::TXT => {
                for text in texts {
                    // as zones have what is longer than 255 bytes: in pieces
                    let mut pieces: Vec<&[u8]> = text.as_bytes().chunks(100).collect();
                    if pieces.is_empty() {
                        pieces.push(b"");
                    }
                    let data = RData::TXT(TXT::from_bytes(pieces));
                    let record = Record::from_rdata(query.name().clone(), 3600, data);
                    answer.add_answer(record);
                }
            }
            Some(_) => {}
        }
        answer.add_query(query);
        answer.to_vec().ok()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.known.is_over.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}
