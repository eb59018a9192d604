//! How long it takes from the start of the example shop's server until it answers, with many tenants in
//! its data folder.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;

use crate::{
    Error, data,
    flood::Connection,
    report::{self, Report, median, range, say},
    shop::{Shops, request},
    workload::Random,
};

/// How long it may take until it is ready.
const BAR: Duration = Duration::from_secs(1);

const READY: &str = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// How many tenants there are, and how often it is started.
#[derive(Args)]
pub(crate) struct Plan {
    /// The example shop's program, built for release
    #[arg(long, default_value = "target/release/shop")]
    shop: PathBuf,
    /// How many tenants there are, with a file each
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    tenants: u32,
    /// How often it is started
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// development, or production: there the program makes and migrates nothing by itself
    #[arg(long, default_value = "production", value_parser = ["development", "production"])]
    profile: String,
    /// Where the files are, some 350 KiB each; a temporary folder unless told
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Where the report is written as well as printed, as Markdown
    #[arg(long, value_name = "FILE.md")]
    output: Option<PathBuf>,
}

/// What was waited for, in milliseconds from the start of the program on.
#[derive(Default)]
struct Waits {
    ready: Vec<f64>,
    page: Vec<f64>,
}

pub(crate) async fn run(plan: &Plan) -> Result<(), Error> {
    let mut report = Report::into_file(plan.output.as_deref())?;
    let folder = match &plan.folder {
        Some(below) => tempfile::tempdir_in(below),
        None => tempfile::tempdir(),
    };
    let folder = folder.map_err(Error::io("making a folder for the files"))?;
    let tenants = plan.tenants as usize;
    say(format_args!("making {tenants} tenants with a file each"));
    let deployment = |name: &str| Shops::new(&plan.shop, &folder.path().join(name), None);
    let (few, many) = (deployment("few")?, deployment("many")?);
    few.fill(1).await?;
    many.fill(tenants).await?;
    let mut random = Random(u64::from(plan.tenants));
    let (mut of_few, mut of_many) = (Waits::default(), Waits::default());
    for round in 1..=plan.rounds {
        say(format_args!("round {round} of {}", plan.rounds));
        of_few.wait(plan, &few, 0).await?;
        of_many.wait(plan, &many, random.below(tenants)).await?;
    }
    report.add(&format!(
        "{}\n- the shop with `--profile {}`, started {} times in turn; what it reads is in memory from before\n",
        report::machine(),
        plan.profile,
        plan.rounds,
    ))?;
    report.add(&table(&[(1, &of_few), (tenants, &of_many)]))
}

impl Waits {
    /// Starts a server, and waits until it is ready and has shown a page of that tenant.
    async fn wait(&mut self, plan: &Plan, shops: &Shops, tenant: usize) -> Result<(), Error> {
        let begun = Instant::now();
        let server = shops.serve(&["--profile", &plan.profile]).await?;
        let mut connection = Connection::open(server.address).await?;
        let mut passed = async |request: &str| match connection.ask(request).await? {
            200 => Ok(begun.elapsed().as_secs_f64() * 1e3),
            status => Err(Error::Answer {
                tenant: data::code(tenant),
                why: "it is not 200",
                answer: status.to_string(),
            }),
        };
        self.ready.push(passed(READY).await?);
        self.page.push(passed(&request(tenant, "/")).await?);
        server.end().await
    }
}

fn table(all: &[(usize, &Waits)]) -> String {
    let shown = |times: &[f64]| {
        let (least, most) = range(times);
        format!("{:.0} ({least:.0}–{most:.0})", median(times))
    };
    let mut text = String::from(
        "\n| tenants | until it is ready, ms (least–most) | until the first page of a tenant, ms (least–most) |\n\
         |--:|--:|--:|\n",
    );
    for (tenants, waits) in all {
        let (ready, page) = (shown(&waits.ready), shown(&waits.page));
        text += &format!("| {tenants} | {ready} | {page} |\n");
    }
    if let Some((tenants, waits)) = all.last() {
        let (took, bar) = (median(&waits.ready), BAR.as_secs_f64() * 1e3);
        let is_kept = if took < bar { "kept" } else { "missed" };
        text += &format!(
            "\nWith {tenants} tenants it is to be ready in less than {bar:.0} ms: {took:.0} ms, {is_kept}.\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_for_the_median_with_all_tenants() {
        let waits = |ready: [f64; 3]| Waits {
            ready: ready.into(),
            page: vec![2000.0; 3],
        };
        let (few, many) = (waits([5000.0; 3]), waits([20.0, 30.0, 4000.0]));
        let text = table(&[(1, &few), (10_000, &many)]);
        assert!(
            text.contains("| 10000 | 30 (20–4000) | 2000 (2000–2000) |"),
            "{text}"
        );
        assert!(text.ends_with("30 ms, kept.\n"), "{text}");
        assert!(table(&[(10_000, &few)]).ends_with("5000 ms, missed.\n"));
    }
}
