//! What tenants take of a server's memory: those that are only in the catalog, those that somebody has
//! asked for, and files that are open.
//!
//! The server is the example shop. It is compared with itself: with nobody in the catalog; asked for
//! one shop again and again, which warms up what is not any tenant's; and asked for each shop once.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use tokio::task::JoinSet;

use crate::{
    Error,
    cluster::Cluster,
    data,
    flood::Connection,
    process::{self, Memory},
    report::{self, Report, median, range, say},
    shop::{Serving, Shops, request},
};

/// How many connections ask.
const CONNECTIONS: usize = 16;

/// How long a server is left alone before it is looked at.
const REST: Duration = Duration::from_secs(2);

/// How long what is known of a tenant is kept at most.
const KEPT: Duration = Duration::from_secs(30);

/// How many descriptors a server has that is to keep few files open: an eighth of them is files.
const FEW_DESCRIPTORS: u32 = 512;

/// How many tenants there are, and how often it is looked.
#[derive(Args)]
pub(crate) struct Plan {
    /// The example shop's program, built for release
    #[arg(long, default_value = "target/release/shop")]
    shop: PathBuf,
    /// How many tenants are in the catalog, in shared tables on PostgreSQL, where they are made soonest;
    /// 0 for none
    #[arg(long, default_value_t = 20_000)]
    tenants: usize,
    /// How many tenants with a file each are asked for, one after the other; 0 for none. More than 2,048
    /// are never open at a time
    #[arg(long, default_value_t = 1_000)]
    files: usize,
    /// What is asked for of each tenant
    #[arg(long, default_value = "/")]
    path: String,
    /// How often it is measured, each time by new servers
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Where the files are; a temporary folder unless told
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Where PostgreSQL's programs are, unless they are found
    #[arg(long, env = "PG_BIN")]
    programs: Option<PathBuf>,
    /// Where the report is written as well as printed, as Markdown
    #[arg(long, value_name = "FILE.md")]
    output: Option<PathBuf>,
}

pub(crate) async fn run(plan: &Plan) -> Result<(), Error> {
    let mut report = Report::into_file(plan.output.as_deref())?;
    let folder = match &plan.folder {
        Some(below) => tempfile::tempdir_in(below),
        None => tempfile::tempdir(),
    };
    let folder = folder.map_err(Error::io("making a folder for the files"))?;
    report.add(&format!(
        "{}\n- `GET {}` of each; {} rounds, each with new servers\n",
        report::machine(),
        plan.path,
        plan.rounds,
    ))?;
    report.add(
        "\n| | tenants | resident, MiB | proportional, MiB | its own, MiB | files open | proportional, for each more (least–most) | its own, for each more (least–most) |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n",
    )?;
    if plan.tenants > 0 {
        let cluster = Cluster::start(plan.programs.as_deref(), &[]).await?;
        on_rows(plan, folder.path(), &cluster, &mut report).await?;
    }
    if plan.files > 0 {
        on_files(plan, folder.path(), &mut report).await?;
    }
    Ok(())
}

/// What a server takes at one moment, in each round.
#[derive(Default)]
struct Looks(Vec<Look>);

#[derive(Debug, Clone, Copy)]
struct Look {
    memory: Memory,
    files: usize,
}

impl Looks {
    /// Looks at the server, once it has come to rest.
    async fn look(&mut self, server: &Serving, shops: &Shops) -> Result<(), Error> {
        tokio::time::sleep(REST).await;
        let pid = server.pid()?;
        self.0.push(Look {
            memory: process::memory(pid),
            files: process::open_files(pid, &shops.data().join("tenants"), "db"),
        });
        Ok(())
    }

    fn median(&self, of: impl Fn(&Look) -> u64) -> f64 {
        median(
            &self
                .0
                .iter()
                .map(|look| of(look) as f64)
                .collect::<Vec<_>>(),
        )
    }

    /// A line of the table. Beyond what it was before, it is for each of those that have come since.
    fn line(&self, name: &str, tenants: usize, before: Option<(&Self, Count)>) -> String {
        let mib = |of: fn(&Memory) -> u64| self.median(|look| of(&look.memory)) / 1024.0;
        let more = |of: fn(&Memory) -> u64| {
            before.map_or_else(String::new, |(before, count)| {
                self.more_than(before, count, of)
            })
        };
        format!(
            "| {name} | {tenants} | {:.1} | {:.1} | {:.1} | {:.0} | {} | {} |\n",
            mib(|memory| memory.resident),
            mib(|memory| memory.proportional),
            mib(|memory| memory.own),
            self.median(|look| look.files as u64),
            more(|memory| memory.proportional),
            more(|memory| memory.own),
        )
    }

    /// How many KiB it takes more than in the same round before, for each of those that have come since.
    fn more_than(&self, before: &Self, count: Count, of: fn(&Memory) -> u64) -> String {
        let pairs = self.0.iter().zip(&before.0);
        let each = pairs.map(|(now, before)| {
            let have_come = match count {
                Count::Tenants(tenants) => tenants,
                Count::Files => now.files.saturating_sub(before.files),
            };
            let more = of(&now.memory) as f64 - of(&before.memory) as f64;
            more / have_come.max(1) as f64
        });
        let each: Vec<f64> = each.collect();
        let (least, most) = range(&each);
        format!("{:.2} KiB ({least:.2}–{most:.2})", median(&each))
    }
}

/// Of what there is more than before.
#[derive(Debug, Clone, Copy)]
enum Count {
    /// So many tenants.
    Tenants(usize),
    /// As many open files as were seen.
    Files,
}

async fn on_rows(
    plan: &Plan,
    folder: &Path,
    cluster: &Cluster,
    report: &mut Report,
) -> Result<(), Error> {
    let tenants = plan.tenants;
    let mut deployments = Vec::new();
    for (name, tenants) in [("memory_none", 0), ("memory_all", tenants)] {
        say(format_args!("making {tenants} tenants in shared tables"));
        cluster.create_database(name).await?;
        let url = Some(cluster.url(name));
        let shops = Shops::new(&plan.shop, &folder.join(name), url)?;
        shops.fill(tenants).await?;
        deployments.push(shops);
    }
    let [none, all] = &deployments[..] else {
        return Ok(());
    };
    let (mut empty, mut idle, mut warm, mut asked) = (
        Looks::default(),
        Looks::default(),
        Looks::default(),
        Looks::default(),
    );
    let mut slowest = Duration::ZERO;
    for round in 1..=plan.rounds {
        say(format_args!("rows, round {round} of {}", plan.rounds));
        let server = none.serve(&SERVING).await?;
        empty.look(&server, none).await?;
        server.end().await?;
        let server = all.serve(&SERVING).await?;
        idle.look(&server, all).await?;
        visit(plan, &server, tenants, |_| 0).await?;
        warm.look(&server, all).await?;
        slowest = slowest.max(visit(plan, &server, tenants, |visit| visit).await?);
        asked.look(&server, all).await?;
        server.end().await?;
    }
    let each = Count::Tenants(tenants);
    let mut text = empty.line("at rest, nobody in the catalog", 0, None);
    text += &idle.line("at rest", tenants, Some((&empty, each)));
    text += &warm.line("one asked for, as often as there are", tenants, None);
    text += &asked.line("each asked for once", tenants, Some((&warm, each)));
    report.add(&text)?;
    if slowest + REST > KEPT {
        // what is told is then of fewer
        say(format_args!(
            "note: asking for each took {slowest:.0?}, and what is known of a tenant is kept for {KEPT:.0?}: \
             some were forgotten before it was looked; --path /api/products is answered sooner"
        ));
    }
    Ok(())
}

async fn on_files(plan: &Plan, folder: &Path, report: &mut Report) -> Result<(), Error> {
    let tenants = plan.files;
    say(format_args!("making {tenants} tenants with a file each"));
    let shops = Shops::new(&plan.shop, &folder.join("files"), None)?;
    shops.fill(tenants).await?;
    let (mut warm, mut all, mut few) = (Looks::default(), Looks::default(), Looks::default());
    for round in 1..=plan.rounds {
        say(format_args!("files, round {round} of {}", plan.rounds));
        let server = shops.serve(&SERVING).await?;
        visit(plan, &server, tenants, |_| 0).await?;
        warm.look(&server, &shops).await?;
        visit(plan, &server, tenants, |visit| visit).await?;
        all.look(&server, &shops).await?;
        server.end().await?;
        let server = shops.serve_within(FEW_DESCRIPTORS, &SERVING).await?;
        visit(plan, &server, tenants, |visit| visit).await?;
        few.look(&server, &shops).await?;
        server.end().await?;
    }
    let mut text = warm.line(
        "with a file each: one asked for, as often as there are",
        tenants,
        None,
    );
    text += &all.line("each asked for once", tenants, Some((&warm, Count::Files)));
    text += &few.line("each asked for once, and few kept open", tenants, None);
    report.add(&text)
}

/// As whoever depends on it runs it; jobs are left to others, as looking for them opens files too.
const SERVING: [&str; 4] = ["--profile", "production", "--workers", "0"];

/// Asks so often, each time for the tenant that `whom` says: how long that took.
async fn visit(
    plan: &Plan,
    server: &Serving,
    visits: usize,
    whom: impl Fn(usize) -> usize,
) -> Result<Duration, Error> {
    let address = server.address;
    let mut connections = JoinSet::new();
    let begun = Instant::now();
    for first in 0..CONNECTIONS {
        let visits = (first..visits).step_by(CONNECTIONS);
        let tenants: Vec<usize> = visits.map(&whom).collect();
        let path = plan.path.clone();
        connections.spawn(async move {
            let mut connection = Connection::open(address).await?;
            for tenant in tenants {
                match connection.ask(&request(tenant, &path)).await? {
                    200 => {}
                    status => {
                        return Err(Error::Answer {
                            tenant: data::code(tenant),
                            why: "it is not 200",
                            answer: status.to_string(),
                        });
                    }
                }
            }
            Ok(())
        });
    }
    while let Some(ended) = connections.join_next().await {
        ended.map_err(|_| Error::Silence)??;
    }
    Ok(begun.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(own: &[u64], files: usize) -> Looks {
        let look = |own: &u64| Look {
            memory: Memory {
                resident: own * 2,
                proportional: own + 512,
                own: *own,
            },
            files,
        };
        Looks(own.iter().map(look).collect())
    }

    #[test]
    fn what_is_more_is_of_the_same_round_and_for_each() {
        let warm = looks(&[1024, 2048, 3072], 1);
        let all = looks(&[3072, 4096, 9216], 1001);
        let more = |count| all.more_than(&warm, count, |memory| memory.own);
        assert_eq!(more(Count::Files), "2.05 KiB (2.05–6.14)");
        assert_eq!(more(Count::Tenants(100)), "20.48 KiB (20.48–61.44)");
        assert_eq!(
            warm.more_than(&all, Count::Files, |memory| memory.own),
            "-2048.00 KiB (-6144.00–-2048.00)"
        );
        assert_eq!(
            all.line("all", 1001, None),
            "| all | 1001 | 8.0 | 4.5 | 4.0 | 1001 |  |  |\n"
        );
        let line = all.line("all", 1001, Some((&warm, Count::Tenants(2048))));
        assert!(
            line.ends_with("| 1.00 KiB (1.00–3.00) | 1.00 KiB (1.00–3.00) |\n"),
            "{line}"
        );
    }
}
