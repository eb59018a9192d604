//! Asks a server, over a bounded number of connections of which each waits for its answer before
//! it asks again, and holds every answer against the one that is right.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::{
    Error,
    data::{self, Moments},
    workload::{self, Chooser, Random, Road},
};

/// How long past its end a window may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A tenant's request, and the answer to it.
struct Exchange {
    tenant: String,
    request: String,
    status: u16,
    answer: String,
}

/// What is asked for each tenant.
pub(crate) struct Script {
    /// Of those that are asked for.
    lists: Vec<Exchange>,
    tenants: usize,
    dialect: Dialect,
}

impl Script {
    /// All of so many tenants are asked for.
    pub(crate) fn new(tenants: usize, dialect: Dialect) -> Arc<Self> {
        Self::of_some(tenants, None, dialect)
    }

    /// The first of them are, as many as that.
    pub(crate) fn of_some(tenants: usize, asked: Option<usize>, dialect: Dialect) -> Arc<Self> {
        let exchange = |tenant| {
            let code = data::code(tenant);
            let named = dialect.naming.headers(&code);
            Exchange {
                request: format!("GET /api/products HTTP/1.1\r\n{named}\r\n\r\n"),
                tenant: code,
                status: 200,
                answer: data::answer(tenant, dialect.moments),
            }
        };
        let asked = asked.unwrap_or(tenants).clamp(1, tenants.max(1));
        Arc::new(Self {
            lists: (0..asked).map(exchange).collect(),
            tenants,
            dialect,
        })
    }

    /// How many tenants there are.
    pub(crate) fn tenants(&self) -> usize {
        self.tenants
    }

    /// How many of them are asked for.
    pub(crate) fn asked(&self) -> usize {
        self.lists.len()
    }

    /// A product that is added to the tenant's, and comes back as it is there.
    fn addition(&self, tenant: usize) -> Exchange {
        let code = data::code(tenant);
        let added = data::added(workload::new_id());
        let product = serde_json::to_string(&added).expect("products are JSON");
        Exchange {
            request: format!(
                "POST /api/products HTTP/1.1\r\n{}\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{product}",
                self.dialect.naming.headers(&code),
                product.len(),
            ),
            tenant: code,
            status: 201,
            answer: self.dialect.moments.written(product, &[added]),
        }
    }
}

/// How a server is asked, and how it writes what it answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) naming: Naming,
    pub(crate) moments: Moments,
}

/// Where a request says which tenant it is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Naming {
    #[default]
    Header,
    Subdomain,
}

impl Naming {
    fn headers(self, code: &str) -> String {
        match self {
            Self::Header => format!("Host: localhost\r\nTenant-Code: {code}"),
            Self::Subdomain => format!("Host: {code}.localhost"),
        }
    }
}

/// How much is asked, and what.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) road: Road,
    /// Of which tenants, at random.
    pub(crate) chooser: Arc<Chooser>,
    pub(crate) connections: usize,
    pub(crate) time: Duration,
    pub(crate) requests: u64,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) elapsed: Duration,
    /// Of each request, in order of size.
    pub(crate) latencies: Vec<Duration>,
}

impl Answers {
    pub(crate) fn count(&self) -> usize {
        self.latencies.len()
    }

    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let last = self.count().saturating_sub(1);
        let index = self.count() * percent / 100;
        self.latencies
            .get(index.min(last))
            .copied()
            .unwrap_or_default()
    }
}

/// Asks until the time is up or as many requests have been made.
pub(crate) async fn ask(
    address: SocketAddr,
    script: &Arc<Script>,
    load: &Load,
) -> Result<Answers, Error> {
    let begun = Instant::now();
    let end = begun + load.time;
    let left = Arc::new(AtomicU64::new(load.requests));
    let mut connections = JoinSet::new();
    for number in 0..load.connections {
        let (script, left) = (script.clone(), left.clone());
        let (road, chooser) = (load.road, load.chooser.clone());
        // the same tenants in the same order, whoever is asked
        let mut random = Random(number as u64);
        connections.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut latencies = Vec::new();
            let mut asked = Instant::now();
            while asked < end && take(&left) {
                let tenant = chooser.next(&mut random);
                if road.adds(&mut random) {
                    connection.ask(&script.addition(tenant)).await?;
                } else {
                    connection.ask(&script.lists[tenant]).await?;
                }
                let answered = Instant::now();
                latencies.push(answered - asked);
                asked = answered;
            }
            Ok::<_, Error>(latencies)
        });
    }
    let mut latencies = Vec::new();
    let all = async {
        while let Some(result) = connections.join_next().await {
            latencies.extend(result.map_err(|_| Error::Silence)??);
        }
        Ok::<_, Error>(())
    };
    timeout(load.time + PATIENCE, all)
        .await
        .map_err(|_| Error::Silence)??;
    let elapsed = begun.elapsed();
    latencies.sort_unstable();
    Ok(Answers { elapsed, latencies })
}

fn take(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        left.checked_sub(1)
    })
    .is_ok()
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, Error> {
        let doing = Error::io("connecting to the server");
        let stream = TcpStream::connect(address).await.map_err(&doing)?;
        stream.set_nodelay(true).map_err(&doing)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(16 << 10),
        })
    }

    async fn ask(&mut self, exchange: &Exchange) -> Result<(), Error> {
        let doing = Error::io("asking the server");
        let request = exchange.request.as_bytes();
        self.stream.write_all(request).await.map_err(&doing)?;
        self.buffer.clear();
        loop {
            if self
                .stream
                .read_buf(&mut self.buffer)
                .await
                .map_err(&doing)?
                == 0
            {
                return Err(self.wrong(exchange, "it ends too early"));
            }
            match read(&self.buffer, exchange.status) {
                Read::Part => {}
                Read::Refusal => return Err(self.wrong(exchange, "it is no success")),
                Read::Body(body) if body == exchange.answer.as_bytes() => return Ok(()),
                Read::Body(_) => return Err(self.wrong(exchange, "it is something else")),
            }
        }
    }

    fn wrong(&self, exchange: &Exchange, why: &'static str) -> Error {
        Error::Answer {
            tenant: exchange.tenant.clone(),
            why,
            answer: String::from_utf8_lossy(&self.buffer).into_owned(),
        }
    }
}

/// What has arrived of an answer.
#[derive(Debug, PartialEq)]
enum Read<'b> {
    Part,
    Body(&'b [u8]),
    Refusal,
}

/// Reads as much of HTTP as the servers here speak: a length, and a body of that length.
fn read(buffer: &[u8], status: u16) -> Read<'_> {
    let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Read::Part;
    };
    let (head, body) = (&buffer[..end], &buffer[end + 4..]);
    let head = str::from_utf8(head).unwrap_or_default();
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    match length {
        Some(length) if status_of(head) == Some(status) => match body.len() {
            there if there < length => Read::Part,
            there if there == length => Read::Body(body),
            _ => Read::Refusal,
        },
        _ => Read::Refusal,
    }
}

fn status_of(head: &str) -> Option<u16> {
    head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_when_they_are_whole() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";
        assert_eq!(read(whole, 200), Read::Body(b"[]"));
        assert_eq!(read(whole, 201), Read::Refusal);
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end], 200), Read::Part, "{end}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for answer in [
            "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n[]",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[][]",
        ] {
            assert_eq!(read(answer.as_bytes(), 200), Read::Refusal, "{answer}");
        }
    }
}
