//! What tenantry costs a request before anything of the application's own is done, part by part: in
//! this process, on one thread, without a network.
//!
//! The parts take turns. Allocations are counted by a program of its own, beside this one, which does
//! the same: counting takes time, and this program's allocator is to be the one that everybody has.

pub(crate) mod ladder;

use std::{fmt::Write as _, path::PathBuf, process::Stdio, time::Instant};

use clap::Args;
use tokio::process::Command;

use self::ladder::{DECISION, Ladder};
use crate::{
    Error,
    report::{self, Report, median, range, say},
};

/// The program that counts allocations.
const COUNTING: &str = "tenantry-bench-allocations";

/// How many microseconds a policy's decision may take.
const BAR: f64 = 20.0;

/// How often it is asked.
#[derive(Args)]
pub(crate) struct Plan {
    /// How many tenants there are, with a file each; one of them is asked
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    tenants: u32,
    /// How often each part is measured, in turns
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// How many requests there are in a round
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    requests: u32,
    /// Leaves allocations uncounted, for which `tenantry-bench-allocations` is needed beside this
    /// program
    #[arg(long)]
    times_only: bool,
    /// Where the report is written as well as printed, as Markdown
    #[arg(long, value_name = "FILE.md")]
    output: Option<PathBuf>,
}

pub(crate) async fn run(plan: &Plan) -> Result<(), Error> {
    let mut report = Report::into_file(plan.output.as_deref())?;
    let counted = match plan.times_only {
        true => None,
        false => Some(count(plan).await?),
    };
    ladder::log_to_nowhere().map_err(Error::Request)?;
    let folder = tempfile::tempdir().map_err(Error::io("making a folder"))?;
    say(format_args!("making {} tenants", plan.tenants));
    let ladder = Ladder::new(folder.path(), plan.tenants as usize);
    let ladder = ladder.await.map_err(Error::Request)?;
    let parts = ladder.parts.iter().map(|part| (part.name, part.on));
    let parts: Vec<_> = parts.collect();
    let allocations = match counted {
        None => None,
        Some((program, counts)) => {
            let of_these = of_these(counts, &parts);
            Some(of_these.ok_or(Error::Counted(program))?)
        }
    };
    let requests = plan.requests as usize;
    let mut times = vec![Vec::new(); ladder.parts.len()];
    // the first round warms up
    for round in 0..=plan.rounds {
        say(format_args!("round {round} of {}", plan.rounds));
        for (part, times) in ladder.parts.iter().zip(&mut times) {
            let asked = part.requests(requests);
            let begun = Instant::now();
            part.ask(asked).await.map_err(Error::Request)?;
            let each = begun.elapsed().as_secs_f64() * 1e6 / f64::from(plan.requests);
            if round > 0 {
                times.push(each);
            }
        }
    }
    report.add(&format!(
        "{}\n- {} tenants with a file each, of which one is asked, in this process and on one thread; \
         {} rounds of {} requests in turn\n",
        report::machine(),
        plan.tenants,
        plan.rounds,
        plan.requests,
    ))?;
    report.add(&table(&rows(&parts, &times, allocations.as_deref())))
}

/// What the program that counts tells of a part: its name, what it is laid on, and the allocations of
/// a request.
type Count = (String, Option<usize>, f64);

/// Has the allocations of each part counted.
async fn count(plan: &Plan) -> Result<(PathBuf, Vec<Count>), Error> {
    let beside = |path: PathBuf| path.with_file_name(COUNTING);
    let program = std::env::current_exe().map(beside);
    let program = program.map_err(Error::io("looking for this program"))?;
    if !program.exists() {
        return Err(Error::NotBuilt(program));
    }
    say(format_args!("counting allocations"));
    let counted = Command::new(&program)
        .args(["--tenants", &plan.tenants.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let counted = counted.await.map_err(Error::io("counting allocations"))?;
    let counts = serde_json::from_slice(&counted.stdout).ok();
    match counts.filter(|_| counted.status.success()) {
        Some(counts) => Ok((program, counts)),
        None => Err(Error::Program {
            program,
            said: "it has counted nothing".into(),
        }),
    }
}

/// The allocations of the parts; none where they are of other parts.
fn of_these(counts: Vec<Count>, parts: &[(&'static str, Option<usize>)]) -> Option<Vec<f64>> {
    let counted = counts.iter().map(|(name, on, _)| (name.as_str(), *on));
    let are_these = counted.eq(parts.iter().copied());
    are_these.then(|| counts.iter().map(|(_, _, count)| *count).collect())
}

/// What a part costs.
#[derive(Debug, PartialEq)]
struct Row {
    name: &'static str,
    on: Option<&'static str>,
    /// In microseconds: the median over the rounds of the difference within each, the least and the
    /// most.
    time: (f64, f64, f64),
    /// The request with it and all that it is laid on.
    whole: f64,
    /// The same of allocations.
    allocations: Option<(f64, f64)>,
}

fn rows(
    parts: &[(&'static str, Option<usize>)],
    times: &[Vec<f64>],
    allocations: Option<&[f64]>,
) -> Vec<Row> {
    let row = |(number, (name, on)): (usize, &(&'static str, Option<usize>))| {
        let own = &times[number];
        let more: Vec<f64> = match *on {
            None => own.clone(),
            Some(below) => own.iter().zip(&times[below]).map(|(a, b)| a - b).collect(),
        };
        let (least, most) = range(&more);
        let counted = |all: &[f64]| {
            let below = on.and_then(|below| all.get(below)).unwrap_or(&0.0);
            let whole = *all.get(number)?;
            Some((whole - below, whole))
        };
        Row {
            name,
            on: on.map(|below| parts[below].0),
            time: (median(&more), least, most),
            whole: median(own),
            allocations: allocations.and_then(counted),
        }
    };
    parts.iter().enumerate().map(row).collect()
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "\n| | on | µs (least–most) | allocations | the whole request, µs | its allocations |\n\
         |---|---|--:|--:|--:|--:|\n",
    );
    for row in rows {
        let (time, least, most) = row.time;
        let (more, whole) = row
            .allocations
            .map_or_else(Default::default, |(more, whole)| {
                (format!("{more:.0}"), format!("{whole:.0}"))
            });
        let _ = writeln!(
            text,
            "| {} | {} | {time:.1} ({least:.1}–{most:.1}) | {more} | {:.1} | {whole} |",
            row.name,
            row.on.unwrap_or_default(),
            row.whole,
        );
    }
    for row in rows.iter().filter(|row| row.name == DECISION) {
        let (time, ..) = row.time;
        let is_kept = if time < BAR { "kept" } else { "missed" };
        let _ = writeln!(
            text,
            "\nA policy's decision is to take less than {BAR:.0} µs: {time:.1} µs, {is_kept}."
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_costs_what_it_adds_within_each_round() {
        let parts = [("bare", None), (DECISION, Some(0)), ("beside", Some(0))];
        // whatever disturbs a round meets both
        let times = [
            vec![1.0, 2.0, 9.0],
            vec![4.0, 6.0, 12.0],
            vec![2.0, 2.0, 9.0],
        ];
        let uncounted = table(&rows(&parts, &times, None));
        let rows = rows(&parts, &times, Some(&[3.0, 10.0, 5.0]));
        assert_eq!(rows[0].time, (2.0, 1.0, 9.0));
        assert_eq!(rows[1].time, (3.0, 3.0, 4.0));
        assert_eq!((rows[1].on, rows[1].whole), (Some("bare"), 6.0));
        assert_eq!(rows[1].allocations, Some((7.0, 10.0)));
        assert_eq!(rows[2].time, (0.0, 0.0, 1.0));
        let text = table(&rows);
        assert!(text.contains("| 3.0 (3.0–4.0) | 7 | 6.0 | 10 |"), "{text}");
        assert!(text.ends_with("3.0 µs, kept.\n"), "{text}");
        assert!(
            uncounted.contains("| 3.0 (3.0–4.0) |  | 6.0 |  |"),
            "{uncounted}"
        );
    }

    #[test]
    fn counts_are_of_the_same_parts_or_of_none() {
        let parts = [("bare", None), ("around", Some(0))];
        let count = |name: &str, on, count| (name.to_owned(), on, count);
        let right = vec![count("bare", None, 1.5), count("around", Some(0), 2.0)];
        assert_eq!(of_these(right.clone(), &parts), Some(vec![1.5, 2.0]));
        assert_eq!(of_these(right[..1].to_vec(), &parts), None);
        assert_eq!(of_these(right, &[("bare", None), ("around", None)]), None);
    }
}
