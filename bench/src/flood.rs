//! What a flood of wrong passwords does to everybody else.
//!
//! A modest stream of requests is paced, whether answers come or not, and each is timed from when
//! it was due. In turns there is nothing else, and 200 connections that try wrong passwords, each
//! for another account as soon as it is answered.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Args;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    Error, process,
    report::{print, say},
    shop::{Serving, Shops},
};

/// How the flood is made, and for how long.
#[derive(Args)]
pub(crate) struct Plan {
    /// The example shop's program, built for release
    #[arg(long, default_value = "target/release/shop")]
    shop: PathBuf,
    /// How many connections try passwords
    #[arg(long, default_value_t = 200)]
    connections: usize,
    /// How many requests of others' come in a second
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// How often each is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each is measured in a round
    #[arg(long, default_value_t = 4)]
    seconds: u32,
}

/// What goes on beside the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// From one address, whose attempts are soon limited.
    Limited,
    /// From ever other addresses, so that every password is hashed or waits for that.
    Hashed,
}

struct Round {
    half: Duration,
    p99: Duration,
    answered: usize,
    refused: usize,
    server: Duration,
    client: Duration,
    elapsed: Duration,
}

pub(crate) async fn run(plan: Plan) -> Result<(), Error> {
    let folder = tempfile::tempdir().map_err(Error::io("making a folder"))?;
    let shops = Shops::new(&plan.shop, folder.path(), None)?;
    shops.run(&["demo"]).await?;
    let server = shops.serve(&["--trust-proxy", "127.0.0.1"]).await?;
    let kinds = [
        Beside::Nothing,
        Beside::Limited,
        Beside::Nothing,
        Beside::Hashed,
    ];
    let mut measured: [Vec<Round>; 4] = Default::default();
    measure(&plan, &server, Beside::Nothing).await?; // warms up
    for round in 0..plan.rounds {
        for (kind, rounds) in kinds.iter().zip(&mut measured) {
            let one = measure(&plan, &server, *kind).await?;
            say(format_args!(
                "round {} {kind:?}: p50 {:.1?}, p99 {:.1?}; {} tried, {} of them refused unread",
                round + 1,
                one.half,
                one.p99,
                one.answered,
                one.refused
            ));
            rounds.push(one);
        }
    }
    print(format_args!(
        "| beside | p50 | p99 | p99 against quiet | tried/s | refused | server CPU | driver CPU |\n\
         |---|---|---|---|---|---|---|---|\n"
    ));
    let quiet = [&measured[0], &measured[2]].map(|rounds| median(rounds.iter().map(|one| one.p99)));
    for (number, (kind, rounds)) in kinds.iter().zip(&measured).enumerate() {
        let of = |get: fn(&Round) -> Duration| median(rounds.iter().map(get));
        let elapsed: Duration = rounds.iter().map(|one| one.elapsed).sum();
        let share = |get: fn(&Round) -> Duration| {
            rounds.iter().map(get).sum::<Duration>().as_secs_f64() / elapsed.as_secs_f64()
        };
        let tried: usize = rounds.iter().map(|one| one.answered).sum();
        let refused: usize = rounds.iter().map(|one| one.refused).sum();
        let p99 = of(|one| one.p99);
        print(format_args!(
            "| {kind:?} | {:.2?} | {p99:.2?} | {:.2} | {:.0} | {:.0} % | {:.2} | {:.2} |\n",
            of(|one| one.half),
            p99.as_secs_f64() / quiet[number / 2].as_secs_f64(),
            tried as f64 / elapsed.as_secs_f64(),
            100.0 * refused as f64 / tried.max(1) as f64,
            share(|one| one.server),
            share(|one| one.client),
        ));
    }
    drop(server);
    Ok(())
}

pub(crate) fn median(values: impl Iterator<Item = Duration>) -> Duration {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

async fn measure(plan: &Plan, server: &Serving, beside: Beside) -> Result<Round, Error> {
    let address = server.address;
    let stop = Arc::new(AtomicBool::new(false));
    let (answered, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut flood = JoinSet::new();
    let connections = match beside {
        Beside::Nothing => 0,
        Beside::Limited | Beside::Hashed => plan.connections,
    };
    for number in 0..connections {
        let (stop, answered, refused) = (stop.clone(), answered.clone(), refused.clone());
        flood.spawn(async move {
            let mut connection = Connection::open(address).await?;
            for attempt in 0_u32.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let request = wrong_password(number, attempt, beside == Beside::Hashed);
                let status = connection.ask(&request).await?;
                answered.fetch_add(1, Ordering::Relaxed);
                refused.fetch_add(usize::from(status != 401), Ordering::Relaxed);
            }
            Ok::<_, Error>(())
        });
    }
    if connections > 0 {
        tokio::time::sleep(Duration::from_millis(500)).await; // until it is in full spate
    }
    let server = server.pid()?;
    let cpu = || (process::cpu(server), process::cpu(std::process::id()));
    let (before, tried, turned) = (
        cpu(),
        answered.load(Ordering::Relaxed),
        refused.load(Ordering::Relaxed),
    );
    let begun = Instant::now();
    let latencies = stream(plan, address).await?;
    let elapsed = begun.elapsed();
    let after = cpu();
    let answered = answered.load(Ordering::Relaxed) - tried;
    let refused = refused.load(Ordering::Relaxed) - turned;
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = flood.join_next().await {
        ended.map_err(|_| Error::Silence)??;
    }
    let at = |percent: usize| latencies[(latencies.len() * percent / 100).min(latencies.len() - 1)];
    Ok(Round {
        half: at(50),
        p99: at(99),
        answered,
        refused,
        server: after.0.saturating_sub(before.0),
        client: after.1.saturating_sub(before.1),
        elapsed,
    })
}

/// Lists products at the planned rate. Each is timed from when it was due, whatever was late.
async fn stream(plan: &Plan, address: SocketAddr) -> Result<Vec<Duration>, Error> {
    const LIST: &str = "GET /api/products HTTP/1.1\r\nHost: localhost\r\nTenant-Code: acme\r\n\r\n";
    let idle = Arc::new(Mutex::new(Vec::new()));
    let mut asked = JoinSet::new();
    let begun = tokio::time::Instant::now();
    for number in 0..plan.rate * plan.seconds {
        let due = begun + Duration::from_secs(1) * number / plan.rate;
        tokio::time::sleep_until(due).await;
        let idle = idle.clone();
        asked.spawn(async move {
            let lock = || idle.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = lock().pop();
            let mut connection = match waiting {
                Some(connection) => connection,
                None => Connection::open(address).await?,
            };
            let status = connection.ask(LIST).await?;
            if status != 200 {
                return Err(Error::Answer {
                    tenant: "acme".into(),
                    why: "it is no list",
                    answer: status.to_string(),
                });
            }
            lock().push(connection);
            Ok(due.elapsed())
        });
    }
    let mut latencies = Vec::new();
    while let Some(answered) = asked.join_next().await {
        latencies.push(answered.map_err(|_| Error::Silence)??);
    }
    latencies.sort_unstable();
    Ok(latencies)
}

fn wrong_password(connection: usize, attempt: u32, other_address: bool) -> String {
    let body = format!(r#"{{"email":"u{connection}-{attempt}@example.com","password":"wrong"}}"#);
    let from = if other_address {
        let [_, a, b, c] = attempt.to_be_bytes();
        let network = connection % 200 + 1;
        format!("X-Forwarded-For: {network}.{a}.{b}.{c}\r\n")
    } else {
        String::new()
    };
    format!(
        "POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nTenant-Code: acme\r\n{from}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Error> {
        let doing = Error::io("connecting to the server");
        let stream = TcpStream::connect(address).await.map_err(&doing)?;
        stream.set_nodelay(true).map_err(&doing)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(8 << 10),
        })
    }

    /// The answer's status, once all of it is there.
    pub(crate) async fn ask(&mut self, request: &str) -> Result<u16, Error> {
        let doing = Error::io("asking the server");
        self.stream
            .write_all(request.as_bytes())
            .await
            .map_err(&doing)?;
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await;
            if read.map_err(&doing)? == 0 {
                return Err(Error::Silence);
            }
            if let Some(status) = whole(&self.buffer) {
                return Ok(status);
            }
        }
    }
}

/// The status of an answer, if as much of it is there as it says that there is.
fn whole(buffer: &[u8]) -> Option<u16> {
    let end = buffer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = str::from_utf8(&buffer[..end]).ok()?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())?;
    (buffer.len() >= end + 4 + length).then(|| head.get(9..12)?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn an_answer_counts_when_it_is_whole() {
        let answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(whole(answer), Some(401));
        for end in 0..answer.len() {
            assert_eq!(whole(&answer[..end]), None, "{end}");
        }
    }
}
