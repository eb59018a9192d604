//! Whether jobs are lost, done twice or done as the wrong tenant when workers are killed, and whether
//! those who have few wait for one who has many.
//!
//! Each job writes down what it was enqueued for and by whom it was run, in its tenant's database and in
//! the transaction in which it ends. Workers are processes; some are killed at random moments and others
//! begun in their place, and on PostgreSQL the server crashes meanwhile and recovers.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use clap::Args;
use serde::{Deserialize, Serialize};
use tenantry::{
    Config, Tenancy, Tenant,
    lifecycle::NewTenant,
    migrate::Migrations,
    scoped::jobs::{Job, JobContext, JobError, Jobs, Worker},
    tenant::Isolation,
};

use crate::{
    Error,
    cluster::Cluster,
    report::{print, say},
    told_to_stop,
};

/// How much there is to do, and what goes wrong meanwhile.
#[derive(Args)]
pub(crate) struct Plan {
    /// How the tenants are kept apart
    #[arg(long, default_value = "file")]
    isolation: Isolation,
    /// How many tenants there are
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..))]
    tenants: u32,
    /// How many jobs there are
    #[arg(long, default_value_t = 100_000)]
    jobs: u32,
    /// How many of them the first tenant has
    #[arg(long, default_value_t = 90_000)]
    big: u32,
    /// How many processes work at a time
    #[arg(long, default_value_t = 2)]
    processes: usize,
    /// How many of them are killed
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// How often the database server crashes, where there is one
    #[arg(long, default_value_t = 3)]
    crashes: u32,
    /// How long a worker that is killed has worked, at most, in seconds
    #[arg(long, default_value_t = 4.0, value_parser = crate::seconds)]
    pause: f64,
    /// Where PostgreSQL's programs are, unless they are found
    #[arg(long, env = "PG_BIN")]
    programs: Option<PathBuf>,
}

/// A worker's process.
#[derive(Args)]
pub(crate) struct Work {
    data: PathBuf,
    #[arg(long)]
    database_url: Option<String>,
}

/// Says by whom it was run.
#[derive(Serialize, Deserialize)]
struct Tell {
    /// Whose it is.
    tenant: String,
    number: u32,
}

impl Job for Tell {
    const KIND: &'static str = "tell";
    // so that what a crash interrupts is not dead for it
    const MAX_ATTEMPTS: i32 = 100;

    fn backoff(_: i32) -> Duration {
        Duration::from_millis(500)
    }
}

const TOLD: &str = "CREATE TABLE told (
    job uuid NOT NULL, of_tenant text NOT NULL, by_tenant text NOT NULL, number bigint NOT NULL,
    at timestamptz NOT NULL
)";

fn jobs() -> Jobs {
    Jobs::new().job(|job: JobContext, tell: Tell| async move {
        let mut tx = job.db().begin();
        tx.query(
            "INSERT INTO told (job, of_tenant, by_tenant, number, at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(job.id())
        .bind(tell.tenant)
        .bind(job.tenant().id().to_string())
        .bind(i64::from(tell.number))
        .bind(Utc::now())
        .execute()
        .await?;
        job.finish_in(tx).await?;
        Ok::<_, JobError>(())
    })
}

fn config(data: &Path, url: Option<&str>) -> Config {
    let config = Config::new(data)
        .project("bench")
        // who opens each file anew for each turn measures that
        .most_open_files(const { NonZeroUsize::new(2048).unwrap() })
        .tenant_migrations(Migrations::new().sql("0001_told", TOLD));
    match url {
        Some(url) => config.database_url(url),
        None => config,
    }
}

pub(crate) async fn work(work: Work) -> Result<(), Error> {
    let tenancy = loop {
        match Tenancy::open(config(&work.data, work.database_url.as_deref())).await {
            Ok(tenancy) => break tenancy,
            Err(error) => {
                // the server may be recovering
                say(format_args!("a worker cannot begin yet: {error}"));
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
    };
    let worker = Worker::new(&tenancy, jobs()).lease(Duration::from_secs(5));
    let stop = async {
        drop(told_to_stop().await);
    };
    worker.run(stop).await;
    tenancy.close();
    Ok(())
}

pub(crate) async fn run(plan: &Plan) -> Result<(), Error> {
    let folder = tempfile::tempdir().map_err(Error::io("making a folder"))?;
    let data = folder.path().join("data");
    if plan.isolation == Isolation::File {
        return try_it(plan, &data, None).await;
    }
    let settings = [
        "fsync=on",
        "synchronous_commit=on",
        "full_page_writes=on",
        "log_min_messages=panic",
    ];
    let cluster = Cluster::start(plan.programs.as_deref(), &settings.map(Into::into)).await?;
    cluster.create_database("jobs").await?;
    try_it(plan, &data, Some(&cluster)).await
}

/// Processes that work, and end with this.
struct Workers {
    command: Box<dyn Fn() -> Command>,
    children: Vec<Child>,
}

impl Workers {
    fn begin(&mut self) -> Result<(), Error> {
        let child = (self.command)().spawn();
        self.children
            .push(child.map_err(Error::io("starting a worker"))?);
        Ok(())
    }

    /// Kills the one that has worked longest, and begins another.
    fn replace(&mut self) -> Result<(), Error> {
        let mut oldest = self.children.remove(0);
        drop(oldest.kill());
        drop(oldest.wait());
        self.begin()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for child in &mut self.children {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

async fn try_it(plan: &Plan, data: &Path, cluster: Option<&Cluster>) -> Result<(), Error> {
    let url = cluster.map(|cluster| cluster.url("jobs"));
    let tenancy = Tenancy::set_up(config(data, url.as_deref())).await?;
    let begun = Instant::now();
    let tenants = enqueue(plan, &tenancy).await?;
    let enqueued = begun.elapsed();
    say(format_args!(
        "{} jobs of {} tenants in {enqueued:.1?}",
        plan.jobs,
        tenants.len()
    ));

    let program = std::env::current_exe().map_err(Error::io("looking for this program"))?;
    let (place, url_too) = (data.to_owned(), url.clone());
    let command = move || {
        let mut command = Command::new(&program);
        command.arg("work").arg(&place).stdin(Stdio::null());
        if let Some(url) = &url_too {
            command.args(["--database-url", url]);
        }
        command
    };
    let mut workers = Workers {
        command: Box::new(command),
        children: Vec::new(),
    };
    let begun = Instant::now();
    for _ in 0..plan.processes.max(1) {
        workers.begin()?;
    }
    let big = &tenants[0];
    let (mut kills, mut crashes) = (0, 0);
    loop {
        tokio::time::sleep(Duration::from_secs_f64(plan.pause * random())).await;
        let left = left(&tenancy, big).await;
        say(format_args!(
            "{:.0?}: {left:?} of the first tenant left",
            begun.elapsed()
        ));
        if kills < plan.kills {
            workers.replace()?;
            kills += 1;
        }
        if let Some(cluster) = cluster
            && crashes < plan.crashes
            && kills >= (crashes + 1) * plan.kills / (plan.crashes + 1)
        {
            crashes += u32::from(crash(cluster).await?);
        }
        if left == Some(0) && everybody_is_done(&tenancy, &tenants).await {
            break;
        }
    }
    let took = begun.elapsed();
    drop(workers);
    report(plan, &tenancy, &tenants, took, (kills, crashes)).await?;
    tenancy.close();
    Ok(())
}

async fn enqueue(plan: &Plan, tenancy: &Tenancy) -> Result<Vec<Tenant>, Error> {
    let mut tenants = Vec::new();
    for number in 0..plan.tenants {
        let code = format!("tenant-{number}");
        let code = code.parse().map_err(|_| Error::Silence)?;
        let new = NewTenant::new(code, format!("Tenant {number}")).isolation(plan.isolation);
        let tenant = tenancy.create(new).await?;
        tenants.push(tenant);
    }
    for (place, tenant) in tenants.iter().enumerate() {
        let queue = tenancy.jobs(tenant);
        let mut numbers = mine(plan, place).peekable();
        while numbers.peek().is_some() {
            let mut tx = tenancy.db(tenant).await?.begin();
            for number in numbers.by_ref().take(1_000) {
                let tell = Tell {
                    tenant: tenant.id().to_string(),
                    number,
                };
                queue.enqueue(&mut tx, tell).await?;
            }
            tx.commit().await?;
        }
    }
    Ok(tenants)
}

/// The numbers of a tenant's jobs: the first has the big part, the others have the rest in turn.
fn mine(plan: &Plan, place: usize) -> Box<dyn Iterator<Item = u32> + Send> {
    let big = plan.big.min(plan.jobs);
    if place == 0 {
        return Box::new(0..big);
    }
    let others = usize::try_from(plan.tenants - 1).unwrap_or(usize::MAX);
    Box::new((big..plan.jobs).skip(place - 1).step_by(others))
}

async fn left(tenancy: &Tenancy, tenant: &Tenant) -> Option<i64> {
    let counts = tenancy.jobs(tenant).counts().await.ok()?;
    Some(counts.queued + counts.running)
}

async fn everybody_is_done(tenancy: &Tenancy, tenants: &[Tenant]) -> bool {
    for tenant in tenants {
        if left(tenancy, tenant).await != Some(0) {
            return false;
        }
    }
    true
}

/// Kills one of the server's processes, at which all of them end and it recovers from its log: whether
/// it was there to be killed.
async fn crash(cluster: &Cluster) -> Result<bool, Error> {
    let Ok(client) = cluster.client("postgres").await else {
        return Ok(false); // it recovers still
    };
    let found = client
        .query_opt(
            "SELECT pid FROM pg_stat_activity
             WHERE datname = 'jobs' AND backend_type = 'client backend' LIMIT 1",
            &[],
        )
        .await;
    let Ok(Some(row)) = found else {
        return Ok(false);
    };
    let pid: i32 = row.get(0);
    say(format_args!("the server crashes"));
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    let killed = killed.map_err(Error::io("killing a process of the server's"))?;
    Ok(killed.success())
}

fn random() -> f64 {
    let bits = uuid::Uuid::now_v7().into_bytes();
    f64::from(u32::from_be_bytes([bits[12], bits[13], bits[14], bits[15]])) / f64::from(u32::MAX)
}

async fn report(
    plan: &Plan,
    tenancy: &Tenancy,
    tenants: &[Tenant],
    took: Duration,
    (kills, crashes): (u32, u32),
) -> Result<(), Error> {
    let (mut done, mut lost, mut twice, mut wrong, mut dead) = (0, 0, 0, 0, 0);
    let mut last_small: Option<DateTime<Utc>> = None;
    let (mut attempts, mut jobs) = (0, 0);
    for (place, tenant) in tenants.iter().enumerate() {
        let db = tenancy.db(tenant).await?;
        let told: Vec<(String, String, i64, DateTime<Utc>)> = db
            .query("SELECT of_tenant, by_tenant, number, at FROM told")
            .all()
            .await?;
        let own = tenant.id().to_string();
        let mut times = std::collections::HashMap::new();
        for (of, by, number, at) in &told {
            wrong += i64::from(*of != own || *by != own);
            *times.entry(*number).or_insert(0) += 1;
            if place > 0 {
                last_small = last_small.max(Some(*at));
            }
        }
        for number in mine(plan, place) {
            match times.get(&i64::from(number)) {
                None => lost += 1,
                Some(1) => done += 1,
                Some(_) => twice += 1,
            }
        }
        let (rows, begun): (i64, Option<i64>) = db
            .query("SELECT count(*), sum(attempts) FROM jobs WHERE status = 'done'")
            .one()
            .await?;
        jobs += rows;
        attempts += begun.unwrap_or(0);
        dead += tenancy.jobs(tenant).counts().await?.dead;
    }
    let db = tenancy.db(&tenants[0]).await?;
    let after: i64 = db
        .query("SELECT count(*) FROM told WHERE at > $1")
        .bind(last_small.unwrap_or(DateTime::<Utc>::MIN_UTC.max(Utc::now())))
        .scalar()
        .await?;
    print(format_args!(
        "| isolation | jobs | tenants | killed | crashes | took | a second | done once | lost | twice | wrong tenant | dead | begun again | left of the first when all others were done |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n\
         | {} | {} | {} | {kills} | {crashes} | {took:.0?} | {:.0} | {done} | {lost} | {twice} | {wrong} | {dead} | {} | {after} |\n",
        plan.isolation,
        plan.jobs,
        tenants.len(),
        f64::from(plan.jobs) / took.as_secs_f64(),
        attempts - jobs,
    ));
    match lost + twice + wrong + dead {
        0 => Ok(()),
        wrong => Err(Error::Jobs(wrong)),
    }
}
