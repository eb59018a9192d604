//! What a noisy tenant does to the others, with limits and without.
//!
//! Fifty tenants are asked for lists at a modest rate, whether answers come or not, and each request is
//! timed from when it was due. In turns there is nothing else, and one more tenant with a hundred times
//! the load of one of them, each request of which has the database work for long. It is put on a plan
//! with limits and on one without, while the server runs.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    num::NonZeroUsize,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use axum::http::Method;
use clap::Args;
use tenantry::{
    Config, Tenancy, Tenant,
    db::TenantDb,
    lifecycle::NewTenant,
    routing::{Json, Resolvers, Result as Answered, Routes},
    tenant::{Isolation, Limits, Plan as TenantPlan, Rate, TenantCode},
};
use tokio::{net::TcpListener, task::JoinSet, time::Instant};

use crate::{
    Error,
    cluster::Cluster,
    data::{self, LIST, Product},
    flood::{Connection, median},
    process,
    report::{print, say},
};

/// Counts what a join of a tenant's 25 products with themselves has: some milliseconds of a processor.
const SLOW: &str = "SELECT count(*) FROM products a, products b, products c, products d
    WHERE a.code < b.code AND c.code < d.code";

/// How long it takes at most until another plan is known, and the noise is in full spate.
const SETTLING: Duration = Duration::from_millis(1_500);

/// How much noise there is, and for how long.
#[derive(Args)]
pub(crate) struct Plan {
    /// How the tenants are kept apart; several are measured one after the other
    #[arg(long, value_delimiter = ',', default_value = "file,rows")]
    isolation: Vec<Isolation>,
    /// How many tenants are quiet
    #[arg(long, default_value_t = 50)]
    tenants: u32,
    /// How many requests each of them has in a second
    #[arg(long, default_value_t = 4)]
    rate: u32,
    /// How many times the load of one of them the noisy one has
    #[arg(long, default_value_t = 100)]
    times: u32,
    /// How many connections the noisy one has at most
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// How often each is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each is measured in a round
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Where PostgreSQL's programs are, unless they are found
    #[arg(long, env = "PG_BIN")]
    programs: Option<PathBuf>,
}

/// A server's process.
#[derive(Args)]
pub(crate) struct Serve {
    data: PathBuf,
    #[arg(long)]
    database_url: Option<String>,
}

/// What goes on beside the quiet tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    Limited,
    Unlimited,
}

/// In turns, so that each has quiet ones of its own to be held against.
const TURNS: [Beside; 4] = [
    Beside::Nothing,
    Beside::Limited,
    Beside::Nothing,
    Beside::Unlimited,
];

struct Round {
    half: Duration,
    p99: Duration,
    /// Requests of the quiet ones that were answered with anything but a list.
    failed: usize,
    /// What the noisy one was answered: lists, 429, and anything else.
    noise: [usize; 3],
    server: Duration,
    postgres: Duration,
    driver: Duration,
    elapsed: Duration,
}

pub(crate) async fn run(plan: &Plan) -> Result<(), Error> {
    print(format_args!(
        "{} tenants with {} requests a second each, and one with {}; {} rounds of {} s\n\n\
         | isolation | beside | p50 | p99 | p99 against quiet | failed | noisy/s | 429 | other | server CPU | PostgreSQL CPU | driver CPU |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        plan.tenants,
        plan.rate,
        plan.rate * plan.times,
        plan.rounds,
        plan.seconds,
    ));
    for isolation in &plan.isolation {
        let folder = tempfile::tempdir().map_err(Error::io("making a folder"))?;
        let cluster = match isolation {
            Isolation::File => None,
            _ => {
                let cluster = Cluster::start(plan.programs.as_deref(), &[]).await?;
                cluster.create_database("neighbours").await?;
                Some(cluster)
            }
        };
        let url = cluster.as_ref().map(|cluster| cluster.url("neighbours"));
        let tenancy = Tenancy::set_up(config(folder.path(), url.as_deref())).await?;
        let measured = on(plan, *isolation, &tenancy, folder.path(), cluster.as_ref()).await;
        tenancy.close();
        tell(*isolation, &measured?);
    }
    Ok(())
}

fn config(data: &Path, url: Option<&str>) -> Config {
    let limits = Limits::default()
        .with_requests(Rate::per_second(20))
        .with_concurrent(1, Duration::ZERO)
        .with_database_time(Duration::from_millis(100), Duration::from_millis(200));
    let config = Config::new(data)
        .project("neighbours")
        .tenant_migrations(data::migrations())
        .most_connections(const { NonZeroUsize::new(16).unwrap() })
        .plan(TenantPlan::new("limited").with_limits(limits))
        .plan(TenantPlan::new("unlimited").with_limits(Limits::none()));
    match url {
        Some(url) => config.database_url(url),
        None => config,
    }
}

async fn on(
    plan: &Plan,
    isolation: Isolation,
    tenancy: &Tenancy,
    data: &Path,
    cluster: Option<&Cluster>,
) -> Result<[Vec<Round>; 4], Error> {
    let noisy = make(tenancy, isolation, plan.tenants as usize).await?;
    for tenant in 0..plan.tenants {
        make(tenancy, isolation, tenant as usize).await?;
    }
    if let Some(cluster) = cluster {
        let client = cluster.client("neighbours").await?;
        client.batch_execute("VACUUM (ANALYZE)").await?;
    }
    let server = Server::start(data, cluster.map(|cluster| cluster.url("neighbours")))?;
    let processes = (server.child.id(), cluster.map(Cluster::postmaster));
    let mut measured: [Vec<Round>; 4] = Default::default();
    // warms up
    measure(plan, server.address, processes, false).await?;
    for round in 0..plan.rounds {
        for (beside, rounds) in TURNS.iter().zip(&mut measured) {
            let name = match beside {
                Beside::Limited => "limited",
                Beside::Nothing | Beside::Unlimited => "unlimited",
            };
            tenancy.set_plan(&noisy, name).await?;
            tokio::time::sleep(SETTLING).await;
            let is_noisy = *beside != Beside::Nothing;
            let one = measure(plan, server.address, processes, is_noisy).await?;
            say(format_args!(
                "{isolation}, round {}, {beside:?}: p50 {:.1?}, p99 {:.1?}, noise {:?}",
                round + 1,
                one.half,
                one.p99,
                one.noise
            ));
            rounds.push(one);
        }
    }
    Ok(measured)
}

fn tell(isolation: Isolation, measured: &[Vec<Round>; 4]) {
    let p99 = |rounds: &[Round]| median(rounds.iter().map(|one| one.p99));
    for (number, (beside, rounds)) in TURNS.iter().zip(measured).enumerate() {
        let elapsed: f64 = rounds.iter().map(|one| one.elapsed.as_secs_f64()).sum();
        let share = |get: fn(&Round) -> Duration| {
            rounds.iter().map(get).sum::<Duration>().as_secs_f64() / elapsed
        };
        let noise = |at: usize| rounds.iter().map(|one| one.noise[at]).sum::<usize>();
        let asked = noise(0) + noise(1) + noise(2);
        let percent = |count: usize| 100.0 * count as f64 / asked.max(1) as f64;
        let quiet = p99(&measured[number / 2 * 2]);
        print(format_args!(
            "| {isolation} | {beside:?} | {:.2?} | {:.2?} | {:.2} | {} | {:.0} | {:.0} % | {:.0} % | {:.2} | {:.2} | {:.2} |\n",
            median(rounds.iter().map(|one| one.half)),
            p99(rounds),
            p99(rounds).as_secs_f64() / quiet.as_secs_f64(),
            rounds.iter().map(|one| one.failed).sum::<usize>(),
            asked as f64 / elapsed,
            percent(noise(1)),
            percent(noise(2)),
            share(|one| one.server),
            share(|one| one.postgres),
            share(|one| one.driver),
        ));
    }
}

/// Makes a tenant with its products.
async fn make(tenancy: &Tenancy, isolation: Isolation, number: usize) -> Result<Tenant, Error> {
    let code = data::code(number);
    let code = TenantCode::new(&code).expect("the codes made here are codes");
    let new = NewTenant::new(code, format!("Tenant {number}")).isolation(isolation);
    let tenant = tenancy.create(new).await?;
    let mut tx = tenancy.db(&tenant).await?.begin();
    for product in data::products(number) {
        tx.query(
            "INSERT INTO products (id, name, code, price, added_by, added_on)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(product.id)
        .bind(product.name)
        .bind(product.code)
        .bind(product.price)
        .bind(product.added_by)
        .bind(product.added_on)
        .execute()
        .await?;
    }
    tx.commit().await?;
    Ok(tenant)
}

fn request(tenant: u32, path: &str) -> String {
    let code = data::code(tenant as usize);
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nTenant-Code: {code}\r\n\r\n")
}

async fn measure(
    plan: &Plan,
    address: SocketAddr,
    (server, postmaster): (u32, Option<u32>),
    is_noisy: bool,
) -> Result<Round, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let counts: Arc<[AtomicUsize; 3]> = Arc::default();
    let mut noise = JoinSet::new();
    if is_noisy {
        for connection in 0..plan.connections {
            let (stop, counts) = (stop.clone(), counts.clone());
            noise.spawn(make_noise(plan_of(plan, connection), address, stop, counts));
        }
        tokio::time::sleep(SETTLING / 2).await;
    }
    let count = || [0, 1, 2].map(|at: usize| counts[at].load(Ordering::Relaxed));
    let cpu = || {
        let postgres = postmaster.map_or(Duration::ZERO, process::cpu_of_tree);
        (
            process::cpu(server),
            postgres,
            process::cpu(std::process::id()),
        )
    };
    let (before, heard) = (cpu(), count());
    let begun = Instant::now();
    let (latencies, failed) = ask_quietly(plan, address).await?;
    let elapsed = begun.elapsed();
    let (after, heard_by_now) = (cpu(), count());
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = noise.join_next().await {
        ended.map_err(|_| Error::Silence)??;
    }
    let at = |percent: usize| latencies[(latencies.len() * percent / 100).min(latencies.len() - 1)];
    Ok(Round {
        half: at(50),
        p99: at(99),
        failed,
        noise: [0, 1, 2].map(|at: usize| heard_by_now[at] - heard[at]),
        server: after.0.saturating_sub(before.0),
        postgres: after.1.saturating_sub(before.1),
        driver: after.2.saturating_sub(before.2),
        elapsed,
    })
}

/// One connection's part of the noise.
struct Noise {
    request: String,
    /// When it begins, and how much time is between its requests.
    offset: Duration,
    each: Duration,
}

fn plan_of(plan: &Plan, connection: u32) -> Noise {
    let all = plan.rate * plan.times;
    let each = Duration::from_secs(1) * plan.connections / all;
    Noise {
        request: request(plan.tenants, "/api/slow"),
        offset: each * connection / plan.connections,
        each,
    }
}

/// Asks whenever it is time, and the answer before is there: so there are never more under way than
/// connections.
async fn make_noise(
    noise: Noise,
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    counts: Arc<[AtomicUsize; 3]>,
) -> Result<(), Error> {
    let mut connection = Connection::open(address).await?;
    let mut due = Instant::now() + noise.offset;
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep_until(due).await;
        let heard = match connection.ask(&noise.request).await? {
            200 => 0,
            429 => 1,
            _ => 2,
        };
        counts[heard].fetch_add(1, Ordering::Relaxed);
        due = (due + noise.each).max(Instant::now());
    }
    Ok(())
}

/// Lists the products of one quiet tenant after the other, at the planned rate. Each request is timed
/// from when it was due, whatever was late.
async fn ask_quietly(plan: &Plan, address: SocketAddr) -> Result<(Vec<Duration>, usize), Error> {
    let idle = Arc::new(Mutex::new(Vec::new()));
    let mut asked = JoinSet::new();
    let begun = Instant::now();
    let all = plan.rate * plan.tenants;
    for number in 0..all * plan.seconds {
        let due = begun + Duration::from_secs(1) * number / all;
        tokio::time::sleep_until(due).await;
        let idle = idle.clone();
        let request = request(number % plan.tenants, "/api/products");
        asked.spawn(async move {
            let lock = || idle.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = lock().pop();
            let mut connection = match waiting {
                Some(connection) => connection,
                None => Connection::open(address).await?,
            };
            let status = connection.ask(&request).await?;
            lock().push(connection);
            Ok::<_, Error>((due.elapsed(), status != 200))
        });
    }
    let (mut latencies, mut failed) = (Vec::new(), 0);
    while let Some(answered) = asked.join_next().await {
        let (latency, is_failure) = answered.map_err(|_| Error::Silence)??;
        latencies.push(latency);
        failed += usize::from(is_failure);
    }
    latencies.sort_unstable();
    Ok((latencies, failed))
}

/// A process that serves; it ends when its input does.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(data: &Path, url: Option<String>) -> Result<Self, Error> {
        let program = std::env::current_exe().map_err(Error::io("looking for this program"))?;
        let mut command = Command::new(program);
        command.arg("serve-neighbours").arg(data);
        if let Some(url) = url {
            command.args(["--database-url", &url]);
        }
        command
            // a terminal's Ctrl-C is for whoever started it
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().map_err(Error::io("starting a server"))?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            drop(BufReader::new(out).read_line(&mut line));
        }
        match line.trim().parse() {
            Ok(address) => Ok(Self { child, address }),
            Err(_) => Err(Error::Ended("serve-neighbours".into())),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

pub(crate) async fn serve(serve: Serve) -> Result<(), Error> {
    let tenancy = Tenancy::open(config(&serve.data, serve.database_url.as_deref())).await?;
    let resolvers = Resolvers::new().host("localhost").header("Tenant-Code");
    let router = Routes::new()
        .tenant(Method::GET, "/api/products", list)
        .tenant(Method::GET, "/api/slow", slow)
        .into_router(tenancy, resolvers, ());
    let doing = Error::io("serving");
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(&doing)?;
    print(format_args!("{}\n", listener.local_addr().map_err(&doing)?));
    thread::spawn(|| {
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        std::process::exit(0);
    });
    axum::serve(listener, router).await.map_err(&doing)
}

async fn list(db: TenantDb) -> Answered<Json<Vec<Product>>> {
    Ok(Json(db.query(LIST).all().await?))
}

async fn slow(db: TenantDb) -> Answered<Json<i64>> {
    Ok(Json(db.query(SLOW).scalar().await?))
}
