//! What an operator waits for: tenants being made, one column being added to all of them, and one with
//! many rows being copied; beside what one would write by hand for the same.
//!
//! Both do a part of the work in turn, so that what disturbs the machine meets both. By hand there is
//! no catalog, no ledger and no lock: copies of a file, `ALTER TABLE` said to one file after another,
//! and a script for each schema over one connection.

mod copies;

use std::{
    fs,
    num::NonZeroUsize,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use clap::Args;
use tempfile::TempDir;
use tenantry::{
    Config, Tenancy,
    lifecycle::{NewTenant, Rollout},
    migrate::Migrations,
    tenant::{Isolation, TenantCode},
};
use tokio_postgres::Client;

use crate::{
    Error,
    cluster::{Cluster, find_programs},
    data,
    report::{median, print, range, say},
};

/// How many tenants, and how often the two take turns.
#[derive(Args)]
pub(crate) struct Plan {
    /// How many tenants with a file each; 0 for none
    #[arg(long, default_value_t = 10_000)]
    files: usize,
    /// How many tenants in shared tables; 0 for none
    #[arg(long, default_value_t = 10_000)]
    rows: usize,
    /// How many tenants with a schema each; 0 for none
    #[arg(long, default_value_t = 2_000)]
    schemas: usize,
    /// How many rows the tenant has that is exported, imported and cloned, in each of the isolations
    /// that there are any tenants of; 0 for none
    #[arg(long, default_value_t = 100_000)]
    copied: usize,
    /// In how many turns each is done
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    turns: u16,
    /// How many tenants are migrated at a time, as `migrate` does unless told; by hand it is always
    /// one
    #[arg(long, default_value = "4")]
    parallel: NonZeroUsize,
    /// Where the files are; a temporary folder unless told. It is to be on a disk, not in memory
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Where PostgreSQL's programs are, unless they are found
    #[arg(long, env = "PG_BIN")]
    programs: Option<PathBuf>,
}

/// The column that all get.
const COLUMN: &str = "ALTER TABLE products ADD COLUMN note text";

fn migrations() -> Migrations {
    data::migrations().sql("0002_note", COLUMN)
}

pub(crate) async fn run(plan: &Plan) -> Result<(), Error> {
    print(format_args!(
        "{} turns, {} migrated at a time; tenants a second (median over the turns, least–most)\n\n\
         | tenants | | tenantry | by hand | of it (least–most) |\n|--:|---|--:|--:|--:|\n",
        plan.turns, plan.parallel,
    ));
    if plan.files > 0 {
        on_files(plan).await?;
    }
    let cluster = match plan.rows > 0 || plan.schemas > 0 {
        true => Some(Cluster::start(plan.programs.as_deref(), &lasting()).await?),
        false => None,
    };
    if let Some(cluster) = &cluster {
        if plan.schemas > 0 {
            on_schemas(plan, cluster).await?;
        }
        if plan.rows > 0 {
            on_rows(plan, cluster).await?;
        }
    }
    match plan.copied {
        0 => Ok(()),
        _ => copies::measure(plan, cluster.as_ref()).await,
    }
}

/// Here, unlike where answers are measured, what is committed is to be lasting.
fn lasting() -> Vec<String> {
    ["fsync=on", "synchronous_commit=on", "full_page_writes=on"]
        .map(Into::into)
        .into()
}

/// How many were done in how long, in each turn, by tenantry and by hand.
#[derive(Default)]
struct Turns {
    ours: Vec<f64>,
    by_hand: Vec<f64>,
}

impl Turns {
    fn say(&self, tenants: usize, what: &str) {
        let ours = shown(&self.ours);
        if self.by_hand.is_empty() {
            return print(format_args!("| {tenants} | {what} | {ours} | | |\n"));
        }
        let pairs = self.ours.iter().zip(&self.by_hand);
        let ratios: Vec<f64> = pairs.map(|(ours, by_hand)| ours / by_hand).collect();
        let (least, most) = range(&ratios);
        print(format_args!(
            "| {tenants} | {what} | {ours} | {} | {:.2} ({least:.2}–{most:.2}) |\n",
            shown(&self.by_hand),
            median(&ratios),
        ));
    }
}

fn shown(rates: &[f64]) -> String {
    let (least, most) = range(rates);
    format!("{:.0} ({least:.0}–{most:.0})", median(rates))
}

fn rate(count: usize, begun: Instant) -> f64 {
    count as f64 / begun.elapsed().as_secs_f64()
}

/// The parts that the work is done in.
fn parts(count: usize, turns: u16) -> impl Iterator<Item = Range<usize>> {
    let each = count.div_ceil(turns.into()).max(1);
    (0..count)
        .step_by(each)
        .map(move |from| from..(from + each).min(count))
}

async fn create(tenancy: &Tenancy, isolation: Isolation, part: Range<usize>) -> Result<f64, Error> {
    let begun = Instant::now();
    let count = part.len();
    for tenant in part {
        let code = TenantCode::new(&data::code(tenant)).expect("the codes made here are codes");
        let new = NewTenant::new(code, format!("Tenant {tenant}")).isolation(isolation);
        tenancy.create(new).await?;
    }
    Ok(rate(count, begun))
}

/// Adds the column to some tenants.
async fn migrate(
    plan: &Plan,
    tenancy: &Tenancy,
    tenants: &[tenantry::Tenant],
) -> Result<f64, Error> {
    let mut rollout = Rollout::default();
    rollout.parallel = plan.parallel;
    let mut failed = None;
    let begun = Instant::now();
    let all = tenants.to_vec();
    tenancy
        .migrate_all(all, rollout, |migrated| {
            if let Err(error) = migrated.result {
                failed = Some(error.to_string());
            }
        })
        .await?;
    match failed {
        Some(error) => Err(Error::Migration(error)),
        None => Ok(rate(tenants.len(), begun)),
    }
}

/// How long it takes to find out that there is nothing to do, from the start of the program on.
async fn nothing_to_apply(config: Config, tenants: usize, what: &str) -> Result<(), Error> {
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let tenancy = Tenancy::open(config.clone()).await?;
        let behind = tenancy.behind().await?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        tenancy.close();
        if !behind.is_empty() {
            return Err(Error::Migration(format!("{} are behind", behind.len())));
        }
    }
    let (_, most) = range(&times);
    print(format_args!(
        "| {tenants} | {what}: nothing to apply | {:.0} ms (at most {most:.0}) | | |\n",
        median(&times)
    ));
    Ok(())
}

/// A folder that is gone when it is dropped.
fn folder(plan: &Plan) -> Result<TempDir, Error> {
    let folder = match &plan.folder {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    };
    folder.map_err(Error::io("making a folder for files"))
}

async fn on_files(plan: &Plan) -> Result<(), Error> {
    let doing = Error::io("keeping files");
    let folder = folder(plan)?;
    let (data, by_hand) = (folder.path().join("data"), folder.path().join("by-hand"));
    fs::create_dir_all(&by_hand).map_err(&doing)?;
    let before = Config::new(&data).tenant_migrations(data::migrations());
    let tenancy = Tenancy::set_up(before).await?;
    // the first one makes the template, which the copies are of
    let first = NewTenant::new("template-of-all".parse().expect("a code"), "First");
    let first = tenancy.create(first).await?;
    let template = fs::read_dir(data.join("templates"))
        .and_then(|mut found| found.next().ok_or(std::io::ErrorKind::NotFound)?)
        .map_err(&doing)?
        .path();
    let mut turns = Turns::default();
    for part in parts(plan.files, plan.turns) {
        say(format_args!("files {} to {}", part.start, part.end));
        turns
            .by_hand
            .push(copies(&template, &by_hand, part.clone())?);
        turns
            .ours
            .push(create(&tenancy, Isolation::File, part).await?);
    }
    turns.say(plan.files, "files: made");
    tenancy.erase(&first).await?;
    tenancy.close();

    let after = Config::new(&data).tenant_migrations(migrations());
    let tenancy = Tenancy::set_up(after.clone()).await?;
    let behind = tenancy.behind().await?;
    let mut turns = Turns::default();
    for part in parts(plan.files, plan.turns) {
        turns.by_hand.push(alter(&by_hand, part.clone())?);
        let tenants = behind.get(part).unwrap_or_default();
        turns.ours.push(migrate(plan, &tenancy, tenants).await?);
    }
    tenancy.close();
    turns.say(plan.files, "files: one column added");
    nothing_to_apply(after, plan.files, "files").await
}

fn file(folder: &Path, number: usize) -> PathBuf {
    folder
        .join(format!("{:02x}", number % 256))
        .join(format!("{number}.db"))
}

/// Plain copies of the template, each lasting before the next.
fn copies(template: &Path, to: &Path, part: Range<usize>) -> Result<f64, Error> {
    let begun = Instant::now();
    let count = part.len();
    let copy = || {
        for number in part.clone() {
            let path = file(to, number);
            fs::create_dir_all(path.parent().unwrap_or(to))?;
            fs::copy(template, &path)?;
            fs::File::open(&path)?.sync_all()?;
        }
        Ok(())
    };
    copy().map_err(Error::io("copying the template"))?;
    Ok(rate(count, begun))
}

/// The same statement, file by file, with the same promises when the power goes.
fn alter(folder: &Path, part: Range<usize>) -> Result<f64, Error> {
    let begun = Instant::now();
    let count = part.len();
    for number in part {
        let connection = rusqlite::Connection::open(file(folder, number))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(COLUMN)?;
    }
    Ok(rate(count, begun))
}

async fn config(cluster: &Cluster, name: &str) -> Result<Config, Error> {
    cluster.create_database(name).await?;
    Ok(Config::new(cluster.folder().join(name))
        .project(name)
        .database_url(cluster.url(name)))
}

async fn on_schemas(plan: &Plan, cluster: &Cluster) -> Result<(), Error> {
    let name = "bench_schemas";
    let config = config(cluster, name).await?;
    let tenancy = Tenancy::set_up(config.clone().tenant_migrations(data::migrations())).await?;
    let first = NewTenant::new("template-of-all".parse().expect("a code"), "First");
    let first = tenancy.create(first.isolation(Isolation::Schema)).await?;
    let schema = format!("t_{}", first.id().as_uuid().simple());
    let script = dump(plan, cluster, name, &schema)?;
    let client = cluster.client(name).await?;
    let mut turns = Turns::default();
    for part in parts(plan.schemas, plan.turns) {
        say(format_args!("schemas {} to {}", part.start, part.end));
        turns
            .by_hand
            .push(scripts(&client, &script, &schema, part.clone()).await?);
        turns
            .ours
            .push(create(&tenancy, Isolation::Schema, part).await?);
    }
    turns.say(plan.schemas, "schemas: made");
    tenancy.erase(&first).await?;
    tenancy.close();

    let after = config.tenant_migrations(migrations());
    let tenancy = Tenancy::set_up(after.clone()).await?;
    let behind = tenancy.behind().await?;
    let mut turns = Turns::default();
    for part in parts(plan.schemas, plan.turns) {
        let begun = Instant::now();
        let count = part.len();
        for number in part.clone() {
            let sql = format!("BEGIN; SET LOCAL search_path = h_{number}; {COLUMN}; COMMIT");
            client.batch_execute(&sql).await?;
        }
        turns.by_hand.push(rate(count, begun));
        let tenants = behind.get(part).unwrap_or_default();
        turns.ours.push(migrate(plan, &tenancy, tenants).await?);
    }
    tenancy.close();
    turns.say(plan.schemas, "schemas: one column added");
    nothing_to_apply(after, plan.schemas, "schemas").await
}

/// What makes a schema like that one, as a script.
fn dump(plan: &Plan, cluster: &Cluster, database: &str, schema: &str) -> Result<String, Error> {
    let programs = plan.programs.clone().or_else(find_programs);
    let program = programs.ok_or(Error::NoPostgres)?.join("pg_dump");
    let dumped = Command::new(&program)
        .args(["--schema-only", "--no-owner", "--schema", schema])
        .arg(cluster.superuser_url(database))
        .output()
        .map_err(Error::io("running pg_dump"))?;
    if !dumped.status.success() {
        return Err(Error::Program {
            program,
            said: String::from_utf8_lossy(&dumped.stderr).into_owned(),
        });
    }
    let text = String::from_utf8_lossy(&dumped.stdout);
    let is_said = |line: &&str| {
        let begins = |word: &str| line.starts_with(word);
        // what is set for the session, and what only psql understands
        !(line.is_empty()
            || begins("--")
            || begins("SET ")
            || begins("SELECT pg_catalog.set_config")
            || begins("\\"))
    };
    Ok(text.lines().filter(is_said).collect::<Vec<_>>().join("\n"))
}

/// The script for one schema after another, over one connection, each in a transaction.
async fn scripts(
    client: &Client,
    script: &str,
    schema: &str,
    part: Range<usize>,
) -> Result<f64, Error> {
    let begun = Instant::now();
    let count = part.len();
    for number in part {
        let script = script.replace(schema, &format!("h_{number}"));
        client
            .batch_execute(&format!("BEGIN; {script}; COMMIT"))
            .await?;
    }
    Ok(rate(count, begun))
}

async fn on_rows(plan: &Plan, cluster: &Cluster) -> Result<(), Error> {
    let config = config(cluster, "bench_shared").await?;
    let tenancy = Tenancy::set_up(config.clone().tenant_migrations(data::migrations())).await?;
    let mut turns = Turns::default();
    for part in parts(plan.rows, plan.turns) {
        say(format_args!("rows {} to {}", part.start, part.end));
        turns
            .ours
            .push(create(&tenancy, Isolation::Rows, part).await?);
    }
    turns.say(plan.rows, "rows: made");
    tenancy.close();
    let after = config.tenant_migrations(migrations());
    let tenancy = Tenancy::set_up(after.clone()).await?;
    let behind = tenancy.behind().await?;
    let begun = Instant::now();
    migrate(plan, &tenancy, &behind).await?;
    tenancy.close();
    print(format_args!(
        "| {} | rows: one column added | all in {:.0} ms | | |\n",
        plan.rows,
        begun.elapsed().as_secs_f64() * 1e3
    ));
    nothing_to_apply(after, plan.rows, "rows").await
}
